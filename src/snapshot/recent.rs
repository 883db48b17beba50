//! Which pages were dirtied in the rounds before: those that a restore is worth writing back in place.
//!
//! A round is what the guest does from one restore of a snapshot to the next restore of the same one. A page that is dirtied again in the round
//! behind one that took it back will be dirtied in the next round, too: the fuzzer's pattern. Such a page stays writable over the restore, and
//! has the base's contents copied into it: no trap, no TLB maintenance, one copy, where else it is two changes of stage 2, a trap and a copy.
//!
//! ```text
//! restore 1    the pages of the dirty list go, as ever
//! restore 2    they go, and are remembered           the same snapshot twice: there are rounds
//!   stores     a page that is remembered is a keeper
//! restore 3    keepers are written back in place, all others go and are remembered
//! ...
//! restore 67   all go, and only those of this round are remembered: who is not dirtied any more leaves
//! ```

use super::backend::Page;
use alloc::vec;
use alloc::vec::Vec;

/// The most pages that a restore keeps: what they cost while they do not change is bounded, in memory and in time.
pub(super) const KEEPERS_MAX: u32 = 1024;
/// Restores after which all pages go, so that those that are not dirtied any more leave.
pub(super) const ROUNDS_MAX: u32 = 64;

/// Pages of a group, which are forgotten together.
const GROUP: u32 = 64;

/// Pages that are remembered, as a bit each.
#[derive(Clone, Copy)]
struct Group {
    /// The epoch that `pages` is of. It has 64 bits, as none may come again.
    epoch: u64,
    pages: u64,
}

/// The pages that were dirtied in the rounds before.
pub struct Recent {
    groups: Vec<Group>,
    /// The number of times that all was forgotten. What is of another epoch means nothing.
    epoch: u64,
    /// Restores since then.
    rounds: u32,
}

impl Recent {
    /// None of `pages` pages.
    pub(super) fn new(pages: u32) -> Self {
        let none = Group { epoch: 0, pages: 0 };
        Self {
            groups: vec![none; pages.div_ceil(GROUP) as usize],
            epoch: 1,
            rounds: 0,
        }
    }

    /// Bytes of heap that this takes for `pages` pages.
    pub(super) fn bytes(pages: u64) -> u64 {
        pages.div_ceil(GROUP.into()) * size_of::<Group>() as u64
    }

    /// Whether `page` is remembered.
    #[inline]
    pub(super) fn has(&self, page: Page) -> bool {
        let group = &self.groups[(page / GROUP) as usize];
        group.epoch == self.epoch && group.pages >> (page % GROUP) & 1 != 0
    }

    /// Remembers `page`.
    #[inline]
    pub(super) fn remember(&mut self, page: Page) {
        let group = &mut self.groups[(page / GROUP) as usize];
        if group.epoch != self.epoch {
            *group = Group {
                epoch: self.epoch,
                pages: 0,
            };
        }
        group.pages |= 1 << (page % GROUP);
    }

    /// Forgets all: another snapshot is the one that rounds may begin with.
    #[inline]
    pub(super) fn forget(&mut self) {
        self.epoch += 1;
        self.rounds = 0;
    }

    /// A restore of the same snapshot as the last one, or of the one that was just taken. Returns what becomes of the pages.
    pub(super) fn next_round(&mut self) -> Round {
        self.rounds += 1;
        if self.rounds == 1 {
            return Round::First;
        }
        if self.rounds < ROUNDS_MAX + 3 {
            return Round::Keep;
        }
        self.forget();
        self.rounds = 1;
        Round::Drop
    }
}

/// What becomes of dirty pages at a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Round {
    /// All of them go, and are not remembered.
    First,
    /// All of them go, and are remembered.
    Drop,
    /// Keepers are written back in place; the others go and are remembered.
    Keep,
}
