//! A controller that waits in RUN, and what ends that: an interrupt, an event on another core, STOP.

use super::control::*;
use super::scheduling::{Quiet, vms};
use super::smp::{CPU_OFF, OPEN};
use crate::config::VmConfig;
use crate::fake::{FakeBoard, FakeCore};
use crate::vm::control::has_ended;
use crate::vm::schedule::Scheduler;
use crate::vm::vcpu::RunState;
use crate::vm::{Interrupt, Vm};
use std::boxed::Box;
use std::sync::{Arc, Mutex};
use std::vec::Vec;

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
    assert_eq!(vms[1].run(&mut shared, &mut it, None, None), None);
    drop(shared);
    play(vms, &mut it, &[Calls(STOP, [0; 3]), END]);
    let mut shared = vms[1].shared.lock();
    assert_eq!(vms[1].run(&mut shared, &mut it, None, None), None);
}

/// As it ends a WFI.
#[test]
fn an_serror_ends_run() {
    let vms = vms([CONTROLLER, CONTROLLED].into(), |vm, _| vm);
    let mut it = core();
    it.script
        .push_back(Box::new(|registers| RUN_IT.done(registers)));
    it.dreams.push_back(Box::new(|core| core.error = true));
    it.script.push_back(Box::new(|registers| {
        assert_eq!(registers.x[0], INTERRUPTED);
        END.done(registers)
    }));
    Scheduler::new(&mut it, vms, &Quiet::default()).schedule_once();
    assert!(it.script.is_empty());
    assert_eq!(it.system.serror, 1, "it is the guest's");
}
