//! Pages that are dirtied round after round: a restore leaves them writable, with their old contents.

use super::model::ModelBackend;
use super::pair::{Guest, PAGES, Pair, faulted_in, plan};
use crate::config::Accounting;
use crate::snapshot::recent::{KEEPERS_MAX, ROUNDS_MAX};
use crate::snapshot::*;

/// A VM with a snapshot, whose pages are there and whose blocks are divided.
fn vm() -> Pair {
    vm_with(2 * PAGES)
}

fn vm_with(extra: u32) -> Pair {
    let mut vm = Pair::new(plan(Accounting::OnDemand, 3), extra);
    for page in (0..PAGES).step_by(8) {
        vm.write(page, 1);
    }
    vm.checkpoint(0).unwrap();
    for page in (0..PAGES).step_by(64) {
        vm.write(page, 2);
    }
    vm.checkpoint(1).unwrap();
    vm
}

/// A round: stores to pages, and back. Returns copies for stores, pages written back, and how often the tables were detached.
fn round(vm: &mut Pair, pages: impl Iterator<Item = u32>) -> [u32; 3] {
    let counts = |m: &ModelBackend| [m.copies, m.written_back, m.remaps];
    let before = counts(&vm.m);
    for page in pages {
        vm.write(page, 100 + u64::from(page));
    }
    vm.restore(Which::Latest);
    vm.load();
    let after = counts(&vm.m);
    core::array::from_fn(|i| after[i] - before[i])
}

#[test]
fn what_is_dirtied_again_and_again_is_written_back_from_the_third_restore_on() {
    let mut vm = vm();
    let pages = [0, 1, 100, 600];
    for expected in [[4, 0, 1], [4, 0, 1], [4, 4, 0], [0, 4, 0], [0, 4, 0]] {
        assert_eq!(round(&mut vm, pages.into_iter()), expected);
        vm.audit();
        pages.map(|page| vm.read(page)).into_iter().for_each(drop);
    }
    assert!(
        pages
            .iter()
            .all(|&page| vm.m.mapping(page) == Mapping::Write)
    );
    // One more page: it goes the ordinary way, and the others stay.
    let more = || pages.into_iter().chain([700]);
    assert_eq!(round(&mut vm, more()), [1, 4, 1]);
    assert_eq!(round(&mut vm, more()), [1, 5, 0]);
    vm.audit();
}

#[test]
fn a_page_that_is_not_dirtied_any_more_leaves() {
    let mut vm = vm();
    for _ in 0..4 {
        round(&mut vm, [0, 1, 100].into_iter());
    }
    let mut rounds = 4;
    while round(&mut vm, [0, 1].into_iter())[2] == 0 {
        rounds += 1;
        assert!(rounds < 2 * ROUNDS_MAX);
    }
    vm.audit();
    assert_eq!(rounds + 1, ROUNDS_MAX + 3);
    assert!(matches!(vm.m.mapping(100), Mapping::Read(_)));
    // Those that are dirtied still are back in the next round.
    assert_eq!(round(&mut vm, [0, 1].into_iter()), [2, 2, 0]);
    assert!(matches!(vm.m.mapping(100), Mapping::Read(_)));
}

#[test]
fn a_single_restore_writes_nothing_back() {
    let mut vm = vm();
    for id in 2..6 {
        assert_eq!(round(&mut vm, [0, 1].into_iter()), [2, 0, 1]);
        vm.write(8, id);
        vm.checkpoint(id).unwrap();
    }
    // Nor do restores of snapshots in turn.
    for id in [4, 5, 4, 5, 4] {
        vm.write(0, 7);
        vm.restore(Which::Id(id));
        assert_eq!(vm.m.written_back, 0);
    }
    // Nothing was dirtied: stage 2 stays as it is.
    assert_eq!(round(&mut vm, [].into_iter())[2], 1, "from #4 to #5");
    assert_eq!(round(&mut vm, [].into_iter()), [0, 0, 0]);
}

#[test]
fn what_is_kept_is_bounded() {
    let mut vm = vm_with(4 * PAGES);
    let all = || 0..KEEPERS_MAX + 50;
    for _ in 0..3 {
        round(&mut vm, all());
    }
    assert_eq!(round(&mut vm, all()), [50, KEEPERS_MAX, 1]);
    vm.audit();
}

/// A VM whose last restore kept many pages, of which it wrote no more than some back.
fn owing() -> Pair {
    let mut vm = vm_with(4 * PAGES);
    vm.s.defer_beyond(1300);
    for _ in 0..4 {
        round(&mut vm, 0..KEEPERS_MAX);
    }
    for page in 0..KEEPERS_MAX {
        vm.write(page, 8);
    }
    let before = vm.m.written_back;
    vm.restore(Which::Latest);
    let written = vm.m.written_back - before;
    assert!((1..200).contains(&written), "{written}");
    assert!(vm.s.owes_pages());
    vm
}

#[test]
fn much_is_written_back_in_pieces() {
    let mut vm = owing();
    let mut pieces = 0;
    while vm.s.owes_pages() {
        let before = vm.m.written_back;
        vm.s.write_back_piece(&mut vm.m);
        assert!(vm.m.written_back - before < 200);
        pieces += 1;
    }
    assert!(pieces >= KEEPERS_MAX / 200, "{pieces}");
    (0..PAGES).for_each(|page| vm.read(page));
    vm.audit();
    // What takes longer is done in shorter pieces.
    for (takes, at_a_time) in [(4, 50), (10_000, 1)] {
        vm.m.write_back_takes = takes;
        round(&mut vm, 0..KEEPERS_MAX);
        vm.restore(Which::Latest);
        let before = vm.m.written_back;
        vm.s.write_back_piece(&mut vm.m);
        assert!((1..=at_a_time).contains(&(vm.m.written_back - before)));
        vm.load();
    }
}

/// Some pages go back to the base beside those that are written back: then fewer of these are at once.
#[test]
fn what_is_written_back_at_once_is_less_beside_other_work() {
    let mut vm = vm_with(4 * PAGES);
    vm.s.defer_beyond(1300);
    for _ in 0..4 {
        round(&mut vm, 0..300);
    }
    for page in (0..300).chain(400..1300) {
        vm.write(page, 8);
    }
    let before = vm.m.written_back;
    vm.restore(Which::Latest);
    let written = vm.m.written_back - before;
    assert!((1..40).contains(&written), "{written}");
    assert!(vm.s.owes_pages());
    (0..PAGES).for_each(|page| vm.read(page));
    vm.audit();
}

/// Whatever comes before the VM goes on finds all as if it were written back, or needs none of it.
#[test]
fn what_is_owed_is_paid_before_anybody_sees_it() {
    let all = |mut vm: Pair| {
        vm.audit();
        (0..PAGES).for_each(|page| vm.read(page));
        vm.audit();
    };
    for ids in [[0, 1], [1, 0]] {
        let mut vm = owing();
        ids.into_iter().for_each(|id| vm.delete(id));
        all(vm);
    }
    let mut vm = owing();
    vm.restore(Which::Id(0));
    assert!(!vm.s.owes_pages());
    all(vm);
    let mut vm = owing();
    vm.restore(Which::Latest);
    all(vm);
    let mut vm = owing();
    vm.reset();
    assert!(!vm.s.owes_pages());
    all(vm);
    // With memory short, all go.
    let mut vm = owing();
    vm.steal(KEEPERS_MAX);
    vm.restore(Which::Latest);
    assert!(!vm.s.owes_pages());
    vm.give_back();
    all(vm);
}

/// Beside those that are kept, a store must find a frame without a snapshot being freed for it.
#[test]
fn nothing_is_kept_where_memory_is_short() {
    let mut vm = vm();
    for left in [KEEPERS_MAX, KEEPERS_MAX + 20] {
        for _ in 0..4 {
            vm.steal(left);
            round(&mut vm, [0, 1].into_iter());
            vm.give_back();
        }
        assert_eq!(vm.m.written_back > 0, left > KEEPERS_MAX);
    }
}

/// Whatever comes behind a restore that kept pages, they are dirty pages like others.
#[test]
fn what_is_kept_is_dirty() {
    let kept = || {
        let mut vm = vm();
        for _ in 0..4 {
            round(&mut vm, [0, 1, 64].into_iter());
        }
        vm
    };
    // A checkpoint has their contents, and the snapshots before keep theirs.
    let mut vm = kept();
    vm.write(1, 50);
    vm.checkpoint(7).unwrap();
    for id in [1, 7, 0, 7] {
        vm.restore(Which::Id(id));
        [0, 1, 64, 65].into_iter().for_each(|page| vm.read(page));
        vm.audit();
    }
    // With the snapshot goes what they replace.
    let mut vm = kept();
    // Page 1 as it was is #0's, too.
    let info = vm.s.info(&mut vm.m, 1).unwrap();
    assert_eq!(info.pages, 2);
    vm.delete(1);
    vm.delete(0);
    vm.audit();
    [0, 1, 64, 65].into_iter().for_each(|page| vm.read(page));
    // Another snapshot, and a reset.
    let mut vm = kept();
    vm.restore(Which::Id(0));
    vm.audit();
    let mut vm = kept();
    vm.reset();
    vm.read(1);
    vm.audit();
}

/// A store around the caches leaves its page to the ordinary way.
#[test]
fn only_what_the_guest_reaches_through_the_caches_is_kept() {
    let mut vm = vm();
    for _ in 0..4 {
        for page in [0, 1] {
            let reach = [Reach::Around, Reach::Cached][page as usize];
            if !vm.m.store(page, 1) {
                faulted_in(&mut vm.s, &mut vm.m, page, true, reach).unwrap();
                assert!(vm.m.store(page, 1));
            }
        }
        vm.restore(Which::Latest);
    }
    assert_eq!(vm.m.mapping(1), Mapping::Write);
    assert!(matches!(vm.m.mapping(0), Mapping::Read(_)));
    vm.audit();
}
