//! What is in memory: copies, zeroes, and the caches between EL2, which reads and writes through them, and guests,
//! which may go around them (MMU or data cache off, or memory mapped Non-cacheable).
//!
//! The rules (B2, "Mismatched memory attributes"): before EL2 reads what a guest may have written around the
//! caches, the lines of it go; after EL2 wrote what a guest may read around the caches, the lines are cleaned.
//! Always clean **and** invalidate: IVAC would lose a line that a guest dirtied through the cache, and a clean line
//! left behind would hide what a guest with its cache off writes there next, once it turns its cache on.
//! The DSB that completes it is one for the full system, as who goes around the caches is outside the inner-shareable domain; it is here,
//! with the maintenance, and not left to callers, whose barriers for tables wait for stores only.

use core::ops::Range;

use spin::Once;

use crate::addr::{PAGE_SIZE, Pa};
use crate::arch::assembly::{avisor_copy_page, avisor_copy_page_cached, avisor_zero_lines};
use crate::arch::isa;

/// The line that the assembly is written for.
const LINE: u64 = 64;

/// Whether lines and DC ZVA blocks have 64 bytes, as on every core that the boards have.
fn lines_are_64_bytes() -> bool {
    static USUAL: Once<bool> = Once::new();
    *USUAL.call_once(|| {
        let dczid = read_register!("dczid_el0");
        // BS: log2 of the words that DC ZVA clears; DZP: it may not be used.
        let zva = (dczid & 0x1f == 4).then_some(LINE);
        line_size() == LINE && zva == Some(LINE)
    })
}

/// Bytes in the smallest data cache line of any core.
fn line_size() -> u64 {
    4 << (read_register!("ctr_el0") >> 16 & 0xf)
}

/// Cleans and invalidates the lines of `range` to the point of coherency, completely. The MMU may be off.
#[inline(never)]
pub fn clean_and_invalidate(range: Range<u64>) {
    // A DC by address may be executed before earlier accesses that go around the cache, Device or Non-cacheable ones, the guest's or EL2's
    // own with its MMU off (D7.5.9.15, "Ordering of cache maintenance instructions"): a line would come back before they are done.
    isa::dsb_sy();
    let line = line_size();
    let mut address = range.start & !(line - 1);
    while address < range.end {
        isa::dc_civac(address);
        address += line;
    }
    isa::dsb_sy();
}

/// Reads a word as it is at the point of coherency, where also a guest that goes around the caches has it.
///
/// # Safety
/// `at` is a multiple of 4 in RAM of EL2's map.
pub unsafe fn read_word(at: Pa) -> u32 {
    clean_and_invalidate(at.0..at.0 + 4);
    // SAFETY: the caller's promise.
    unsafe { isa::load(at) }
}

/// Writes `bytes` from `at` on, as both the guest's cached and uncached accesses see them, completely.
///
/// # Safety
/// RAM of EL2's map, which nobody else uses meanwhile, and into which no Rust reference points.
pub unsafe fn write(at: Pa, bytes: &[u8]) {
    // SAFETY: the caller's promise.
    unsafe { isa::store(at, bytes) };
    clean_and_invalidate(at.0..at.0 + bytes.len() as u64);
}

/// Reads `to.len()` bytes from `at` on, as they are at the point of coherency.
///
/// # Safety
/// RAM of EL2's map.
#[inline(never)]
pub unsafe fn read(at: Pa, to: &mut [u8]) {
    clean_and_invalidate(at.0..at.0 + to.len() as u64);
    // SAFETY: the caller's promise.
    unsafe { isa::load_beside_guests(at, to) };
}

/// Writes `bytes` from `at` on where guests may be at work, as both their cached and uncached accesses see them, completely. What a guest stores meanwhile
/// around the caches to the rest of the first and the last line may be lost.
///
/// # Safety
/// RAM of EL2's map, into which no Rust reference points.
#[inline(never)]
pub unsafe fn write_beside_guests(at: Pa, bytes: &[u8]) {
    let range = at.0..at.0 + bytes.len() as u64;
    // The rest of the first line and the last must be what the guest stored there around the caches, not what they had of it.
    clean_and_invalidate(range.clone());
    // SAFETY: the caller's promise.
    unsafe { isa::store_beside_guests(at, bytes) };
    clean_and_invalidate(range);
}

/// Copies `bytes` of a page at the most from `from` to `to`, where guests may be at work, as [`write_beside_guests`] writes them.
///
/// # Safety
/// RAM of EL2's map, into which no Rust reference points.
pub unsafe fn copy_beside_guests(from: Pa, to: Pa, bytes: u64) {
    if bytes == PAGE_SIZE {
        // SAFETY: the caller's promise. The assembly reads and writes like a device: what a guest stores meanwhile is there before or afterwards.
        return unsafe { copy_page(from, to) };
    }
    let written = to.0..to.0 + bytes;
    clean_and_invalidate(from.0..from.0 + bytes);
    // As in `write_beside_guests`.
    clean_and_invalidate(written.clone());
    // SAFETY: the caller's promise.
    unsafe { isa::copy_beside_guests(from, to, bytes) };
    clean_and_invalidate(written);
}

/// Copies the 4 KiB page `from` to `to`, as both the guest's cached and uncached accesses see them, completely. No line of either is left in
/// the caches.
///
/// # Safety
/// Both are whole pages of RAM in EL2's map; nobody else uses `to`.
#[inline]
pub unsafe fn copy_page(from: Pa, to: Pa) {
    debug_assert!(from.page_offset() == 0 && to.page_offset() == 0);
    if lines_are_64_bytes() {
        // SAFETY: the assembly reads the page `from` and writes the page `to`, all else it uses it puts back.
        unsafe { avisor_copy_page(to.0, from.0) };
    } else {
        // SAFETY: the caller's promise.
        unsafe { copy_words(from, to) };
    }
}

/// Copies the 4 KiB page `from` to `to` through the caches alone: for pages that guests reach through the caches. Memory may have the copy
/// later, or never. It is read completely before any store that follows is seen.
///
/// # Safety
/// As [`copy_page`].
#[inline]
pub unsafe fn copy_page_cached(from: Pa, to: Pa) {
    debug_assert!(from.page_offset() == 0 && to.page_offset() == 0);
    // SAFETY: the assembly reads the page `from` and writes the page `to`, all else it uses it puts back.
    unsafe { avisor_copy_page_cached(to.0, from.0) };
}

/// As [`copy_page`], whatever the size of a line.
///
/// # Safety
/// As [`copy_page`].
pub(in crate::arch) unsafe fn copy_words(from: Pa, to: Pa) {
    // The DSB in front of that is for what a guest stored to `to`, too.
    clean_and_invalidate(from.0..from.0 + PAGE_SIZE);
    for offset in (0..PAGE_SIZE).step_by(4) {
        // SAFETY: the caller's promise.
        let word = unsafe { isa::load(Pa(from.0 + offset)) };
        // SAFETY: as above.
        unsafe { isa::store(Pa(to.0 + offset), &word.to_ne_bytes()) };
    }
    clean_and_invalidate(from.0..from.0 + PAGE_SIZE);
    clean_and_invalidate(to.0..to.0 + PAGE_SIZE);
}

/// Fills whole pages with zeroes, as both the guest's cached and uncached accesses see them, completely.
///
/// # Safety
/// Whole pages of RAM in EL2's map, which nobody else uses.
pub unsafe fn zero(start: Pa, bytes: u64) {
    assert!(start.page_offset() == 0 && bytes.is_multiple_of(PAGE_SIZE));
    if bytes == 0 {
        return;
    }
    let range = start.0..start.0 + bytes;
    if lines_are_64_bytes() {
        // SAFETY: the caller's promise.
        unsafe { avisor_zero_lines(range.start, range.end) };
    } else {
        // SAFETY: the caller's promise.
        unsafe { zero_words(range) };
    }
}

/// The same, whatever DC ZVA clears.
///
/// # Safety
/// As [`zero`].
pub(in crate::arch) unsafe fn zero_words(range: Range<u64>) {
    // What a guest stored here around the caches does not arrive behind the zeroes.
    isa::dsb_sy();
    for at in range.clone().step_by(LINE as usize) {
        // SAFETY: the caller's promise.
        unsafe { isa::store(Pa(at), &[0; LINE as usize]) };
    }
    clean_and_invalidate(range);
}

/// Code may have been written to `range`, a page or a block: no core fetches an old instruction from it afterwards. The data of a block must be
/// clean to the point of unification, and behind a DSB, as [`copy_page`], [`zero`] and [`write()`] leave it (B2.4.4, "Concurrent modification and
/// execution of instructions"). A page may hold what [`copy_page_cached`] has left in the data caches, so it is cleaned here. What the guest
/// wrote itself, it maintains itself.
pub fn invalidate_instructions(range: Range<u64>) {
    /// CTR_EL0.IDC: instruction caches are filled from what the data caches hold.
    const IDC: u64 = 1 << 28;
    /// CTR_EL0.DIC: instruction caches follow the data by themselves.
    const DIC: u64 = 1 << 29;
    /// CTR_EL0.L1Ip: physically indexed, physically tagged. Only there does IC IVAU by EL2's address reach what was fetched by
    /// the guest's (D7.5.2, "The instruction cache policies").
    const PIPT: u64 = 3 << 14;
    let ctr = read_register!("ctr_el0");
    if range.end - range.start <= PAGE_SIZE {
        if ctr & IDC == 0 {
            for address in range.clone().step_by(line_size() as usize) {
                isa::dc_cvau(address);
            }
        }
        // What is fetched after the IC is what was cleaned before it.
        isa::dsb_ish();
    }
    if ctr & PIPT == PIPT && range.end - range.start <= PAGE_SIZE {
        let line = 4_usize << (ctr & 0xf);
        let lines = if ctr & DIC == 0 { range } else { 0..0 };
        for address in lines.step_by(line) {
            isa::ic_ivau(address);
        }
    } else {
        // For a block, too: one broadcast instead of thousands.
        isa::ic_ialluis();
    }
    // Done on all cores; the ERET is what makes each fetch anew, here and where the entry that permits the fetch is seen.
    isa::dsb_ish();
}
