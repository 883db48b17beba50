//! A restore that has much to write back does it in pieces, before any vCPU goes on.

use super::guest::*;
use super::smp::sync;
use crate::addr::PAGE_SIZE;
use crate::fake::{FakeBoard, FakeCore};
use crate::hvc::Results;
use crate::snapshot::{Count, Which};
use crate::vm::quiesce::Initiator;
use crate::vm::reach::{Memory, UNFINISHED};
use crate::vm::{Vm, VmShared};

/// Pages that are stored to in each round.
const PAGES: u64 = 9;

fn page(number: u64) -> u64 {
    UNTOUCHED + number * PAGE_SIZE
}

/// A guest whose restores write two pages back at a time, behind some rounds; and the snapshot.
fn with_keepers() -> (Guest, u64) {
    // Through the caches, as only such pages are written back.
    let mut guest = super::hardware::guest(true);
    for number in 0..PAGES {
        guest.store(page(number), 1);
    }
    guest.checkpoint();
    guest.store(page(PAGES), 1);
    let id = guest.checkpoint();
    guest.snapshots().defer_beyond(20);
    for _ in 0..3 {
        round(&mut guest);
        guest.restore(id, 1);
    }
    round(&mut guest);
    (guest, id)
}

fn round(guest: &mut Guest) {
    for number in 0..PAGES {
        guest.store(page(number), 2);
    }
}

fn owes(guest: &mut Guest) -> bool {
    guest.snapshots().owes_pages()
}

/// The pages are as the snapshot has them.
fn is_back(guest: &mut Guest) -> bool {
    (0..PAGES).all(|number| guest.load(page(number)) == 1)
}

/// The guest goes back, and what that does at once is done.
fn begun() -> (Guest, u64) {
    let (mut guest, id) = with_keepers();
    guest.registers().x[..3].copy_from_slice(&[RESTORE, id, 1]);
    guest.registers().pc += 4;
    guest.begins(sync(0x16, 0));
    assert!(owes(&mut guest));
    (guest, id)
}

/// The vCPU goes on to its next instruction. Returns how many pieces that took.
fn goes_on(guest: &mut Guest) -> usize {
    let pieces = guest.finishes();
    assert!(!owes(guest));
    pieces
}

fn by_operator<R>(
    guest: &mut Guest,
    action: impl FnOnce(&Vm<FakeBoard>, &mut VmShared<FakeBoard>, Initiator<'_, FakeBoard>) -> R,
) -> R {
    guest.leaves();
    let Guest { vm, core } = guest;
    vm.with_locked(core, |shared, initiator| action(vm, shared, initiator))
}

#[test]
fn a_vcpu_goes_on_when_all_is_written_back() {
    let (mut guest, id) = begun();
    let system = guest.core.system;
    assert_eq!(goes_on(&mut guest), 4);
    assert_eq!(guest.core.system, system, "as the snapshot has it");
    assert!(is_back(&mut guest));
    // Whoever asks for it.
    round(&mut guest);
    by_operator(&mut guest, |vm, shared, initiator| {
        vm.restore(shared, initiator, Which::Id(id), 1).unwrap();
    });
    assert!(owes(&mut guest));
    assert_eq!(goes_on(&mut guest), 4);
    assert!(is_back(&mut guest));
}

#[test]
fn a_snapshot_in_the_midst_has_all_of_it() {
    for pieces in 0..4 {
        let (mut guest, _) = begun();
        for _ in 0..pieces {
            guest.on_core(|running, core| running.go_on(core));
        }
        assert!(owes(&mut guest));
        let id = by_operator(&mut guest, |vm, shared, initiator| {
            vm.checkpoint(shared, initiator, false).unwrap()
        });
        assert_eq!(goes_on(&mut guest), 1, "it is done");
        assert!(is_back(&mut guest));
        round(&mut guest);
        guest.restore(id, 1);
        assert!(is_back(&mut guest));
    }
}

#[test]
fn a_reset_in_the_midst_ends_it() {
    let (mut guest, _) = begun();
    by_operator(&mut guest, |vm, shared, initiator| {
        vm.reset(shared, initiator);
    });
    assert!(!owes(&mut guest));
    goes_on(&mut guest);
    assert_eq!(guest.load(page(0)), 0);
}

/// Its controller, on another core, whose memory is another guest's.
fn by_controller<R>(
    guest: &mut Guest,
    action: impl FnOnce(&Vm<FakeBoard>, &mut FakeCore, &mut VmShared<FakeBoard>) -> R,
) -> R {
    guest.leaves();
    let mut own = Guest::start(PLAN, share(1, 32)).unwrap();
    own.store(DATA, 0);
    own.leaves();
    own.vm.number = 1;
    own.on_core(|_, _| ());
    let Guest { vm, core } = &mut own;
    action(&guest.vm, core, vm.shared.get_mut())
}

/// All pieces of a controller's call.
fn whole<R>(mut call: impl FnMut() -> Result<R, i64>) -> R {
    loop {
        match call() {
            Err(UNFINISHED) => {}
            done => return done.unwrap(),
        }
    }
}

#[test]
fn a_controller_finds_in_the_midst_what_came_back() {
    let word = Memory {
        ipa: page(PAGES - 1),
        bytes: 8,
    };
    // READ.
    let (mut guest, _) = begun();
    let read = by_controller(&mut guest, |vm, core, own| {
        whole(|| vm.read(core, (&mut *own, DATA), None, word));
        let mut read = [0; 8];
        own.get(DATA, &mut read);
        u64::from_le_bytes(read)
    });
    assert_eq!(read, 1);
    assert!(!owes(&mut guest));
    goes_on(&mut guest);
    assert!(is_back(&mut guest));
    // WRITE: what it writes is not written over.
    let (mut guest, _) = begun();
    by_controller(&mut guest, |vm, core, own| {
        own.put(DATA, &7_u64.to_le_bytes());
        whole(|| vm.write(core, (&mut *own, DATA), word));
    });
    goes_on(&mut guest);
    assert_eq!(guest.load(word.ipa), 7);
    // DIFFERS, which compares frames: those that were written back are the guest's own.
    let (mut guest, id) = begun();
    let differs = by_controller(&mut guest, |vm, core, _| {
        let mut count = Count::NOT_BEGUN;
        whole(|| vm.differs(core, [Some(id), None], 0, &mut count))
    });
    let first = (page(0) - RAM) / PAGE_SIZE;
    assert_eq!(differs, Results::of([first]));
    assert!(!owes(&mut guest));
    goes_on(&mut guest);
    assert!(is_back(&mut guest));
}

#[test]
fn what_is_deleted_in_the_midst_is_written_back_first() {
    let (mut guest, _) = begun();
    by_operator(&mut guest, |_, shared, _| {
        while let Ok(id) = shared.snapshots.first_id_from(&shared.memory, 0) {
            shared.snapshots.delete(&mut shared.memory, id).unwrap();
        }
        while shared.snapshots.settle(&mut shared.memory).is_pending() {}
    });
    assert!(!owes(&mut guest));
    goes_on(&mut guest);
    assert!(is_back(&mut guest));
}
