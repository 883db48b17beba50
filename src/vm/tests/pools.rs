//! Pools as a guest and the console see them, and memory that runs out.

use super::guest::*;
use super::logged::logged;
use crate::addr::PAGE_SIZE;
use crate::config::{Accounting, PoolPlan, VmConfig};
use std::collections::BTreeMap;
use std::format;
use std::vec::Vec;

const RESERVED: VmConfig = VmConfig {
    pools: PoolPlan {
        capacity: 3,
        accounting: Accounting::Reserved,
    },
    ..PLAN
};

const NEW_POOL: &str = "INFO: new snapshot pool size: 24MB";

/// Stores `value` and takes a snapshot; the id, and what was logged.
fn checkpoint(guest: &mut Guest, value: u8) -> (u64, Vec<std::string::String>) {
    let mut id = 0;
    let lines = logged(|| {
        guest.store(DATA, value);
        id = guest.checkpoint();
    });
    (id, lines)
}

#[test]
fn the_known_scenario() {
    // Two pools of 3 x 8 MiB fit beside the VM, a third does not.
    let mut guest = Guest::with(RESERVED);
    let mut ids = Vec::new();
    for (value, new_pool) in [
        (10, true),
        (20, false),
        (30, false),
        (40, true),
        (50, false),
    ] {
        let (id, lines) = checkpoint(&mut guest, value);
        ids.push(id);
        assert_eq!(lines, [NEW_POOL; 1][..usize::from(new_pool)], "{value}");
    }
    guest.restore(ids[1], 1);
    assert_eq!(guest.load(DATA), 20);
    let (fifth, lines) = checkpoint(&mut guest, 30);
    assert!(lines.is_empty());
    let (sixth, lines) = checkpoint(&mut guest, 40);
    let freed = format!(
        "INFO: freed the oldest snapshot pool: snapshots #{} to #{}, ",
        ids[0], ids[2]
    );
    assert!(
        lines[0].starts_with(&freed) && lines[0].ends_with(" pages"),
        "{lines:?}"
    );
    assert_eq!(lines[1..], [NEW_POOL]);
    let (seventh, lines) = checkpoint(&mut guest, 50);
    assert!(lines.is_empty());
    guest.registers().x[0] = ids[1];
    let lines = logged(|| {
        guest.hvc(2);
    });
    assert_eq!(lines, ["ERROR: invalid snapshot id"]);
    assert_eq!(guest.load(DATA), 50, "and it goes on");
    assert_eq!(guest.smccc(STATS, &[])[..2], [5, 2]);
    for (id, value) in [
        (ids[3], 40),
        (ids[4], 50),
        (fifth, 30),
        (sixth, 40),
        (seventh, 50),
    ] {
        guest.restore(id, 1);
        assert_eq!(guest.load(DATA), value);
    }
}

#[test]
fn a_pool_goes_with_its_last_snapshot_and_its_places_are_not_used_again() {
    let mut guest = Guest::with(RESERVED);
    let ids: Vec<u64> = (0..3)
        .map(|value| checkpoint(&mut guest, value).0)
        .collect();
    guest.smccc(DELETE, &[ids[0]]);
    let (_, lines) = checkpoint(&mut guest, 4);
    assert_eq!(lines, [NEW_POOL]);
    assert_eq!(guest.smccc(STATS, &[])[..2], [3, 2]);
    guest.smccc(DELETE, &[ids[1]]);
    guest.smccc(DELETE, &[ids[2]]);
    assert_eq!(guest.smccc(STATS, &[])[..2], [1, 1]);
}

#[test]
fn a_reserved_snapshot_is_never_lost_to_a_store() {
    let mut guest = Guest::with(RESERVED);
    let ids: Vec<u64> = (1..=6)
        .map(|value| checkpoint(&mut guest, value).0)
        .collect();
    for round in 0..3 {
        for page in 0..RAM_SIZE / PAGE_SIZE {
            guest.store(RAM + page * PAGE_SIZE, round);
        }
        for &id in &ids {
            assert_eq!(guest.smccc(INFO, &[id])[0], 0);
        }
        guest.restore(ids[usize::from(round)], 1);
        assert_eq!(guest.load(DATA), round + 1);
    }
}

#[test]
fn on_demand_stores_push_out_the_oldest_and_the_guest_goes_on() {
    // Not even one snapshot that shares nothing fits beside the VM.
    let mut guest = Guest::start(PLAN, share(0, 5)).unwrap();
    let mut kept = BTreeMap::new();
    let (mut pushed_out, mut told) = (0, 0);
    for round in 1..20u8 {
        let mut lines = logged(|| {
            for page in 0..RAM_SIZE / PAGE_SIZE {
                if page % 7 == u64::from(round % 7) {
                    guest.store(RAM + page * PAGE_SIZE, round);
                }
            }
            guest.store(DATA, round);
        });
        let gone = guest.first_id();
        pushed_out += usize::from(kept.keys().next().is_some_and(|id| Some(*id) != gone));
        // A pool is gone at once, and told of when all that it had is free.
        lines.extend(logged(|| _ = kept.insert(guest.checkpoint(), round)));
        kept.retain(|id, _| guest.first_id().is_some_and(|first| *id >= first));
        lines.retain(|line| !line.contains("new snapshot pool"));
        told += lines.len();
        assert!(
            lines.iter().all(|line| line.contains("freed the oldest")),
            "{lines:?}"
        );
        for page in 0..RAM_SIZE / PAGE_SIZE {
            let at = RAM + page * PAGE_SIZE;
            let last = (1..=round).rev().find(|r| page % 7 == u64::from(r % 7));
            if let (Some(last), true) = (last, at != DATA) {
                assert_eq!(guest.load(at), last);
            }
        }
    }
    assert!(pushed_out > 2 && told > 2, "{pushed_out} {told}");
    let mut left = 0;
    for (id, round) in kept {
        if guest.smccc(INFO, &[id])[0] == 0 {
            guest.restore(id, 1);
            assert_eq!(guest.load(DATA), round);
            left += 1;
        }
    }
    assert!(left > 0, "the newest is there");
}
