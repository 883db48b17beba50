//! A run that fails: its last words, and the other cores stopped.

use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering};

use log::Level;

use super::console;
use crate::arch::firmware;
use crate::arch::percpu::{self, CORES};
use crate::board::{gic, power};

/// The core that ends the run, plus one.
static STOPPED_BY: AtomicUsize = AtomicUsize::new(0);

/// The hypervisor cannot go on: says why, has the other cores stop, and ends the run with a failing code.
pub fn fail(why: fmt::Arguments) -> ! {
    stop_others();
    console::last_line(Level::Error, why);
    if !power::reports_failures() {
        console::last_line(Level::Error, format_args!("halted"));
    }
    give_up()
}

/// The same without words: for a failure while failing.
pub fn give_up() -> ! {
    power::failed()
}

/// EL2's own mistake, as [`entry!`](crate::entry) has it.
pub fn failed(why: Option<fmt::Arguments>) -> ! {
    match why {
        Some(why) => fail(why),
        None => give_up(),
    }
}

/// The run is about to end with a failure that this core will tell. The others stop when they next look for interrupts; one that fails
/// meanwhile too stops here, so that one failure is told and not two at a time.
fn stop_others() {
    let this = percpu::number();
    let first = STOPPED_BY.compare_exchange(0, this + 1, Ordering::AcqRel, Ordering::Acquire);
    match first {
        Ok(_) => (0..CORES).filter(|core| *core != this).for_each(gic::kick),
        Err(by) if by == this + 1 => {}
        Err(_) => firmware::halt(),
    }
}

/// Ends this core if another has ended the run.
#[inline]
pub(super) fn halt_if_stopped() {
    if STOPPED_BY.load(Ordering::Relaxed) != 0 {
        firmware::halt();
    }
}
