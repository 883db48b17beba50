//! What is taken back before it is acknowledged, and what is active and pending at the same time.

use avisor_guest::check::{Outcome, equal, holds};
use avisor_guest::exception::wait_for_interrupt;
use avisor_guest::gic::{self, To, cpu_interface, distributor};
use avisor_guest::timer::{ENABLE, IMASK, Timer, microseconds, pause};

use crate::controller::{bit_is, comes, nothing, take, take_and_end};

const TIMERS: [Timer; 2] = [Timer::Virtual, Timer::Physical];

/// A timer is switched off, masked or set to another time while its interrupt waits.
pub fn timers() -> Outcome {
    let silence: [fn(Timer); 3] = [
        Timer::stop,
        |timer| timer.set_control(ENABLE | IMASK),
        |timer| timer.set_compare(u64::MAX),
    ];
    for timer in TIMERS {
        let intid = timer.intid();
        gic::enable_interrupt(intid);
        for silence in silence {
            // Some time after, with no access that traps in between.
            timer.start(0);
            comes(intid)?;
            silence(timer);
            // In parts: an emulator that stood still meanwhile is given time for what was due.
            (0..3).for_each(|_| pause(microseconds(10_000)));
            nothing()?;
            // After the next access that traps.
            timer.start(0);
            comes(intid)?;
            silence(timer);
            gic::read(distributor::TYPER);
            nothing()?;
            timer.start(0);
            comes(intid)?;
            silence(timer);
            bit_is("it is still pending", distributor::ISPENDR, intid, false)?;
            nothing()?;
            // It comes up again.
            timer.start(0);
            comes(intid)?;
            take(intid)?;
            silence(timer);
            gic::end(intid);
            nothing()?;
        }
        timer.stop();
    }
    Ok(())
}

/// One that was taken back ends no wait, nor does one that the CPU interface masks.
pub fn waits() -> Outcome {
    for [gone, next] in [TIMERS, [TIMERS[1], TIMERS[0]]] {
        gic::enable_interrupt(gone.intid());
        gic::enable_interrupt(next.intid());
        gone.start(0);
        comes(gone.intid())?;
        gone.stop();
        waits_for(next)?;
        gic::send(To::Myself, 3);
        comes(3)?;
        gic::set_priority(3, 0xf0);
        waits_for(next)?;
        gic::set_bit(distributor::ICPENDR, 3);
        gic::set_priority(3, crate::controller::PRIORITY);
        take_and_end(3)?;
    }
    nothing()
}

/// Until the timer is due, and no shorter.
fn waits_for(timer: Timer) -> Outcome {
    let due = timer.count() + microseconds(20_000);
    timer.start(due);
    wait_for_interrupt();
    holds(timer.count() >= due, "the wait ends without an interrupt")?;
    take(timer.intid())?;
    timer.stop();
    gic::end(timer.intid());
    Ok(())
}

/// A line that is up while its interrupt is active.
pub fn active_and_pending() -> Outcome {
    for timer in TIMERS {
        let intid = timer.intid();
        gic::enable_interrupt(intid);
        timer.start(0);
        comes(intid)?;
        take(intid)?;
        for registers in [distributor::ISPENDR, distributor::ICPENDR] {
            bit_is("it is not pending", registers, intid, true)?;
        }
        bit_is("it is not active", distributor::ISACTIVER, intid, true)?;
        gic::set_bit(distributor::ICPENDR, intid);
        bit_is("its line is lost", distributor::ISPENDR, intid, true)?;
        timer.stop();
        bit_is("it is still pending", distributor::ISPENDR, intid, false)?;
        timer.start(0);
        bit_is("it is not pending", distributor::ISPENDR, intid, true)?;
        timer.stop();
        gic::end(intid);
        nothing()?;
        bit_is("it is still active", distributor::ISACTIVER, intid, false)?;
    }
    Ok(())
}

/// EOImode, with more active than list registers: each is deactivated by its number, in any order.
pub fn many_deactivated() -> Outcome {
    gic::write_cpu(cpu_interface::CTLR, 1 << 9 | 1);
    for sgi in 0..16 {
        gic::send(To::Myself, sgi);
        take_and_end(sgi)?;
    }
    let mut left = 0xffff;
    for n in 0..16 {
        let sgi = (n * 11 + 5) % 16;
        gic::deactivate(sgi);
        left &= !(1 << sgi);
        let active = gic::read(distributor::ISACTIVER) & 0xffff;
        equal("GICD_ISACTIVER0", left, active.into())?;
        equal("GICC_DIR", 0, gic::read_cpu(cpu_interface::DIR).into())?;
    }
    nothing()
}

/// Interrupts in the midst of each other, whose priorities change meanwhile, end in the reverse order all the same.
pub fn nested_with_other_priorities() -> Outcome {
    for sgi in 0..12 {
        gic::set_priority(sgi, 0xe0 - 8 * sgi as u8);
        gic::send(To::Myself, sgi);
        take(sgi)?;
    }
    for sgi in 0..12 {
        gic::set_priority(sgi, 0x80 + 8 * sgi as u8);
    }
    // Active, but never acknowledged.
    gic::set_bit(distributor::ISACTIVER, 15);
    gic::set_priority(15, 0);
    for sgi in (0..12).rev() {
        gic::end(sgi);
        let active = gic::read(distributor::ISACTIVER) & 0xffff;
        equal("GICD_ISACTIVER0", 1 << 15 | ((1 << sgi) - 1), active.into())?;
    }
    gic::set_bit(distributor::ICACTIVER, 15);
    nothing()
}
