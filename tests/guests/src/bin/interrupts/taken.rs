//! Interrupts that are taken as exceptions.

use avisor_guest::Shared;
use avisor_guest::check::{Failure, Outcome, equal, equal_at, holds};
use avisor_guest::exception::{
    self, Frame, mask_interrupts, unmask_interrupts, wait_for_interrupt,
};
use avisor_guest::gic::{self, To};
use avisor_guest::timer::{Timer, microseconds, pause};

use crate::controller::{comes, nothing, take, waits_for};

/// What came: numbers, in order.
#[derive(Clone)]
struct Taken {
    numbers: [u32; 64],
    count: usize,
}

static TAKEN: Shared<Taken> = Shared::new(Taken {
    numbers: [0; 64],
    count: 0,
});

fn note(number: u32) {
    let mut taken = TAKEN.get();
    if let Some(place) = taken.numbers.get_mut(taken.count) {
        *place = number;
        taken.count += 1;
    }
    TAKEN.set(taken);
}

fn count() -> usize {
    TAKEN.get().count
}

/// Exactly these came.
fn came(want: &[u32]) -> Outcome {
    let taken = TAKEN.get();
    for (n, &want) in want.iter().enumerate() {
        equal_at("interrupt ", n, want.into(), taken.numbers[n].into())?;
    }
    equal("interrupts", want.len() as u64, taken.count as u64)
}

fn silence(intid: u32) {
    for timer in [Timer::Virtual, Timer::Physical] {
        if timer.intid() == intid {
            timer.stop();
        }
    }
}

/// Notes it, silences it, ends it.
fn note_and_end(_frame: &mut Frame) {
    let acknowledged = gic::acknowledge();
    note(acknowledged);
    silence(acknowledged);
    gic::end(acknowledged);
}

/// From now on interrupts go to `handler`; none has come.
pub fn prepare(handler: exception::Handler) {
    TAKEN.set(Taken {
        numbers: [0; 64],
        count: 0,
    });
    exception::set_interrupt_handler(handler);
}

/// In the midst of a loop, which must not notice.
pub fn while_it_runs() -> Outcome {
    prepare(note_and_end);
    let timers = [Timer::Virtual, Timer::Physical];
    for timer in timers {
        gic::enable_interrupt(timer.intid());
    }
    unmask_interrupts();
    gic::send(To::Myself, 11);
    equal("interrupts after an SGI to itself", 1, waited(1))?;
    timers[0].start(timers[0].count() + microseconds(500));
    equal("interrupts after the virtual timer", 2, waited(2))?;
    timers[1].start(timers[1].count() + microseconds(500));
    equal("interrupts after the physical timer", 3, waited(3))?;
    mask_interrupts();
    gic::send(To::Myself, 12);
    pause(microseconds(100));
    came(&[11, 27, 30])?;
    unmask_interrupts();
    equal("interrupts after all", 4, waited(4))?;
    mask_interrupts();
    came(&[11, 27, 30, 12])?;
    nothing()
}

/// Waits for so many interrupts; how many there were.
fn waited(want: usize) -> u64 {
    let _ = waits_for(|| count() >= want, Failure::Says("in vain"));
    count() as u64
}

/// Waits, with interrupts let in.
pub fn wfi() -> Outcome {
    prepare(note_and_end);
    for timer in [Timer::Virtual, Timer::Physical] {
        gic::enable_interrupt(timer.intid());
        for left in [3000, 300, 30, 3, 0] {
            let before = count();
            let due = timer.count() + microseconds(left);
            timer.start(due);
            // Masked between the look and the wait, or the interrupt could come there.
            while count() == before {
                wait_for_interrupt();
                unmask_interrupts();
                mask_interrupts();
            }
            holds(timer.count() >= due, "the interrupt is early")?;
            equal("interrupts", before as u64 + 1, count() as u64)?;
        }
    }
    Ok(())
}

/// Wakes when interrupts are masked, and then none is taken.
pub fn wfi_masked() -> Outcome {
    prepare(note_and_end);
    for timer in [Timer::Virtual, Timer::Physical] {
        let intid = timer.intid();
        gic::enable_interrupt(intid);
        for _ in 0..10 {
            let due = timer.count() + microseconds(500);
            timer.start(due);
            // It may return earlier, so it has to be asked why.
            while timer.count() < due {
                wait_for_interrupt();
            }
            comes(intid)?;
            wait_for_interrupt();
            take(intid)?;
            timer.stop();
            gic::end(intid);
        }
    }
    // One that is pending before.
    gic::send(To::Myself, 5);
    wait_for_interrupt();
    take(5)?;
    gic::end(5);
    came(&[])
}

/// Where the way down ends.
const DEEPEST: u32 = 15;
const END: u32 = 1000;

/// Lets itself be interrupted by a better one, which it sends.
fn nest(frame: &mut Frame) {
    let acknowledged = gic::acknowledge();
    note(acknowledged);
    if acknowledged < DEEPEST {
        gic::send(To::Myself, acknowledged + 1);
        // Of the same priority: not before this one has ended.
        gic::send(To::Myself, acknowledged);
        unmask_interrupts();
        pause(microseconds(20));
        mask_interrupts();
    }
    note(END + acknowledged);
    gic::end(acknowledged);
    if acknowledged < DEEPEST {
        // The second one.
        let again = gic::acknowledge();
        note(again);
        gic::end(again);
    }
    let _ = frame;
}

/// Sixteen handlers, each in the midst of the one before.
pub fn nested() -> Outcome {
    for sgi in 0..16 {
        gic::set_priority(sgi, 0xe0 - 8 * sgi as u8);
    }
    for _ in 0..3 {
        prepare(nest);
        unmask_interrupts();
        gic::send(To::Myself, 0);
        let all = 16 + 16 + 15;
        equal("interrupts", all, waited(all as usize))?;
        mask_interrupts();
        let mut want = [0; 47];
        for (place, sgi) in want.iter_mut().zip(0..16) {
            *place = sgi;
        }
        for sgi in (0..16_u32).rev() {
            let place = if sgi == 15 {
                16
            } else {
                17 + 2 * (14 - sgi) as usize
            };
            want[place] = END + sgi;
            if sgi < 15 {
                want[place + 1] = sgi;
            }
        }
        came(&want)?;
        nothing()?;
    }
    Ok(())
}
