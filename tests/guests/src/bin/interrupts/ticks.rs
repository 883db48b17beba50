//! A clock's ticks: each at its own time, set in advance, so that one too few or too many shows.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use avisor_guest::check::{Failure, Outcome, equal, holds};
use avisor_guest::exception::{
    self, Frame, mask_interrupts, unmask_interrupts, wait_for_interrupt,
};
use avisor_guest::gic;
use avisor_guest::snapshot::{self, Checkpoint};
use avisor_guest::timer::{Timer, microseconds};

/// Between two ticks.
const PERIOD: u64 = 500;
const TICKS: u64 = 400;

// Loads and stores only, so that they work with the MMU off, too.
static START: AtomicU64 = AtomicU64::new(0);
static COUNT: AtomicU64 = AtomicU64::new(0);
/// Interrupts that came before their time.
static EARLY: AtomicU64 = AtomicU64::new(0);
/// Interrupts that are not the timer's.
static STRANGE: AtomicU64 = AtomicU64::new(0);
static PHYSICAL: AtomicU64 = AtomicU64::new(0);

fn timer() -> Timer {
    match PHYSICAL.load(Relaxed) {
        0 => Timer::Virtual,
        _ => Timer::Physical,
    }
}

/// When tick `n` is due.
fn due(n: u64) -> u64 {
    START.load(Relaxed) + (n + 1) * microseconds(PERIOD)
}

fn add_one(to: &AtomicU64) {
    to.store(to.load(Relaxed) + 1, Relaxed);
}

fn tick(_frame: &mut Frame) {
    let acknowledged = gic::acknowledge();
    let timer = timer();
    if acknowledged != timer.intid() {
        add_one(&STRANGE);
    } else {
        let count = COUNT.load(Relaxed);
        if timer.count() < due(count) {
            add_one(&EARLY);
        }
        COUNT.store(count + 1, Relaxed);
        timer.set_compare(due(count + 1));
    }
    gic::end(acknowledged);
}

fn start(timer: Timer) {
    PHYSICAL.store(u64::from(timer == Timer::Physical), Relaxed);
    for counter in [&COUNT, &EARLY, &STRANGE] {
        counter.store(0, Relaxed);
    }
    exception::set_interrupt_handler(tick);
    gic::enable_interrupt(timer.intid());
    START.store(timer.count(), Relaxed);
    timer.start(due(0));
    unmask_interrupts();
}

/// Waits for `ticks` ticks in all, now in WFI, now not.
fn wait_for(ticks: u64) -> Outcome {
    let limit = due(ticks) + microseconds(5_000_000);
    loop {
        let count = COUNT.load(Relaxed);
        if count >= ticks {
            return Ok(());
        }
        let late = timer().count() > limit;
        if late {
            mask_interrupts();
            return Err(Failure::Differs {
                what: "ticks, in vain",
                want: ticks,
                got: count,
            });
        }
        if count & 4 != 0 {
            wait_for_interrupt();
        }
    }
}

fn finish() -> Outcome {
    mask_interrupts();
    timer().stop();
    equal("strange interrupts", 0, STRANGE.load(Relaxed))?;
    equal("ticks before their time", 0, EARLY.load(Relaxed))?;
    // How many there have been is how many should have been, but for one that is pending.
    let count = COUNT.load(Relaxed);
    let now = timer().count();
    holds(now >= due(count - 1), "a tick too many")
}

pub fn of_the_virtual_timer() -> Outcome {
    start(Timer::Virtual);
    wait_for(TICKS)?;
    finish()
}

pub fn of_the_physical_timer() -> Outcome {
    start(Timer::Physical);
    wait_for(TICKS)?;
    finish()
}

/// The same with a snapshot at every tenth tick, gone back to three times, at any time of the period.
pub fn restored() -> Outcome {
    const ROUNDS: u64 = 60;
    const TIMES: u64 = 3;
    for timer in [Timer::Virtual, Timer::Physical] {
        start(timer);
        for round in 0..ROUNDS {
            wait_for(5 * round)?;
            aside(round * 37);
            let id = match snapshot::checkpoint()? {
                Checkpoint::Taken(id) => id,
                Checkpoint::Restored { id, value } if value < TIMES => again(id, value + 1, round)?,
                Checkpoint::Restored { id, .. } => {
                    snapshot::delete(id)?;
                    continue;
                }
            };
            again(id, 1, round)?;
        }
        finish()?;
    }
    Ok(())
}

/// Lets some ticks come and goes back.
fn again(id: snapshot::Id, value: u64, round: u64) -> Result<snapshot::Id, Failure> {
    let count = COUNT.load(Relaxed);
    wait_for(count + (round + value) % 7)?;
    aside(value * 101 + round);
    Err(snapshot::restore_with(id, value).into())
}

/// A few microseconds of something else.
fn aside(n: u64) {
    avisor_guest::timer::pause(microseconds(n % 509));
}
