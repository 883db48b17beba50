//! A VM that controls another one: what its calls do, on one core and on two.

use super::guest::*;
use super::interrupts::GICD;
use super::scheduling::{Quiet, vms};
use super::smp::{CPU_OFF, OPEN, SYSTEM_OFF, SYSTEM_RESET, WORD, sync};
use crate::arch::vcpu::{Registers, Trap};
use crate::config::{OnReset, Start, Time, VmConfig};
use crate::fake::abort::Abort;
use crate::fake::{FakeBoard, FakeCore, Patience, set_count};
use crate::hvc::ids;
use crate::monitor::{VmControl, VmState};
use crate::vm::budget::SLICE;
use crate::vm::control::has_ended;
use crate::vm::operator::Controls;
use crate::vm::schedule::Scheduler;
use crate::vm::vcpu::RunState;
use crate::vm::{Core, Interrupt, Vm};
use std::boxed::Box;
use std::sync::{Arc, Mutex};
use std::vec::Vec;

pub const EVENT: u64 = ids::EVENT.0 as u64;
pub const TARGET: u64 = ids::TARGET.0 as u64;
pub const RUN: u64 = ids::RUN.0 as u64;
pub const STOP: u64 = ids::STOP.0 as u64;
pub const CHECKPOINT_OF: u64 = ids::CHECKPOINT_OF.0 as u64;
pub const RESTORE_OF: u64 = ids::RESTORE_OF.0 as u64;
pub const DELETE_OF: u64 = ids::DELETE_OF.0 as u64;
pub const INFO_OF: u64 = ids::INFO_OF.0 as u64;
pub const NEXT_OF: u64 = ids::NEXT_OF.0 as u64;
pub const STATS_OF: u64 = ids::STATS_OF.0 as u64;

pub const DENIED: u64 = -6i64 as u64;

const RESET: u64 = 1;
const OFF: u64 = 2;
const LIMIT: u64 = 3;
const STOPPED: u64 = 4;
const INTERRUPTED: u64 = 5;

pub const CONTROLLER: VmConfig = VmConfig {
    name: "controller",
    controls: &[1],
    ..PLAN
};

pub const CONTROLLED: VmConfig = VmConfig {
    name: "target",
    controlled_by: Some(0),
    start: Start::Stopped,
    ..PLAN
};

/// The controller, number 0, and its target, number 1, both on core 0.
pub fn pair() -> &'static [Vm<FakeBoard>] {
    vms([CONTROLLER, CONTROLLED].into(), |_, _| 0)
}

/// What a guest does next.
#[derive(Clone, Copy, Debug)]
pub enum Does {
    /// `hvc #0`.
    Calls(u64, [u64; 3]),
    /// The same, with more arguments.
    Reaches(u64, [u64; 5]),
    /// RESTORE_OF, to the snapshot whose id was in x0 before that step.
    TakesBack(usize),
    /// WFI.
    Waits,
    /// It computes, and that many counts go by until an interrupt of the board.
    Computes(u64, Interrupt),
    /// It stores 32 bits to a device.
    Stores(u64, u64),
}

use Does::{Calls, Computes, Stores, TakesBack, Waits};

impl Does {
    fn done(self, registers: &mut Registers) -> Trap {
        match self {
            Calls(function, arguments) => {
                registers.x[0] = function;
                registers.x[1..4].copy_from_slice(&arguments);
                registers.pc += 4;
                sync(0x16, 0)
            }
            Does::Reaches(function, arguments) => {
                registers.x[0] = function;
                registers.x[1..6].copy_from_slice(&arguments);
                registers.pc += 4;
                sync(0x16, 0)
            }
            Waits => sync(0x01, 0),
            TakesBack(_) => panic!("it is made a call"),
            Computes(counts, _) => {
                set_count(FakeCore::physical_count() + counts);
                Trap {
                    kind: crate::arch::vcpu::TrapKind::Irq,
                    ..sync(0, 0)
                }
            }
            Stores(at, value) => {
                registers.x[9] = value;
                Abort {
                    access: Some(WORD),
                    ..Abort::store(at)
                }
                .trap()
            }
        }
    }
}

/// Who did each step, and what was in its x0 to x3 before.
pub type Played = Vec<(usize, [u64; 4])>;

/// One core, on which VMs do these things in this order, whoever is on. At the end somebody must have switched off.
pub fn play(vms: &[Vm<FakeBoard>], core: &mut FakeCore, steps: &[Does]) -> Played {
    let seen = Arc::new(Mutex::new(Vec::new()));
    for &step in steps {
        let seen = seen.clone();
        if let Computes(_, interrupt) = step {
            core.interrupts.push_back(interrupt);
        }
        core.script.push_back(Box::new(move |registers| {
            let x: [u64; 4] = registers.x[..4].try_into().unwrap();
            let mut seen = seen.lock().unwrap();
            seen.push(x);
            match step {
                TakesBack(at) => Calls(RESTORE_OF, [0, seen[at][0], 1]).done(registers),
                other => other.done(registers),
            }
        }));
    }
    core.ran.clear();
    let desk = Quiet::default();
    let mut scheduler = Scheduler::new(core, vms, &desk);
    let mut rounds = 0;
    while !scheduler.core.script.is_empty() {
        scheduler.schedule_once();
        rounds += 1;
        assert!(rounds < 100, "nobody goes on");
    }
    let who = std::mem::take(&mut core.ran).into_iter().map(|(vm, _)| vm);
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    who.zip(seen).collect()
}

pub fn core() -> FakeCore {
    let mut core = FakeCore::new(0);
    core.patience = Patience::Alarm;
    core
}

pub const RUN_IT: Does = Calls(RUN, [0, 0, 0]);
pub const END: Does = Calls(SYSTEM_OFF, [0; 3]);

#[test]
fn run_returns_what_the_target_says() {
    let vms = pair();
    let mut core = core();
    let steps = [
        RUN_IT,
        Calls(EVENT, [7, 8, 9]),
        RUN_IT,
        Calls(EVENT, [10, 11, 12]),
        END,
    ];
    let played = play(vms, &mut core, &steps);
    let who: Vec<_> = played.iter().map(|(vm, _)| *vm).collect();
    assert_eq!(who, [0, 1, 0, 1, 0]);
    assert_eq!(played[2].1, [0, 7, 8, 9]);
    assert_eq!(played[3].1, [0, 7, 8, 9], "x0 alone is EVENT's result");
    assert_eq!(played[4].1, [0, 10, 11, 12]);
    // Straight from one to the other: nobody set an alarm for it.
    assert!(core.slept.is_empty() && core.interrupts.is_empty() && core.kicked.is_empty());
}

#[test]
fn a_target_that_nobody_runs_does_not_run() {
    let vms = pair();
    let played = play(
        vms,
        &mut core(),
        &[Computes(3 * SLICE, Interrupt::Alarm), END],
    );
    assert!(played.iter().all(|(vm, _)| *vm == 0));
    assert!(!vms[1].is_runnable(0));
    assert!(has_ended(vms, &vms[1]), "and nobody is going to");
}

#[test]
fn who_controls_nobody_is_denied_and_who_has_no_controller_not_supported() {
    let vms = pair();
    let calls = [
        TARGET,
        RUN,
        STOP,
        CHECKPOINT_OF,
        RESTORE_OF,
        DELETE_OF,
        INFO_OF,
        NEXT_OF,
        STATS_OF,
    ];
    for function in calls {
        for place in [1, 2, 1 << 32, u64::MAX] {
            let steps = [Calls(function, [place, 0, 0]), END];
            let played = play(vms, &mut core(), &steps);
            assert_eq!(played[1], (0, [DENIED, place, 0, 0]));
            play_again(vms);
        }
        // The target controls nobody, either.
        let steps = [RUN_IT, Calls(function, [0; 3]), Calls(EVENT, [0; 3]), END];
        let played = play(vms, &mut core(), &steps);
        assert_eq!(played[2], (1, [DENIED, 0, 0, 0]));
        play_again(vms);
    }
    let played = play(vms, &mut core(), &[Calls(EVENT, [1, 2, 3]), END]);
    assert_eq!(played[1], (0, [NOT_SUPPORTED, 1, 2, 3]));
}

/// The operator resets both.
pub fn play_again(vms: &[Vm<FakeBoard>]) {
    let desk = Quiet::default();
    let mut core = core();
    let mut operator = Controls {
        vms,
        core: &mut core,
        console: &desk,
    };
    operator.reset(0).unwrap();
    operator.reset(1).unwrap();
}

#[test]
fn target_says_how_it_does() {
    let vms = vms(
        [
            CONTROLLER,
            VmConfig {
                vcpus: 3,
                ..CONTROLLED
            },
        ]
        .into(),
        |_, _| 0,
    );
    let ask = Calls(TARGET, [0; 3]);
    let steps = [ask, RUN_IT, Calls(EVENT, [0; 3]), RUN_IT, END, ask, END];
    let played = play(vms, &mut core(), &steps);
    assert_eq!(played[1].1, [0, 1, 3, RAM_SIZE / 4096]);
    assert_eq!(played[5].1[0], OFF);
    assert_eq!(played[6].1, [0, 0, 3, RAM_SIZE / 4096]);
}

#[test]
fn resets_and_the_end_are_told_and_the_reset_vm_begins_when_it_is_run() {
    for on_reset in [OnReset::Restart, OnReset::Restore { tries: 1 }] {
        let vms = vms(
            [
                CONTROLLER,
                VmConfig {
                    on_reset,
                    ..CONTROLLED
                },
            ]
            .into(),
            |_, _| 0,
        );
        let steps = [
            RUN_IT,
            Calls(CHECKPOINT, [0; 3]),
            Calls(SYSTEM_RESET, [0; 3]),
            RUN_IT,
            Calls(EVENT, [1, 0, 0]),
            RUN_IT,
            Calls(CPU_OFF, [0; 3]),
            RUN_IT,
            END,
        ];
        let played = play(vms, &mut core(), &steps);
        let who: Vec<_> = played.iter().map(|(vm, _)| *vm).collect();
        assert_eq!(who, [0, 1, 1, 0, 1, 0, 1, 0, 0]);
        assert_eq!(played[3].1[0], RESET);
        // As its image begins, x0 is its tree; or behind its CHECKPOINT, which returns again.
        let begins_anew = played[4].1[1] != 1;
        assert_eq!(begins_anew, on_reset == OnReset::Restart, "{played:x?}");
        assert_eq!((played[5].1[..2]), [0, 1]);
        assert_eq!((played[7].1[0], played[8].1[0]), (OFF, OFF));
    }
}

/// What a reset goes back to waits in WFI, and is told all the same.
#[test]
fn a_reset_into_a_wait_is_told() {
    let on_reset = OnReset::Restore { tries: 1 };
    let vms = vms(
        [
            CONTROLLER,
            VmConfig {
                on_reset,
                ..CONTROLLED
            },
        ]
        .into(),
        |_, _| 0,
    );
    let steps = [
        Calls(RUN, [0, 50_000, 0]),
        Calls(CHECKPOINT, [0; 3]),
        Waits,
        Calls(CHECKPOINT_OF, [0; 3]),
        TakesBack(2),
        RUN_IT,
        Calls(SYSTEM_RESET, [0; 3]),
        END,
    ];
    let played = play(vms, &mut core(), &steps);
    let who: Vec<_> = played.iter().map(|(vm, _)| *vm).collect();
    assert_eq!(who, [0, 1, 1, 0, 0, 0, 1, 0]);
    assert_eq!((played[3].1[0], played[7].1[0]), (LIMIT, RESET));
    assert_eq!(vms[1].vcpus[0].run_state(), RunState::Waiting);
}

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
        assert_eq!(vms[1].run(&mut shared, &mut first, limit), None);
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
fn an_operators_pause_is_not_the_targets_time() {
    let vms = pair();
    let mut it = core();
    vms[0].stand_still(crate::vm::quiesce::PAUSED);
    vms[0].go_on(crate::vm::quiesce::PAUSED);
    let target = &vms[1];
    let mut shared = target.shared.lock();
    let start = FakeCore::physical_count();
    assert_eq!(target.run(&mut shared, &mut it, Some(100)), None);
    assert_eq!(target.limit(), start + 100);
    set_count(start + 30);
    target.pause(&mut it);
    assert_eq!(target.limit(), u64::MAX);
    set_count(start + 1000);
    target.resume(&mut it);
    assert_eq!(target.limit(), start + 1070);
    // A new limit while it is paused begins when it goes on.
    target.pause(&mut it);
    assert_eq!(target.run(&mut shared, &mut it, Some(5)), None);
    set_count(start + 2000);
    target.resume(&mut it);
    assert_eq!(target.limit(), start + 2005);
    // Stopped and paused: both must be over.
    target.pause(&mut it);
    target.stop(&mut shared, &mut it, None, None);
    target.resume(&mut it);
    assert!(!target.is_runnable(0));
    target.pause(&mut it);
    assert_eq!(target.run(&mut shared, &mut it, None), None);
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
        target.run(&mut shared, &mut it, None);
        let begin = if time == Time::Stops { 0 } else { 500 };
        assert_eq!(target.virtual_count(), begin);
        set_count(FakeCore::physical_count() + 10);
        target.stop(&mut shared, &mut it, None, None);
        set_count(FakeCore::physical_count() + 1000);
        target.run(&mut shared, &mut it, None);
        let passed = if time == Time::Stops { 10 } else { 1510 };
        assert_eq!(target.virtual_count(), passed);
    }
}

/// The controller's timer, and all that signals it.
fn timer_on(vms: &[Vm<FakeBoard>]) {
    vms[0].vcpus[0].lock().interface = OPEN;
    let mut shared = vms[0].shared.lock();
    shared.gic.write(0, 0x100, 4, 1 << 27);
    shared.gic.write(0, 0, 4, 1);
}

#[test]
fn an_interrupt_of_the_caller_ends_run_and_the_target_goes_on() {
    let vms = pair();
    timer_on(vms);
    let mut it = core();
    // Due while the target runs; the controller is loaded as soon as it may, and its timer is up.
    vms[0].vcpus[0].lock().system.timer_deadline = 1000;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let theirs = seen.clone();
    it.script
        .push_back(Box::new(|registers| RUN_IT.done(registers)));
    it.script.push_back(Box::new(move |registers| {
        theirs.lock().unwrap().push((registers.x[0], registers.pc));
        END.done(registers)
    }));
    it.ran.clear();
    // The script's second step is the target's, if nothing interrupts it: here its core is taken before.
    it.system.timer_line = 0;
    let desk = Quiet::default();
    let pc = vms[0].vcpus[0].lock().registers.pc;
    {
        // As an interrupt that is pending already: RUN starts the target and returns.
        let sgi = vms[0].shared.lock().gic.write(0, 0xf00, 4, 2 << 24 | 3);
        assert_eq!(sgi, 1);
        vms[0].vcpus[0].request();
        Scheduler::new(&mut it, vms, &desk).schedule_once();
    }
    assert_eq!(*seen.lock().unwrap(), [(INTERRUPTED, pc + 4)]);
    assert_eq!(it.ran, [(0, 0), (0, 0)]);
    assert!(has_ended(vms, &vms[0]));
    // It ended, and with it its target's time.
    assert!(!vms[1].is_runnable(0));
}

#[test]
fn one_that_waits_in_run_is_woken_by_an_interrupt_and_returns() {
    let vms = vms([CONTROLLER, CONTROLLED].into(), |vm, _| vm);
    timer_on(vms);
    let mut it = core();
    let pc = vms[0].vcpus[0].lock().registers.pc;
    it.script
        .push_back(Box::new(|registers| RUN_IT.done(registers)));
    it.dreams.push_back(Box::new(move |core| {
        assert!(vms[1].is_runnable(0), "on its own core");
        let vcpu = &vms[0].vcpus[0];
        assert!(vcpu.awaits(1) && vcpu.is_waiting());
        core.system.timer_line = 1;
        core.interrupts.push_back(Interrupt::VirtualTimer);
    }));
    it.script.push_back(Box::new(move |registers| {
        assert_eq!((registers.x[0], registers.pc), (INTERRUPTED, pc + 4));
        assert!(!vms[0].vcpus[0].awaits(1));
        Calls(STOP, [0; 3]).done(registers)
    }));
    it.script.push_back(Box::new(move |registers| {
        assert_eq!(registers.x[0], 0);
        assert!(!vms[1].is_runnable(0));
        END.done(registers)
    }));
    Scheduler::new(&mut it, vms, &Quiet::default()).schedule_once();
    assert!(it.script.is_empty());
    assert_eq!(
        it.kicked,
        [1],
        "RUN; the other core has nothing loaded when STOP comes"
    );
}

#[test]
fn an_event_on_another_core_kicks_the_controllers() {
    let vms = vms([CONTROLLER, CONTROLLED].into(), |vm, _| vm);
    let [mut first, mut second] = FakeCore::several(2).try_into().ok().unwrap();
    first
        .script
        .push_back(Box::new(|registers| RUN_IT.done(registers)));
    let desk = Quiet::default();
    let other = Arc::new(Mutex::new(Some(move || {
        second.script.push_back(Box::new(|registers| {
            Calls(EVENT, [5, 6, 7]).done(registers)
        }));
        let desk = Quiet::default();
        Scheduler::new(&mut second, vms, &desk).schedule_once();
        second.kicked.clone()
    })));
    first.dreams.push_back(Box::new(move |_| {
        let mut run = other.lock().unwrap().take().unwrap();
        assert_eq!(run(), [0]);
    }));
    first.script.push_back(Box::new(|registers| {
        assert_eq!(registers.x[..4], [0, 5, 6, 7]);
        END.done(registers)
    }));
    Scheduler::new(&mut first, vms, &desk).schedule_once();
    assert!(first.script.is_empty() && vms[0].is_off());
}

#[test]
fn stop_ends_the_run_of_another_vcpu() {
    let controller = VmConfig {
        vcpus: 2,
        ..CONTROLLER
    };
    let vms = vms([controller, CONTROLLED].into(), |vm, _| vm);
    super::scheduling::turn_on(&vms[0]);
    let mut it = core();
    let mut steps = Vec::new();
    // vCPU 0 waits, vCPU 1 stops what it waits for.
    steps.extend([RUN_IT, Calls(STOP, [0; 3]), Calls(CPU_OFF, [0; 3]), END]);
    let played = play(vms, &mut it, &steps);
    assert_eq!(played[2].1[0], 0);
    assert_eq!(played[3].1[0], STOPPED);
    // Nobody waited: there is nothing to be told.
    play_again(vms);
    vms[0].vcpus[1].set_run_state(RunState::Off);
    let mut shared = vms[1].shared.lock();
    assert_eq!(vms[1].run(&mut shared, &mut it, None), None);
    drop(shared);
    play(vms, &mut it, &[Calls(STOP, [0; 3]), END]);
    let mut shared = vms[1].shared.lock();
    assert_eq!(vms[1].run(&mut shared, &mut it, None), None);
}

#[test]
fn a_controller_does_to_its_target_what_that_could_do_itself() {
    let vms = pair();
    let steps = [
        RUN_IT,
        Calls(EVENT, [1, 0, 0]),
        Calls(CHECKPOINT_OF, [0; 3]),
        RUN_IT,
        // It takes one itself, too.
        Calls(CHECKPOINT, [0; 3]),
        Calls(EVENT, [2, 0, 0]),
        Calls(NEXT_OF, [0, 0, 0]),
        Calls(STATS_OF, [0; 3]),
        // To the latest, its own: it returns there with the value.
        Calls(RESTORE_OF, [0, LATEST, 77]),
        RUN_IT,
        Calls(EVENT, [3, 0, 0]),
        END,
    ];
    let played = play(vms, &mut core(), &steps);
    let id = played[3].1[0];
    let own = played[5].1[0];
    assert_eq!((own, played[5].1[1]), (id + 1, 0));
    assert_eq!(played[6].1[..2], [0, 2]);
    assert_eq!(played[7].1[0], id, "the first from 0 on");
    assert_eq!(played[8].1[0], 2);
    assert_eq!(played[9].1[0], own);
    assert_eq!(played[10], (1, [own, 77, 0, 0]));
    assert_eq!(played[11].1[..2], [0, 3]);
    play_again(vms);
    // Back to the controller's: behind the EVENT, whose x0 is 0.
    let steps = [
        Calls(RESTORE_OF, [0, id, 5]),
        RUN_IT,
        Calls(EVENT, [4, 0, 0]),
        Calls(DELETE_OF, [0, id, 0]),
        Calls(RESTORE_OF, [0, id, 5]),
        Calls(INFO_OF, [0, id, 0]),
        Calls(INFO_OF, [0, own, 0]),
        END,
    ];
    let played = play(vms, &mut core(), &steps);
    assert_eq!(played[1].1[0], id);
    assert_eq!(played[2], (1, [0, 1, 0, 0]));
    assert_eq!((played[4].1[0], played[5].1[0]), (0, NOT_FOUND));
    assert_eq!(played[6].1[0], NOT_FOUND);
    assert_eq!(played[7].1[..2], [0, id], "its parent, though that is gone");
}

#[test]
fn what_a_restore_took_back_is_not_told() {
    let vms = pair();
    let mut it = core();
    let id = {
        let steps = [Calls(CHECKPOINT_OF, [0; 3]), END];
        play(vms, &mut it, &steps)[1].1[0]
    };
    play_again(vms);
    let mut shared = vms[1].shared.lock();
    vms[1].run(&mut shared, &mut it, None);
    let event = Some(crate::vm::target::Reason::Event([9, 9, 9]));
    vms[1].stop(&mut shared, &mut it, None, event);
    drop(shared);
    let steps = [
        Calls(RESTORE_OF, [0, id, 0]),
        RUN_IT,
        Calls(EVENT, [1, 0, 0]),
        END,
    ];
    let played = play(vms, &mut it, &steps);
    assert_eq!(played.last().unwrap().1[..2], [0, 1], "and no 9");
}

#[test]
fn a_snapshot_of_a_controller_in_the_midst_of_run_is_one_that_is_about_to_call_it() {
    let vms = pair();
    let mut it = core();
    let desk = Quiet::default();
    it.script
        .push_back(Box::new(|registers| RUN_IT.done(registers)));
    let pc = vms[0].vcpus[0].lock().registers.pc;
    // The target runs, and the operator takes a snapshot of the controller, and goes back to it.
    it.script.push_back(Box::new(move |registers| {
        let mut other = FakeCore::new(1);
        let mut operator = Controls {
            vms,
            core: &mut other,
            console: &Quiet::default(),
        };
        let vcpu = &vms[0].vcpus[0];
        assert!(vcpu.is_waiting() && vcpu.awaits(1));
        assert_eq!(vcpu.lock().registers.pc, pc);
        let id = operator.checkpoint(0).unwrap();
        assert!(vcpu.is_waiting() && vcpu.awaits(1), "nothing of it changed");
        operator.restore(0, crate::snapshot::Which::Id(id)).unwrap();
        assert_eq!(vcpu.run_state(), RunState::Ready);
        assert!(!vcpu.awaits(1) && !vcpu.lock().in_run);
        assert_eq!(vcpu.lock().registers.pc, pc, "on its call");
        Calls(EVENT, [1, 2, 3]).done(registers)
    }));
    // It calls RUN again, as what it runs has it.
    it.script.push_back(Box::new(move |registers| {
        assert_eq!((registers.pc, registers.x[0]), (pc, RUN));
        RUN_IT.done(registers)
    }));
    it.script.push_back(Box::new(|registers| {
        assert_eq!(registers.x[..4], [0, 1, 2, 3]);
        END.done(registers)
    }));
    let mut scheduler = Scheduler::new(&mut it, vms, &desk);
    while !scheduler.core.script.is_empty() {
        scheduler.schedule_once();
    }
    assert_eq!(it.ran, [(0, 0), (1, 0), (0, 0), (0, 0)]);
}

#[test]
fn targets_stop_when_their_controller_ends_or_is_reset() {
    for ends in [SYSTEM_OFF, SYSTEM_RESET, CPU_OFF] {
        let vms = pair();
        let mut it = core();
        let mut shared = vms[1].shared.lock();
        vms[1].run(&mut shared, &mut it, None);
        drop(shared);
        assert!(vms[1].is_runnable(0));
        let mut scheduler_steps = 0;
        it.script.push_back(Box::new(move |registers| {
            Calls(ends, [0; 3]).done(registers)
        }));
        let desk = Quiet::default();
        let mut scheduler = Scheduler::new(&mut it, vms, &desk);
        while !scheduler.core.script.is_empty() {
            scheduler.schedule_once();
            scheduler_steps += 1;
            assert!(scheduler_steps < 10);
        }
        assert!(!vms[1].is_runnable(0), "{ends:x}");
        assert!(!vms[1].is_off());
    }
    // By the operator.
    let vms = pair();
    let mut it = core();
    let mut shared = vms[1].shared.lock();
    vms[1].run(&mut shared, &mut it, None);
    drop(shared);
    let desk = Quiet::default();
    let mut operator = Controls {
        vms,
        core: &mut it,
        console: &desk,
    };
    assert_eq!(operator.status(1).state, VmState::Running);
    operator.reset(0).unwrap();
    assert_eq!(operator.status(1).state, VmState::Stopped);
}

#[test]
fn the_operators_reset_of_a_target_is_told() {
    let vms = vms([CONTROLLER, CONTROLLED].into(), |vm, _| vm);
    let mut it = core();
    it.script
        .push_back(Box::new(|registers| RUN_IT.done(registers)));
    it.dreams.push_back(Box::new(move |core| {
        let mut other = FakeCore::new(2);
        let mut operator = Controls {
            vms,
            core: &mut other,
            console: &Quiet::default(),
        };
        operator.reset(1).unwrap();
        assert!(other.kicked.contains(&0));
        core.interrupts.push_back(Interrupt::Kick);
    }));
    it.script.push_back(Box::new(|registers| {
        assert_eq!(registers.x[0], RESET);
        END.done(registers)
    }));
    Scheduler::new(&mut it, vms, &Quiet::default()).schedule_once();
    assert!(it.script.is_empty());
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

#[test]
fn a_store_to_the_gic_needs_no_controller() {
    // What a target does besides is its own business.
    let vms = pair();
    let steps = [RUN_IT, Stores(GICD, 1), Calls(EVENT, [1, 1, 1]), END];
    let played = play(vms, &mut core(), &steps);
    assert_eq!(played.iter().map(|p| p.0).collect::<Vec<_>>(), [0, 1, 1, 0]);
}
