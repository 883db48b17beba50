//! Interrupts that stay pending as long as their device says so.

use avisor_guest::check::{Failure, Outcome, equal, holds};
use avisor_guest::console::{self, INTID as UART, TRANSMIT, set_interrupts};
use avisor_guest::gic::{self, cpu_interface, distributor};
use avisor_guest::timer::{ENABLE, IMASK, ISTATUS, Timer, microseconds, pause};

use crate::controller::{bit_is, comes, nothing, take, take_and_end, transmit, waits_for};

pub fn virtual_timer() -> Outcome {
    timer(Timer::Virtual)
}

pub fn physical_timer() -> Outcome {
    timer(Timer::Physical)?;
    // A line that falls before anybody looks leaves nothing behind.
    let timer = Timer::Physical;
    timer.start(0);
    comes(timer.intid())?;
    timer.set_compare(u64::MAX);
    nothing()
}

fn timer(timer: Timer) -> Outcome {
    let intid = timer.intid();
    gic::enable_interrupt(intid);
    registers(timer)?;
    nothing()?;
    // Not early.
    let due = timer.count() + microseconds(3000);
    timer.start(due);
    comes_at(timer, due)?;
    equal("CTL when due", ENABLE | ISTATUS, timer.control())?;
    // Due and ended: again, and again.
    for _ in 0..3 {
        take(intid)?;
        nothing()?;
        bit_is("it is not active", distributor::ISACTIVER, intid, true)?;
        gic::end(intid);
        comes(intid)?;
    }
    // Silenced while it runs, it is gone.
    take(intid)?;
    timer.set_control(ENABLE | IMASK);
    gic::end(intid);
    nothing()?;
    bit_is("it is still pending", distributor::ISPENDR, intid, false)?;
    equal("CTL, masked", ENABLE | IMASK | ISTATUS, timer.control())?;
    timer.set_control(ENABLE);
    comes(intid)?;
    bit_is("it is not pending", distributor::ISPENDR, intid, true)?;
    // Set to another time while it runs.
    take(intid)?;
    let due = timer.count() + microseconds(2000);
    timer.set_compare(due);
    gic::end(intid);
    comes_at(timer, due)?;
    take(intid)?;
    timer.stop();
    gic::end(intid);
    nothing()?;
    disabled(timer)
}

/// The timer's interrupt is pending and its status set from `due` on, and not before.
fn comes_at(timer: Timer, due: u64) -> Outcome {
    while timer.count() < due {
        // Looked at before the time is: it may pass in between.
        let status = timer.control() & ISTATUS != 0;
        let next = gic::read_cpu(cpu_interface::HPPIR) & 0x3ff;
        let is_due = timer.count() >= due;
        holds(!status || is_due, "ISTATUS is early")?;
        holds(next != timer.intid() || is_due, "the interrupt is early")?;
    }
    comes(timer.intid())
}

/// What a disabled timer interrupt is made of is there when it is enabled, or is not.
fn disabled(timer: Timer) -> Outcome {
    let intid = timer.intid();
    gic::disable_interrupt(intid);
    timer.start(0);
    pause(microseconds(100));
    nothing()?;
    timer.stop();
    gic::enable_interrupt(intid);
    nothing()?;
    gic::disable_interrupt(intid);
    timer.start(0);
    pause(microseconds(100));
    nothing()?;
    gic::enable_interrupt(intid);
    comes(intid)?;
    take(intid)?;
    timer.stop();
    gic::end(intid);
    // And one that has no timer behind it.
    gic::set_bit(distributor::ISPENDR, intid);
    take_and_end(intid)?;
    nothing()
}

/// CTL, CVAL and TVAL.
fn registers(timer: Timer) -> Outcome {
    timer.stop();
    equal("CTL, off", 0, timer.control() & !ISTATUS)?;
    for value in [0, 1, 1 << 40, u64::MAX, 0x0123_4567_89ab_cdef] {
        timer.set_compare(value);
        equal("CVAL", value, timer.compare())?;
    }
    for ticks in [i32::MAX, 0x1234_5678, i32::MIN, 0] {
        let before = timer.count();
        timer.set_left(ticks);
        let offset = timer.compare().wrapping_sub(before) as i64 - i64::from(ticks);
        let most = (timer.count() - before) as i64;
        holds(
            (0..=most).contains(&offset),
            "TVAL is not relative to the counter",
        )?;
    }
    timer.set_left(0x4000_0000);
    let left = timer.left();
    holds((1..=0x4000_0000).contains(&left), "TVAL does not count")?;
    timer.set_control(ENABLE | IMASK);
    equal("CTL, not due", ENABLE | IMASK, timer.control())?;
    timer.set_compare(0);
    equal("CTL, due", ENABLE | IMASK | ISTATUS, timer.control())?;
    timer.stop();
    Ok(())
}

/// The UART's transmit interrupt: its line is RIS and IMSC.
pub fn uart() -> Outcome {
    console::clear_interrupts();
    set_interrupts(TRANSMIT);
    gic::enable_interrupt(UART);
    nothing()?;
    transmit();
    waits_for(
        || console::raw_interrupts() & TRANSMIT != 0,
        Failure::Says("RIS never shows a character sent"),
    )?;
    for _ in 0..3 {
        take(UART)?;
        nothing()?;
        gic::end(UART);
    }
    bit_is("it is not pending", distributor::ISPENDR, UART, true)?;
    // The line falls: nothing is left, and it comes up again.
    console::clear_interrupts();
    nothing()?;
    bit_is("it is still pending", distributor::ISPENDR, UART, false)?;
    transmit();
    comes(UART)?;
    set_interrupts(0);
    nothing()?;
    set_interrupts(TRANSMIT);
    take(UART)?;
    // It falls while it runs.
    console::clear_interrupts();
    gic::end(UART);
    nothing()?;
    // Its latch is apart from its line.
    gic::set_bit(distributor::ISPENDR, UART);
    take_and_end(UART)?;
    set_interrupts(0);
    nothing()
}
