//! Looking at memory, beside the naive copies of it: what is in a snapshot, and where two of them differ.

use super::histories::{any_plan, op, step};
use super::pair::{PAGES, Pair};
use crate::fake::{cases, performed};
use crate::snapshot::*;
use core::task::Poll;
use proptest::prelude::*;
use std::vec::Vec;

impl Pair {
    /// The frame of each page, in a snapshot or now.
    fn frames(&self, id: Option<u64>) -> Vec<Option<u32>> {
        let pages = 0..self.s.pages();
        match id {
            None => pages
                .map(|page| {
                    let deferred = || self.s.frame_in_base(&self.m, page).map(|frame| frame.0);
                    self.m.readable(page).or_else(deferred)
                })
                .collect(),
            Some(id) => {
                let map = self.s.map_of(&self.m, id).expect("it is there");
                let frame = |page| self.s.frame_in(&self.m, map, page).map(|frame| frame.0);
                pages.map(frame).collect()
            }
        }
    }

    /// Where two differ first, however many pieces that takes.
    fn first_difference(&self, ids: [Option<u64>; 2], from: u32) -> Result<Option<u32>, NotFound> {
        let mut count = Count::NOT_BEGUN;
        loop {
            let found = self.s.first_difference(&self.m, ids, from, &mut count);
            if let Poll::Ready(found) = found {
                return found;
            }
        }
    }

    /// The first page that was stored to, as stage 2 has it; and the pieces that it took to find it.
    fn first_writable(&self, from: u32) -> (Option<u32>, u32) {
        let (mut count, mut pieces) = (Count::NOT_BEGUN, 1);
        loop {
            let end = self.s.pages();
            match self.s.first_writable(&self.m, from, end, &mut count) {
                Poll::Ready(found) => return (found, pieces),
                Poll::Pending => pieces += 1,
            }
        }
    }

    /// All of this module's promises.
    fn look(&self, from: u32) {
        let stored = self.s.first_listed(from);
        assert_eq!(self.first_writable(from).0, stored, "from {from} on");
        let mut views: Vec<Option<u64>> = self.ids().into_iter().map(Some).collect();
        views.push(None);
        let frames: Vec<_> = views.iter().map(|&view| self.frames(view)).collect();
        for (&view, frames) in views.iter().zip(&frames) {
            let Some(id) = view else { continue };
            let (ram, _) = &self.kept[&id];
            for (page, frame) in (0..).zip(frames) {
                let there = frame.map_or(0, |frame| self.m.contents_of(frame));
                assert_eq!(there, ram.get(page), "page {page} of #{id}");
            }
        }
        for (one, ours) in views.iter().zip(&frames) {
            for (other, theirs) in views.iter().zip(&frames) {
                let differ = |page: &u32| ours[*page as usize] != theirs[*page as usize];
                let wanted = (from..self.s.pages()).find(differ);
                let found = self.first_difference([*one, *other], from);
                assert_eq!(found, Ok(wanted), "{one:?} and {other:?} from {from} on");
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn maps_say_what_the_copies_have(
        (plan, size) in any_plan(),
        extra in 0..2 * PAGES,
        ops in prop::collection::vec((op(), prop::option::weighted(0.2, 0..PAGES + 2)), 1..40),
    ) {
        let mut vm = Pair::with_state(PAGES, plan, size, extra);
        let mut next_id = 0;
        performed("snapshot::tests::look", ops.len());
        for (stamp, (op, from)) in ops.iter().enumerate() {
            step(&mut vm, op, &mut next_id, stamp as u64 + 1);
            if let Some(from) = from {
                vm.look(*from);
            }
        }
        vm.look(0);
    }
}

#[test]
fn who_is_not_there_is_not_found() {
    let mut vm = Pair::new(
        super::pair::plan(crate::config::Accounting::OnDemand, 3),
        PAGES,
    );
    vm.write(3, 1);
    vm.checkpoint(7).unwrap();
    assert!(vm.s.map_of(&vm.m, 6).is_err());
    for ids in [[Some(7), Some(8)], [Some(8), None], [Some(8), Some(8)]] {
        assert_eq!(vm.first_difference(ids, 0), Err(NotFound));
    }
    assert_eq!(vm.s.saved_part(&vm.m, 8, 0).err(), Some(NotFound));
    vm.write(5, 1);
    assert_eq!(vm.first_difference([Some(7), None], 0), Ok(Some(5)));
    assert_eq!(vm.first_difference([Some(7), None], 6), Ok(None));
}

/// Where many pages were stored to, and where a large VM's stage 2 has all of its pages one by one, it is looked for in pieces.
#[test]
fn a_long_list_is_not_walked() {
    let plan = super::pair::plan(crate::config::Accounting::OnDemand, 3);
    let mut vm = Pair::with_ram(4 * PAGES, plan, 12 * PAGES);
    for id in 0..2 {
        for page in 0..4 * PAGES {
            vm.write(page, id);
        }
        vm.checkpoint(id).unwrap();
    }
    for page in 2000..4 * PAGES {
        vm.write(page, 2);
    }
    for (from, wanted) in [(0, 2000), (2000, 2000), (2500, 2500)] {
        assert_eq!(vm.first_difference([Some(1), None], from), Ok(Some(wanted)));
    }
    assert_eq!(vm.first_difference([None, Some(1)], 4 * PAGES), Ok(None));
    assert_eq!(vm.first_difference([Some(0), None], 3), Ok(Some(3)));
    assert_eq!(vm.first_writable(0), (Some(2000), 2));
    vm.look(1);
}
