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
mod walks;

pub use regime::Regime;

use super::entry::{ADDRESS, Access, Entries, Entry, Fault, Key, Kind, Leaf, NO_ASID, PAGE};
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
