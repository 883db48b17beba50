//! What cores share: atomics and the lock. In the image they are core's and spin's; tests leave out an ordering, or have all that cores may see
//! explored, with those of `fake::sync`.

pub use core::sync::atomic::Ordering;

#[cfg(not(test))]
pub use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU64};

#[cfg(test)]
pub use crate::fake::sync::{AtomicBool, AtomicU8, AtomicU16, AtomicU64};

#[cfg(target_os = "none")]
pub use super::relax::Relax;
#[cfg(all(test, not(loom)))]
pub use crate::fake::sync::Relax;
#[cfg(all(not(target_os = "none"), not(test)))]
pub use spin::relax::Spin as Relax;

/// A lock: one core at a time has what is in it.
#[cfg(not(all(test, loom)))]
pub type Mutex<T> = spin::mutex::Mutex<T, Relax>;

/// A [`Mutex`] that is locked, until this is dropped.
#[cfg(not(all(test, loom)))]
pub type MutexGuard<'a, T> = spin::mutex::MutexGuard<'a, T, Relax>;

#[cfg(all(test, loom))]
pub use crate::fake::sync::{Mutex, MutexGuard, Relax};
