//! A translation table of a test's own.

use super::isa::TableEntry;
use std::boxed::Box;

/// A table of any level, without entries at first.
#[repr(C, align(4096))]
pub struct Table(pub [TableEntry; 512]);

impl Table {
    /// A new one, where it stays.
    pub fn new() -> Box<Self> {
        Box::new(Self([const { TableEntry::invalid() }; 512]))
    }

    /// Its address, as entries of the level above and base registers have it.
    pub fn at(&self) -> u64 {
        core::ptr::from_ref(self).addr() as u64
    }
}
