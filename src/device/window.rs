//! Windows: memory that VMs share, where each of its VMs has it.

use crate::addr::{Ipa, PAGE_SIZE};

/// Where the first window is: above the largest RAM, and below what else `virt` has that far up.
pub const WINDOWS_BASE: Ipa = Ipa(0x4_0000_0000);
/// From the start of a window to that of the next: the largest window, its doorbell, and what is free up to the next block but one.
pub const WINDOW_STRIDE: u64 = 4 << 20;

/// A window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// Its place in the configuration, from 0, which says where it is.
    pub number: usize,
    /// Its name in the device tree.
    pub name: &'static str,
    /// Bytes of its memory: whole pages, 2 MiB at the most.
    pub bytes: u64,
}

impl Window {
    /// Where it begins, in all of its VMs: at the start of a block.
    pub const fn ipa(&self) -> Ipa {
        Ipa(WINDOWS_BASE.0 + self.number as u64 * WINDOW_STRIDE)
    }

    /// The page behind its memory, where a store is an event.
    pub const fn doorbell(&self) -> Ipa {
        Ipa(self.ipa().0 + self.bytes)
    }

    /// Bytes of the doorbell.
    pub const DOORBELL_SIZE: u64 = PAGE_SIZE;
}
