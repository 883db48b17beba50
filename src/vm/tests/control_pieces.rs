//! What takes long of a controller's calls is done in pieces.

use super::control::{CHECKPOINT_OF, core, pair};
use super::guest::*;
use super::reach::{NOW, READ, TEXT, WRITE, contents, put};
use crate::addr::PAGE_SIZE;
use crate::fake::{FakeBoard, FakeCore};
use crate::hvc::ids;
use crate::vm::controller::AfterCall;
use crate::vm::{ExitAction, Vm};

const INFO_OF: u64 = ids::INFO_OF.0 as u64;
const STATS_OF: u64 = ids::STATS_OF.0 as u64;
const PAGES: u64 = RAM_SIZE / PAGE_SIZE;
const MOST: u64 = 1 << 16;

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

fn store_to_all(vm: &Vm<FakeBoard>, value: u8) {
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
