//! How much of a core each of its vCPUs has left, so that all that compute have the same.
//!
//! What a vCPU has of the core is taken off its budget: the guest's time, and EL2's for it, however long a trap takes. When no vCPU that could
//! run has any left, each is given a [`SLICE`]. One that took more than it had sits out until the others have had as much. What one does not
//! use it cannot save: nobody has more than a slice.

use alloc::vec;
use alloc::vec::Vec;

/// How much a vCPU has of the core if another wants it, each time that all are given some: counts of the physical counter, about 5 ms on both
/// boards.
pub(super) const SLICE: u64 = 1 << 18;

/// What the vCPUs of a core have left, by their places in its run queue: counts of the physical counter; what is owed is negative.
pub(super) struct Budgets(Vec<i64>);

impl Budgets {
    /// Of `count` vCPUs, which have nothing yet.
    pub fn new(count: usize) -> Self {
        Self(vec![0; count])
    }

    /// What `vcpu` has left; 0 if it has had all, or more.
    pub fn left(&self, vcpu: usize) -> u64 {
        self.0[vcpu].max(0) as u64
    }

    /// `vcpu` has had so much of the core.
    pub fn charge(&mut self, vcpu: usize, counts: u64) {
        self.0[vcpu] = self.0[vcpu].saturating_sub_unsigned(counts);
    }

    /// `vcpu` does not want what it has left.
    pub fn forfeit(&mut self, vcpu: usize) {
        self.0[vcpu] = self.0[vcpu].min(0);
    }

    /// Who has the core next: of those that are runnable, in turn from `first` on, the first that has something left. If none has, all are given
    /// slices until one has.
    pub fn next(&mut self, first: usize, runnable: impl Fn(usize) -> bool) -> Option<usize> {
        let count = self.0.len();
        let in_turn = || {
            (first..first + count)
                .map(|i| i % count)
                .filter(|&i| runnable(i))
        };
        let most = in_turn().map(|i| self.0[i]).max()?;
        if most <= 0 {
            let slices = most.unsigned_abs() / SLICE + 1;
            for left in &mut self.0 {
                *left = left
                    .saturating_add_unsigned(slices * SLICE)
                    .min(SLICE as i64);
            }
        }
        in_turn().find(|&i| self.0[i] > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: fn(usize) -> bool = |_| true;

    #[test]
    fn those_that_use_all_take_turns() {
        let mut budgets = Budgets::new(3);
        for i in 0..9 {
            assert_eq!(budgets.next(i % 3, ALL), Some(i % 3));
            assert_eq!(budgets.left(i % 3), SLICE);
            budgets.charge(i % 3, SLICE);
        }
    }

    #[test]
    fn one_that_took_more_sits_out_until_the_others_had_as_much() {
        let mut budgets = Budgets::new(2);
        let mut had = [0, 0];
        for round in 0..300 {
            let i = budgets.next(round % 2, ALL).unwrap();
            // A trap of the first one's takes ten slices.
            let counts = if i == 0 { 10 * SLICE } else { budgets.left(1) };
            budgets.charge(i, counts);
            had[i] += counts;
        }
        assert!(had[0].abs_diff(had[1]) <= 10 * SLICE, "{had:?}");
    }

    #[test]
    fn one_that_is_interrupted_goes_on_before_all_are_given_more() {
        let mut budgets = Budgets::new(2);
        assert_eq!(budgets.next(0, ALL), Some(0));
        budgets.charge(0, SLICE / 16);
        assert_eq!(budgets.next(1, ALL), Some(1));
        budgets.charge(1, SLICE);
        assert_eq!(budgets.next(0, ALL), Some(0));
        // The second one is called again, and has had what there was.
        budgets.charge(0, SLICE / 16);
        assert_eq!(budgets.next(1, ALL), Some(0));
        assert_eq!(budgets.left(0), SLICE - SLICE / 8);
    }

    #[test]
    fn nothing_is_saved_or_owed_where_nobody_else_wants_the_core() {
        let mut budgets = Budgets::new(2);
        budgets.charge(0, 1000 * SLICE);
        let only_first = |i| i == 0;
        assert_eq!(budgets.next(1, only_first), Some(0));
        assert_eq!((budgets.left(0), budgets.left(1)), (SLICE, SLICE));
        budgets.charge(0, u64::MAX);
        budgets.charge(0, u64::MAX);
        assert_eq!(budgets.next(0, only_first), Some(0));
        assert_eq!(budgets.next(0, |_| false), None);
    }

    #[test]
    fn one_that_yields_lets_the_others_have_theirs() {
        let mut budgets = Budgets::new(2);
        assert_eq!(budgets.next(0, ALL), Some(0));
        budgets.forfeit(0);
        assert_eq!(budgets.next(1, ALL), Some(1));
        budgets.charge(1, 2 * SLICE);
        // What it owes stays.
        budgets.forfeit(1);
        assert_eq!(budgets.next(1, ALL), Some(0));
        assert_eq!(budgets.left(1), 0);
    }
}
