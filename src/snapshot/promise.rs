//! What a VM is promised at the least. The build script includes this file to refuse a machine that is too small.

/// Pages for the RAM of a VM with `pages` pages, and for `snapshots` snapshots that share none of them.
pub const fn ram_pages(pages: u64, snapshots: u64) -> u64 {
    pages * (snapshots + 1)
}
