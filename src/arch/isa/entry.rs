//! Entries of translation tables.

use core::sync::atomic::{AtomicU64, Ordering};

/// An entry of a translation table. Table walks read it at any time, and so it is atomic.
#[repr(transparent)]
pub struct TableEntry(AtomicU64);

impl TableEntry {
    /// Invalid.
    pub const fn invalid() -> Self {
        Self(AtomicU64::new(0))
    }

    /// What this core wrote last, or another one before this one had the VM.
    #[inline(always)]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Writes it. When walks see that is a matter of barriers.
    #[inline(always)]
    pub fn set(&self, descriptor: u64) {
        self.0.store(descriptor, Ordering::Relaxed);
    }
}
