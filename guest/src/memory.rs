//! RAM behind the image, word by word.

/// A page of 4 KiB.
pub const PAGE: usize = 4096;
/// What the machine gives RAM by: a block of 2 MiB.
pub const BLOCK: usize = 2 << 20;

/// Reads the word at `address`, a multiple of 8.
pub fn load(address: usize) -> u64 {
    // SAFETY: a load changes nothing. Where there is no RAM the machine answers with an exception, which the exception
    // handler reports.
    unsafe { (address as *const u64).read_volatile() }
}

/// Changes the word at `address`, a multiple of 8.
///
/// # Safety
/// `address` must be in RAM, and the caller's to change.
pub unsafe fn store(address: usize, value: u64) {
    // SAFETY: the caller owns what is at `address`.
    unsafe { (address as *mut u64).write_volatile(value) }
}
