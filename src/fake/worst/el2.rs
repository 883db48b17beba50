//! EL2's own translation, and its accesses: around the caches with its MMU off, by its tables with it on.
//!
//! - With SCTLR_EL2.M = 0 data accesses are to Device memory (D8, "The effects of disabling an address translation stage"). From the
//!   write to it on until it is synchronized, an access may be of either kind.
//! - A core may walk for any address, with the registers that are in effect or about to be, and keep what is valid (D8.13, "Translation table
//!   walks and speculation"; D8.16, "Translation lookaside buffers"): here in pieces of a page.
//! - What TTBR0_EL2, TCR_EL2 and MAIR_EL2 said then is kept with it.
//! - Behind a DSB an access is executed, but without FEAT_ETS2 its address may have been translated before (B2, "Data Synchronization
//!   Barrier"): a store to a table is sure to be seen by this core's own accesses behind an ISB as well.
//! - A TLBI is done at any time until a DSB of the core that issued it (D8.16.5, "Ordering and completion of TLB maintenance instructions").
//! - Another output address or memory type for an address that is in a TLB is a conflict (D8.16.1, "Using break-before-make when updating
//!   translation table entries").

use super::luck::Chance;
use super::registers::Registers;
use super::tables::GARBAGE;
use super::tlb::Tlbs;
use super::{Board, By, Domain};
use std::collections::HashMap;
use std::vec::Vec;

const PAGE: u64 = 4096;
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;
/// AP[2:1] and XN: two entries may differ in them.
const PERMISSIONS: u64 = 3 << 6 | 1 << 54;
/// TCR_EL2.T0SZ of the tables that walks know here.
const T0SZ: u64 = 25;

/// A page, or a block's piece of that size.
#[derive(Clone, Copy)]
struct Entry {
    descriptor: u64,
    /// The byte of MAIR_EL2.
    memory: u8,
    born: u64,
}

/// A TLBI that may not be done yet: for a page, or for all.
#[derive(Clone, Copy)]
struct Pending {
    core: usize,
    domain: Domain,
    page: Option<u64>,
    at: u64,
}

#[derive(Default)]
struct Core {
    /// By the page's address.
    entries: HashMap<u64, Vec<Entry>>,
    /// Stores to tables since the last context synchronization event, and what was there before.
    stored: Vec<(u64, u64)>,
}

/// What the cores know of EL2's tables.
pub struct El2 {
    cores: Vec<Core>,
    pending: Vec<Pending>,
    /// Pages that were used.
    hot: Vec<u64>,
}

impl Entry {
    /// Two entries for one address that must not be there together.
    fn contradicts(self, other: Self) -> bool {
        (self.descriptor ^ other.descriptor) & !PERMISSIONS != 0
    }

    fn way(self, va: u64) -> (u64, By) {
        let by = match self.memory {
            0xff => By::Cache,
            _ => By::Around,
        };
        ((self.descriptor & ADDRESS) + va % PAGE, by)
    }
}

impl El2 {
    /// TLBs that hold nothing.
    pub fn new(cores: usize) -> Self {
        Self {
            cores: (0..cores).map(|_| Core::default()).collect(),
            pending: Vec::new(),
            hot: Vec::new(),
        }
    }

    fn note(&mut self, page: u64) {
        const HOT: usize = 8;
        if self.hot.len() < HOT && !self.hot.contains(&page) {
            self.hot.push(page);
        }
    }

    /// Where an access goes; `None`: a translation fault.
    fn access(
        &mut self,
        core: usize,
        registers: &Registers,
        tlbs: &mut Tlbs,
        va: u64,
        chance: &mut Chance,
    ) -> Option<(u64, By)> {
        if registers.speculative("sctlr_el2", chance) & 1 == 0 {
            return Some((va, By::Around));
        }
        let page = va & !(PAGE - 1);
        self.note(page);
        if !chance.strikes(chance.luck.again)
            && let Some(entries) = self.cores[core].entries.get(&page)
        {
            return Some(entries[chance.pick(entries.len())].way(va));
        }
        if chance.strikes(chance.luck.late) {
            return Some(
                self.walk(core, registers, tlbs, page, true, chance)?
                    .way(va),
            );
        }
        let entry = self.walk(core, registers, tlbs, page, false, chance)?;
        self.keep(core, page, entry);
        Some(entry.way(va))
    }

    /// What the tables say; with `early`, as they were before the last context synchronization event.
    fn walk(
        &self,
        core: usize,
        registers: &Registers,
        tlbs: &mut Tlbs,
        page: u64,
        early: bool,
        chance: &mut Chance,
    ) -> Option<Entry> {
        let born = tlbs.now();
        let memory = registers.speculative("mair_el2", chance);
        let entry = |descriptor: u64| Entry {
            descriptor,
            memory: (memory >> ((descriptor >> 2 & 7) * 8)) as u8,
            born,
        };
        if registers.speculative("tcr_el2", chance) & 0x3f != T0SZ {
            // It begins elsewhere in the table, and finds anything.
            return Some(entry(GARBAGE | 3));
        }
        let mut table = registers.speculative("ttbr0_el2", chance) & ADDRESS;
        let stored = &self.cores[core].stored;
        for level in 1..=3 {
            let size = PAGE << (9 * (3 - level));
            let at = table + page / size % 512 * 8;
            let before = stored.iter().find(|(stored, _)| early && *stored == at);
            let descriptor =
                before.map_or_else(|| tlbs.stores.descriptor(at), |(_, before)| *before);
            match (level, descriptor & 3) {
                (1 | 2, 3) => table = descriptor & ADDRESS,
                (1 | 2, 1) | (3, 3) => return Some(entry(descriptor + page % size)),
                _ => break,
            }
        }
        None
    }

    fn keep(&mut self, core: usize, page: u64, new: Entry) {
        let entries = self.cores[core].entries.entry(page).or_default();
        let contradicts = entries.iter().any(|old| old.contradicts(new));
        assert!(
            !contradicts,
            "TLB conflict of EL2 at {page:#x}: a TLBI was owed"
        );
        entries.push(new);
    }

    /// A core walks for an address that somebody used.
    pub fn speculate(
        &mut self,
        core: usize,
        registers: &Registers,
        tlbs: &mut Tlbs,
        chance: &mut Chance,
    ) {
        if self.hot.is_empty() || registers.speculative("sctlr_el2", chance) & 1 == 0 {
            return;
        }
        let page = self.hot[chance.pick(self.hot.len())];
        if let Some(entry) = self.walk(core, registers, tlbs, page, false, chance) {
            self.keep(core, page, entry);
        }
    }

    /// A core stored to a table.
    pub fn store(&mut self, core: usize, at: u64, before: u64) {
        self.cores[core].stored.push((at, before));
    }

    /// A context synchronization event.
    pub fn synchronize(&mut self, core: usize) {
        self.cores[core].stored.clear();
    }

    /// TLBI VAE2 of a page, or ALLE2.
    pub fn invalidate(
        &mut self,
        core: usize,
        domain: Domain,
        page: Option<u64>,
        at: u64,
        chance: &mut Chance,
    ) {
        let pending = Pending {
            core,
            domain,
            page,
            at,
        };
        if !chance.strikes(chance.luck.keep) {
            self.apply(pending);
        }
        self.pending.push(pending);
    }

    fn apply(&mut self, pending: Pending) {
        for (core, there) in self.cores.iter_mut().enumerate() {
            if core == pending.core || pending.domain != Domain::Core {
                there.entries.retain(|page, entries| {
                    if pending.page.is_none_or(|only| only == *page) {
                        entries.retain(|entry| entry.born >= pending.at);
                    }
                    !entries.is_empty()
                });
            }
        }
    }

    /// A DSB of `core` for all kinds of accesses.
    pub fn complete(&mut self, core: usize, domain: Domain) {
        let is_done = |pending: &Pending| pending.core == core && pending.domain <= domain;
        let done: Vec<_> = self
            .pending
            .extract_if(.., |pending| is_done(pending))
            .collect();
        done.into_iter().for_each(|pending| self.apply(pending));
    }

    /// Somebody's translation of a page that was never invalidated, as after power-on.
    pub fn plant(&mut self, core: usize, page: u64, descriptor: u64) {
        self.note(page);
        let entry = Entry {
            descriptor,
            memory: 0xff,
            born: 0,
        };
        self.cores[core].entries.insert(page, [entry].to_vec());
    }

    /// Whether the TLB of `core` holds anything for a page.
    pub fn holds(&self, core: usize, page: u64) -> bool {
        self.cores[core].entries.contains_key(&page)
    }
}

impl Board {
    /// A core walks for EL2.
    pub(super) fn speculate_at_el2(&mut self, core: usize) {
        if let Some(el2) = &mut self.el2 {
            let (registers, chance) = (&self.registers[core], &mut self.chance);
            el2.speculate(core, registers, &mut self.tlbs, chance);
            self.speculate_without_stage2(core);
        }
    }

    /// Where an access of EL2 goes. A board that was not switched on maps all, cacheable.
    #[inline]
    fn el2_way(&mut self, core: usize, at: u64) -> (u64, By) {
        let Some(el2) = &mut self.el2 else {
            return (at, By::Cache);
        };
        let (registers, chance) = (&self.registers[core], &mut self.chance);
        el2.access(core, registers, &mut self.tlbs, at, chance)
            .unwrap_or_else(|| panic!("EL2 faults at {at:#x}"))
    }

    /// EL2 loads a doubleword.
    #[inline]
    pub fn el2_load(&mut self, core: usize, at: u64) -> u64 {
        if self.errors.is_silent(at) {
            self.errors.answer_nothing(core, &mut self.chance);
            return 0;
        }
        match self.el2_way(core, at) {
            (at, By::Cache) => self.memory.load(core, at),
            (at, By::Around) => self.memory.load_around(core, at),
        }
    }

    /// EL2 stores a doubleword.
    #[inline]
    pub fn el2_store(&mut self, core: usize, at: u64, value: u64) {
        match self.el2_way(core, at) {
            (at, By::Cache) => self
                .memory
                .store_for_walks(core, at, value, &mut self.chance),
            (at, By::Around) => self.memory.store_around(core, at, value, &mut self.chance),
        }
    }

    /// EL2 stores bytes.
    pub fn el2_store_bytes(&mut self, core: usize, at: u64, bytes: &[u8]) {
        for (at, &byte) in (at..).zip(bytes) {
            let shift = at % 8 * 8;
            let before = self.el2_load(core, at & !7);
            let after = before & !(0xff << shift) | u64::from(byte) << shift;
            self.el2_store(core, at & !7, after);
        }
    }

    /// EL2 executes what is at an address.
    pub fn el2_fetch(&mut self, core: usize, at: u64) -> u64 {
        let (at, by) = self.el2_way(core, at);
        let now = self.tlbs.now();
        let around = by == By::Around;
        self.memory.fetch(core, at, around, now, &mut self.chance)
    }
}
