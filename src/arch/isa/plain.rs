//! In the library that `tests/*.rs` link on the host: tables are made there, and nobody walks them.

use super::TableEntry;
use core::sync::atomic::{Ordering, fence};

/// Stores before it are seen before those that follow.
pub fn dmb_ishst() {
    fence(Ordering::Release);
}

/// Fills a translation table that no walk reaches: entry `i` becomes `first` + `i` * `step`.
pub fn fill_entries(table: &[TableEntry; 512], first: u64, step: u64) {
    for (i, entry) in (0..).zip(table) {
        entry.set(first + i * step);
    }
}
