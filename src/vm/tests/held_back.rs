//! Timers that fired, and whose interrupts something holds back: they end no wait, and have no core load a vCPU for nothing.

use super::interrupts::{GICD, enabled};
use super::smp::*;
use crate::fake::{FakeCore, set_count};
use crate::trap::sysreg::TimerRegister::{Compare, Control};
use crate::vm::clock::NEVER;
use crate::vm::vcpu::RunState::{Ready, Waiting};
use crate::vm::{Core, ExitAction, Interrupt};

/// The distributor lets nothing through.
fn hold_back(smp: &mut Smp) {
    smp.store(0, GICD, 0);
}

/// Both timers of vCPU 1 are about to fire.
fn set_timers(smp: &mut Smp) {
    let now = smp.vm.virtual_count();
    smp.set_timer(1, Compare, now + 100);
    smp.set_timer(1, Control, 1);
    smp.cores[1].system.timer_deadline = now + 200;
}

fn fire(smp: &mut Smp) {
    set_count(FakeCore::physical_count() + 300);
    smp.cores[1].system.timer_line = 1;
}

/// vCPU 1 waits, put, and its timers, which fired before or after that, are in vain.
fn waiting(fired_before: bool) -> Smp {
    let mut smp = enabled(2);
    hold_back(&mut smp);
    set_timers(&mut smp);
    if fired_before {
        fire(&mut smp);
    }
    assert_eq!(smp.wfi(1), ExitAction::Wait);
    smp.save(1);
    if !fired_before {
        assert_ne!(smp.vm.deadline_of(1), NEVER);
        set_count(FakeCore::physical_count() + 300);
        smp.vm.vcpus[1].lock().system.timer_line = 1;
        assert!(smp.vm.is_runnable(1), "its core is to see what fired");
        assert!(smp.load(1));
        let (vcpu, core) = smp.on(1);
        assert_eq!(vcpu.run(&[], core), ExitAction::Wait);
        assert!(core.timer_active, "the hardware does not signal it again");
        smp.save(1);
    }
    smp
}

#[test]
fn a_timer_that_is_held_back_has_no_deadline() {
    for fired_before in [true, false] {
        let smp = waiting(fired_before);
        assert_eq!(smp.phases()[1], Waiting);
        assert_eq!(smp.vm.deadline_of(1), NEVER);
        assert!(!smp.vm.is_runnable(1));
    }
}

#[test]
fn who_lets_it_through_has_the_vcpu_look() {
    for fired_before in [true, false] {
        let mut smp = waiting(fired_before);
        smp.store(0, GICD, 1);
        assert!(smp.vm.is_runnable(1));
        assert!(smp.load(1));
        assert_eq!(smp.phases()[1], Ready);
        assert_eq!(smp.listed(1)[0], [27, 30]);
    }
}

/// What is in list registers, and the CPU interface holds back, is known too.
#[test]
fn one_that_the_cpu_interface_holds_back_has_no_deadline() {
    let mut smp = enabled(2);
    smp.cores[1].interface = [0; 2];
    set_timers(&mut smp);
    fire(&mut smp);
    smp.irq(1, Interrupt::VirtualTimer);
    assert_eq!(smp.wfi(1), ExitAction::Wait);
    assert_eq!(smp.listed(1)[0], [27, 30]);
    smp.save(1);
    assert_eq!(smp.vm.deadline_of(1), NEVER);
}
