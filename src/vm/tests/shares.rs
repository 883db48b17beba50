//! What each of the vCPUs of a core has of it.

use super::guest::*;
use super::scheduling::{Quiet, core, one, turn_on, vms, waits};
use super::smp::sync;
use crate::arch::vcpu::{Registers, Trap, TrapKind};
use crate::fake::{FakeBoard, FakeCore, set_count};
use crate::vm::budget::SLICE;
use crate::vm::schedule::Scheduler;
use crate::vm::vcpu::RunState;
use crate::vm::{Core, Interrupt, Vm};
use std::boxed::Box;

/// What each of two had of the core in the next `counts`, once the scheduler has chosen a vCPU `skipped` times. `number` says which of the two one
/// is, by its VM and its own number.
fn had(
    core: &mut FakeCore,
    vms: &[Vm<FakeBoard>],
    skipped: usize,
    counts: u64,
    number: fn((usize, usize)) -> usize,
) -> [u64; 2] {
    let quiet = Quiet::default();
    let mut scheduler = Scheduler::new(core, vms, &quiet);
    for _ in 0..skipped {
        scheduler.schedule_once();
    }
    let end = FakeCore::physical_count() + counts;
    let mut had = [0, 0];
    while FakeCore::physical_count() < end {
        let before = FakeCore::physical_count();
        scheduler.core.ran.clear();
        scheduler.schedule_once();
        had[number(scheduler.core.ran[0])] += FakeCore::physical_count() - before;
    }
    had
}

#[test]
fn one_whose_traps_take_long_pays_for_them() {
    let vms = vms([PLAN, PLAN].into(), |_, _| 0);
    vms.iter().for_each(turn_on);
    let mut core = core(0);
    // A trap of the first VM's takes four slices; then both compute.
    core.script.push_back(Box::new(|_: &mut Registers| {
        set_count(FakeCore::physical_count() + 4 * SLICE);
        sync(0x16, 0)
    }));
    let had = had(&mut core, vms, 0, 20 * SLICE, |(vm, _)| vm);
    assert!(had[0].abs_diff(had[1]) <= SLICE, "{had:?}");
}

#[test]
fn one_that_had_the_core_to_itself_owes_nothing_for_it() {
    let vms = one(2);
    let mut core = core(0);
    // vCPU 0 computes for eight slices while vCPU 1 waits. Then another core has vCPU 1 go on, and both compute.
    waits(&vms[0], 1, 0);
    core.script.push_back(Box::new(|_: &mut Registers| {
        set_count(FakeCore::physical_count() + 8 * SLICE);
        vms[0].vcpus[1].set_run_state(RunState::Ready);
        Trap {
            kind: TrapKind::Irq,
            ..sync(0, 0)
        }
    }));
    core.interrupts.push_back(Interrupt::Kick);
    let start = FakeCore::physical_count();
    let had = had(&mut core, vms, 1, 20 * SLICE, |(_, vcpu)| vcpu);
    assert!(FakeCore::physical_count() >= start + 28 * SLICE);
    assert!(had[0].abs_diff(had[1]) <= SLICE, "{had:?}");
}
