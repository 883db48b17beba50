//! In the library that `tests/*.rs` link on the host: tables are made there, and nobody walks them.

use core::sync::atomic::{Ordering, fence};

/// Stores before it are seen before those that follow.
pub fn dmb_ishst() {
    fence(Ordering::Release);
}
