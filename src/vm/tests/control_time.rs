//! Time and a VM that is controlled: RUN's limit, its clock, and what is left of the core for others.

use super::control::*;
use super::guest::*;
use super::scheduling::{Quiet, vms};
use super::smp::sync;
use crate::arch::vcpu::Trap;
use crate::config::{Time, VmConfig};
use crate::fake::{FakeCore, Patience, set_count};
use crate::vm::budget::SLICE;
use crate::vm::schedule::Scheduler;
use crate::vm::{Core, Interrupt};
use std::boxed::Box;
use std::sync::{Arc, Mutex};
use std::vec::Vec;

#[test]
fn a_limit_is_time_that_the_target_could_run() {
    // 1 MHz: a count is a us.
    let limit = Calls(RUN, [0, 50_000, 0]);
    let vms = pair();
    let start = FakeCore::physical_count();
    let mut it = core();
    let steps = [
        limit,
        Computes(40, Interrupt::Alarm),
        Computes(11, Interrupt::Alarm),
        END,
    ];
    let played = play(vms, &mut it, &steps);
    assert_eq!(played.iter().map(|p| p.0).collect::<Vec<_>>(), [0, 1, 1, 0]);
    assert_eq!(played[3].1[0], LIMIT);
    assert!(FakeCore::physical_count() <= start + 52);
    play_again(vms);
    // Its sleep counts too.
    let start = FakeCore::physical_count();
    let played = play(vms, &mut it, &[limit, Waits, END]);
    assert_eq!(played[2], (0, [LIMIT, 0, 50_000, 0]));
    assert_eq!(FakeCore::physical_count(), start + 51);
}

#[test]
fn a_new_limit_reaches_a_target_that_runs_alone_on_its_core() {
    let vms = vms([CONTROLLER, CONTROLLED].into(), |vm, _| vm);
    let [mut first, mut second] = FakeCore::several(2).try_into().ok().unwrap();
    let start = FakeCore::physical_count();
    let mut run = move |limit| {
        let mut shared = vms[1].shared.lock();
        assert_eq!(vms[1].run(&mut shared, &mut first, limit, None), None);
    };
    run(None);
    second.patience = Patience::Alarm;
    second.script.push_back(Box::new(move |_| {
        run(Some(100));
        Trap {
            kind: crate::arch::vcpu::TrapKind::Irq,
            ..sync(0, 0)
        }
    }));
    // Then it computes until its alarm; and when it is stopped, the core sleeps.
    second.dreams.push_back(Box::new(|_| ()));
    let desk = Quiet::default();
    let mut scheduler = Scheduler::new(&mut second, vms, &desk);
    for _ in 0..2 {
        scheduler.schedule_once();
    }
    assert!(!vms[1].is_runnable(0));
    assert_eq!(FakeCore::physical_count(), start + 100);
}

#[test]
fn a_controller_that_is_interrupted_does_not_give_the_target_more_time() {
    let vms = vms([CONTROLLER, CONTROLLED].into(), |vm, _| vm);
    let mut it = core();
    let target = &vms[1];
    let start = FakeCore::physical_count();
    let mut run = |limit| {
        let mut shared = target.shared.lock();
        assert_eq!(target.run(&mut shared, &mut it, limit, None), None);
        target.limit()
    };
    assert_eq!(run(Some(100)), start + 100);
    set_count(start + 60);
    // As a controller does that RUN returned INTERRUPTED to.
    assert_eq!(run(Some(100)), start + 100);
    assert_eq!(run(None), start + 100);
    assert_eq!(run(Some(20)), start + 80, "an earlier one is one");
    let mut shared = target.shared.lock();
    target.stop(&mut shared, &mut it, None, None);
    assert_eq!(target.run(&mut shared, &mut it, Some(100), None), None);
    assert_eq!(target.limit(), start + 160, "it was stopped");
}

#[test]
fn a_controller_that_takes_its_target_back_takes_back_its_time() {
    let vms = vms([CONTROLLER, CONTROLLED].into(), |vm, _| vm);
    let mut it = core();
    it.script.push_back(Box::new(|registers| {
        Calls(CHECKPOINT_OF, [0; 3]).done(registers)
    }));
    it.script.push_back(Box::new(|registers| {
        // Another vCPU of the controller runs it.
        let mut shared = vms[1].shared.lock();
        assert_eq!(
            vms[1].run(&mut shared, &mut FakeCore::new(0), Some(100), None),
            None
        );
        registers.x[20] = registers.x[0];
        Calls(RESTORE_OF, [0, registers.x[0], 1]).done(registers)
    }));
    it.script.push_back(Box::new(|registers| {
        assert_eq!(registers.x[0], registers.x[20], "the id");
        assert!(vms[1].is_runnable(0) && vms[1].limit() == u64::MAX);
        END.done(registers)
    }));
    let desk = Quiet::default();
    Scheduler::new(&mut it, vms, &desk).schedule_once();
    assert!(it.script.is_empty());
}

#[test]
fn an_operators_pause_is_not_the_targets_time() {
    let vms = pair();
    let mut it = core();
    vms[0].stand_still(crate::vm::quiesce::PAUSED);
    vms[0].go_on(crate::vm::quiesce::PAUSED);
    let target = &vms[1];
    let mut shared = target.shared.lock();
    let start = FakeCore::physical_count();
    assert_eq!(target.run(&mut shared, &mut it, Some(100), None), None);
    assert_eq!(target.limit(), start + 100);
    set_count(start + 30);
    target.pause(&mut it);
    assert_eq!(target.limit(), u64::MAX);
    set_count(start + 1000);
    target.resume(&mut it);
    assert_eq!(target.limit(), start + 1070);
    // A new limit while it is paused begins when it goes on.
    target.pause(&mut it);
    assert_eq!(target.run(&mut shared, &mut it, Some(5), None), None);
    set_count(start + 2000);
    target.resume(&mut it);
    assert_eq!(target.limit(), start + 2005);
    // Stopped and paused: both must be over.
    target.pause(&mut it);
    target.stop(&mut shared, &mut it, None, None);
    target.resume(&mut it);
    assert!(!target.is_runnable(0));
    target.pause(&mut it);
    assert_eq!(target.run(&mut shared, &mut it, None, None), None);
    assert!(!target.is_runnable(0));
    target.resume(&mut it);
    assert!(target.is_runnable(0) && target.limit() == u64::MAX);
}

#[test]
fn time_stands_still_while_a_target_is_stopped_or_passes() {
    for time in [Time::Stops, Time::Passes] {
        let vms = vms(
            [CONTROLLER, VmConfig { time, ..CONTROLLED }].into(),
            |_, _| 0,
        );
        let mut it = core();
        let target = &vms[1];
        assert_eq!(target.virtual_count(), 0);
        set_count(FakeCore::physical_count() + 500);
        let mut shared = target.shared.lock();
        target.run(&mut shared, &mut it, None, None);
        let begin = if time == Time::Stops { 0 } else { 500 };
        assert_eq!(target.virtual_count(), begin);
        set_count(FakeCore::physical_count() + 10);
        target.stop(&mut shared, &mut it, None, None);
        set_count(FakeCore::physical_count() + 1000);
        target.run(&mut shared, &mut it, None, None);
        let passed = if time == Time::Stops { 10 } else { 1510 };
        assert_eq!(target.virtual_count(), passed);
    }
}

#[test]
fn a_pair_that_calls_back_and_forth_leaves_a_third_its_share() {
    let third = VmConfig {
        name: "third",
        ..PLAN
    };
    let vms = vms([CONTROLLER, CONTROLLED, third].into(), |_, _| 0);
    let mut it = core();
    let had = Arc::new(Mutex::new([0u64; 3]));
    let theirs = had.clone();
    let turns = Arc::new(Mutex::new(0));
    // Controller and target call each other each 1/64 of a slice; the third one computes until its alarm.
    it.program = Some(Box::new(move |registers| {
        let who = registers.x[20] as usize;
        let before = FakeCore::physical_count();
        let trap = match who {
            0 | 1 => {
                set_count(before + SLICE / 64);
                *turns.lock().unwrap() += 1;
                [RUN_IT, Calls(EVENT, [0; 3])][who].done(registers)
            }
            _ => Computes(SLICE / 64, Interrupt::Alarm).done(registers),
        };
        theirs.lock().unwrap()[who] += FakeCore::physical_count() - before;
        trap
    }));
    for (number, vm) in vms.iter().enumerate() {
        vm.vcpus[0].lock().registers.x[20] = number as u64;
    }
    let desk = Quiet::default();
    let mut scheduler = Scheduler::new(&mut it, vms, &desk);
    for _ in 0..60 {
        // The third one's alarm, when it is due.
        scheduler.core.interrupts.extend([Interrupt::Alarm; 400]);
        scheduler.schedule_once();
        scheduler.core.interrupts.clear();
    }
    let had = *had.lock().unwrap();
    let all: u64 = had.iter().sum();
    assert!(had[2] * 4 > all, "{had:?}");
    assert!((had[0] + had[1]) * 4 > all, "{had:?}");
}
