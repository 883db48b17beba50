//! What a core does between vCPUs: periodic checkpoints, UARTs, the operator's commands.

use super::guest::*;
use super::scheduling::*;
use crate::config::VmConfig;
use crate::console::Input;
use crate::fake::FakeCore;
use crate::vm::budget::SLICE;
use crate::vm::quiesce::{OFF, PAUSED};
use crate::vm::schedule::Scheduler;
use crate::vm::{Core, Interrupt};
use std::boxed::Box;

fn every(ms: u64) -> VmConfig {
    VmConfig {
        checkpoint_every: Some(ms),
        ..PLAN
    }
}

#[test]
fn core_0_takes_the_snapshots_that_nobody_asks_for() {
    let vms = vms([every(20), VmConfig { ..PLAN }].into(), |_, _| 1);
    let snapshots = |vm: usize| vms[vm].shared.lock().snapshots.stats().snapshots;
    let (start, period) = (
        FakeCore::physical_count(),
        20 * FakeCore::frequency() / 1000,
    );
    let mut other = core(1);
    rounds(&mut other, vms, &Quiet::default(), 8);
    assert!(FakeCore::physical_count() > start + period);
    assert_eq!([0, 1].map(snapshots), [0, 0], "not on core 1");

    let start = FakeCore::physical_count();
    let mut core = core(0);
    rounds(&mut core, vms, &Quiet::default(), 1);
    assert_eq!([0, 1].map(snapshots), [1, 0]);
    assert_eq!(
        core.slept,
        [start + period],
        "then it sleeps until the next"
    );
    rounds(&mut core, vms, &Quiet::default(), 3);
    assert_eq!([0, 1].map(snapshots), [4, 0]);
    assert_eq!(FakeCore::physical_count(), start + 4 * period);
}

#[test]
fn no_snapshot_is_taken_of_a_vm_that_is_paused_or_off() {
    for reason in [PAUSED, OFF] {
        let vms = vms([every(20)].into(), |_, _| 1);
        let vm = &vms[0];
        vm.gate.close(reason);
        rounds(&mut core(0), vms, &Quiet::default(), 5);
        assert_eq!(vm.shared.lock().snapshots.stats().snapshots, 0);
        vm.gate.open(reason);
        rounds(&mut core(0), vms, &Quiet::default(), 2);
        assert!(vm.shared.lock().snapshots.stats().snapshots > 0);
    }
}

/// Its interrupt finds a core asleep, or at work with another VM; or is the console's, too.
#[test]
fn the_vm_on_the_second_uart_gets_to_know_what_came() {
    for source in [Interrupt::Second, Interrupt::Console] {
        let vms = vms([PLAN, PLAN].into(), |_, _| 0);
        turn_on(&vms[0]);
        turn_on(&vms[1]);
        waits(&vms[1], 0, 0);
        let desk = Quiet::default();
        desk.second.set(Some(1));
        let mut core = core(0);
        core.interrupts.push_back(source);
        rounds(&mut core, vms, &desk, 1);
        assert_eq!(desk.served.get(), 1);
        assert!(vms[1].has_request(0), "it looks at its UART");
        assert!(!vms[0].has_request(0));
    }
    let vms = one(1);
    waits(&vms[0], 0, 0);
    vms[0].gate.close(PAUSED);
    let desk = Quiet::default();
    desk.second.set(Some(0));
    let mut core = core(0);
    core.interrupts.push_back(Interrupt::Second);
    core.dreams.push_back(Box::new(|_| ()));
    rounds(&mut core, vms, &desk, 1);
    assert_eq!((desk.served.get(), vms[0].has_request(0)), (1, true));
}

#[test]
fn the_operators_command_is_done_with_no_vcpu_loaded() {
    let vms = one(1);
    let desk = Quiet::default();
    desk.input.set(Input {
        command: true,
        ..Input::default()
    });
    let mut core = core(0);
    core.interrupts.push_back(Interrupt::Console);
    let mut scheduler = Scheduler::new(&mut core, vms, &desk);
    scheduler.schedule_once();
    assert!(
        desk.commands.borrow().is_empty(),
        "vCPU 0 leaves the core first"
    );
    // There is nothing to run, or it would compute for ever.
    vms[0].gate.close(PAUSED);
    scheduler.core.dreams.push_back(Box::new(|_| ()));
    scheduler.schedule_once();
    assert_eq!(*desk.commands.borrow(), [1]);
    assert_eq!(core.ran, [(0, 0)]);
}

/// The alarm is for the console: the vCPU stays loaded, and the VMs that have room again look.
#[test]
fn what_waits_to_be_sent_is_sent_beside_a_vcpu_that_computes() {
    let vms = vms([PLAN, PLAN, PLAN].into(), |vm, _| vm / 2);
    vms.iter().for_each(turn_on);
    let desk = Quiet::default();
    let start = FakeCore::physical_count();
    desk.poll_due.set(Some(start + SLICE / 4));
    desk.input.set(Input {
        room: 0b101,
        ..Input::default()
    });
    let mut core = core(0);
    let mut scheduler = Scheduler::new(&mut core, vms, &desk);
    scheduler.schedule_once();
    assert_eq!(desk.poll_due.get(), None, "it was seen to");
    assert_eq!(FakeCore::physical_count(), start + SLICE);
    assert!(core.ran.iter().all(|ran| *ran == (0, 0)), "{:?}", core.ran);
    let looks = [0, 1, 2].map(|vm| vms[vm].has_request(0));
    assert_eq!(looks, [false, false, true], "the first has looked");
    assert_eq!(core.kicked, [1]);
}

/// However many lines are entered at once.
#[test]
fn a_command_comes_a_slice_behind_the_one_before() {
    let vms = vms([PLAN, PLAN].into(), |_, _| 0);
    vms.iter().for_each(turn_on);
    let (mut core, desk) = (core(0), Quiet::default());
    let waits = Input {
        command: true,
        ..Input::default()
    };
    desk.input.set(waits);
    core.interrupts.push_back(Interrupt::Console);
    let mut scheduler = Scheduler::new(&mut core, vms, &desk);
    let mut ends = 0;
    for count in 1..5 {
        desk.further.set(waits);
        while desk.commands.borrow().len() < count {
            scheduler.schedule_once();
        }
        let now = FakeCore::physical_count();
        assert!(count == 1 || now >= ends + SLICE, "{count}");
        assert!(now < ends + 3 * SLICE || count == 1, "{count}");
        ends = now;
    }
    assert!(scheduler.core.ran.len() >= 3);
}
