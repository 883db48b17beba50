//! A board that was just switched on, and what else tests of EL2 alone ask of one.
//!
//! After a reset registers are UNKNOWN (their descriptions, "Reset"), but that EL2's MMU is off is what the boot protocol promises. TLBs and
//! caches hold anything (D8, "TLB behavior at reset"; D7, "Behavior of caches at reset").

use super::el2::El2;
use super::errors::Source;
use super::tables::GARBAGE;
use super::{Board, Worst};

/// Registers of EL1 that nobody set: stage 1 on or off, tables anywhere.
const UNKNOWN: [(&str, u64); 8] = [
    ("tcr_el1", 0),
    ("ttbr0_el1", GARBAGE),
    ("ttbr1_el1", GARBAGE),
    ("ttbr0_el2", GARBAGE),
    ("tcr_el2", 16),
    ("mair_el2", 0),
    ("cntv_ctl_el0", 1),
    ("cnthp_ctl_el2", 1),
];

/// An entry for a page of memory that is somebody else's: AF, inner shareable, both ways, write-back.
const ANOTHER: u64 = GARBAGE | 1 << 10 | 3 << 8 | 3 << 6 | 0xf << 2 | 3;

impl Board {
    fn el2(&mut self) -> &mut El2 {
        let cores = self.registers.len();
        self.el2.get_or_insert_with(|| El2::new(cores))
    }
}

impl Worst {
    /// A core is switched on. VMID 1 is one that it seems to have had before, for `ipa`; EL2 for `page`.
    pub fn power_on(&self, core: usize, ipa: u64, page: u64) {
        let board = &mut *self.board();
        for (name, value) in UNKNOWN {
            board.registers[core].become_now(name, value);
        }
        let stage1 = board.chance.pick(2) as u64;
        board.registers[core].become_now("sctlr_el1", stage1);
        board.registers[core].become_now("sctlr_el2", 0);
        board.el2().plant(core, page, ANOTHER);
        // Walks by what VTTBR_EL2 says would contradict what is planted for the same VMID, and that would be nobody's mistake.
        let vmid = 1 + board.chance.pick(2) as u64;
        board.registers[core].become_now("vttbr_el2", vmid << 48 | GARBAGE);
        match vmid {
            1 => board.tlbs.heat(ipa),
            _ => board.tlbs.plant(core, 1, ipa, ANOTHER),
        }
    }

    /// EL2's MMU is on already, by these registers.
    pub fn translate_el2(&self, registers: &[(&'static str, u64)]) {
        let board = &mut *self.board();
        for core in &mut board.registers {
            for (name, value) in registers {
                core.become_now(name, *value);
            }
        }
        board.el2();
    }

    /// A core's TLB holds a translation that nobody's tables ever had.
    pub fn plant(&self, core: usize, vmid: u32, ipa: u64, descriptor: u64) {
        self.board().tlbs.plant(core, vmid, ipa, descriptor);
    }

    /// An instruction cache holds what was at an address in an earlier life of the board.
    pub fn plant_instructions(&self, core: usize, at: u64) {
        self.board().memory.plant_instructions(core, at);
    }

    /// EL2 executes what is at an address.
    pub fn el2_fetch(&self, core: usize, at: u64) -> u64 {
        self.board().el2_fetch(core, at)
    }

    /// EL2 loads a doubleword.
    pub fn el2_load(&self, core: usize, at: u64) -> u64 {
        self.board().el2_load(core, at)
    }

    /// EL2 stores one.
    pub fn el2_store(&self, core: usize, at: u64, value: u64) {
        let board = &mut *self.board();
        board.disturb();
        board.el2_store(core, at, value);
    }

    /// Whether the TLB of a core has anything of EL2's for a page.
    pub fn el2_holds(&self, core: usize, page: u64) -> bool {
        self.board().el2().holds(core, page)
    }

    /// Anything may happen.
    pub fn time_passes(&self) {
        self.board().disturb();
    }

    /// The count, as it is now.
    pub fn count(&self) -> u64 {
        self.board().tlbs.now()
    }

    /// The cores have Cortex-A72's erratum 1319367.
    pub fn set_erratum(&self) {
        self.board().special.erratum = true;
    }

    /// Whether the cores have FEAT_RAS.
    pub fn set_ras(&self, ras: bool) {
        self.board().errors.ras = ras;
    }

    /// An access of a core, EL2's or the guest's, was in error.
    pub fn leave_error(&self, core: usize, source: Source) {
        self.board().errors.leave(core, source);
    }

    /// Errors that may still come as an SError of who runs then.
    pub fn errors_left(&self, core: usize) -> usize {
        self.board().errors.left(core)
    }

    /// SErrors that EL2 took as its own.
    pub fn own_errors(&self, core: usize) -> usize {
        self.board().errors.own(core)
    }

    /// Nothing answers at an address.
    pub fn silence(&self, at: u64) {
        self.board().errors.silence(at);
    }

    /// The guest on a core replaced an entry of its own tables without break-before-make.
    pub fn guest_makes_conflict(&self, core: usize) {
        self.board().special.conflict(core);
    }

    /// Whether it meets that conflict.
    pub fn guest_conflicts(&self, core: usize) -> bool {
        self.board().special.conflicts(core)
    }
}
