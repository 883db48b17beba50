//! The snapshot calls by SMCCC: results, errors, and what stays as it is.

use super::guest::*;
use crate::vm::ExitAction;

#[test]
fn a_checkpoint_returns_again_with_the_value_passed() {
    let mut guest = Guest::new();
    guest.scramble(1);
    guest.registers().x[0] = CHECKPOINT;
    let mut expected = guest.state();
    guest.store(DATA, 10);
    guest.hvc(0);
    let id = guest.registers().x[0];
    expected.registers.pc += 4;
    [expected.registers.x[0], expected.registers.x[1]] = [id, 0];
    assert_eq!(guest.state(), expected, "the rest is as it was");
    for (passed, value) in [(7, 7), (0, 1), (u64::MAX, u64::MAX), (1 << 40, 1 << 40)] {
        for which in [id, LATEST] {
            guest.scramble(2);
            guest.store(DATA, 20);
            guest.registers().x[..3].copy_from_slice(&[RESTORE, which, passed]);
            assert_eq!(guest.hvc(0), ExitAction::Resume);
            expected.registers.x[1] = value;
            assert_eq!(guest.state(), expected);
            assert_eq!(guest.load(DATA), 10);
        }
    }
}

#[test]
fn hvc_2_to_a_checkpoint_with_results_returns_1() {
    let mut guest = Guest::new();
    guest.scramble(1);
    let id = guest.checkpoint();
    let mut expected = guest.state();
    expected.registers.x[1] = 1;
    guest.scramble(2);
    guest.registers().x[0] = id;
    guest.hvc(2);
    assert_eq!(guest.state(), expected);
}

#[test]
fn restoring_a_bare_checkpoint_by_smccc_changes_no_register() {
    let mut guest = Guest::new();
    // The flag that says "with results" must not stay from the first.
    guest.checkpoint();
    guest.scramble(1);
    guest.hvc(1);
    let expected = guest.state();
    for _ in 0..2 {
        guest.scramble(2);
        guest.registers().x[..3].copy_from_slice(&[RESTORE, LATEST, 9]);
        guest.hvc(0);
        assert_eq!(guest.state(), expected);
    }
}

#[test]
fn a_restore_of_nothing_changes_x0_alone() {
    let mut guest = Guest::new();
    guest.scramble(1);
    guest.checkpoint();
    guest.store(DATA, 20);
    for id in [NOBODY, u64::MAX - 1] {
        let x3 = guest.registers().x[3];
        let results = guest.smccc(RESTORE, &[id, 5]);
        assert_eq!(results, [NOT_FOUND, id, 5, x3]);
        assert_eq!(guest.load(DATA), 20);
    }
    let mut empty = Guest::new();
    assert_eq!(empty.smccc(RESTORE, &[LATEST, 5])[0], NOT_FOUND);
}

#[test]
fn deleted_is_gone() {
    let mut guest = Guest::new();
    let [first, second] = [guest.checkpoint(), guest.checkpoint()];
    guest.scramble(1);
    let others = guest.registers().x;
    assert_eq!(
        guest.smccc(DELETE, &[first]),
        [0, first, others[2], others[3]]
    );
    for (call, id) in [
        (DELETE, first),
        (RESTORE, first),
        (INFO, first),
        (DELETE, LATEST),
        (INFO, LATEST),
        (DELETE, NOBODY),
        (NEXT, second + 1),
        (NEXT, NOBODY),
    ] {
        let [x0, x1, ..] = guest.smccc(call, &[id]);
        assert_eq!((x0, x1), (NOT_FOUND, id), "{call:#x} {id:#x}");
    }
    assert_eq!(guest.smccc(NEXT, &[0])[0], second);
    assert_eq!(guest.smccc(DELETE, &[second])[0], 0);
    assert_eq!(guest.smccc(NEXT, &[0])[0], NOT_FOUND);
    assert_eq!(guest.smccc(STATS, &[])[..2], [0, 0]);
}

#[test]
fn deleting_what_the_vm_runs_on_changes_nothing_for_it() {
    let mut guest = Guest::new();
    guest.store(DATA, 1);
    guest.store(DATA + 0x1000, 2);
    let id = guest.checkpoint();
    guest.store(DATA, 3);
    guest.smccc(DELETE, &[id]);
    assert_eq!((guest.load(DATA), guest.load(DATA + 0x1000)), (3, 2));
    guest.store(DATA + 0x1000, 4);
    assert_eq!((guest.load(DATA), guest.load(DATA + 0x1000)), (3, 4));
}

#[test]
fn info_says_parent_pages_and_counter() {
    let mut guest = Guest::new();
    guest.store(DATA, 1);
    guest.vm.set_virtual_count(111);
    let first = guest.checkpoint();
    assert_eq!(guest.smccc(INFO, &[first]), [0, LATEST, 0, 111]);
    guest.vm.set_virtual_count(222);
    guest.store(DATA, 2);
    guest.store(DATA + 0x3000, 2);
    assert_eq!(
        guest.smccc(INFO, &[first]),
        [0, LATEST, 2, 111],
        "the two pages behind the stores"
    );
    let second = guest.checkpoint();
    assert_eq!(guest.smccc(INFO, &[second]), [0, first, 0, 222]);
    guest.restore(first, 1);
    assert_eq!(
        guest.smccc(INFO, &[second]),
        [0, first, 2, 222],
        "now it alone has them"
    );
    let third = guest.checkpoint();
    assert_eq!(guest.smccc(INFO, &[third])[..3], [0, first, 0]);
    guest.smccc(DELETE, &[first]);
    assert_eq!(
        guest.smccc(INFO, &[third])[1],
        first,
        "the parent's name stays"
    );
}

#[test]
fn next_goes_through_all_of_them() {
    let mut guest = Guest::new();
    let ids: [u64; 4] = std::array::from_fn(|_| guest.checkpoint());
    assert_eq!(guest.smccc(NEXT, &[LATEST])[0], ids[3], "what it runs on");
    let mut from = 0;
    for id in ids {
        let [next, ..] = guest.smccc(NEXT, &[from]);
        assert_eq!(next, id);
        assert_eq!(guest.smccc(NEXT, &[id])[0], id);
        from = next + 1;
    }
    assert_eq!(guest.smccc(NEXT, &[from])[0], NOT_FOUND);
}

/// #0 <- #1 <- #2 <- #3, and #1 <- #4 <- #5.
#[test]
fn next_says_what_a_snapshot_comes_from() {
    const NONE: u64 = LATEST;
    let mut guest = Guest::new();
    assert_eq!(guest.smccc(NEXT, &[LATEST])[0], NOT_FOUND, "from nothing");
    let [a, b, c, d]: [u64; 4] = std::array::from_fn(|_| guest.checkpoint());
    assert_eq!(guest.smccc(NEXT, &[0]), [a, NONE, NONE, NONE]);
    assert_eq!(guest.smccc(NEXT, &[b]), [b, a, NONE, NONE]);
    assert_eq!(guest.smccc(NEXT, &[d]), [d, c, b, a]);
    guest.restore(b, 1);
    assert_eq!(guest.smccc(NEXT, &[LATEST]), [b, a, NONE, NONE]);
    let [e, f]: [u64; 2] = std::array::from_fn(|_| guest.checkpoint());
    assert_eq!(guest.smccc(NEXT, &[LATEST]), [f, e, b, a]);
    // The name of one that is gone stays, and nothing is known behind it.
    guest.smccc(DELETE, &[b]);
    assert_eq!(guest.smccc(NEXT, &[b]), [c, b, NONE, NONE]);
    assert_eq!(guest.smccc(NEXT, &[LATEST]), [f, e, b, NONE]);
    guest.smccc(DELETE, &[f]);
    assert_eq!(guest.smccc(NEXT, &[LATEST]), [f, NONE, NONE, NONE]);
    assert_eq!(guest.smccc(NEXT, &[f])[0], NOT_FOUND);
    guest.reset();
    assert_eq!(guest.smccc(NEXT, &[LATEST])[0], NOT_FOUND, "from the image");
}

#[test]
fn stats_count_snapshots_pools_and_pages() {
    let mut guest = Guest::new();
    guest.store(DATA, 1);
    let [snapshots, pools, pages, free] = guest.smccc(STATS, &[]);
    assert_eq!([snapshots, pools, pages], [0; 3]);
    for _ in 0..4 {
        guest.checkpoint();
    }
    assert_eq!(guest.smccc(STATS, &[])[..3], [4, 2, 0], "pools of three");
    guest.store(DATA, 2);
    guest.store(DATA + 0x1000, 2);
    let [.., pages, left] = guest.smccc(STATS, &[]);
    assert_eq!(pages, 2);
    assert!(
        (2..20).contains(&(free - left)),
        "two pages and the bookkeeping: {free} {left}"
    );
}

#[test]
fn the_generation_is_not_taken_back() {
    let mut guest = Guest::new();
    let id = guest.checkpoint();
    guest.scramble(1);
    for restores in 0..4 {
        let x = guest.registers().x;
        assert_eq!(guest.smccc(GENERATION, &[]), [restores, x[1], x[2], x[3]]);
        guest.smccc(RESTORE, &[NOBODY, 1]);
        match restores % 2 {
            0 => guest.restore(id, 1),
            _ => {
                guest.registers().x[0] = id;
                guest.hvc(2);
            }
        }
    }
}

#[test]
fn a_name_of_the_other_width_is_none_of_them() {
    let mut guest = Guest::new();
    guest.checkpoint();
    guest.scramble(1);
    for call in CHECKPOINT..=GENERATION {
        let x = guest.registers().x;
        let narrow = call & !(1 << 30);
        assert_eq!(guest.smccc(narrow, &[]), [NOT_SUPPORTED, x[1], x[2], x[3]]);
    }
    assert_eq!(guest.smccc(STATS, &[])[0], 1);
}
