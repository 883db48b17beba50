//! What takes long of a controller's calls is done in pieces.

use super::control::{CHECKPOINT_OF, DENIED, RESTORE_OF, core, pair};
use super::guest::*;
use super::reach::{NOW, READ, REGISTERS, SET_REGISTERS, TEXT, WRITE, contents, put, registers_at};
use crate::addr::PAGE_SIZE;
use crate::fake::{Asked, FakeBoard, FakeCore};
use crate::hvc::ids;
use crate::vm::controller::AfterCall;
use crate::vm::quiesce::STOPPED;
use crate::vm::reach::{Memory, UNFINISHED};
use crate::vm::{ExitAction, Vm};
use zerocopy::IntoBytes;

const INFO_OF: u64 = ids::INFO_OF.0 as u64;
const STATS_OF: u64 = ids::STATS_OF.0 as u64;
pub const PAGES: u64 = RAM_SIZE / PAGE_SIZE;
const MOST: u64 = 1 << 16;
/// SCTLR_EL1.C and M.
const CACHES_ON: u64 = 5;

/// A call of the first VM about its target 0: x0 to x2, and how many pieces come before the last.
fn call(
    vms: &[Vm<FakeBoard>],
    core: &mut FakeCore,
    function: u64,
    rest: &[u64],
) -> ([u64; 3], u32) {
    let mut running = vms[0].load(core, 0).unwrap();
    let registers = &mut running.vcpu.registers;
    registers.x[1..8].fill(0);
    registers.x[0] = function;
    registers.x[2..2 + rest.len()].copy_from_slice(rest);
    registers.pc += 4;
    let before = *registers;
    let mut pieces = 0;
    while running.control_call(vms, core) == AfterCall::Unfinished {
        let registers = running.vcpu.registers;
        assert_eq!(
            (registers.pc, registers.x),
            (before.pc - 4, before.x),
            "it has not happened"
        );
        assert_eq!(running.go_on(core), ExitAction::Control);
        pieces += 1;
    }
    let registers = running.vcpu.registers;
    assert_eq!(registers.pc, before.pc);
    running.put(core);
    (registers.x[..3].try_into().unwrap(), pieces)
}

pub fn store_to_all(vm: &Vm<FakeBoard>, value: u8) {
    (0..PAGES).for_each(|page| put(vm, RAM + page * PAGE_SIZE + 1, &[value]));
}

#[test]
fn a_large_target_is_saved_and_counted_in_pieces() {
    let vms = pair();
    let core = &mut core();
    store_to_all(&vms[1], 1);
    let ([first, ..], pieces) = call(vms, core, CHECKPOINT_OF, &[]);
    assert_eq!(pieces, 0, "it has blocks");
    store_to_all(&vms[1], 2);
    let ([x0, _, pages], pieces) = call(vms, core, INFO_OF, &[first]);
    assert_eq!((x0, pages), (0, PAGES));
    assert!(pieces >= 3, "{pieces}");
    let ([second, ..], pieces) = call(vms, core, CHECKPOINT_OF, &[]);
    // Other tests take ids in between.
    assert!(second as i64 > first as i64, "{second} behind {first}");
    assert!(pieces >= 3, "{pieces}");
    let ([snapshots, pools, kept], _) = call(vms, core, STATS_OF, &[]);
    assert_eq!((snapshots, pools), (2, 1));
    assert!(kept >= PAGES, "{kept}");
}

#[test]
fn a_block_is_filled_with_zeros_in_pieces_and_the_rest_is_done_at_once() {
    let vms = pair();
    let core = &mut core();
    store_to_all(&vms[1], 1);
    put(&vms[1], UNTOUCHED, b"there");
    call(vms, core, CHECKPOINT_OF, &[]);
    put(&vms[1], UNTOUCHED + 2 * MOST, b"split");
    call(vms, core, CHECKPOINT_OF, &[]);
    // A block that is absent, in the controller: pieces that fill it with zeros.
    let (results, pieces) = call(vms, core, READ, &[NOW, UNTOUCHED - 1, UNTOUCHED, MOST]);
    assert_eq!((results[0], pieces), (0, 3));
    assert_eq!(contents(&vms[0], UNTOUCHED + 1, 5), b"there");
    // 17 pages that snapshots of the target have.
    let (results, pieces) = call(vms, core, WRITE, &[UNTOUCHED + 1, TEXT, MOST]);
    assert_eq!((results[0], pieces), (0, 0));
    assert_eq!(
        contents(&vms[1], UNTOUCHED + 1, 4),
        contents(&vms[0], TEXT, 4)
    );
    let (results, pieces) = call(vms, core, WRITE, &[UNTOUCHED + 1, TEXT, MOST]);
    assert_eq!((results[0], pieces), (0, 0));
}

/// Each first store frees a piece of what a restore dropped, and WRITE has up to 17 of them.
#[test]
fn what_a_restore_dropped_is_freed_in_pieces_before_a_write() {
    let vms = pair();
    let core = &mut core();
    store_to_all(&vms[1], 1);
    call(vms, core, CHECKPOINT_OF, &[]);
    store_to_all(&vms[1], 2);
    let (results, _) = call(vms, core, RESTORE_OF, &[u64::MAX]);
    assert!(results[0] as i64 >= 0);
    let (results, pieces) = call(vms, core, WRITE, &[RAM + 1, TEXT, MOST]);
    assert_eq!(results[0], 0);
    assert_eq!(u64::from(pieces), PAGES.div_ceil(512));
    assert_eq!(contents(&vms[1], RAM + 1, 4), contents(&vms[0], TEXT, 4));
    let (_, pieces) = call(vms, core, WRITE, &[RAM + 2 * MOST + 1, TEXT, MOST]);
    assert_eq!(pieces, 0);
}

/// How much of a VM was cleaned.
fn cleaned_bytes(vm: &Vm<FakeBoard>) -> u64 {
    let shared = vm.shared.lock();
    let bytes = |(asked, _): &(Asked, u64)| match asked {
        Asked::CleanAndInvalidate(_, bytes) => *bytes,
        _ => 0,
    };
    let asked = &shared.memory.backend.recorder.asked;
    asked.iter().map(bytes).sum()
}

/// Registers of the target that switch its caches to what they are not, at `at` in the controller.
fn put_switching(vms: &[Vm<FakeBoard>], core: &mut FakeCore, at: u64) {
    let (results, _) = call(vms, core, REGISTERS, &[NOW, 0, at, 4096]);
    assert!(results[0] as i64 > 0);
    let mut registers = registers_at(&vms[0], at);
    registers.sctlr ^= CACHES_ON;
    registers.registers.x[9] = 99;
    put(&vms[0], at, registers.as_bytes());
}

#[test]
fn caches_are_switched_in_pieces_and_nothing_is_set_before_the_last() {
    let vms = pair();
    let core = &mut core();
    store_to_all(&vms[1], 1);
    put_switching(vms, core, TEXT);
    let vcpu = &vms[1].vcpus[0];
    let before = vcpu.lock().system.sctlr;
    vms[1].shared.lock().memory.backend.recorder.asked.clear();
    let (results, pieces) = call(vms, core, SET_REGISTERS, &[0, TEXT, 4096]);
    assert_eq!(results[0], 0);
    assert!(pieces >= 3, "{pieces}");
    assert_eq!(cleaned_bytes(&vms[1]), RAM_SIZE);
    let vcpu = vcpu.lock();
    assert_eq!(vcpu.system.sctlr, before ^ CACHES_ON);
    assert_eq!(vcpu.registers.x[9], 99);
}

/// Two pieces of the call, and then something else that changes what is clean.
#[test]
fn what_was_cleaned_is_cleaned_again_when_the_target_ran_or_went_back_or_was_written_to() {
    let runs = |vms: &[Vm<FakeBoard>], core: &mut FakeCore| {
        let mut shared = vms[1].shared.lock();
        assert!(vms[1].run(&mut shared, core, None, None).is_none());
        vms[1].stop(&mut shared, core, None, None);
    };
    let goes_back = |vms: &[Vm<FakeBoard>], core: &mut FakeCore| {
        let (results, _) = call(vms, core, RESTORE_OF, &[u64::MAX]);
        assert!(results[0] as i64 >= 0);
    };
    let is_written_to = |vms: &[Vm<FakeBoard>], core: &mut FakeCore| {
        assert_eq!(call(vms, core, WRITE, &[TEXT, TEXT, 8]).0[0], 0);
    };
    let starts_again = |vms: &[Vm<FakeBoard>], core: &mut FakeCore| {
        vms[1].with_locked(core, |shared, initiator| vms[1].reset(shared, initiator));
        vms[1].shared.lock().finish_loading();
        store_to_all(&vms[1], 1);
    };
    let nothing = |_: &[Vm<FakeBoard>], _: &mut FakeCore| {};
    type Happens<'a> = &'a dyn Fn(&[Vm<FakeBoard>], &mut FakeCore);
    let cases: [(Happens, bool); 5] = [
        (&nothing, false),
        (&runs, true),
        (&goes_back, true),
        (&is_written_to, true),
        (&starts_again, true),
    ];
    for (i, (happens, begins_anew)) in cases.into_iter().enumerate() {
        let vms = pair();
        let core = &mut core();
        store_to_all(&vms[1], 1);
        call(vms, core, CHECKPOINT_OF, &[]);
        put_switching(vms, core, TEXT);
        let running = vms[0].load(core, 0).unwrap();
        let mut own = vms[0].shared.lock();
        let from = Memory {
            ipa: TEXT,
            bytes: 4096,
        };
        for _ in 0..2 {
            let piece = vms[1].set_registers(core, &mut own, 0, from);
            assert_eq!(piece, Err(UNFINISHED));
        }
        drop(own);
        running.put(core);
        let before = vms[1].shared.lock().cleaned;
        assert!(before > 0);
        happens(vms, core);
        let begun_anew = vms[1].shared.lock().cleaned == 0;
        assert_eq!(begun_anew, begins_anew, "case {i}");
    }
}

#[test]
fn caches_of_a_vm_that_runs_are_not_switched() {
    let vms = pair();
    let core = &mut core();
    put_switching(vms, core, TEXT);
    vms[1].gate.open(STOPPED);
    let before = vms[1].vcpus[0].lock().registers;
    let (results, _) = call(vms, core, SET_REGISTERS, &[0, TEXT, 4096]);
    assert_eq!(results[0], DENIED);
    assert_eq!(vms[1].vcpus[0].lock().registers, before);
}
