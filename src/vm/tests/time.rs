//! Virtual time: what a restore, a pause and a reset do to it, and when timers fire.

use super::guest::*;
use super::smp::*;
use crate::config::{Time, VmConfig};
use crate::fake::{FakeCore, set_count};
use crate::trap::sysreg::TimerRegister::{Compare, Control, Count};
use crate::vm::clock::NEVER;
use crate::vm::vcpu::RunState;
use crate::vm::{Core, ExitAction, Interrupt};

fn later(counts: u64) {
    set_count(FakeCore::physical_count() + counts);
}

#[test]
fn time_stops_or_passes_over_a_restore() {
    for (time, expected) in [(Time::Stops, 1000), (Time::Passes, 6000)] {
        let plan = VmConfig {
            time,
            vcpus: 2,
            ..PLAN
        };
        let mut smp = Smp::with(plan);
        later(1000);
        let id = smp.ask(0, CHECKPOINT, &[]);
        later(5000);
        assert_eq!(smp.timer(0, Count), 6000);
        assert_eq!(smp.call(0, RESTORE, &[id, 1]), ExitAction::Resume);
        assert_eq!(smp.timer(0, Count), expected, "{time:?}");
        let offset = FakeCore::physical_count() - expected;
        assert_eq!(
            smp.cores[0].offsets.last(),
            Some(&offset),
            "the core's own, too"
        );
        later(10);
        assert_eq!(smp.timer(0, Count), expected + 10);
    }
}

#[test]
fn all_vcpus_have_one_time() {
    let mut smp = Smp::all_on(3);
    later(500);
    assert!(smp.load(2));
    let id = smp.ask(2, CHECKPOINT, &[]);
    later(5000);
    assert_eq!(smp.call(2, RESTORE, &[id, 1]), ExitAction::Resume);
    assert!(smp.load(0) && smp.load(1));
    let offsets = smp.cores.iter().map(|core| *core.offsets.last().unwrap());
    assert!(
        offsets
            .into_iter()
            .all(|offset| offset == FakeCore::physical_count() - 500)
    );
    assert_eq!([0, 1, 2].map(|vcpu| smp.timer(vcpu, Count)), [500; 3]);
}

#[test]
fn a_vcpu_that_waits_is_loaded_when_its_timer_fires() {
    let mut smp = Smp::all_on(2);
    assert!(smp.load(0) && smp.load(1));
    let (count, now) = (FakeCore::physical_count(), smp.vm.virtual_count());
    assert_eq!(smp.vm.deadline_of(1), NEVER, "it runs");
    // The physical timer in 700, the virtual one in 500.
    smp.set_timer(1, Compare, now + 700);
    smp.set_timer(1, Control, 1);
    smp.cores[1].system.timer_deadline = now + 500;
    assert_eq!(smp.wfi(1), ExitAction::Wait);
    smp.save(1);
    assert_eq!(smp.vm.deadline_of(1), count + 500);
    later(499);
    assert!(!smp.vm.is_runnable(1));
    later(1);
    assert!(smp.vm.is_runnable(1));

    // The virtual one is off now.
    assert!(smp.load(1));
    smp.cores[1].system.timer_deadline = 0;
    smp.save(1);
    assert_eq!(smp.vm.deadline_of(1), count + 700);
    // A restore takes them along.
    let id = smp.ask(0, CHECKPOINT, &[]);
    later(10_000);
    assert!(smp.vm.is_runnable(1));
    assert_eq!(smp.call(0, RESTORE, &[id, 1]), ExitAction::Resume);
    assert_eq!(smp.vm.deadline_of(1), FakeCore::physical_count() + 200);
    assert!(!smp.vm.is_runnable(1));
    smp.vm.gate.close(crate::vm::quiesce::PAUSED);
    assert_eq!(smp.vm.deadline_of(1), NEVER);
}

#[test]
fn a_timer_that_can_never_fire_has_no_deadline() {
    let mut smp = Smp::all_on(2);
    assert!(smp.load(1));
    smp.set_timer(1, Compare, u64::MAX);
    smp.set_timer(1, Control, 1);
    smp.cores[1].system.timer_deadline = u64::MAX - 1;
    assert_eq!(smp.wfi(1), ExitAction::Wait);
    smp.save(1);
    assert_eq!(smp.vm.deadline_of(1), NEVER);
}

#[test]
fn the_alarm_of_the_one_that_restores_is_for_the_timer_that_it_has_then() {
    let mut smp = Smp::new(1);
    let now = smp.vm.virtual_count();
    smp.set_timer(0, Compare, now + 300);
    smp.set_timer(0, Control, 1);
    let id = smp.ask(0, CHECKPOINT, &[]);
    smp.set_timer(0, Control, 0);
    later(1000);
    smp.irq(0, Interrupt::Alarm);
    assert_eq!(smp.cores[0].alarm, u64::MAX);
    assert_eq!(smp.call(0, RESTORE, &[id, 1]), ExitAction::Resume);
    assert_eq!(smp.cores[0].alarm, FakeCore::physical_count() + 300);
}

#[test]
fn a_reset_begins_at_0_and_turns_timers_off() {
    let mut smp = Smp::new(1);
    later(1000);
    smp.set_timer(0, Compare, 5000);
    smp.set_timer(0, Control, 1);
    smp.cores[0].alarm = u64::MAX;
    assert_eq!(smp.call(0, SYSTEM_RESET, &[]), ExitAction::Resume);
    assert_eq!(smp.timer(0, Count), 0);
    assert_eq!((smp.timer(0, Compare), smp.timer(0, Control)), (0, 0));
    assert_eq!(smp.cores[0].alarm, u64::MAX);
    smp.save(0);
    assert_eq!(smp.saved(0).run_state, RunState::Ready);
}
