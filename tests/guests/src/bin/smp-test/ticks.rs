//! The ticks of each CPU's two timers, each at a time that is set in advance.
//!
//! A tick that comes before its time came twice. One that never comes ends them all, as only a tick sets the timer for the
//! next one. That one is due a whole period later: however slow the machine is, a CPU gets to do something else in between.

use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use avisor_guest::gic;
use avisor_guest::smp;
use avisor_guest::timer::{Timer, frequency, microseconds};

use crate::cpu::fail;

/// The ticks of one timer of one CPU.
struct Ticks {
    /// When the last one was due, and when the next one is.
    last: AtomicU64,
    next: AtomicU64,
    count: AtomicU64,
}

static TICKS: [[Ticks; smp::MOST]; 2] = [const { [const { Ticks::new() }; smp::MOST] }; 2];

impl Ticks {
    const fn new() -> Self {
        Self {
            last: AtomicU64::new(0),
            next: AtomicU64::new(0),
            count: AtomicU64::new(0),
        }
    }

    fn of(timer: Timer, cpu: usize) -> &'static Self {
        &TICKS[usize::from(timer == Timer::Physical)][cpu]
    }

    /// When the next one is due now.
    fn set_next(&self, timer: Timer) -> u64 {
        let period = match timer {
            Timer::Virtual => microseconds(4_000),
            Timer::Physical => microseconds(7_100),
        };
        let next = timer.count() + period;
        self.last.store(self.next.swap(next, SeqCst), SeqCst);
        next
    }
}

/// This CPU's timers run from now on.
pub fn start(cpu: usize) {
    for timer in [Timer::Virtual, Timer::Physical] {
        let ticks = Ticks::of(timer, cpu);
        ticks.count.store(0, SeqCst);
        timer.start(ticks.set_next(timer));
        gic::set_priority(timer.intid(), 0x60);
        gic::enable_interrupt(timer.intid());
    }
}

/// A timer's interrupt.
pub fn came(timer: Timer, cpu: usize) {
    let ticks = Ticks::of(timer, cpu);
    let count = ticks.count.fetch_add(1, SeqCst);
    let (due, now) = (ticks.next.load(SeqCst), timer.count());
    if now < due {
        fail(format_args!(
            "{timer:?}: tick {count} is there at {now:#x} and due at {due:#x}"
        ));
    }
    timer.set_compare(ticks.set_next(timer));
}

/// No tick is overdue for long.
pub fn check(cpu: usize) {
    for timer in [Timer::Virtual, Timer::Physical] {
        let ticks = Ticks::of(timer, cpu);
        let count = ticks.count.load(SeqCst);
        let (due, now) = (ticks.next.load(SeqCst), timer.count());
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

/// This CPU's timers are silent, and the last tick that came was due.
pub fn stop(cpu: usize) {
    for timer in [Timer::Virtual, Timer::Physical] {
        timer.stop();
        gic::disable_interrupt(timer.intid());
        let ticks = Ticks::of(timer, cpu);
        let count = ticks.count.load(SeqCst);
        if count > 0 && timer.count() < ticks.last.load(SeqCst) {
            fail(format_args!("{timer:?}: {count} ticks are too many"));
        }
    }
}
