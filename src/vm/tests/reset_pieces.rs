//! A VM that was reset loads its image in pieces, before its vCPU 0 goes on.

use super::guest::*;
use super::smp::{SYSTEM_RESET, sync};
use crate::addr::{BLOCK_SIZE, Ipa, PAGE_SIZE};
use crate::config::VmConfig;
use crate::fake::{Asked, FakeCore};
use crate::guest_image::{Format, Image, Segment};
use crate::snapshot::Which;
use crate::vm::quiesce::Initiator;
use crate::vm::{ExitAction, Vm};
use std::boxed::Box;
use std::vec::Vec;

const ENTRY: u64 = RAM + 0x8_0000;
/// Bytes of an image in two blocks.
const SIZE: u64 = 600 * PAGE_SIZE;

/// A byte of it, by which it can be seen where it is.
fn byte(at: u64) -> u8 {
    (at % 251) as u8 | 1
}

fn large() -> VmConfig {
    let bytes: Vec<u8> = (0..SIZE).map(byte).collect();
    let segment = Segment {
        ipa: Ipa(ENTRY),
        bytes: bytes.leak(),
        zeroes: 0,
    };
    VmConfig {
        image: Image {
            format: Format::Raw,
            entry: Ipa(ENTRY),
            segments: Box::leak(Box::new([segment])),
        },
        ..PLAN
    }
}

/// What loading asked of the board: bytes that were written, and bytes that were zeroed.
fn loaded(guest: &mut Guest) -> [u64; 2] {
    let asked = std::mem::take(&mut guest.board().recorder.asked);
    let mut bytes = [0; 2];
    for (asked, _) in asked {
        match asked {
            Asked::Write(_, count) => bytes[0] += count,
            Asked::Zero(_, count) => bytes[1] += count,
            _ => {}
        }
    }
    bytes
}

/// The guest has reset its VM, and some pieces are done.
fn begun(pieces: usize) -> (Guest, u64) {
    let mut guest = Guest::with(large());
    guest.store(ENTRY + PAGE_SIZE, 0);
    let id = guest.checkpoint();
    guest.store(ENTRY, 77);
    guest.board().recorder.asked.clear();
    guest.registers().x[0] = SYSTEM_RESET;
    guest.begins(sync(0x16, 0));
    assert_eq!(loaded(&mut guest), [0, 0], "not in the trap itself");
    for _ in 0..pieces {
        let next = guest.on_core(|running, core| running.go_on(core));
        assert_eq!(next, ExitAction::Unfinished);
        let [written, zeroed] = loaded(&mut guest);
        assert!(written <= 8 * PAGE_SIZE && zeroed <= BLOCK_SIZE / 4);
    }
    (guest, id)
}

/// The vCPU goes on to its image's first instruction. Returns how many pieces that took.
fn starts(guest: &mut Guest) -> usize {
    let pieces = guest.finishes();
    assert!(guest.vm.shared.get_mut().loading.is_none());
    pieces
}

fn has_all(guest: &mut Guest) {
    for page in 0..600 {
        let at = page * PAGE_SIZE + page;
        assert_eq!(guest.load(ENTRY + at), byte(at), "{at:#x}");
    }
    assert_eq!(guest.load(ENTRY - 1), 0);
}

fn by_operator<R>(
    guest: &mut Guest,
    action: impl FnOnce(&Vm<crate::fake::FakeBoard>, Initiator<'_, crate::fake::FakeBoard>) -> R,
) -> R {
    guest.leaves();
    let core = &mut FakeCore::new(1);
    action(&guest.vm, Initiator { core, vcpu: None })
}

#[test]
fn a_large_image_is_loaded_in_pieces() {
    let (mut guest, _) = begun(20);
    assert!(starts(&mut guest) > 600 / 8 - 20);
    has_all(&mut guest);
    assert_eq!(guest.registers().pc, ENTRY);
    assert_eq!(guest.load(UNTOUCHED + BLOCK_SIZE), 0);
}

#[test]
fn a_snapshot_in_the_midst_has_all_of_it() {
    for pieces in [0, 1, 9, 40] {
        let (mut guest, _) = begun(pieces);
        let id = by_operator(&mut guest, |vm, initiator| {
            vm.checkpoint(&mut vm.shared.lock(), initiator, false)
                .unwrap()
        });
        assert!(starts(&mut guest) <= 1, "it is done");
        guest.store(ENTRY + 5, 0);
        by_operator(&mut guest, |vm, initiator| {
            vm.restore(&mut vm.shared.lock(), initiator, Which::Id(id), 1)
                .unwrap();
        });
        assert_eq!(starts(&mut guest), 0);
        has_all(&mut guest);
        assert_eq!(guest.registers().pc, ENTRY);
    }
}

#[test]
fn a_restore_or_a_reset_in_the_midst_ends_it() {
    for pieces in [0, 1, 30] {
        let (mut guest, id) = begun(pieces);
        by_operator(&mut guest, |vm, initiator| {
            vm.restore(&mut vm.shared.lock(), initiator, Which::Id(id), 1)
                .unwrap();
        });
        assert_eq!(starts(&mut guest), 0);
        assert_eq!(guest.load(ENTRY + PAGE_SIZE), 0, "as it was then");
        assert_eq!(guest.load(ENTRY), byte(0));

        let (mut guest, _) = begun(pieces);
        by_operator(&mut guest, |vm, initiator| {
            vm.reset(&mut vm.shared.lock(), initiator);
        });
        assert!(starts(&mut guest) > 600 / 8);
        has_all(&mut guest);

        let (mut guest, _) = begun(pieces);
        by_operator(&mut guest, |vm, initiator| {
            vm.turn_off(&mut vm.shared.lock(), initiator.core, None);
        });
        assert!(guest.vm.shared.get_mut().loading.is_none());
    }
}
