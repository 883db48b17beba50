//! The TLBs of the cores, and the table walks that fill them.
//!
//! - A core may walk for any address at any time, as far as the registers that are in effect, or about to be, let it (D8.2.7, "Out-of-context
//!   translation regimes"; D8.13, "Translation table walks and speculation"). Nothing that is invalid is ever kept (D8.16, "Translation
//!   lookaside buffers"), all else for as long as the core likes: entries of stage 2, entries that combine both stages, and the way to a table.
//! - A block may be kept whole or in pieces (D8.16).
//! - A TLBI takes effect at any time until a DSB of the core that issued it; then what was found before it is gone, and no walk that began before
//!   it will still leave something (D8.16.5, "Ordering and completion of TLB maintenance instructions"). What was
//!   found after it stays, whatever that walk read.
//! - TLBI by IPA knows stage 2 alone (D8.16, "TLB maintenance instructions that apply to stage 2 only").
//! - A TLBI is for the VMID in VTTBR_EL2, which must be in effect by then.
//! - Two entries for an address that differ in more than permissions are a TLB conflict, or worse: break-before-make was owed (D8.16.1,
//!   "Using break-before-make when updating translation table entries").

mod invalidation;
mod regime;

pub use regime::Regime;

use super::entry::{
    ADDRESS, Access, Entries, Entry, Fault, Key, Kind, Leaf, NO_ASID, PAGE, size_of_level,
};
use super::luck::Chance;
use super::tables::Stores;
use super::{Domain, Tlbi};
use invalidation::Pending;
use std::vec::Vec;

/// A walk of stage 2 on its way.
#[derive(Clone, Copy, Debug)]
struct Walk {
    vmid: u32,
    ipa: u64,
    table: u64,
    level: u8,
    /// When it began,
    began: u64,
    /// and how old what it found is.
    born: u64,
    /// What it is for: an entry for this address under this ASID.
    combined: Option<(u64, u32)>,
}

#[derive(Default)]
struct Core {
    entries: Entries,
    walks: Vec<Walk>,
}

/// TLBs, walks, and what walks see of the tables.
pub struct Tlbs {
    cores: Vec<Core>,
    pending: Vec<Pending>,
    /// What walks see of the tables.
    pub stores: Stores,
    /// IPAs that were used lately.
    hot: Vec<u64>,
    next_hot: usize,
    now: u64,
}

impl Tlbs {
    /// TLBs that hold nothing.
    pub fn new(cores: usize) -> Self {
        Self {
            cores: (0..cores).map(|_| Core::default()).collect(),
            pending: Vec::new(),
            stores: Stores::new(cores),
            hot: Vec::new(),
            next_hot: 0,
            now: 0,
        }
    }

    /// The time: it passes with each thing that happens.
    pub fn now(&mut self) -> u64 {
        self.now += 1;
        self.now
    }

    fn note(&mut self, ipa: u64) {
        const HOT: usize = 12;
        if self.hot.contains(&ipa) {
            return;
        }
        if self.hot.len() < HOT {
            self.hot.push(ipa);
        } else {
            self.hot[self.next_hot] = ipa;
            self.next_hot = (self.next_hot + 1) % HOT;
        }
    }

    /// An address that somebody used lately, or its neighbour's.
    pub fn any_hot(&self, chance: &mut Chance) -> Option<u64> {
        let hot = *self.hot.get(chance.pick(self.hot.len()))?;
        Some(match chance.pick(4) {
            0 => hot ^ PAGE << chance.pick(9),
            _ => hot,
        })
    }

    /// A core begins to walk for `va`, as its speculation likes.
    pub fn speculate(
        &mut self,
        core: usize,
        regime: Regime,
        va: u64,
        stage1: Stage1,
        chance: &mut Chance,
    ) {
        let combined = Some((va & !(PAGE - 1), regime.asid()));
        match (regime.translates(), regime.walks_are_off()) {
            (true, true) => {}
            (false, _) => self.begin(core, regime, va, combined),
            (true, false) => {
                // What stage 1 says is read at once, by what the TLB has or the tables say.
                let table = regime.ttbr & ADDRESS & !(PAGE - 1);
                let Ok(leaf) = self.stage2(core, regime, table, chance) else {
                    return;
                };
                if leaf.descriptor & 1 == 0 {
                    return;
                }
                if let Some(ipa) = stage1(leaf.translate(table), va) {
                    self.begin(core, regime, ipa, combined);
                }
            }
        }
    }

    fn begin(&mut self, core: usize, regime: Regime, ipa: u64, combined: Option<(u64, u32)>) {
        const IN_FLIGHT: usize = 4;
        let born = self.now();
        if self.cores[core].walks.len() < IN_FLIGHT && ipa >> 39 == 0 {
            self.cores[core].walks.push(Walk {
                vmid: regime.vmid(),
                ipa,
                table: regime.root(),
                level: 1,
                began: born,
                born,
                combined,
            });
        }
    }

    /// Walks in flight go on, stores are seen, invalidations take effect.
    pub fn disturb(&mut self, chance: &mut Chance) {
        self.stores.disturb(chance);
        if !self.pending.is_empty() && chance.strikes(255 - chance.luck.keep) {
            let pending = self.pending[chance.pick(self.pending.len())];
            self.apply(&pending);
        }
        for core in 0..self.cores.len() {
            if !self.cores[core].walks.is_empty() && !chance.strikes(chance.luck.linger) {
                let i = chance.pick(self.cores[core].walks.len());
                self.go_on(core, i, chance);
            }
        }
    }

    /// A walk in flight reads one more entry, or what the TLB has in its place.
    fn go_on(&mut self, core: usize, i: usize, chance: &mut Chance) {
        let walk = self.cores[core].walks[i];
        if !chance.strikes(chance.luck.again)
            && let Some(leaf) = self.known(core, walk.vmid, walk.ipa, chance)
        {
            self.cores[core].walks.swap_remove(i);
            return self.combine(core, walk, leaf);
        }
        match self.step(core, walk, chance) {
            Ok(next) => self.cores[core].walks[i] = next,
            Err(leaf) => {
                self.cores[core].walks.swap_remove(i);
                self.end(core, walk, leaf, chance);
                self.combine(core, walk, leaf);
            }
        }
    }

    /// Reads the entry at the walk's level: the walk goes on, or ends.
    fn step(&mut self, core: usize, walk: Walk, chance: &mut Chance) -> Result<Walk, Leaf> {
        let Walk { level, ipa, .. } = walk;
        let size = size_of_level(level);
        let way = Key {
            vmid: walk.vmid,
            kind: Kind::Table,
            size: 3 - level,
            number: ipa / size,
        };
        if level < 3
            && !chance.strikes(chance.luck.again)
            && let Some(known) = self.cores[core].entries.any(way, chance)
        {
            // What is found by it is as old as it.
            return Ok(Walk {
                table: known.descriptor & ADDRESS,
                level: level + 1,
                born: walk.born.min(known.born),
                ..walk
            });
        }
        let descriptor = self.stores.descriptor(walk.table + ipa / size % 512 * 8);
        // Bit 0: valid; bit 1: a table, but at level 3, where 0 is reserved.
        if level < 3 && descriptor & 3 == 3 {
            let entry = Entry {
                descriptor,
                began: walk.born,
                born: walk.born,
            };
            self.cores[core].entries.keep(way, entry);
            return Ok(Walk {
                table: descriptor & ADDRESS,
                level: level + 1,
                ..walk
            });
        }
        assert!(
            descriptor & 1 == 0 || (descriptor & 2 != 0) == (level == 3) && level > 1,
            "{descriptor:#x} at level {level}"
        );
        // RAM is Normal Write-Back memory, inner shareable, and never faults for its access flag (D8.5, "Memory region attributes").
        const RAM: u64 = 1 << 10 | 3 << 8 | 0xf << 2;
        assert!(
            descriptor & 1 == 0 || descriptor & RAM == RAM || ipa < 1 << 30,
            "{descriptor:#x}"
        );
        Err(Leaf {
            descriptor,
            level,
            born: walk.born,
        })
    }

    /// A walk of stage 2 has ended: what it found is kept.
    fn end(&mut self, core: usize, walk: Walk, leaf: Leaf, chance: &mut Chance) {
        if leaf.descriptor & 1 == 0 {
            return;
        }
        let piece = leaf.level < 3 && chance.strikes(chance.luck.piece);
        let level = if piece { 3 } else { leaf.level };
        let key = Key {
            vmid: walk.vmid,
            kind: Kind::Stage2,
            size: 3 - level,
            number: walk.ipa / size_of_level(level),
        };
        let entry = Entry {
            descriptor: leaf.piece(walk.ipa, level),
            began: walk.born,
            born: walk.born,
        };
        self.cores[core].entries.keep(key, entry);
    }

    /// What stage 2 says is kept together with stage 1, if the walk was for that: as young as the walk, however old what it used of stage 2.
    fn combine(&mut self, core: usize, walk: Walk, leaf: Leaf) {
        let Some((va, asid)) = walk.combined.filter(|_| leaf.descriptor & 1 != 0) else {
            return;
        };
        // A stage 1 of pages: a combined entry is never larger.
        let level = if asid == NO_ASID { leaf.level } else { 3 };
        let key = Key {
            vmid: walk.vmid,
            kind: Kind::Combined(asid),
            size: 3 - level,
            number: va / size_of_level(level),
        };
        let entry = Entry {
            descriptor: leaf.piece(walk.ipa, level),
            began: walk.began,
            born: leaf.born.min(walk.born),
        };
        self.cores[core].entries.keep(key, entry);
    }

    /// What the TLB has of stage 2 for `ipa`.
    fn known(&self, core: usize, vmid: u32, ipa: u64, chance: &mut Chance) -> Option<Leaf> {
        self.cores[core]
            .entries
            .find(vmid, Kind::Stage2, ipa, chance)
    }

    /// Stage 2 for an access of the program.
    fn stage2(
        &mut self,
        core: usize,
        regime: Regime,
        ipa: u64,
        chance: &mut Chance,
    ) -> Result<Leaf, Fault> {
        if ipa >> 39 != 0 {
            return Err(Fault {
                permission: false,
                level: 1,
                ipa,
                walk: false,
            });
        }
        self.note(ipa & !(PAGE - 1));
        if !chance.strikes(chance.luck.again)
            && let Some(leaf) = self.known(core, regime.vmid(), ipa, chance)
        {
            return Ok(leaf);
        }
        let mut walk = Walk {
            vmid: regime.vmid(),
            ipa,
            table: regime.root(),
            level: 1,
            began: 0,
            born: self.now(),
            combined: None,
        };
        loop {
            match self.step(core, walk, chance) {
                Ok(next) => walk = next,
                Err(leaf) => {
                    self.end(core, walk, leaf, chance);
                    return Ok(leaf);
                }
            }
        }
    }

    /// Where an access of the program goes.
    pub fn access(
        &mut self,
        core: usize,
        regime: Regime,
        va: u64,
        access: Access,
        stage1: Stage1,
        chance: &mut Chance,
    ) -> Result<u64, Fault> {
        let kind = Kind::Combined(regime.asid());
        if !chance.strikes(chance.luck.again)
            && let Some(leaf) = self.cores[core]
                .entries
                .find(regime.vmid(), kind, va, chance)
        {
            return leaf.check(access, va).map(|()| leaf.translate(va));
        }
        let born = self.now();
        let ipa = match regime.translates() {
            false => va,
            true => {
                let table = regime.ttbr & ADDRESS & !(PAGE - 1);
                let leaf = self.stage2(core, regime, table, chance)?;
                let walk = |fault| Fault {
                    walk: true,
                    ..fault
                };
                leaf.check(Access::Load, table).map_err(walk)?;
                stage1(leaf.translate(table), va).expect("the program uses what it mapped")
            }
        };
        let leaf = self.stage2(core, regime, ipa, chance)?;
        let walk = Walk {
            vmid: regime.vmid(),
            ipa,
            table: 0,
            level: leaf.level,
            began: born,
            born,
            combined: Some((va & !(PAGE - 1), regime.asid())),
        };
        leaf.check_valid(ipa)?;
        self.combine(core, walk, leaf);
        leaf.check(access, ipa)?;
        Ok(leaf.translate(ipa))
    }

    /// Where `va` lies, if it may be executed by what the TLB has.
    pub fn executable(
        &self,
        core: usize,
        regime: Regime,
        va: u64,
        chance: &mut Chance,
    ) -> Option<u64> {
        let kind = Kind::Combined(regime.asid());
        let leaf = self.cores[core]
            .entries
            .find(regime.vmid(), kind, va, chance)?;
        let permitted = leaf.check(Access::Fetch, va).is_ok();
        permitted.then(|| leaf.translate(va & !(PAGE - 1)))
    }

    /// Somebody's translations that were never invalidated, as after power-on: whatever `descriptor` says.
    pub fn plant(&mut self, core: usize, vmid: u32, ipa: u64, descriptor: u64) {
        for kind in [Kind::Stage2, Kind::Combined(NO_ASID)] {
            let key = Key {
                vmid,
                kind,
                size: 0,
                number: ipa / PAGE,
            };
            let entry = Entry {
                descriptor,
                began: 0,
                born: 0,
            };
            self.cores[core].entries.plant(key, entry);
        }
    }

    /// What a core has in its TLB and in flight.
    pub fn held(&self, core: usize) -> usize {
        let core = &self.cores[core];
        core.entries.count() + core.walks.len()
    }

    /// Stage 1 alone, as an address translation instruction has it: the IPA.
    pub fn stage1(
        &mut self,
        core: usize,
        regime: Regime,
        va: u64,
        stage1: Stage1,
        chance: &mut Chance,
    ) -> Option<u64> {
        if !regime.translates() {
            return Some(va);
        }
        if regime.walks_are_off() {
            return None;
        }
        let table = regime.ttbr & ADDRESS & !(PAGE - 1);
        let leaf = self.stage2(core, regime, table, chance).ok()?;
        leaf.check(Access::Load, table).ok()?;
        stage1(leaf.translate(table), va)
    }

    /// Speculation likes this address from here on.
    pub fn heat(&mut self, ipa: u64) {
        self.note(ipa);
    }
}

/// Stage 1 as the guest's table has it: where the table lies, and the address; the IPA.
pub type Stage1<'a> = &'a mut dyn FnMut(u64, u64) -> Option<u64>;
