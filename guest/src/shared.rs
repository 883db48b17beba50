//! Values that a program and its exception handler share.

use core::cell::UnsafeCell;

/// A `static` that can be changed.
///
/// There is one core, and nobody holds a reference into it: values go in and out whole. An atomic would do the same
/// for single words; its read-modify-write operations need the MMU, though.
pub struct Shared<T>(UnsafeCell<T>);

// SAFETY: a guest has one core. Exceptions interrupt an access only if memory itself faults, and then there is no
// program left to be confused.
unsafe impl<T> Sync for Shared<T> {}

impl<T: Clone> Shared<T> {
    /// A static's first value.
    pub const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// What it holds.
    pub fn get(&self) -> T {
        // SAFETY: nobody holds a reference into the cell, see above.
        unsafe { (*self.0.get()).clone() }
    }

    /// Makes it hold `value`.
    pub fn set(&self, value: T) {
        // SAFETY: nobody holds a reference into the cell, see above.
        unsafe { *self.0.get() = value }
    }

    /// Where it is, for assembly and page tables.
    pub fn address(&self) -> usize {
        self.0.get() as usize
    }
}
