//! Registers that are more than what was written to them, and address translation.
//!
//! - The counter may be read at any time between the last context synchronization event and the MRS (D12, "The physical counter": reads
//!   can occur speculatively and out of order).
//! - PAR_EL1 has the result of an AT behind a context synchronization event (D8.15, "Address translation instructions"), and may have it before.
//! - Cortex-A72's erratum 1319367 (A57: 1319537), on cores that have it: an AT by speculation uses registers of EL1 that are half of one state
//!   and half of another. "All intermediate states during the context switch" must report a translation fault (Software Developers Errata
//!   Notice, "Workaround"): while a table is replaced stage 1 is on and its walks are off, for sure.
//! - TLBs may keep HCR_EL2.VM (its description), so that what was cached without stage 2 serves until it is invalidated, "after any required
//!   System register synchronization" (D8, "TLB maintenance").
//! - An AT may meet a TLB conflict that the guest made with its own tables. It stays until a TLBI for the VMID is done.

use super::errors::Exception;
use super::tlb::Regime;
use super::{Board, Domain, Tlbi, stage1};
use std::vec::Vec;

/// DISR_EL1.
const DISR: &str = "S3_0_C12_C1_1";

/// Whether a TLB holds something: a conflict of the guest's making, or what it cached without stage 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    None,
    /// A lookup meets it.
    There,
    /// A TLBI was issued: it is there or not.
    Leaving,
}

struct Core {
    /// When it last synchronized its context.
    synchronized: u64,
    /// What an AT found.
    translated: Option<u64>,
    conflict: Held,
    flat: Held,
}

/// Those of all cores.
pub struct Special {
    cores: Vec<Core>,
    /// They have erratum 1319367.
    pub erratum: bool,
}

impl Special {
    /// Nothing happened yet.
    pub fn new(cores: usize) -> Self {
        let core = |_| Core {
            synchronized: 0,
            translated: None,
            conflict: Held::None,
            flat: Held::None,
        };
        Self {
            cores: (0..cores).map(core).collect(),
            erratum: false,
        }
    }

    /// The guest replaced an entry of its own without break-before-make.
    pub fn conflict(&mut self, core: usize) {
        self.cores[core].conflict = Held::There;
    }

    /// TLBI: not by IPA.
    pub fn invalidate(&mut self, core: usize, what: Tlbi) {
        let core = &mut self.cores[core];
        if matches!(what, Tlbi::Stage1 | Tlbi::Vm | Tlbi::AllVms) {
            core.conflict.leave();
        }
        if what == Tlbi::AllVms {
            core.flat.leave();
        }
    }

    /// DSB for all kinds of accesses.
    pub fn complete(&mut self, core: usize) {
        let core = &mut self.cores[core];
        core.conflict.go();
        core.flat.go();
    }

    /// Whether a lookup may meet a conflict.
    pub fn conflicts(&self, core: usize) -> bool {
        self.cores[core].conflict != Held::None
    }

    /// A guest's access is translated by stage 2.
    pub fn check_stage2(&self, core: usize) {
        let flat = self.cores[core].flat;
        assert!(flat == Held::None, "stage 2 is passed by: {flat:?}");
    }
}

impl Held {
    /// TLBI.
    fn leave(&mut self) {
        if *self == Self::There {
            *self = Self::Leaving;
        }
    }

    /// DSB.
    fn go(&mut self) {
        if *self == Self::Leaving {
            *self = Self::None;
        }
    }
}

impl Board {
    /// Speculation caches an address for EL1, without stage 2 if that may be off.
    pub(super) fn speculate_without_stage2(&mut self, core: usize) {
        let hcr = self.registers[core].speculative("hcr_el2", &mut self.chance);
        if hcr & 1 == 0 {
            self.special.cores[core].flat = Held::There;
        }
    }

    /// A context synchronization event.
    pub(super) fn synchronize(&mut self, core: usize) {
        self.registers[core].synchronize();
        self.errors.synchronize(core);
        if let Some(el2) = &mut self.el2 {
            el2.synchronize(core);
        }
        let special = &mut self.special.cores[core];
        special.synchronized = self.tlbs.now();
        if let Some(par) = special.translated.take() {
            self.registers[core].become_now("par_el1", par);
        }
    }

    /// DSB for all kinds of accesses, as far as it is about what is in these files.
    pub(super) fn complete_special(&mut self, core: usize, domain: Domain) {
        self.special.complete(core);
        self.errors.complete(core, domain);
        if let Some(el2) = &mut self.el2 {
            el2.complete(core, domain);
        }
    }

    /// TLBI, as far as it is about what is in these files.
    pub(super) fn invalidate_special(&mut self, core: usize, domain: Domain, what: Tlbi) {
        self.special.invalidate(core, what);
        let page = match what {
            Tlbi::El2(address) => Some(address & !0xfff),
            Tlbi::AllEl2 => None,
            _ => return,
        };
        if let Some(el2) = &mut self.el2 {
            let now = self.tlbs.now();
            el2.invalidate(core, domain, page, now, &mut self.chance);
        }
    }

    /// The exception that EL2 took, if it took one.
    pub fn exception(&mut self, core: usize) -> Option<Exception> {
        self.errors.exception(core)
    }

    /// MRS.
    pub fn read_register(&mut self, core: usize, name: &'static str) -> u64 {
        let chance = &mut self.chance;
        match name {
            "cntpct_el0" => {
                let now = self.tlbs.now();
                match chance.strikes(chance.luck.half) {
                    true => self.special.cores[core].synchronized,
                    false => now,
                }
            }
            "isr_el1" => u64::from(self.errors.is_pending(core, chance)) << 8,
            DISR => *self.errors.deferred(core),
            "daif" => self.errors.daif(core),
            _ => self.registers[core].read(name),
        }
    }

    /// Where the erratum is, that is not the moment for this write.
    fn refuse_half_states(&self, core: usize, name: &'static str) {
        const TABLES: [&str; 3] = ["ttbr0_el1", "ttbr1_el1", "vttbr_el2"];
        let registers = &self.registers[core];
        if TABLES.contains(&name) {
            let stage1 = registers.has_surely("sctlr_el1", 1);
            let no_walks = registers.has_surely("tcr_el1", 1 << 7 | 1 << 23);
            assert!(
                stage1 && no_walks,
                "{name} is written while walks may start"
            );
        } else if matches!(name, "sctlr_el1" | "tcr_el1") {
            let half = registers.unsynchronized();
            let late = TABLES.iter().find(|table| half.contains(table));
            assert!(
                late.is_none(),
                "{name} is written before {late:?} is in effect"
            );
        }
    }

    /// MSR.
    pub fn write_register(&mut self, core: usize, name: &'static str, value: u64) {
        if self.special.erratum {
            self.refuse_half_states(core, name);
        }
        match name {
            DISR => *self.errors.deferred(core) = value,
            // PSTATE needs no synchronization.
            "daif" => self.errors.set_daif(core, value, &mut self.chance),
            _ => self.registers[core].write(name, value, &mut self.chance),
        }
        self.disturb();
    }

    /// AT of stage 1, for any access: the guests' tables know of no permissions.
    pub fn address_translation(&mut self, core: usize, va: u64) {
        self.disturb();
        if self.special.conflicts(core) {
            self.errors.raise(core, Exception::Synchronous);
            return;
        }
        let (registers, chance) = (&self.registers[core], &mut self.chance);
        let regime = Regime {
            sctlr: registers.speculative("sctlr_el1", chance),
            tcr: registers.speculative("tcr_el1", chance),
            ttbr: registers.speculative("ttbr0_el1", chance),
            vttbr: registers.speculative("vttbr_el2", chance),
        };
        let memory = &mut self.memory;
        let mut stage1 = |table, va| stage1(memory, core, regime, table, va);
        let ipa = self.tlbs.stage1(core, regime, va, &mut stage1, chance);
        // F alone, or the page and the attributes of Normal memory.
        let par = ipa.map_or(1, |ipa| ipa & !0xfff | 0xff << 56 | 0xb80);
        match chance.strikes(chance.luck.half) {
            true => self.special.cores[core].translated = Some(par),
            false => self.registers[core].become_now("par_el1", par),
        }
    }
}
