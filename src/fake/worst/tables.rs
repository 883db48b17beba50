//! What walks see of tables, those of stage 2 and those of the guests: a store is seen by walks, of its own core too, after a DSB, at any time
//! before it, and in any order that no DMB forbids (D8.2.6, "Ordering of memory accesses from translation table walks").

use super::entry::{ADDRESS, PAGE, size_of_level};
use super::luck::Chance;
use crate::addr::Ipa;
use rustc_hash::FxHashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::vec::Vec;

/// A table that nobody made: what VTTBR_EL2 may name when a board is switched on.
pub const GARBAGE: u64 = 0xdead_d000;

/// A store that walks may not see yet.
struct Store {
    core: usize,
    at: u64,
    before: u64,
    /// How many DMBs of the core came before it.
    order: u64,
}

/// All of them, in the order in which they were made.
pub struct Stores {
    stores: Vec<Store>,
    /// Of each entry that has any: what walks see, which is what it held before the first of them, and how many there are.
    entries: FxHashMap<u64, (u64, u32)>,
    orders: Vec<u64>,
}

impl Stores {
    /// None yet.
    pub fn new(cores: usize) -> Self {
        Self {
            stores: Vec::new(),
            entries: FxHashMap::default(),
            orders: std::vec![0; cores],
        }
    }

    /// One of them is seen, perhaps.
    pub fn disturb(&mut self, chance: &mut Chance) {
        if !self.stores.is_empty() && chance.strikes(255 - chance.luck.late) {
            let i = chance.pick(self.stores.len());
            self.show(i);
        }
    }

    /// A core stored to the entry at `at` of a table, which held `before`.
    pub fn add(&mut self, core: usize, at: u64, before: u64, chance: &mut Chance) {
        let order = self.orders[core];
        self.entries.entry(at).or_insert((before, 0)).1 += 1;
        self.stores.push(Store {
            core,
            at,
            before,
            order,
        });
        if !chance.strikes(chance.luck.late) {
            self.show(self.stores.len() - 1);
        }
    }

    /// The store is seen, if it may be by now.
    fn show(&mut self, i: usize) {
        let Store {
            core, at, order, ..
        } = self.stores[i];
        let entry = self.entries.get_mut(&at).expect("it has this one");
        let is_alone = entry.1 == 1;
        let is_first = is_alone || !self.stores[..i].iter().any(|other| other.at == at);
        // A core's orders only grow: its first one is the least.
        let oldest = self.stores.iter().find(|other| other.core == core);
        if !is_first || oldest.is_some_and(|oldest| oldest.order < order) {
            return;
        }
        self.stores.remove(i);
        if is_alone {
            self.entries.remove(&at);
            return;
        }
        let next = self.stores[i..].iter().find(|other| other.at == at);
        *entry = (next.expect("there are more").before, entry.1 - 1);
    }

    /// DMB for stores.
    pub fn order(&mut self, core: usize) {
        self.orders[core] += 1;
    }

    /// DSB: what the core stored is seen, and with it what anybody stored to the same entries before.
    pub fn complete(&mut self, core: usize) {
        if self.stores.is_empty() {
            return;
        }
        let mut last: FxHashMap<u64, usize> = FxHashMap::default();
        for (i, store) in self.stores.iter().enumerate() {
            if store.core == core {
                last.insert(store.at, i);
            }
        }
        let mut i = 0;
        self.stores.retain(|store| {
            let seen = last.get(&store.at).is_some_and(|&last| i <= last);
            i += 1;
            !seen
        });
        self.entries.clear();
        for store in &self.stores {
            self.entries.entry(store.at).or_insert((store.before, 0)).1 += 1;
        }
    }

    /// What walks still see at `at`, if it is not what was stored last.
    #[inline]
    pub fn before(&self, at: u64) -> Option<u64> {
        self.entries.get(&at).map(|&(before, _)| before)
    }

    /// Whether there are so many of them that walks may as well see more at once.
    pub fn are_many(&self) -> bool {
        self.stores.len() >= 512
    }

    /// What a walk reads in a table of stage 2.
    pub fn descriptor(&self, at: u64) -> u64 {
        if at / PAGE == 0 {
            return 0;
        }
        if at / PAGE == GARBAGE / PAGE {
            // Anything: the way to more of it, and pages that are nobody's.
            return GARBAGE | 1 << 10 | 3 << 8 | 3 << 6 | 0xf << 2 | 3;
        }
        if let Some(before) = self.before(at) {
            return before;
        }
        // SAFETY: the page is the one that VTTBR_EL2 names, or came out of a valid entry below it, and so it is a table of stage 2, whose entries
        // are atomics, in memory that lives as long as the board is used.
        unsafe { &*(at as *const AtomicU64) }.load(Ordering::Acquire)
    }
}

/// The entry that translates `ipa` below the level 1 table at `root`, as it was written last.
pub fn leaf_entry(root: u64, ipa: Ipa) -> u64 {
    let mut table = root;
    for level in 1..=3 {
        let at = table + ipa.0 / size_of_level(level) % 512 * 8;
        // SAFETY: `root` is the table of a VM that a core has loaded, or came out of a valid entry below it.
        let descriptor = unsafe { &*(at as *const AtomicU64) }.load(Ordering::Acquire);
        if level == 3 || descriptor & 3 != 3 {
            return descriptor;
        }
        table = descriptor & ADDRESS;
    }
    unreachable!()
}
