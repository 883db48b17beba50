//! `hvc #1` and `hvc #2`: code that declares no outputs goes on as if nothing had happened.

use super::guest::*;
use super::logged::logged;
use crate::vm::ExitAction;
use std::vec::Vec;

#[test]
fn a_checkpoint_changes_nothing() {
    let mut guest = Guest::new();
    guest.scramble(1);
    guest.store(DATA, 10);
    let mut before = guest.state();
    assert_eq!(guest.hvc(1), ExitAction::Resume);
    before.registers.pc += 4;
    assert_eq!(guest.state(), before);
    assert_eq!(guest.load(DATA), 10);
    assert_eq!(guest.smccc(STATS, &[])[0], 1, "it is there");
}

#[test]
fn a_restore_brings_all_back_but_what_was_printed() {
    let mut guest = Guest::new();
    guest.scramble(1);
    guest.store(DATA, 10);
    guest.store(DATA + 0x1000, 11);
    guest.hvc(1);
    let at_checkpoint = guest.state();
    for round in 2..5 {
        guest.scramble(round);
        assert_ne!(guest.state(), at_checkpoint);
        guest.store(DATA, 20);
        guest.store(UNTOUCHED, 21);
        guest.uart_store(0, b'x'.into());
        guest.registers().x[0] = LATEST;
        assert_eq!(guest.hvc(2), ExitAction::Resume);
        assert_eq!(guest.state(), at_checkpoint);
        assert_eq!(
            (guest.load(DATA), guest.load(DATA + 0x1000)),
            (10, 11),
            "round {round}"
        );
        assert_eq!(guest.load(UNTOUCHED), 0, "it was absent");
        assert_eq!(guest.bytes(RAM + 0x8_0000, IMAGE.len()), IMAGE);
    }
    assert_eq!(guest.board().printed, b"xxx");
}

#[test]
fn every_snapshot_can_be_gone_back_to_in_any_order() {
    let mut guest = Guest::new();
    let mut snapshots = Vec::new();
    for i in 0..5u8 {
        guest.scramble(i.into());
        guest.store(DATA, i);
        guest.store(DATA + 0x1000 * u64::from(i), 100 + i);
        guest.hvc(1);
        let first = snapshots.last().map_or(0, |&(id, _)| id + 1);
        let state = guest.state();
        let [id, ..] = guest.smccc(NEXT, &[first]);
        snapshots.push((id, state));
    }
    for i in [1, 4, 0, 0, 3, 2, 4] {
        let (id, ref state) = snapshots[i];
        guest.scramble(50);
        guest.registers().x[0] = id;
        guest.hvc(2);
        assert_eq!(guest.state(), *state);
        let expected = if i == 0 { 100 } else { i as u8 };
        assert_eq!(guest.load(DATA), expected);
        for later in 1..5 {
            let there = if later <= i { 100 + later as u8 } else { 0 };
            assert_eq!(guest.load(DATA + 0x1000 * later as u64), there);
        }
    }
}

#[test]
fn the_counter_goes_on_while_no_translation_exists() {
    use crate::fake::Asked::*;
    let mut guest = Guest::new();
    guest.vm.set_virtual_count(1000);
    guest.hvc(1);
    guest.vm.set_virtual_count(5000);
    guest.store(DATA, 1);
    guest.registers().x[0] = LATEST;
    let asked = guest.watched(DATA, |guest| {
        guest.hvc(2);
    });
    let order: Vec<_> = asked.iter().map(|&(asked, _)| asked).collect();
    assert_eq!(
        order,
        [
            StoresComplete,
            InvalidateVm,
            InvalidationsComplete,
            StoresComplete,
            StoresComplete
        ]
    );
    assert!(
        asked[..4].iter().all(|(_, path)| *path == 0),
        "all of it while no translation exists"
    );
}

#[test]
fn an_id_that_is_not_there_changes_nothing() {
    let mut guest = Guest::new();
    guest.scramble(1);
    guest.store(DATA, 10);
    guest.hvc(1);
    guest.store(DATA, 20);
    let [there, ..] = guest.smccc(NEXT, &[0]);
    for id in [NOBODY, there + 1_000_000, u64::MAX - 1, 1 << 63] {
        guest.scramble(2);
        guest.registers().x[0] = id;
        let mut before = guest.state();
        let lines = logged(|| {
            let asked = guest.watched(DATA, |guest| assert_eq!(guest.hvc(2), ExitAction::Resume));
            assert_eq!(asked, []);
        });
        assert_eq!(lines, ["ERROR: invalid snapshot id"]);
        before.registers.pc += 4;
        assert_eq!(guest.state(), before);
        assert_eq!(guest.load(DATA), 20);
    }
    assert_eq!(guest.smccc(GENERATION, &[])[0], 0);
}

#[test]
fn the_latest_of_none_is_not_there() {
    let mut guest = Guest::new();
    guest.scramble(1);
    guest.registers().x[0] = LATEST;
    let mut before = guest.state();
    assert_eq!(
        logged(|| assert_eq!(guest.hvc(2), ExitAction::Resume)),
        ["ERROR: invalid snapshot id"]
    );
    before.registers.pc += 4;
    assert_eq!(guest.state(), before);
}

#[test]
fn the_latest_is_the_newest_that_exists() {
    let mut guest = Guest::new();
    let ids: Vec<u64> = (0..3u8)
        .map(|i| {
            guest.store(DATA, i);
            guest.checkpoint()
        })
        .collect();
    guest.restore(ids[0], 1);
    for (gone, left) in [(None, 2), (Some(2), 1), (Some(1), 0)] {
        if let Some(gone) = gone {
            guest.smccc(DELETE, &[ids[gone]]);
        }
        guest.registers().x[0] = LATEST;
        guest.hvc(2);
        assert_eq!(guest.registers().x[0], ids[left]);
        assert_eq!(guest.load(DATA), left as u8);
    }
}
