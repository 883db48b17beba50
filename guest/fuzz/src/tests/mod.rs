//! The whole fuzzer with targets that are functions.

mod exchange;
mod fake;
mod files;
mod finds;
mod others;
mod screen;
mod text;

use std::sync::atomic::{AtomicU64, Ordering};

/// LibAFL's clock: it counts calls.
// SAFETY: the name that LibAFL's clock has without std; a second definition fails to link.
#[unsafe(no_mangle)]
extern "C" fn external_current_millis() -> u64 {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    CALLS.fetch_add(1, Ordering::Relaxed)
}
