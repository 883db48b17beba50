//! Ids are counted for all VMs together; a VM knows its own only.

use super::guest::*;
use super::logged::logged;
use std::collections::BTreeSet;

fn two() -> [Guest; 2] {
    [0, 1].map(|number| Guest::start(PLAN, share(number, 32)).unwrap())
}

#[test]
fn ids_are_given_once() {
    let mut guests = two();
    let mut ids = BTreeSet::new();
    for i in 0..20 {
        let id = guests[i % 2].checkpoint();
        assert!(ids.last().is_none_or(|&last| last < id) && ids.insert(id));
    }
}

#[test]
fn one_vms_id_is_not_found_for_the_other_whatever_the_call() {
    let [mut one, mut other] = two();
    one.store(DATA, 1);
    other.store(DATA, 2);
    let foreign = one.checkpoint();
    let own = other.checkpoint();
    other.scramble(1);
    for call in [RESTORE, DELETE, INFO] {
        let x = other.registers().x;
        let results = other.smccc(call, &[foreign]);
        assert_eq!(results, [NOT_FOUND, foreign, x[2], x[3]], "{call:#x}");
    }
    assert_eq!(other.smccc(NEXT, &[0])[0], own);
    assert_eq!(one.smccc(NEXT, &[0])[0], foreign);
    assert_eq!(one.smccc(NEXT, &[own])[0], NOT_FOUND);
    assert_eq!(other.smccc(STATS, &[])[0], 1);

    other.registers().x[0] = foreign;
    let before = *other.registers();
    let lines = logged(|| {
        other.hvc(2);
    });
    assert_eq!(lines, ["ERROR: invalid snapshot id"]);
    other.board().log_name = Some("other");
    other.registers().x[0] = foreign;
    let lines = logged(|| {
        other.hvc(2);
    });
    assert_eq!(lines, ["ERROR: other: invalid snapshot id"]);
    other.registers().x[0] = before.x[0];
    assert_eq!(other.registers().x, before.x);
    assert_eq!((one.load(DATA), other.load(DATA)), (1, 2));
    one.restore(foreign, 1);
}

#[test]
fn the_latest_is_ones_own_and_a_restore_moves_nothing_of_the_other() {
    let [mut one, mut other] = two();
    one.scramble(1);
    one.store(DATA, 1);
    one.hvc(1);
    let mut at_checkpoint = one.state();
    other.scramble(2);
    other.store(DATA, 2);
    other.hvc(1);
    let mut untouched = other.state();
    other.store(DATA, 22);

    one.scramble(3);
    one.store(DATA, 11);
    one.registers().x[0] = LATEST;
    one.hvc(2);
    assert_eq!(one.state(), at_checkpoint);
    assert_eq!(other.state(), untouched);
    assert_eq!((one.load(DATA), other.load(DATA)), (1, 22));
    let generations = [&mut one, &mut other].map(|guest| guest.smccc(GENERATION, &[])[0]);
    assert_eq!(generations, [1, 0]);
    // That call changed x0 and the pc.
    for (guest, state) in [(one, &mut at_checkpoint), (other, &mut untouched)] {
        let mut guest = guest;
        state.registers.pc += 4;
        state.registers.x[0] = guest.registers().x[0];
        assert_eq!(guest.state(), *state);
    }
}

#[test]
fn one_may_fill_its_share_and_the_other_keeps_its_snapshots() {
    let [mut one, mut other] = two();
    other.store(DATA, 2);
    let kept = other.checkpoint();
    let mut ids = std::vec::Vec::new();
    for round in 0..200u64 {
        for page in 0..100 {
            one.store(RAM + page * 0x1000, round as u8);
        }
        ids.push(one.checkpoint());
    }
    assert_eq!(one.smccc(INFO, &[ids[0]])[0], NOT_FOUND, "pushed out");
    other.store(DATA, 3);
    other.restore(kept, 1);
    assert_eq!(other.load(DATA), 2);
}
