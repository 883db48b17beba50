//! What a snapshot keeps of interrupts.
//!
//! What is disturbed before a restore must be as it was after it; what is checked after the restore is all that there was.

use avisor_guest::check::{Outcome, equal, equal_at, holds};
use avisor_guest::console::{self, INTID as UART, TRANSMIT, set_interrupts};
use avisor_guest::exception::{Frame, mask_interrupts, unmask_interrupts, wait_for_interrupt};
use avisor_guest::gic::{self, To, cpu_interface, distributor};
use avisor_guest::snapshot::{self, Checkpoint};
use avisor_guest::timer::{ENABLE, IMASK, Timer, microseconds, pause};

use crate::controller::{self, FREE_SPIS, comes, nothing, take, take_and_end, transmit};
use crate::taken;

/// Takes a snapshot, has `disturb` change things, and goes back: what comes then is after the restore.
fn there_and_back(disturb: impl Fn() -> Outcome) -> Outcome {
    match snapshot::checkpoint()? {
        Checkpoint::Taken(id) => {
            disturb()?;
            Err(snapshot::restore_with(id, 1).into())
        }
        // Once more, from the same snapshot.
        Checkpoint::Restored { id, value: 1 } => {
            disturb()?;
            Err(snapshot::restore_with(id, 2).into())
        }
        Checkpoint::Restored { id, .. } => Ok(snapshot::delete(id)?),
    }
}

fn forget_everything() -> Outcome {
    controller::reset();
    for intid in 0..64 {
        gic::set_priority(intid, 0x10);
    }
    gic::write_cpu(cpu_interface::PMR, 0);
    Ok(())
}

/// The distributor's and the CPU interface's registers.
pub fn registers() -> Outcome {
    for intid in 0..64 {
        gic::set_priority(intid, (intid as u8 * 5 % 31) * 8);
    }
    gic::set_edge(43, true);
    gic::set_edge(47, true);
    gic::write(distributor::ISENABLER, 0x6a51_0000);
    gic::write(distributor::ISENABLER + 4, 0x8000_a5a5);
    gic::write_cpu(cpu_interface::PMR, 0x58);
    gic::write_cpu(cpu_interface::BPR, 4);
    let seen = || {
        let mut values = [0; 64];
        let offsets = (0x400..0x440)
            .chain(0x800..0x840)
            .chain(0xc00..0xc10)
            .chain(0x100..0x108)
            .chain(0x180..0x188)
            .chain(0..4);
        for (place, offset) in values.iter_mut().zip(offsets.step_by(4)) {
            *place = gic::read(offset);
        }
        values
    };
    let before = seen();
    there_and_back(forget_everything)?;
    for (n, (&want, got)) in before.iter().zip(seen()).enumerate() {
        equal_at("distributor, word ", n, want.into(), got.into())?;
    }
    let mask = gic::read_cpu(cpu_interface::PMR);
    equal("GICC_PMR", 0x58, mask.into())?;
    let point = gic::read_cpu(cpu_interface::BPR);
    equal("GICC_BPR", 4, point.into())?;
    let control = gic::read_cpu(cpu_interface::CTLR);
    equal("GICC_CTLR", 1, control.into())
}

/// Pending ones, more than list registers: they come once, the best first, however often the machine goes back.
pub fn pending() -> Outcome {
    for sgi in 0..16 {
        gic::set_priority(sgi, 0xe0 - 8 * sgi as u8);
        gic::send(To::Myself, sgi);
    }
    for intid in FREE_SPIS {
        gic::set_priority(intid, 0xe8);
        gic::enable_interrupt(intid);
        gic::set_bit(distributor::ISPENDR, intid);
    }
    for taken in 0..22_u32 {
        there_and_back(|| match taken % 3 {
            0 => forget_everything(),
            1 => {
                while gic::acknowledge() != gic::SPURIOUS {}
                Ok(())
            }
            _ => {
                gic::send(To::Myself, 15);
                Ok(())
            }
        })?;
        let intid = if taken < 16 {
            15 - taken
        } else {
            42 + taken - 16
        };
        take_and_end(intid)?;
    }
    nothing()
}

/// Active ones, of which some are pending again.
pub fn active() -> Outcome {
    for sgi in 0..16 {
        gic::set_priority(sgi, 0xe0 - 8 * sgi as u8);
    }
    for sgi in 0..16 {
        gic::send(To::Myself, sgi);
        take(sgi)?;
        if sgi % 4 == 1 {
            gic::send(To::Myself, sgi);
        }
        there_and_back(|| {
            for sgi in (0..=sgi).rev() {
                gic::end(sgi);
            }
            forget_everything()
        })?;
        let running = gic::read_cpu(cpu_interface::RPR) & 0xf8;
        equal("GICC_RPR", 0xe0 - 8 * u64::from(sgi), running.into())?;
    }
    for sgi in (0..16).rev() {
        there_and_back(forget_everything)?;
        let left = gic::read(distributor::ISACTIVER) & 0xffff;
        equal("GICD_ISACTIVER0", (2 << sgi) - 1, left.into())?;
        nothing()?;
        gic::end(sgi);
        if sgi % 4 == 1 {
            take_and_end(sgi)?;
        }
    }
    nothing()
}

/// In the midst of a handler that interrupted a handler.
pub fn nested() -> Outcome {
    fn handler(_frame: &mut Frame) {
        let acknowledged = gic::acknowledge();
        if acknowledged < 8 {
            gic::send(To::Myself, acknowledged + 1);
            unmask_interrupts();
            pause(microseconds(20));
            mask_interrupts();
        }
        if there_and_back(forget_everything).is_err() {
            panic!("a snapshot call was refused in SGI {acknowledged}");
        }
        gic::end(acknowledged);
    }
    for sgi in 0..16 {
        gic::set_priority(sgi, 0xe0 - 8 * sgi as u8);
    }
    taken::prepare(handler);
    unmask_interrupts();
    gic::send(To::Myself, 0);
    pause(microseconds(100));
    mask_interrupts();
    let active = gic::read(distributor::ISACTIVER);
    equal("GICD_ISACTIVER0", 0, active.into())?;
    nothing()
}

/// A timer that runs, one that is due, and one whose interrupt is active.
pub fn timers() -> Outcome {
    for timer in [Timer::Virtual, Timer::Physical] {
        let intid = timer.intid();
        gic::enable_interrupt(intid);
        // It runs: it comes at its time, which is long after the restore's.
        let due = timer.count() + microseconds(200_000);
        timer.start(due);
        there_and_back(|| {
            pause(microseconds(120_000));
            timer.set_compare(0);
            comes(intid)?;
            take_and_end(intid)
        })?;
        holds(timer.count() < due, "the time away has passed")?;
        equal("CTL", ENABLE, timer.control())?;
        comes(intid)?;
        holds(timer.count() >= due, "the interrupt is early")?;
        // It is due, and pending.
        there_and_back(|| {
            timer.stop();
            forget_everything()
        })?;
        comes(intid)?;
        // It is active, and its line is up.
        take(intid)?;
        there_and_back(|| {
            timer.stop();
            gic::end(intid);
            forget_everything()
        })?;
        nothing()?;
        gic::end(intid);
        comes(intid)?;
        take(intid)?;
        // It is active, and its line is down; and meanwhile it comes.
        timer.set_control(ENABLE | IMASK);
        there_and_back(|| {
            gic::end(intid);
            timer.start(0);
            comes(intid)
        })?;
        gic::end(intid);
        nothing()?;
        timer.stop();
        // It is off, and on meanwhile.
        there_and_back(|| {
            timer.start(0);
            comes(intid)
        })?;
        nothing()?;
        timer.start(0);
        comes(intid)?;
        take(intid)?;
        timer.stop();
        gic::end(intid);
        nothing()?;
    }
    Ok(())
}

/// Both counters go on from where they were.
pub fn counters() -> Outcome {
    let away = microseconds(200_000);
    for timer in [Timer::Virtual, Timer::Physical] {
        let before = timer.count();
        there_and_back(|| {
            pause(away);
            Ok(())
        })?;
        let now = timer.count();
        holds(now >= before, "the counter went back too far")?;
        holds(now - before < away, "the counter counted the time away")?;
    }
    Ok(())
}

/// Its mask, its line, its interrupt.
pub fn uart() -> Outcome {
    set_interrupts(TRANSMIT);
    gic::enable_interrupt(UART);
    transmit();
    comes(UART)?;
    there_and_back(forget_everything)?;
    let mask = console::interrupts();
    equal("UARTIMSC", TRANSMIT.into(), mask.into())?;
    take(UART)?;
    there_and_back(|| {
        gic::end(UART);
        forget_everything()
    })?;
    nothing()?;
    gic::end(UART);
    take(UART)?;
    set_interrupts(0);
    gic::end(UART);
    there_and_back(|| {
        set_interrupts(TRANSMIT);
        comes(UART)
    })?;
    nothing()
}

/// A snapshot that is gone back to from a handler, out of a WFI.
pub fn wfi() -> Outcome {
    use avisor_guest::{Shared, snapshot::Id};
    static BACK_TO: Shared<Option<Id>> = Shared::new(None);
    fn handler(_frame: &mut Frame) {
        let acknowledged = gic::acknowledge();
        Timer::Virtual.stop();
        if let Some(id) = BACK_TO.get() {
            let error = snapshot::restore_with(id, 1);
            panic!("a restore was refused: {error}");
        }
        gic::end(acknowledged);
    }
    gic::enable_interrupt(27);
    taken::prepare(handler);
    for _ in 0..20 {
        Timer::Virtual.start(Timer::Virtual.count() + microseconds(300));
        BACK_TO.set(None);
        match snapshot::checkpoint()? {
            Checkpoint::Taken(id) => BACK_TO.set(Some(id)),
            Checkpoint::Restored { id, .. } => snapshot::delete(id)?,
        }
        // Masked between the look and the wait, or the interrupt could come there.
        while Timer::Virtual.control() != 0 {
            wait_for_interrupt();
            unmask_interrupts();
            mask_interrupts();
        }
        nothing()?;
    }
    Ok(())
}
