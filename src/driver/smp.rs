//! The board's other cores: asleep for now.

use crate::arch::aarch64::{boot, cpu};
use crate::arch::tree::Tree;

/// Brings the cores that the firmware left in a spin table, a busy loop in memory that is not ours, into a sleep in the
/// image. Cores behind PSCI are off until CPU_ON.
pub fn park_other_cores(tree: &Tree) {
    let this_core = cpu::affinity();
    tree.each_spin_table(|number, release| {
        if number != this_core && boot::release_core(release).is_err() {
            log::warn!("core {number}: its release address {release:#x} cannot be reached");
        }
    });
}
