//! Resets, ends and restores of a controller and its target, and what of it is told.

use super::control::*;
use super::guest::*;
use super::scheduling::{Quiet, vms};
use super::smp::{CPU_OFF, SYSTEM_OFF, SYSTEM_RESET};
use crate::config::{OnReset, VmConfig};
use crate::fake::FakeCore;
use crate::monitor::{VmControl, VmState};
use crate::vm::Interrupt;
use crate::vm::operator::Controls;
use crate::vm::schedule::Scheduler;
use crate::vm::vcpu::RunState;
use std::boxed::Box;
use std::vec::Vec;

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
fn what_a_restore_took_back_is_not_told() {
    let vms = pair();
    let mut it = core();
    let id = {
        let steps = [Calls(CHECKPOINT_OF, [0; 3]), END];
        play(vms, &mut it, &steps)[1].1[0]
    };
    play_again(vms);
    let mut shared = vms[1].shared.lock();
    vms[1].run(&mut shared, &mut it, None, None);
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
        let desk = Quiet::default();
        let mut operator = Controls::of(vms, &mut other, &desk);
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
    let to_a_snapshot = OnReset::Restore { tries: 1 };
    let ends = [
        (SYSTEM_OFF, OnReset::Restart),
        (SYSTEM_RESET, OnReset::Restart),
        (SYSTEM_RESET, to_a_snapshot),
        (CPU_OFF, OnReset::Restart),
    ];
    // The target on the controller's core, which it does not get before; and on another one, where it runs meanwhile.
    let pins: [fn(usize, usize) -> usize; 2] = [|_, _| 0, |vm, _| vm];
    for (pin, (ends, on_reset)) in pins.iter().flat_map(|&pin| ends.map(|end| (pin, end))) {
        let controller = VmConfig {
            on_reset,
            ..CONTROLLER
        };
        let vms = vms([controller, CONTROLLED].into(), pin);
        let mut it = core();
        let mut shared = vms[1].shared.lock();
        vms[1].run(&mut shared, &mut it, None, None);
        drop(shared);
        assert!(vms[1].is_runnable(0));
        let mut scheduler_steps = 0;
        for step in [CHECKPOINT, ends] {
            it.script.push_back(Box::new(move |registers| {
                Calls(step, [0; 3]).done(registers)
            }));
        }
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
    vms[1].run(&mut shared, &mut it, None, None);
    drop(shared);
    let desk = Quiet::default();
    let mut operator = Controls::of(vms, &mut it, &desk);
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
        let desk = Quiet::default();
        let mut operator = Controls::of(vms, &mut other, &desk);
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
