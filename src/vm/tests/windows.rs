//! Windows: what a guest finds in them, at their edges, and that snapshots know nothing of them.

use super::guest::*;
use crate::addr::{BLOCK_SIZE, Ipa, PAGE_SIZE, Pa};
use crate::config::VmConfig;
use crate::device::{WINDOWS_BASE, Window};
use crate::fake::abort::{Abort, PERMISSION};
use crate::fake::worst::Access;
use crate::limits::WINDOWS_MAX;
use crate::trap;
use crate::vm::{ExitAction, carve_windows};
use std::vec;
use std::vec::Vec;

const SMALL: Window = window(1, 2 * PAGE_SIZE);
const LARGE: Window = window(7, BLOCK_SIZE);

const WITH_WINDOWS: VmConfig = VmConfig {
    windows: &[SMALL, LARGE],
    ..PLAN
};

const fn window(number: usize, bytes: u64) -> Window {
    Window {
        number,
        name: "w",
        bytes,
    }
}

/// First and last byte of both.
fn ends() -> [u64; 4] {
    let ends = |window: Window| [window.ipa().0, window.doorbell().0 - 1];
    let [[a, b], [c, d]] = [ends(SMALL), ends(LARGE)];
    [a, b, c, d]
}

fn access(size: u8) -> trap::Access {
    trap::Access {
        size,
        reg: 5,
        sign_extend: false,
        sixty_four: size == 8,
    }
}

/// The guest takes an external abort to EL1 with this syndrome.
fn aborts(guest: &mut Guest, abort: Abort, esr: u64) {
    guest.scramble(3);
    let before = guest.state();
    assert_eq!(guest.trap(abort.trap()), ExitAction::Resume);
    let after = guest.state();
    assert_eq!(after.system.esr, esr, "{abort:x?}");
    assert_eq!(after.system.far, abort.far, "{abort:x?}");
    assert_eq!(after.system.elr, before.registers.pc);
    assert_eq!(after.registers.pc, before.system.vbar + 0x200);
    assert_eq!(after.registers.x, before.registers.x);
}

#[test]
fn no_access_traps_and_no_restore_or_reset_takes_anything_back() {
    let mut guest = Guest::with(WITH_WINDOWS);
    for (at, value) in ends().into_iter().zip(1..) {
        let pa = guest.board().access(Ipa(at), Access::Store);
        guest.board().memory.write(pa.expect("no trap"), &[value]);
    }
    guest.store(DATA, 1);
    let id = guest.checkpoint();
    for at in ends().into_iter().chain([DATA]) {
        let there = guest.load(at);
        guest.store(at, there + 0x10);
    }
    guest.restore(id, 1);
    assert_eq!(guest.load(DATA), 1);
    assert_eq!(ends().map(|at| guest.load(at)), [0x11, 0x12, 0x13, 0x14]);
    guest.reset();
    assert_eq!(guest.load(DATA), 0);
    assert_eq!(ends().map(|at| guest.load(at)), [0x11, 0x12, 0x13, 0x14]);
    for at in ends() {
        for access in [Access::Load, Access::Store] {
            assert!(guest.board().access(Ipa(at), access).is_ok());
        }
    }
}

/// Two guests with the same share of memory and the same history: the one with windows has used as much.
#[test]
fn snapshots_do_not_count_them() {
    let stats = |plan: VmConfig| {
        let has_windows = !plan.windows.is_empty();
        let mut guest = Guest::with(plan);
        let mut stats = Vec::new();
        for round in 0..4 {
            guest.store(DATA, round);
            let ends = ends().into_iter().filter(|_| has_windows);
            ends.for_each(|at| guest.store(at, round));
            let id = guest.checkpoint();
            let [_, _, _, free] = guest.smccc(STATS, &[]);
            stats.push((guest.smccc(INFO, &[id]), free));
        }
        stats
    };
    let [with, without] = [WITH_WINDOWS, PLAN].map(stats);
    let sizes = |stats: Vec<([u64; 4], u64)>| -> Vec<_> {
        let size = |(info, free): ([u64; 4], u64)| ([info[0], info[2], info[3]], free);
        stats.into_iter().map(size).collect()
    };
    assert_eq!(sizes(with), sizes(without));
}

#[test]
fn beside_them_there_is_nothing() {
    let mut guest = Guest::with(WITH_WINDOWS);
    let behind = |window: Window| window.doorbell().0 + Window::DOORBELL_SIZE;
    for at in [
        WINDOWS_BASE.0 - 8,
        WINDOWS_BASE.0,
        SMALL.ipa().0 - 8,
        behind(SMALL),
        LARGE.ipa().0 - 8,
        behind(LARGE),
        window(WINDOWS_MAX, 0).ipa().0,
    ] {
        for syndrome in [None, Some(access(8)), Some(access(4))] {
            let with = |abort| Abort {
                access: syndrome,
                ..abort
            };
            aborts(&mut guest, with(Abort::load(at)), 0x9600_0010);
            aborts(&mut guest, with(Abort::store(at)), 0x9600_0050);
        }
    }
}

#[test]
fn nothing_in_them_is_executed() {
    let mut guest = Guest::with(WITH_WINDOWS);
    for at in ends().map(|at| at & !3) {
        let trap = guest.board().access(Ipa(at), Access::Fetch);
        let asked = Abort {
            status: PERMISSION,
            ipa: Ipa(0xdead_b000),
            ..Abort::fetch(at)
        };
        assert_eq!(trap.unwrap_err(), asked.trap());
        aborts(&mut guest, asked, 0x8600_0010);
    }
}

#[test]
fn a_doorbell_takes_stores_and_reads_zero() {
    let mut guest = Guest::with(WITH_WINDOWS);
    for doorbell in [SMALL.doorbell().0, LARGE.doorbell().0] {
        assert!(guest.board().access(Ipa(doorbell), Access::Load).is_err());
        for size in [1, 2, 4, 8] {
            for at in [doorbell, doorbell + PAGE_SIZE - u64::from(size)] {
                let with = |abort| Abort {
                    access: Some(access(size)),
                    ..abort
                };
                guest.scramble(5);
                let mut expected = guest.state();
                let store = with(Abort::store(at)).trap();
                assert_eq!(guest.trap(store), ExitAction::Resume);
                expected.registers.pc += 4;
                assert_eq!(guest.state(), expected, "a store");
                assert_eq!(guest.trap(with(Abort::load(at)).trap()), ExitAction::Resume);
                expected.registers.pc += 4;
                expected.registers.x[5] = 0;
                assert_eq!(guest.state(), expected, "a load");
            }
        }
        // What has no syndrome, a pair over its edge too.
        for at in [doorbell, doorbell + PAGE_SIZE - 8] {
            aborts(&mut guest, Abort::load(at), 0x9600_0010);
            aborts(&mut guest, Abort::store(at), 0x9600_0050);
            aborts(&mut guest, Abort::fetch(at), 0x8600_0010);
        }
    }
}

#[test]
fn for_others_they_are_not_there() {
    let mut guest = Guest::new();
    for at in ends()
        .into_iter()
        .chain([SMALL.doorbell().0, LARGE.doorbell().0])
    {
        assert!(guest.board().access(Ipa(at), Access::Load).is_err());
        let word = |abort| Abort {
            access: Some(access(4)),
            ..abort
        };
        aborts(&mut guest, word(Abort::load(at & !3)), 0x9600_0010);
        aborts(&mut guest, word(Abort::store(at & !3)), 0x9600_0050);
    }
}

#[test]
fn those_that_fit_share_a_block() {
    let block = |n: u64| Pa(0x4000_0000 + n * BLOCK_SIZE);
    let memory = vec![block(0)..block(8), block(100)..block(101)];
    let pages = [1, 512, 2, 510, 1].map(|pages| window(0, pages * PAGE_SIZE));
    let mut rest = memory.clone();
    let carved = carve_windows(&pages, &mut rest).unwrap();
    let at = |n, first, pages| {
        let start = block(n).0 + first * PAGE_SIZE;
        Pa(start)..Pa(start + pages * PAGE_SIZE)
    };
    let expected = [
        at(100, 0, 1),
        at(7, 0, 512),
        at(6, 0, 2),
        at(6, 2, 510),
        at(5, 0, 1),
    ];
    assert_eq!(carved, expected);
    assert_eq!(rest, [block(0)..block(5)]);

    let mut rest = memory.clone();
    assert_eq!(carve_windows(&[], &mut rest), Some(vec![]));
    assert_eq!(rest, memory);
    let mut one = vec![block(3)..block(4)];
    assert_eq!(carve_windows(&pages, &mut one), None);
}
