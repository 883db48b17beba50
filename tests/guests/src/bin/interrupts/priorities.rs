//! Which of several interrupts comes first, and which has to wait.

use avisor_guest::check::{Outcome, equal};
use avisor_guest::console::{INTID as UART, TRANSMIT, set_interrupts};
use avisor_guest::gic::{self, To, cpu_interface, distributor};
use avisor_guest::timer::Timer;

use crate::controller::{FREE_SPIS, nothing, take, take_and_end, transmit};

fn running(want: u64) -> Outcome {
    // 5 bits are sure to be there.
    let got = gic::read_cpu(cpu_interface::RPR) & 0xf8;
    equal("GICC_RPR", want & 0xf8, got.into())
}

/// The smaller number first; the smaller INTID among equals.
pub fn order() -> Outcome {
    let priorities = [0x90, 0x40, 0xc0, 0x40, 0x20, 0x90];
    for (intid, priority) in FREE_SPIS.zip(priorities) {
        gic::set_priority(intid, priority);
        gic::enable_interrupt(intid);
        gic::set_bit(distributor::ISPENDR, intid);
    }
    gic::set_priority(7, 0x88);
    gic::send(To::Myself, 7);
    for want in [46, 43, 45, 7, 42, 47, 44] {
        take_and_end(want)?;
    }
    nothing()
}

/// GICC_PMR lets through what is smaller than it.
pub fn mask() -> Outcome {
    gic::set_priority(2, 0x40);
    gic::set_priority(3, 0x80);
    gic::send(To::Myself, 2);
    gic::send(To::Myself, 3);
    for closed in [0, 0x20, 0x40] {
        gic::write_cpu(cpu_interface::PMR, closed);
        nothing()?;
    }
    gic::write_cpu(cpu_interface::PMR, 0x48);
    equal("GICC_PMR", 0x48, gic::read_cpu(cpu_interface::PMR).into())?;
    take_and_end(2)?;
    nothing()?;
    gic::write_cpu(cpu_interface::PMR, 0x80);
    nothing()?;
    gic::write_cpu(cpu_interface::PMR, 0x88);
    take_and_end(3)?;
    nothing()
}

/// Better ones come while others run, the same and worse ones wait; GICC_BPR says what is the same.
pub fn preemption() -> Outcome {
    for (sgi, priority) in [(0, 0x80), (1, 0x80), (2, 0x90), (3, 0x40), (4, 0x48)] {
        gic::set_priority(sgi, priority);
    }
    running(0xff)?;
    gic::send(To::Myself, 0);
    take(0)?;
    running(0x80)?;
    gic::send(To::Myself, 1);
    gic::send(To::Myself, 2);
    nothing()?;
    gic::send(To::Myself, 4);
    take(4)?;
    running(0x48)?;
    gic::send(To::Myself, 3);
    take(3)?;
    running(0x40)?;
    gic::end(3);
    running(0x48)?;
    nothing()?;
    gic::end(4);
    running(0x80)?;
    gic::end(0);
    take_and_end(1)?;
    take_and_end(2)?;
    running(0xff)?;
    // Bits 7:4 alone decide: 0x48 and 0x40 are the same.
    gic::write_cpu(cpu_interface::BPR, 3);
    gic::send(To::Myself, 4);
    take(4)?;
    gic::send(To::Myself, 3);
    nothing()?;
    gic::end(4);
    take_and_end(3)?;
    nothing()
}

/// Everything there is, at once: each comes once, the best first.
pub fn all_at_once() -> Outcome {
    let timers = [Timer::Virtual, Timer::Physical];
    let intids = || {
        let timers = timers.into_iter().map(Timer::intid);
        (0..16).chain(timers).chain([UART]).chain(FREE_SPIS)
    };
    let count = intids().count();
    // Each another priority, in no order of the numbers.
    let priority = |n: usize| (n * 7 % count * 8) as u8;
    for (n, intid) in intids().enumerate() {
        gic::set_priority(intid, priority(n));
        gic::enable_interrupt(intid);
    }
    for round in 0..20 {
        for sgi in 0..16 {
            gic::send(To::Myself, (sgi * 5 + round) % 16);
        }
        for timer in timers {
            timer.start(0);
        }
        for intid in FREE_SPIS {
            gic::set_bit(distributor::ISPENDR, intid);
        }
        set_interrupts(TRANSMIT);
        transmit();
        for rank in 0..count {
            let next = intids().enumerate().find(|&(n, _)| n * 7 % count == rank);
            let (_, intid) = next.unwrap_or_default();
            take(intid)?;
            match intid {
                UART => set_interrupts(0),
                27 => timers[0].stop(),
                30 => timers[1].stop(),
                _ => {}
            }
            gic::end(intid);
        }
        nothing()?;
    }
    Ok(())
}

/// Sixteen interrupts active at the same time, each in the midst of the one before, and two rounds of it.
pub fn all_active() -> Outcome {
    for sgi in 0..16 {
        gic::set_priority(sgi, 0xf0 - 8 - 8 * sgi as u8);
    }
    for _ in 0..2 {
        for sgi in 0..16 {
            gic::send(To::Myself, sgi);
            take(sgi)?;
            running(0xf0 - 8 - 8 * u64::from(sgi))?;
        }
        let active = gic::read(distributor::ISACTIVER) & 0xffff;
        equal("GICD_ISACTIVER0", 0xffff, active.into())?;
        // More that have to wait for their own end.
        for sgi in (0..16).step_by(3) {
            gic::send(To::Myself, sgi);
        }
        nothing()?;
        for sgi in (0..16).rev() {
            gic::end(sgi);
            let left = gic::read(distributor::ISACTIVER) & 0xffff;
            equal("GICD_ISACTIVER0", (1 << sgi) - 1, left.into())?;
            if sgi % 3 == 0 {
                take_and_end(sgi)?;
            }
            nothing()?;
        }
        running(0xff)?;
    }
    nothing()
}
