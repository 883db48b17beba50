//! Memory and the data caches between it and those who go through them; and the instruction caches.
//!
//! - The caches of the inner-shareable domain agree with each other, so that they are one here (B2.8, "Memory types and attributes").
//! - A line may be filled at any time from memory that is mapped cacheable anywhere, as all RAM is by EL2, and leave at any time (D7.5, "Cache
//!   support": "no guarantee when a line is allocated or evicted").
//! - Who goes around the caches reads and writes memory, whatever line is there (B2.11, "Mismatched memory attributes"). What it writes may
//!   arrive late, until a DSB of its own for the full system.
//! - Maintenance of a line is done at any time between the instruction and a DSB, in order with this core's accesses through the
//!   cache to the same line, in no order with those around it (D7.5.9, "Ordering of cache maintenance instructions"). For maintenance to the
//!   point of unification a DSB for the inner-shareable domain will do.
//! - A table walk is an observer of its own: what EL2 stored, it may see later, until a DSB (`tables.rs`). What a guest stores to its tables,
//!   the guest has to complete.
//! - An instruction cache takes any line that may be executed, at any time, and keeps it for as long as it likes, until an IC and its DSB at
//!   the most (B2.4.4, "Concurrent modification and execution of instructions"). An IC is done at any time until that DSB: what is fetched
//!   behind it may be old again, if what it was for had not reached the point of unification by then.

use super::luck::Chance;
use super::tables::Stores;
use super::{By, Cache, Domain};
use rustc_hash::FxHashMap;
use std::boxed::Box;
use std::vec::Vec;

/// Bytes of a line.
pub const LINE: u64 = 64;

type Line = [u64; 8];

struct Cached {
    data: Line,
    dirty: bool,
}

/// A DC of a line that may not be done yet.
#[derive(Clone, Copy)]
struct Pending {
    core: usize,
    what: Cache,
}

/// A line of an instruction cache.
struct Fetched {
    data: Line,
    at: u64,
}

/// An IC that may not be done yet.
#[derive(Clone, Copy)]
struct Forget {
    core: usize,
    domain: Domain,
    line: Option<u64>,
    at: u64,
}

/// All of it.
pub struct Memory {
    frames: FxHashMap<u64, Box<[Line; 64]>>,
    lines: FxHashMap<u64, Cached>,
    /// Lines that were used lately.
    hot: Vec<u64>,
    next_hot: usize,
    pending: FxHashMap<u64, Pending>,
    /// Of each core, what it stored around the caches and is not in memory yet.
    around: Vec<Vec<(u64, u64)>>,
    /// What EL2 stored through the caches, and walks may not see yet.
    pub unseen: Stores,
    instructions: Vec<FxHashMap<u64, Fetched>>,
    forgets: Vec<Forget>,
}

/// What was in memory before anybody wrote there.
const LEFT_OVER: u64 = 0xdead_0000_0000_0000;

impl Memory {
    /// Memory that nobody has written to.
    pub fn new(cores: usize) -> Self {
        Self {
            frames: FxHashMap::default(),
            lines: FxHashMap::default(),
            hot: Vec::new(),
            next_hot: 0,
            pending: FxHashMap::default(),
            around: (0..cores).map(|_| Vec::new()).collect(),
            unseen: Stores::new(cores),
            instructions: (0..cores).map(|_| FxHashMap::default()).collect(),
            forgets: Vec::new(),
        }
    }

    fn frame(&mut self, line: u64) -> &mut Line {
        let left_over = || {
            let line_of = |i| [LEFT_OVER | (line / 64 * 64 + i as u64); 8];
            Box::new(core::array::from_fn(line_of))
        };
        &mut self.frames.entry(line / 64).or_insert_with(left_over)[line as usize % 64]
    }

    /// The memory of `line` holds that.
    fn write_back(&mut self, line: u64, data: Line) {
        *self.frame(line) = data;
    }

    fn note(&mut self, line: u64) {
        const HOT: usize = 24;
        if self.hot.len() < HOT {
            self.hot.push(line);
        } else {
            self.hot[self.next_hot] = line;
            self.next_hot = (self.next_hot + 1) % HOT;
        }
    }

    fn cached(&mut self, line: u64) -> &mut Cached {
        if !self.lines.contains_key(&line) {
            let data = *self.frame(line);
            self.lines.insert(line, Cached { data, dirty: false });
        }
        self.lines.get_mut(&line).unwrap()
    }

    /// This core's maintenance of the line, before it uses it again.
    fn in_order(&mut self, core: usize, line: u64) {
        if !self.pending.is_empty()
            && self
                .pending
                .get(&line)
                .is_some_and(|pending| pending.core == core)
        {
            self.complete(line);
        }
    }

    fn complete(&mut self, line: u64) {
        if let Some(Pending { what, .. }) = self.pending.remove(&line) {
            self.maintain(what, line);
        }
    }

    /// This core's maintenance is done, all of it or only what is `to_unification`.
    fn complete_all(&mut self, core: usize, to_unification: bool) {
        let of_core = |(line, pending): (&u64, &Pending)| {
            let wanted = !to_unification || pending.what == Cache::Clean;
            (pending.core == core && wanted).then_some(*line)
        };
        let lines: Vec<u64> = self.pending.iter().filter_map(of_core).collect();
        lines.into_iter().for_each(|line| self.complete(line));
    }

    fn maintain(&mut self, what: Cache, line: u64) {
        if what == Cache::Clean {
            if let Some(cached) = self.lines.get_mut(&line)
                && core::mem::take(&mut cached.dirty)
            {
                let data = cached.data;
                self.write_back(line, data);
            }
            return;
        }
        if let Some(Cached { data, dirty: true }) = self.lines.remove(&line)
            && what == Cache::CleanAndInvalidate
        {
            self.write_back(line, data);
        }
    }

    /// Loads the doubleword at `at` through the cache.
    pub fn load(&mut self, core: usize, at: u64) -> u64 {
        let line = at / LINE;
        self.in_order(core, line);
        self.cached(line).data[(at % LINE / 8) as usize]
    }

    /// Stores it.
    pub fn store(&mut self, core: usize, at: u64, value: u64) {
        let line = at / LINE;
        self.in_order(core, line);
        let cached = self.cached(line);
        cached.data[(at % LINE / 8) as usize] = value;
        cached.dirty = true;
        self.note(line);
    }

    /// Stores it, as EL2 does.
    pub fn store_for_walks(&mut self, core: usize, at: u64, value: u64, chance: &mut Chance) {
        let before = self.load(core, at);
        self.store(core, at, value);
        if self.unseen.are_many() {
            self.unseen.complete(core);
        }
        self.unseen.add(core, at, before, chance);
    }

    /// What a table walk of the guest's finds at `at`.
    pub fn walk(&mut self, core: usize, at: u64, by: By) -> u64 {
        match by {
            By::Cache => self
                .unseen
                .before(at)
                .unwrap_or_else(|| self.load(core, at)),
            // What the core itself has on its way there is not in memory.
            By::Around => self.frame(at / LINE)[(at % LINE / 8) as usize],
        }
    }

    /// Loads it around the caches.
    pub fn load_around(&mut self, core: usize, at: u64) -> u64 {
        let own = self.around[core].iter().rev().find(|(own, _)| *own == at);
        if let Some(&(_, value)) = own {
            return value;
        }
        let (line, word) = (at / LINE, (at % LINE / 8) as usize);
        self.note(line);
        self.frame(line)[word]
    }

    /// Stores it.
    pub fn store_around(&mut self, core: usize, at: u64, value: u64, chance: &mut Chance) {
        self.around[core].push((at, value));
        self.note(at / LINE);
        if !chance.strikes(chance.luck.drift) {
            self.arrive(core, usize::MAX);
        }
    }

    /// The first `count` of what a core stored around the caches arrives.
    fn arrive(&mut self, core: usize, count: usize) {
        let count = count.min(self.around[core].len());
        let arrived: Vec<_> = self.around[core].drain(..count).collect();
        for (at, value) in arrived {
            self.frame(at / LINE)[(at % LINE / 8) as usize] = value;
        }
    }

    /// DC.
    pub fn dc(&mut self, core: usize, what: Cache, at: u64, chance: &mut Chance) {
        let line = at / LINE;
        if what == Cache::Zero {
            self.in_order(core, line);
            let zeros = Cached {
                data: [0; 8],
                dirty: true,
            };
            self.lines.insert(line, zeros);
        } else if chance.strikes(chance.luck.drift) {
            // What another core asked for before comes before.
            self.complete(line);
            self.pending.insert(line, Pending { core, what });
        } else {
            self.in_order(core, line);
            self.maintain(what, line);
        }
        // One line in eight: those of a page would drive all others out.
        if line.is_multiple_of(8) || what != Cache::CleanAndInvalidate {
            self.note(line);
        }
    }

    /// IC.
    pub fn ic(&mut self, core: usize, domain: Domain, line: Option<u64>, now: u64) {
        self.forgets.push(Forget {
            core,
            domain,
            line,
            at: now,
        });
    }

    /// A DSB of `core` for loads, stores and maintenance.
    pub fn dsb(&mut self, core: usize, domain: Domain, chance: &mut Chance) {
        if domain == Domain::System {
            // In any order.
            if chance.pick(2) == 0 {
                self.arrive(core, usize::MAX);
            }
            self.complete_all(core, false);
            self.disturb(chance);
            self.arrive(core, usize::MAX);
        }
        // The point of unification is one of the inner-shareable domain (B2.4.4: DC CVAU, DSB ISH, IC IVAU, DSB ISH).
        if domain == Domain::Inner {
            self.complete_all(core, true);
        }
        let mut i = 0;
        while i < self.forgets.len() {
            let forget = &self.forgets[i];
            if forget.core == core && forget.domain <= domain {
                let forget = self.forgets.swap_remove(i);
                self.forget(forget);
            } else {
                i += 1;
            }
        }
    }

    fn forget(&mut self, forget: Forget) {
        for (core, cache) in self.instructions.iter_mut().enumerate() {
            if core == forget.core || forget.domain != Domain::Core {
                cache.retain(|line, fetched| {
                    fetched.at >= forget.at || forget.line.is_some_and(|only| only != *line)
                });
            }
        }
    }

    /// Lines come and go, stores arrive.
    pub fn disturb(&mut self, chance: &mut Chance) {
        self.unseen.disturb(chance);
        if !self.forgets.is_empty() && chance.strikes(255 - chance.luck.keep) {
            self.forget(self.forgets[chance.pick(self.forgets.len())]);
        }
        if self.hot.is_empty() {
            return;
        }
        if chance.strikes(chance.luck.evict) {
            let line = self.hot[chance.pick(self.hot.len())];
            self.maintain(Cache::CleanAndInvalidate, line);
        }
        if chance.strikes(chance.luck.evict) {
            let line = self.hot[chance.pick(self.hot.len())];
            let core = chance.pick(self.instructions.len());
            self.instructions[core].remove(&line);
        }
        if chance.strikes(chance.luck.fill) {
            let line = self.hot[chance.pick(self.hot.len())];
            self.cached(line);
        }
        if chance.strikes(chance.luck.drift) {
            let core = chance.pick(self.around.len());
            let some = chance.pick(4);
            self.arrive(core, some);
        }
        if !self.pending.is_empty() && chance.strikes(chance.luck.drift) {
            let line = self.hot[chance.pick(self.hot.len())];
            self.complete(line);
        }
    }

    /// Fetches the doubleword at `at`, past the data cache if `around`.
    ///
    /// An instruction cache is filled from the point of unification: what is dirty in the data cache may not be there yet (D7.5, "Cache
    /// identification": CTR_EL0.IDC and DIC are 0 here).
    pub fn fetch(
        &mut self,
        core: usize,
        at: u64,
        around: bool,
        now: u64,
        chance: &mut Chance,
    ) -> u64 {
        let line = at / LINE;
        if !self.instructions[core].contains_key(&line) {
            let data = match self.lines.get(&line) {
                Some(cached) if !around && !chance.strikes(chance.luck.drift) => cached.data,
                _ => *self.frame(line),
            };
            self.instructions[core].insert(line, Fetched { data, at: now });
        }
        self.note(line);
        self.instructions[core][&line].data[(at % LINE / 8) as usize]
    }

    /// One of the lines that were used lately.
    pub fn any_hot(&self, chance: &mut Chance) -> Option<u64> {
        let line = self.hot.get(chance.pick(self.hot.len()))?;
        Some(line * LINE)
    }

    /// Memory that EL2 used for itself: its caches hold any of it, changed.
    pub fn scribble(&mut self, frame: u64) {
        for line in frame * 64..frame * 64 + 64 {
            self.lines.insert(
                line,
                Cached {
                    data: [LEFT_OVER; 8],
                    dirty: true,
                },
            );
        }
        self.note(frame * 64);
        self.note(frame * 64 + 1);
    }

    /// A core's instruction cache holds what was at `at` long ago.
    pub fn plant_instructions(&mut self, core: usize, at: u64) {
        let data = [LEFT_OVER; 8];
        self.instructions[core].insert(at / LINE, Fetched { data, at: 0 });
    }
}
