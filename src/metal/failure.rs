//! A run that fails: its last words, and the other cores stopped.

use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering};

use log::Level;

use super::console;
use crate::arch::firmware;
use crate::arch::percpu::{self, CORES_MAX};
use crate::board::{gic, power};

/// The core that ends the run, plus one.
static STOPPED_BY: AtomicUsize = AtomicUsize::new(0);

/// Ends the run with a failing code, as the hypervisor cannot go on: says why, and stops the other cores.
pub fn fail(why: fmt::Arguments) -> ! {
    stop_others();
    console::last_line(Level::Error, why);
    if !power::reports_failures() {
        console::last_line(Level::Error, format_args!("halted"));
    }
    exit_failure()
}

/// Ends the run with a failing code, without a word: for a failure while failing.
pub fn exit_failure() -> ! {
    power::exit_failure()
}

/// What [`entry!`](crate::entry) calls for EL2's own mistake: [`fail`] with words, [`exit_failure`] without.
pub fn fail_or_exit(why: Option<fmt::Arguments>) -> ! {
    match why {
        Some(why) => fail(why),
        None => exit_failure(),
    }
}

/// Stops the other cores: each stops when it next looks for interrupts. If another core has called this first, this core stops here, so
/// that the console shows one failure and not two at a time.
fn stop_others() {
    let this = percpu::number();
    let first = STOPPED_BY.compare_exchange(0, this + 1, Ordering::AcqRel, Ordering::Acquire);
    match first {
        Ok(_) => (0..CORES_MAX)
            .filter(|core| *core != this)
            .for_each(gic::kick),
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
