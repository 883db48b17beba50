//! Accesses to RAM: what the guest sees, and in which order the core is asked for it.

mod walks;

use super::guest::*;
use crate::addr::{BLOCK_SIZE, Ipa, PAGE_SIZE, Pa};
use crate::fake::Asked::{self, *};
use crate::fake::abort::{self, Abort};
use crate::fake::worst::Access;
use crate::vm::ExitAction;
use std::vec::Vec;

/// What a stage 2 entry permits.
const VALID: u64 = 1;
const WRITABLE: u64 = 1 << 7;
const EXECUTE_NEVER: u64 = 1 << 54;

/// A guest with a snapshot, in which pages beside `DATA` are divided and clean.
fn with_snapshot() -> Guest {
    let mut guest = Guest::new();
    guest.store(DATA, 10);
    guest.checkpoint();
    guest.store(DATA + 8 * PAGE_SIZE, 1);
    guest
}

fn permission_fault(guest: &mut Guest, ipa: u64) -> Abort {
    guest.load(ipa);
    let refused = guest.board().access(Ipa(ipa), Access::Store);
    let trap = refused.expect_err("the page is clean");
    assert_eq!(trap.esr & 0x3c, 0x0c, "a permission fault");
    Abort {
        status: abort::PERMISSION,
        ipa: Ipa(0xdead_b000),
        ..Abort::store(ipa)
    }
}

/// A store of the guest that traps once.
fn traps_once(guest: &mut Guest, ipa: u64) {
    let trap = guest.board().access(Ipa(ipa), Access::Store).unwrap_err();
    assert_eq!(guest.trap(trap), ExitAction::Resume);
    assert!(guest.board().access(Ipa(ipa), Access::Store).is_ok());
}

fn names(asked: &[(Asked, u64)]) -> Vec<Asked> {
    asked.iter().map(|&(asked, _)| asked).collect()
}

/// The address of a frame that an entry leads to.
const ADDRESS: u64 = 0xffff_ffff_f000;

/// The copy, which comes before all else: from where and to where, and the page's entry then, which is read-only.
fn copy_of((asked, entry): (Asked, u64)) -> (Pa, Pa, u64) {
    let Copy { from, to } = asked else {
        panic!("{asked:?}")
    };
    assert!(entry & VALID != 0 && entry & WRITABLE == 0, "{entry:#x}");
    (from, to, entry)
}

#[test]
fn a_first_store_keeps_the_frame_and_gives_the_snapshot_the_copy() {
    let mut guest = with_snapshot();
    let clean = guest.load(DATA);
    let asked = guest.watched(DATA, |guest| traps_once(guest, DATA));
    guest.store(DATA, 20);
    let (from, to, before) = copy_of(asked[0]);
    assert_eq!(before & ADDRESS, from.0);
    // The same output address: no break, and nothing that other cores would have to do.
    let wider = before | WRITABLE;
    assert_eq!(
        asked[1..],
        [
            (StoresComplete, wider),
            (InvalidateIpaHere(Ipa(DATA), None), wider)
        ]
    );
    assert_eq!((clean, guest.load(DATA)), (10, 20));
    assert_eq!(guest.board().memory.read(to), 10, "what the snapshot has");
}

/// The page's neighbour was stored to between two checkpoints: each has a leaf of its own, with the page's frame in both.
#[test]
fn where_several_maps_hold_the_frame_a_first_store_copies_then_breaks_then_makes() {
    let mut guest = with_snapshot();
    guest.store(DATA + PAGE_SIZE, 1);
    guest.checkpoint();
    let clean = guest.load(DATA);
    let asked = guest.watched(DATA, |guest| traps_once(guest, DATA));
    guest.store(DATA, 20);
    let (from, to, before) = copy_of(asked[0]);
    let page = Ipa(DATA);
    assert_eq!(
        asked[1..6],
        [
            (StoresComplete, 0),
            (InvalidateIpa(page), 0),
            (InvalidationsComplete, 0),
            (InvalidateStage1, 0),
            (InvalidationsComplete, 0),
        ]
    );
    let (last, made) = asked[6];
    assert_eq!((last, asked.len()), (StoresComplete, 7));
    assert!(made & VALID != 0 && made & WRITABLE != 0 && made & EXECUTE_NEVER != 0);
    assert_eq!(made & ADDRESS, to.0);
    assert_eq!(before & ADDRESS, from.0);
    assert_eq!((clean, guest.load(DATA)), (10, 20));
    assert_eq!(
        guest.board().memory.read(from),
        10,
        "what the snapshots have"
    );
}

#[test]
fn a_page_that_nobody_else_holds_any_more_becomes_writable_as_it_is() {
    let mut guest = with_snapshot();
    let id = guest.smccc(NEXT, &[0])[0];
    guest.store(DATA, 20);
    guest.checkpoint();
    guest.smccc(DELETE, &[id]);
    let [last, ..] = guest.smccc(NEXT, &[0]);
    guest.smccc(DELETE, &[last]);
    assert_eq!(guest.load(DATA), 20);
    let asked = guest.watched(DATA, |guest| traps_once(guest, DATA));
    // What EL2 may have left in the caches would go over what is stored around them.
    let (CleanAndInvalidate(_, PAGE_SIZE), before) = asked[0] else {
        panic!("{asked:?}")
    };
    assert!(before & WRITABLE == 0);
    assert_eq!(
        names(&asked[1..]),
        [StoresComplete, InvalidateIpaHere(Ipa(DATA), None)]
    );
    assert!(asked[1..].iter().all(|(_, entry)| entry & WRITABLE != 0));
    assert_eq!(guest.load(DATA), 20);
}

#[test]
fn so_does_a_whole_block() {
    let mut guest = Guest::new();
    guest.store(UNTOUCHED, 1);
    let id = guest.checkpoint();
    guest.smccc(DELETE, &[id]);
    assert_eq!(guest.load(UNTOUCHED), 1);
    let asked = guest.watched(UNTOUCHED, |guest| traps_once(guest, UNTOUCHED));
    // It is this page's access that must not fault again: a TLB may hold the block in pieces.
    assert_eq!(
        names(&asked),
        [StoresComplete, InvalidateIpaHere(Ipa(UNTOUCHED), None)]
    );
    assert!(
        asked
            .iter()
            .all(|(_, entry)| entry & (WRITABLE | 3) == WRITABLE | 1)
    );
    assert_eq!(guest.load(UNTOUCHED), 1);
}

#[test]
fn the_second_store_does_not_trap() {
    let mut guest = with_snapshot();
    guest.store(DATA, 20);
    assert!(guest.board().access(Ipa(DATA), Access::Store).is_ok());
    assert_eq!(guest.watched(DATA, |guest| guest.store(DATA + 5, 21)), []);
}

#[test]
fn untouched_ram_is_zeroed_before_it_is_mapped() {
    let mut guest = Guest::new();
    let asked = guest.watched(UNTOUCHED, |guest| assert_eq!(guest.load(UNTOUCHED), 0));
    let (&(last, made), pieces) = asked.split_last().unwrap();
    assert_eq!(last, StoresComplete);
    // Piece by piece, each of which is a trap.
    let mut at = made & 0xffff_ffff_f000;
    for &piece in pieces {
        let piece = match piece {
            (Zero(start, bytes), 0) if start.0 == at && bytes <= BLOCK_SIZE / 4 => bytes,
            _ => panic!("{asked:?}"),
        };
        at += piece;
    }
    assert_eq!(at, (made & 0xffff_ffff_f000) + BLOCK_SIZE);
    assert!(made & 3 == 1 && made & WRITABLE != 0 && made & EXECUTE_NEVER != 0);
}

#[test]
fn without_whole_blocks_ram_comes_page_by_page() {
    let mut guest = Guest::start(PLAN, share(0, 5)).unwrap();
    guest.checkpoint();
    // These copies fill a block and begin another; two hold what was loaded, and the next line takes the fifth.
    for page in 0..512 {
        guest.store(RAM + page * PAGE_SIZE, 1);
    }
    guest.load(UNTOUCHED);
    let last_block = RAM + 3 * BLOCK_SIZE;
    let asked = guest.watched(last_block, |guest| assert_eq!(guest.load(last_block), 0));
    let (Zero(at, PAGE_SIZE), before) = asked[0] else {
        panic!("{asked:?}")
    };
    let (last, made) = asked[1];
    assert_eq!((before & VALID, last, asked.len()), (0, StoresComplete, 2));
    assert_eq!(made & 0xffff_ffff_f003, at.0 | 3, "a page");
}

#[test]
fn a_fetch_forgets_old_instructions_before_it_is_permitted() {
    let mut guest = with_snapshot();
    let image = RAM + 0x8_0000;
    let asked = guest.watched(image, |guest| assert_eq!(guest.fetch(image), IMAGE[0]));
    let page = Pa(asked[0].1 & 0xffff_ffff_f000);
    assert_eq!(
        names(&asked),
        [
            InvalidateInstructions(page, PAGE_SIZE),
            StoresComplete,
            InvalidateIpaHere(Ipa(image), None)
        ]
    );
    let entries: Vec<u64> = asked
        .iter()
        .map(|(_, entry)| entry & EXECUTE_NEVER)
        .collect();
    assert_eq!(entries, [EXECUTE_NEVER, 0, 0]);
    assert_eq!(asked[1].1 & WRITABLE, 0, "no more than asked for");
}

#[test]
fn a_page_that_keeps_its_frame_may_still_be_executed_and_its_copy_not_yet() {
    let mut guest = with_snapshot();
    guest.fetch(DATA);
    let asked = guest.watched(DATA, |guest| guest.store(DATA, 20));
    let kept = asked[0].1 & ADDRESS;
    // What the guest stores there itself, it maintains itself.
    assert_eq!(
        guest.watched(DATA, |guest| assert_eq!(guest.fetch(DATA), 20)),
        []
    );
    guest.registers().x[0] = LATEST;
    guest.hvc(2);
    let asked = guest.watched(DATA, |guest| assert_eq!(guest.fetch(DATA), 10));
    // Those of this page, and no others.
    let at = Pa(asked[0].1 & ADDRESS);
    assert_eq!(asked[0].0, InvalidateInstructions(at, PAGE_SIZE));
    assert_ne!(at.0, kept);
}

#[test]
fn a_fault_that_has_no_reason_any_more_only_drops_this_cores_entry() {
    let mut guest = with_snapshot();
    let store = permission_fault(&mut guest, DATA);
    guest.store(DATA, 20);
    for spurious in [
        store,
        Abort::store(DATA),
        Abort::load(DATA),
        Abort {
            status: abort::ACCESS_FLAG,
            ..Abort::load(DATA)
        },
    ] {
        let before = guest.state();
        let asked = guest.watched(DATA, |guest| {
            assert_eq!(guest.trap(spurious.trap()), ExitAction::Resume);
        });
        assert_eq!(names(&asked), [InvalidateIpaHere(Ipa(DATA), None)]);
        assert_eq!(guest.state(), before);
    }
    assert_eq!(guest.load(DATA), 20);
}

#[test]
fn a_load_of_a_clean_page_leaves_it_clean() {
    let mut guest = with_snapshot();
    let [.., pages, _] = guest.smccc(STATS, &[]);
    guest.trap(Abort::load(DATA).trap());
    guest.load(DATA);
    assert_eq!(guest.smccc(STATS, &[])[2], pages, "no copy");
    assert!(guest.board().access(Ipa(DATA), Access::Store).is_err());
}

#[test]
fn what_no_ram_takes_is_the_guests_abort() {
    for status in [abort::EXTERNAL, abort::ALIGNMENT, 0x35] {
        let mut guest = with_snapshot();
        guest.scramble(1);
        let mut expected = guest.state();
        let bad = Abort {
            status,
            ..Abort::load(DATA)
        };
        assert_eq!(guest.trap(bad.trap()), ExitAction::Resume);
        expected.system.elr = expected.registers.pc;
        expected.system.spsr = expected.registers.pstate;
        expected.system.esr = 0x9600_0010;
        expected.system.far = DATA;
        expected.registers.pc = expected.system.vbar + 0x200;
        expected.registers.pstate |= 0x3c5;
        assert_eq!(guest.state(), expected, "{status:#x}");
    }
}

#[test]
fn after_a_tlb_conflict_the_guest_tries_again_with_an_empty_tlb() {
    use crate::fake::Asked::*;
    let mut guest = with_snapshot();
    guest.scramble(1);
    let before = guest.state();
    let conflict = Abort {
        status: abort::TLB_CONFLICT,
        ..Abort::store(DATA)
    };
    let asked = guest.watched(DATA, |guest| {
        assert_eq!(guest.trap(conflict.trap()), ExitAction::Resume);
    });
    assert_eq!(names(&asked), [InvalidateVm, InvalidationsComplete]);
    assert_eq!(guest.state(), before);
}

#[test]
fn every_byte_of_ram_is_the_guests_and_none_beside_it() {
    let mut guest = Guest::new();
    for at in (RAM..RAM + RAM_SIZE).step_by(0x7_f123) {
        guest.store(at, at as u8);
    }
    guest.store(RAM + RAM_SIZE - 1, 7);
    guest.checkpoint();
    for at in (RAM..RAM + RAM_SIZE).step_by(0x7_f123) {
        assert_eq!(guest.load(at), at as u8);
    }
    for outside in [RAM - 1, RAM + RAM_SIZE] {
        let refused = guest.board().access(Ipa(outside), Access::Load);
        guest.trap(refused.unwrap_err());
        assert_eq!(guest.core().system.far, outside);
    }
}
