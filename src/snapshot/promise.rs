//! What a VM is promised at the least. The build script includes this file, too: it knows before anything is compiled that a machine is too small.

/// Pages that the RAM of a VM takes, of `pages` pages, and so many snapshots of it that share none.
pub const fn ram_pages(pages: u64, snapshots: u64) -> u64 {
    pages * (snapshots + 1)
}
