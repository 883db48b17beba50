//! The ticks of each CPU's two timers, each at a time that is set in advance.
//!
//! A tick that comes before its time came twice. One that never comes ends them all, as only a tick sets the timer for the
//! next one.

use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use avisor_guest::gic;
use avisor_guest::smp;
use avisor_guest::timer::{Timer, frequency, microseconds};

use crate::cpu::fail;

/// The ticks of one timer of one CPU.
struct Ticks {
    start: AtomicU64,
    count: AtomicU64,
}

static TICKS: [[Ticks; smp::MOST]; 2] = [const { [const { Ticks::new() }; smp::MOST] }; 2];

impl Ticks {
    const fn new() -> Self {
        Self {
            start: AtomicU64::new(0),
            count: AtomicU64::new(0),
        }
    }

    fn of(timer: Timer, cpu: usize) -> &'static Self {
        &TICKS[usize::from(timer == Timer::Physical)][cpu]
    }

    /// When tick `n` is due.
    fn due(&self, timer: Timer, n: u64) -> u64 {
        let period = match timer {
            Timer::Virtual => microseconds(4_000),
            Timer::Physical => microseconds(7_100),
        };
        self.start.load(SeqCst) + (n + 1) * period
    }
}

/// This CPU's timers run from now on.
pub fn start(cpu: usize) {
    for timer in [Timer::Virtual, Timer::Physical] {
        let ticks = Ticks::of(timer, cpu);
        ticks.start.store(timer.count(), SeqCst);
        ticks.count.store(0, SeqCst);
        timer.start(ticks.due(timer, 0));
        gic::set_priority(timer.intid(), 0x60);
        gic::enable_interrupt(timer.intid());
    }
}

/// A timer's interrupt.
pub fn came(timer: Timer, cpu: usize) {
    let ticks = Ticks::of(timer, cpu);
    let count = ticks.count.load(SeqCst);
    let (due, now) = (ticks.due(timer, count), timer.count());
    if now < due {
        fail(format_args!(
            "{timer:?}: tick {count} is there at {now:#x} and due at {due:#x}"
        ));
    }
    ticks.count.store(count + 1, SeqCst);
    timer.set_compare(ticks.due(timer, count + 1));
}

/// No tick is overdue for long.
pub fn check(cpu: usize) {
    for timer in [Timer::Virtual, Timer::Physical] {
        let ticks = Ticks::of(timer, cpu);
        let count = ticks.count.load(SeqCst);
        let (due, now) = (ticks.due(timer, count), timer.count());
        // The tick may come right here; it is the next one's turn then.
        if now > due + 30 * frequency() && ticks.count.load(SeqCst) == count {
            fail(format_args!(
                "{timer:?}: tick {count} is lost: {now:#x}, due at {due:#x}, CTL {:#x}, pending {}, active {}",
                timer.control(),
                gic::bit(gic::distributor::ISPENDR, timer.intid()),
                gic::bit(gic::distributor::ISACTIVER, timer.intid()),
            ));
        }
    }
}

/// This CPU's timers are silent, and as many ticks came as were due.
pub fn stop(cpu: usize) {
    for timer in [Timer::Virtual, Timer::Physical] {
        timer.stop();
        gic::disable_interrupt(timer.intid());
        let ticks = Ticks::of(timer, cpu);
        let count = ticks.count.load(SeqCst);
        if count > 0 && timer.count() < ticks.due(timer, count - 1) {
            fail(format_args!("{timer:?}: {count} ticks are too many"));
        }
    }
}
