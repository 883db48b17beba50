//! The worst board that the Arm ARM (DDI 0487) permits: cores, TLBs, caches, memory.
//!
//! Where the architecture leaves something open, [`luck`] decides at random, at each store to a table, barrier, maintenance, write of a system
//! register and access. What may happen, and by which section:
//!
//! | file | what |
//! | --- | --- |
//! | [`tlb`] | walks by speculation, what TLBs keep, when a TLBI is done, when walks see a store |
//! | [`memory`] | lines that come and go, accesses around the caches, when maintenance is done, instruction caches |
//! | [`registers`] | when a write to a system register is in effect |
//! | [`special`] | when a counter is read, and the result of an address translation |
//! | [`el2`] | EL2's own translation |
//! | [`errors`] | SErrors |
//! | [`power_on`] | what a board may have in it that was just switched on |
//!
//! It is read out of the manual, not out of the code that it judges: it knows tables, instructions and registers, and nothing of why anybody
//! uses them. [`tests`] show that it refuses the mistakes of the textbooks.
//!
//! A thread stands for a core ([`Worst::on`]); then [`isa`] is what that core does. What the guest does, tests say ([`Worst::load`], ...).

mod counts;
pub mod el2;
pub mod entry;
pub mod errors;
mod handle;
pub mod isa;
pub mod luck;
pub mod memory;
pub mod mutants;
pub mod power_on;
pub mod registers;
pub mod special;
pub mod tables;
#[cfg(test)]
mod tests;
pub mod tlb;

pub use counts::Counts;
pub use entry::{Access, Fault};
pub use handle::{On, Worst, current};
pub use luck::{Luck, any_luck};

use crate::addr::{Ipa, Va};
use el2::El2;
use errors::Errors;
use luck::Chance;
use memory::Memory;
use registers::Registers;
use special::Special;
use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::vec::Vec;
use tlb::{Regime, Tlbs};

/// Whom an instruction is for, or complete for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Domain {
    /// This core (NSH, or no `IS`).
    Core,
    /// All cores (ISH).
    Inner,
    /// All cores, and whoever goes around the caches (SY).
    System,
}

/// What a barrier is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Barrier {
    /// Loads (LD).
    Loads,
    /// Stores (ST).
    Stores,
    /// Both, and maintenance.
    All,
}

/// What a TLBI invalidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tlbi {
    /// IPAS2E1.
    Stage2(Ipa),
    /// VMALLE1.
    Stage1,
    /// VAAE1.
    Address(Va),
    /// VMALLS12E1.
    Vm,
    /// ALLE1.
    AllVms,
    /// VAE2.
    El2(u64),
    /// ALLE2.
    AllEl2,
}

/// What a DC does to a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// CVAU. Memory is the point of unification, too.
    Clean,
    /// CIVAC.
    CleanAndInvalidate,
    /// IVAC.
    Invalidate,
    /// ZVA.
    Zero,
}

/// An instruction that Rust has no word for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// DSB.
    Dsb(Domain, Barrier),
    /// DMB ISH.
    Dmb(Barrier),
    /// ISB.
    Isb,
    /// TLBI.
    Tlbi(Domain, Tlbi),
    /// DC by address.
    Dc(Cache, u64),
    /// IC, by address or for all.
    Ic(Domain, Option<u64>),
    /// ESB.
    Esb,
}

/// How the guest reaches memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Through the caches.
    Cache,
    /// Around them: its caches are off, or the memory is mapped Non-cacheable.
    Around,
}

/// The board.
pub struct Board {
    chance: Chance,
    tlbs: Tlbs,
    memory: Memory,
    registers: Vec<Registers>,
    special: Special,
    errors: Errors,
    counts: Counts,
    /// EL2's own translation, once the board was switched on.
    el2: Option<El2>,
}

impl Board {
    fn new(cores: usize, luck: Luck) -> Self {
        Self {
            chance: Chance::new(luck),
            tlbs: Tlbs::new(cores),
            memory: Memory::new(cores),
            registers: (0..cores).map(|_| Registers::default()).collect(),
            special: Special::new(cores),
            errors: Errors::new(cores),
            counts: Counts::default(),
            el2: None,
        }
    }

    /// From one instruction to the next it may take long.
    fn take_time(&mut self) {
        for _ in 0..=self.chance.pick(8) {
            self.disturb();
        }
    }

    /// Whatever may happen at any time.
    fn disturb(&mut self) {
        for core in 0..self.registers.len() {
            if self.chance.strikes(self.chance.luck.walk) {
                self.speculate(core);
                self.speculate_at_el2(core);
            }
        }
        self.tlbs.disturb(&mut self.chance);
        self.memory.disturb(&mut self.chance);
        self.errors.disturb(&mut self.chance);
    }

    fn speculate(&mut self, core: usize) {
        let chance = &mut self.chance;
        let regime = Regime::new(self.registers[core].of_speculative_walks(chance));
        let Some(hot) = self.tlbs.any_hot(chance) else {
            return;
        };
        let va = match regime.sctlr & 1 {
            0 => hot,
            // Most of them are among the first.
            _ => {
                let pages = [8, STAGE1_PAGES][chance.pick(4) / 3];
                (chance.pick(pages) * 4096) as u64
            }
        };
        let memory = &mut self.memory;
        let mut stage1 = |table, va| stage1(memory, core, regime, table, va);
        self.tlbs.speculate(core, regime, va, &mut stage1, chance);
        if self.chance.strikes(self.chance.luck.prefetch) {
            self.prefetch(core, regime, va);
        }
    }

    /// What may be executed may be fetched before anybody executes it (B2.4.4).
    fn prefetch(&mut self, core: usize, regime: Regime, va: u64) {
        let (memory, chance) = (&mut self.memory, &mut self.chance);
        if let Some(at) = self.tlbs.executable(core, regime, va, chance) {
            let now = self.tlbs.now();
            let around = regime.sctlr & 1 == 0 && chance.pick(2) == 0;
            let line = chance.pick(2) as u64 * 64;
            memory.fetch(core, at + line, around, now, chance);
        }
    }

    fn regime(&self, core: usize) -> Regime {
        Regime::new(self.registers[core].of_walks())
    }

    /// A core does an instruction.
    pub fn perform(&mut self, core: usize, instruction: Instruction) {
        self.counts.add(instruction);
        match instruction {
            // Those of a page in a row: it is enough if now and then something happens between.
            Instruction::Dc(_, at) if at % 512 != 0 => {}
            Instruction::Dc(..) => self.disturb(),
            _ => self.take_time(),
        }
        let chance = &mut self.chance;
        match instruction {
            Instruction::Dsb(domain, barrier) => {
                if barrier != Barrier::Loads && domain != Domain::Core {
                    self.tlbs.stores.complete(core);
                    self.memory.unseen.complete(core);
                }
                if barrier == Barrier::All {
                    self.tlbs.complete(core, domain);
                    self.memory.dsb(core, domain, chance);
                    self.complete_special(core, domain);
                }
            }
            Instruction::Dmb(Barrier::Loads) => {}
            Instruction::Dmb(_) => {
                self.tlbs.stores.order(core);
                self.memory.unseen.order(core);
            }
            Instruction::Isb => self.synchronize(core),
            Instruction::Esb => self.errors.esb(core),
            Instruction::Tlbi(domain, what) => {
                let [.., vttbr] = self.registers[core].of_speculative_walks(chance);
                let vmid = (vttbr >> 48) as u32;
                self.tlbs.invalidate(core, domain, what, vmid, chance);
                self.invalidate_special(core, domain, what);
            }
            Instruction::Dc(what, at) => self.memory.dc(core, what, at, chance),
            Instruction::Ic(domain, at) => {
                let now = self.tlbs.now();
                self.memory
                    .ic(core, domain, at.map(|at| at / memory::LINE), now);
            }
        }
    }

    /// A store to an entry of a translation table.
    pub fn table_store(&mut self, core: usize, entry: &AtomicU64, descriptor: u64) {
        let before = entry.swap(descriptor, Ordering::AcqRel);
        let at = core::ptr::from_ref(entry).addr() as u64;
        self.tlbs.stores.add(core, at, before, &mut self.chance);
        self.disturb();
        if let Some(el2) = &mut self.el2 {
            el2.store(core, at, before);
        }
    }

    /// Where the guest's access goes: with the ERET to it all registers are in effect.
    fn translate(&mut self, core: usize, va: u64, access: Access) -> Result<u64, Fault> {
        self.disturb();
        self.synchronize(core);
        self.special.check_stage2(core);
        let regime = self.regime(core);
        let memory = &mut self.memory;
        let mut stage1 = |table, va| stage1(memory, core, regime, table, va);
        let chance = &mut self.chance;
        self.tlbs
            .access(core, regime, va, access, &mut stage1, chance)
    }
}

/// Pages that a guest's table of stage 1 maps.
pub const STAGE1_PAGES: usize = 512;

/// Stage 1 of these guests is one page: a doubleword for each page of addresses from 0 on, the IPA's page and bit 0, valid. Walks read it through
/// the caches or around them, as SCTLR_EL1.C and TCR_EL1 say.
fn stage1(memory: &mut Memory, core: usize, regime: Regime, table: u64, va: u64) -> Option<u64> {
    let at = table + va / 4096 % STAGE1_PAGES as u64 * 8;
    let by = match regime.walks_through_caches() {
        true => By::Cache,
        false => By::Around,
    };
    let entry = memory.walk(core, at, by);
    let ipa = entry & 0x7f_ffff_f000 | (va % 4096);
    (entry & 1 != 0).then_some(ipa)
}
