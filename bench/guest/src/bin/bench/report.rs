//! Figures on the console, as avisor-bench reads them there.

use avisor_guest::println;

/// The figure `name` for `k` of what it is about.
pub fn named(name: &str, k: usize, figure: u64) {
    println!("bench: {name} [{k}]: {figure}");
}

/// The figure `name`.
pub fn report(name: &str, figure: u64) {
    println!("bench: {name}: {figure}");
}
