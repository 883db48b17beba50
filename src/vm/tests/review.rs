//! What changes without a trap is looked at: a timer's line, a CPU interface; and GICC_DIR, which traps.

use super::interrupts::*;
use super::smp::*;
use crate::device::DEACTIVATION_BASE;
use crate::fake::{FakeCore, set_count};
use crate::vm::vcpu::RunState::{Ready, Waiting};
use crate::vm::{Core, ExitAction, Interrupt};
use std::boxed::Box;
use std::vec::Vec;

/// GICH_VMCR: as [`OPEN`], with EOImode 1; with all priorities masked.
const SPLIT: u32 = OPEN[0] | 1 << 9;
const MASKED: u32 = 3;

/// The vCPU runs, makes one trap that changes nothing, and then waits for an event.
fn runs_past_a_trap(smp: &mut Smp, vcpu: usize) {
    let (running, core) = smp.on(vcpu);
    // HVC of a function that is not there; WFE.
    core.script.push_back(Box::new(|registers| {
        registers.x[0] = 0x8400_00ff;
        sync(0x16, 0)
    }));
    core.script.push_back(Box::new(|_| sync(0x01, 1)));
    assert_eq!(running.run(&[], core), ExitAction::Yield);
}

fn timer_fires(smp: &mut Smp) {
    smp.cores[0].system.timer_line = 1;
    assert_eq!(smp.irq(0, Interrupt::VirtualTimer), ExitAction::Review);
    assert_eq!(smp.listed(0)[0], [27]);
}

/// The guest switches the timer off, without a trap; that is noticed in time, counted from `start`.
fn falls_and_is_noticed(smp: &mut Smp, start: u64) {
    smp.cores[0].system.timer_line = 0;
    let alarm = smp.cores[0].next_alarm();
    assert!(alarm > start && alarm - start <= 1 << 16, "at most 1 ms");
    set_count(alarm);
    smp.irq(0, Interrupt::Alarm);
    assert_eq!(smp.listed(0), [[], []]);
}

#[test]
fn a_timer_that_falls_is_noticed_at_the_next_trap() {
    let mut smp = enabled(1);
    timer_fires(&mut smp);
    runs_past_a_trap(&mut smp, 0);
    assert_eq!(smp.listed(0)[0], [27], "its line is still up");
    smp.cores[0].system.timer_line = 0;
    runs_past_a_trap(&mut smp, 0);
    assert_eq!(smp.listed(0), [[], []]);
    assert!(!smp.cores[0].timer_active, "it can come again");
    // And is not looked at any more.
    let (running, core) = smp.on(0);
    assert_eq!(running.review(core), ExitAction::Resume);
    core.script.push_back(Box::new(|_| sync(0x01, 1)));
    assert_eq!(running.run(&[], core), ExitAction::Yield);
    timer_fires(&mut smp);
}

#[test]
fn a_timer_that_falls_is_noticed_without_a_trap_before_long() {
    let mut smp = enabled(1);
    let start = FakeCore::physical_count();
    timer_fires(&mut smp);
    falls_and_is_noticed(&mut smp, start);
    assert_eq!(smp.cores[0].next_alarm(), u64::MAX);
}

#[test]
fn a_vcpu_that_a_timer_woke_is_looked_at_before_long() {
    let mut smp = enabled(1);
    assert_eq!(smp.wfi(0), ExitAction::Wait);
    let start = FakeCore::physical_count();
    timer_fires(&mut smp);
    assert_eq!(smp.phases(), [Ready]);
    // With its interrupts masked, it switches the timer off.
    falls_and_is_noticed(&mut smp, start);
}

#[test]
fn a_wait_behind_a_timer_is_not_interrupted_for_a_review() {
    let mut smp = enabled(1);
    timer_fires(&mut smp);
    assert_ne!(smp.cores[0].next_alarm(), u64::MAX);
    // The guest takes the interrupt, sets the timer anew, ends the interrupt and waits for the next.
    smp.cores[0].system.timer_line = 0;
    guest_changes(&mut smp.cores[0], 27, |list| list & !PENDING & !ACTIVE);
    assert_eq!(smp.wfi(0), ExitAction::Wait);
    assert_eq!(smp.cores[0].next_alarm(), u64::MAX);
}

#[test]
fn looks_in_vain_grow_rarer() {
    let mut smp = enabled(1);
    let start = FakeCore::physical_count();
    timer_fires(&mut smp);
    let mut looks = Vec::new();
    while FakeCore::physical_count() < start + (1 << 24) {
        let alarm = smp.cores[0].next_alarm();
        looks.push(alarm - FakeCore::physical_count());
        set_count(alarm);
        smp.irq(0, Interrupt::Alarm);
        assert_eq!(smp.listed(0)[0], [27], "the guest leaves it waiting");
    }
    assert!(looks.is_sorted() && looks[0] <= 1 << 16, "{looks:?}");
    assert_eq!(looks.last(), Some(&(1 << 20)), "17 ms, and no more");
    // The guest turns it off without a trap at last.
    smp.cores[0].system.timer_line = 0;
    set_count(smp.cores[0].next_alarm());
    smp.irq(0, Interrupt::Alarm);
    assert_eq!(smp.listed(0), [[], []]);
}

#[test]
fn a_wait_does_not_end_by_what_is_not_signalled() {
    let mut smp = enabled(2);
    timer_fires(&mut smp);
    smp.cores[0].system.timer_line = 0;
    assert_eq!(smp.wfi(0), ExitAction::Wait, "the timer's line fell");
    // Masked by its CPU interface, which cannot change while it waits.
    smp.cores[1].interface[0] = MASKED;
    sgi(&mut smp, 0, 1, 3);
    assert_eq!(smp.wfi(1), ExitAction::Wait);
    smp.take_irq(1);
    assert_eq!(smp.phases()[1], Waiting);
    smp.save(1);
    assert!(!smp.vm.is_runnable(1));
}

/// The UART's SPI, for both vCPUs.
fn for_both() -> Smp {
    let mut smp = enabled(2);
    smp.store(0, ITARGETSR + 32, 0x0303_0303);
    smp
}

#[test]
fn an_spi_goes_to_the_target_that_takes_it() {
    let mut smp = for_both();
    smp.cores[0].interface[0] = MASKED;
    smp.store(0, ISPENDR + 4, UART_BIT);
    assert_eq!(smp.listed(0), [[], []]);
    smp.take_irq(1);
    assert_eq!(smp.listed(1)[0], [33]);
    // That one masks it, too, and traps; the first takes it.
    smp.cores[1].interface[0] = MASKED;
    smp.cores[0].interface = OPEN;
    runs_past_a_trap(&mut smp, 1);
    assert_eq!(smp.listed(1), [[], []]);
    smp.take_irq(0);
    assert_eq!(smp.listed(0)[0], [33]);
    // It is taken off its core.
    smp.cores[1].interface = OPEN;
    smp.save(0);
    smp.take_irq(1);
    assert_eq!(smp.listed(1)[0], [33]);
    // It goes off.
    assert!(smp.load(0));
    assert_eq!(smp.call(1, CPU_OFF, &[]), ExitAction::Put);
    smp.take_irq(0);
    assert_eq!(smp.listed(0)[0], [33]);
}

#[test]
fn an_spi_moves_without_a_trap_before_long() {
    let mut smp = for_both();
    smp.store(0, ISPENDR + 4, UART_BIT);
    assert_eq!(smp.listed(0)[0], [33]);
    // vCPU 0 does not acknowledge it, and does not trap.
    let tick = |smp: &mut Smp, vcpu: usize| {
        set_count(smp.cores[vcpu].next_alarm());
        smp.irq(vcpu, Interrupt::Alarm);
    };
    tick(&mut smp, 0);
    assert_eq!(
        smp.listed(0)[0],
        [33],
        "what the other would do is not known"
    );
    smp.take_irq(1);
    tick(&mut smp, 0);
    assert_eq!(smp.listed(0), [[], []]);
    smp.take_irq(1);
    assert_eq!(smp.listed(1)[0], [33]);
}

#[test]
fn deactivation_is_of_the_interrupt_that_is_named() {
    let mut smp = enabled(1);
    let dir = DEACTIVATION_BASE.0;
    smp.cores[0].interface[0] = SPLIT;
    for intid in [1, 2] {
        sgi(&mut smp, 0, 0, intid);
        guest_changes(&mut smp.cores[0], intid as u32, |list| {
            list & !PENDING | ACTIVE
        });
    }
    timer_fires(&mut smp);
    guest_changes(&mut smp.cores[0], 27, |list| list & !PENDING | ACTIVE);
    // Nobody's, another sender's, and none that there is.
    for value in [3, 1 << 10 | 1, 1023, 64] {
        smp.store(0, dir, value);
        assert_eq!(smp.listed(0)[1], [1, 2, 27]);
    }
    smp.store(0, dir + 4, 1);
    assert_eq!(smp.load_from(0, dir), 0);
    smp.store(0, dir, 1);
    assert_eq!(smp.listed(0)[1], [2, 27]);
    smp.store(0, dir, 27);
    assert_eq!(smp.listed(0)[1], [2]);
    assert!(!smp.cores[0].timer_active, "nor is the physical one active");
    smp.cores[0].interface = OPEN;
    smp.store(0, dir, 2);
    assert_eq!(smp.listed(0)[1], [2], "with EOImode 0 it does nothing");
}

#[test]
fn an_spi_that_was_left_waiting_is_taken_when_it_comes_again() {
    let mut smp = for_both();
    let tick = |smp: &mut Smp| {
        set_count(smp.cores[0].next_alarm());
        smp.irq(0, Interrupt::Alarm);
    };
    smp.store(0, ISPENDR + 4, UART_BIT);
    tick(&mut smp);
    smp.take_irq(1);
    tick(&mut smp);
    smp.take_irq(1);
    assert_eq!(smp.listed(1)[0], [33], "vCPU 0 left it waiting");
    guest_changes(&mut smp.cores[1], 33, |list| list & !PENDING | ACTIVE);
    runs_past_a_trap(&mut smp, 0);
    guest_changes(&mut smp.cores[1], 33, |_| 0);
    smp.save(1);
    smp.store(0, ISPENDR + 4, UART_BIT);
    assert_eq!(smp.listed(0)[0], [33]);
}

/// The guest ends it without a trap, after the last look. Only when its vCPU is put is that seen.
#[test]
fn an_spi_that_ended_is_given_back_when_its_vcpu_is_put() {
    for up in [false, true] {
        let mut smp = for_both();
        let set_line = |smp: &Smp, up| smp.vm.shared.lock().gic.set_line(33, 0, up);
        assert_eq!(set_line(&smp, true), 0b11);
        smp.irq(0, Interrupt::Maintenance);
        assert_eq!(smp.listed(0)[0], [33]);
        guest_changes(&mut smp.cores[0], 33, |list| list & !PENDING | ACTIVE);
        runs_past_a_trap(&mut smp, 0);
        let (running, core) = smp.on(0);
        assert_eq!(running.review(core), ExitAction::Resume, "no more looks");
        if !up {
            assert_eq!(set_line(&smp, false), 0b01);
        }
        guest_changes(&mut smp.cores[0], 33, |list| list & !ACTIVE);
        // Before the maintenance interrupt, if it asks for one.
        assert_eq!(smp.wfi(0), ExitAction::Wait);
        smp.cores[0].kicked.clear();
        smp.save(0);
        assert_eq!(smp.vm.is_runnable(0), up, "it waits for both");
        assert_eq!(smp.cores[0].kicked, [1][..usize::from(up)]);
        if !up {
            assert_eq!(set_line(&smp, true), 0b11);
        }
    }
}

#[test]
fn a_timer_that_is_active_does_not_end_a_wait() {
    let mut smp = enabled(1);
    smp.cores[0].interface[0] = SPLIT;
    timer_fires(&mut smp);
    // Its priority is dropped, and its line still up.
    guest_changes(&mut smp.cores[0], 27, |list| list & !PENDING | ACTIVE);
    assert_eq!(smp.wfi(0), ExitAction::Wait);
}

#[test]
fn a_vcpu_that_is_off_leaves_its_core_while_another_has_its_turn() {
    let mut smp = enabled(2);
    smp.cores[1].system.timer_line = 1;
    assert_eq!(smp.irq(1, Interrupt::VirtualTimer), ExitAction::Review);
    assert_eq!(smp.call(1, CPU_OFF, &[]), ExitAction::Put);
    // As CPU_ON does when it waits for the vCPU to be let go.
    let shared = smp.vm.shared.lock();
    smp.save(1);
    drop(shared);
    assert_eq!(smp.ask(0, CPU_ON, &[1, ENTRY, 0]), 0);
    assert!(smp.load(1));
}
