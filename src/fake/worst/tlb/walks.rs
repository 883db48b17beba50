//! Table walks on their way: begun by speculation, and ended when the board likes.

use super::super::entry::{ADDRESS, Entry, Key, Kind, Leaf, NO_ASID, PAGE, size_of_level};
use super::super::luck::Chance;
use super::{Regime, Stage1, Tlbs, Walk};

impl Tlbs {
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

    pub(super) fn begin(
        &mut self,
        core: usize,
        regime: Regime,
        ipa: u64,
        combined: Option<(u64, u32)>,
    ) {
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
    pub(super) fn go_on(&mut self, core: usize, i: usize, chance: &mut Chance) {
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
    pub(super) fn step(
        &mut self,
        core: usize,
        walk: Walk,
        chance: &mut Chance,
    ) -> Result<Walk, Leaf> {
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
    pub(super) fn end(&mut self, core: usize, walk: Walk, leaf: Leaf, chance: &mut Chance) {
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
    pub(super) fn combine(&mut self, core: usize, walk: Walk, leaf: Leaf) {
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
    pub(super) fn known(
        &self,
        core: usize,
        vmid: u32,
        ipa: u64,
        chance: &mut Chance,
    ) -> Option<Leaf> {
        self.cores[core]
            .entries
            .find(vmid, Kind::Stage2, ipa, chance)
    }
}
