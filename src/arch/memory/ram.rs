//! The memory of one VM, by physical address: what the rest of the crate may do with it without `unsafe`.

use alloc::vec::Vec;
use core::ops::Range;

use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::page;
use crate::addr::{PAGE_SIZE, Pa};

/// Frames that belong to one VM: guest RAM, which is only copied, and frames that hold EL2's own values. Which is which, and that a frame is one
/// of them at a time, is the VM's page maps' business (`snapshot`).
///
/// This trusts its callers, without `unsafe`, to keep to a VM's frames and to their alignment: debug builds panic where they do not, and
/// [`write`](Self::write) always does.
///
/// Windows, which several VMs have, are here only to be made to agree with the caches.
pub struct Ram {
    own: Vec<Range<Pa>>,
    windows: &'static [Range<Pa>],
}

impl Ram {
    /// Ranges of RAM in EL2's map that were taken out of the heap for good, for this alone ([`take_blocks`](super::heap::take_blocks)).
    pub fn new(own: Vec<Range<Pa>>) -> Self {
        Self { own, windows: &[] }
    }

    /// With these windows, ranges of the same kind, but for all VMs.
    pub fn with_windows(self, windows: &'static [Range<Pa>]) -> Self {
        Self { windows, ..self }
    }

    /// Where the memory of window number `number` begins.
    pub fn window_base(&self, number: usize) -> Pa {
        self.windows[number].start
    }

    /// Whether `bytes` from `at` on are in it, windows aside.
    fn owns(&self, at: Pa, bytes: u64) -> bool {
        holds(&self.own, at, bytes)
    }

    /// A value of EL2's own. `at` is a multiple of its alignment.
    #[inline]
    pub fn get<T: FromBytes + Immutable>(&self, at: Pa) -> &T {
        debug_assert!(self.owns(at, size_of::<T>() as u64));
        // SAFETY: `at` is the address of a frame out of this VM's share, which is RAM in EL2's map that nobody else has. Frames with EL2's values
        // are not mapped for the guest, and the only references to them come from here and `get_mut`, bound to the borrow of `self`. Any
        // bits make a valid T.
        unsafe { &*(at.0 as *const T) }
    }

    /// The same, to change.
    #[inline]
    pub fn get_mut<T: FromBytes + IntoBytes + Immutable>(&mut self, at: Pa) -> &mut T {
        debug_assert!(self.owns(at, size_of::<T>() as u64));
        // SAFETY: as above; the borrow of `self` is exclusive.
        unsafe { &mut *(at.0 as *mut T) }
    }

    /// Copies the frame at `from` to the one at `to`, which is free until now.
    #[inline]
    pub fn copy_page(&mut self, from: Pa, to: Pa) {
        debug_assert!(self.owns(from, PAGE_SIZE) && self.owns(to, PAGE_SIZE));
        // SAFETY: both are frames of this VM's share; `to` was free until now and is not mapped for the guest yet.
        unsafe { page::copy_page(from, to) };
    }

    /// The same, through the caches alone ([`page::copy_page_cached`]). `to` may be a frame of guest RAM, too, while none of the VM's vCPUs runs.
    #[inline]
    pub fn copy_page_cached(&mut self, from: Pa, to: Pa) {
        debug_assert!(self.owns(from, PAGE_SIZE) && self.owns(to, PAGE_SIZE));
        // SAFETY: both are frames of this VM's share; `to` is not mapped for the guest yet, or no vCPU of the VM runs.
        unsafe { page::copy_page_cached(from, to) };
    }

    /// Zeroes `bytes`, whole frames that are free until now.
    pub fn zero(&mut self, at: Pa, bytes: u64) {
        debug_assert!(self.owns(at, bytes));
        // SAFETY: frames of this VM's share, free until now and not mapped for the guest yet.
        unsafe { page::zero(at, bytes) };
    }

    /// See [`page::clean_and_invalidate`].
    pub fn clean_and_invalidate(&mut self, at: Pa, bytes: u64) {
        debug_assert!(self.owns(at, bytes) || holds(self.windows, at, bytes));
        page::clean_and_invalidate(at.0..at.0 + bytes);
    }

    /// See [`page::invalidate_instructions`].
    pub fn invalidate_instructions(&mut self, at: Pa, bytes: u64) {
        debug_assert!(self.owns(at, bytes));
        page::invalidate_instructions(at.0..at.0 + bytes);
    }

    /// Writes `bytes` into guest RAM. None of the VM's vCPUs runs.
    pub fn write(&mut self, at: Pa, bytes: &[u8]) {
        assert!(self.owns(at, bytes.len() as u64));
        // SAFETY: the assertion; no Rust reference points into guest memory, and no vCPU of the VM uses the page: `vm` writes
        // image and tree into a VM that is being made or was stopped; or, piece by piece after a reset, into pages of a VM whose one vCPU that is on
        // is at EL2, on this core, until the last piece is written.
        unsafe { page::write(at, bytes) };
    }

    /// Reads guest RAM.
    pub fn read(&mut self, at: Pa, to: &mut [u8]) {
        assert!(self.owns(at, to.len() as u64));
        // SAFETY: a part of a frame out of this VM's share, which is RAM in EL2's map.
        unsafe { page::read(at, to) };
    }

    /// Writes `bytes` into guest RAM, beside what the VM's vCPUs do.
    pub fn write_beside_guests(&mut self, at: Pa, bytes: &[u8]) {
        assert!(self.owns(at, bytes.len() as u64));
        // SAFETY: the assertion; no Rust reference points into guest memory.
        unsafe { page::write_beside_guests(at, bytes) };
    }

    /// Copies `bytes`, of a page at the most, of another VM's RAM into this one's, beside what the vCPUs of both do.
    pub fn copy_from(&mut self, other: &mut Self, from: Pa, to: Pa, bytes: u64) {
        assert!(other.owns(from, bytes) && self.owns(to, bytes));
        // SAFETY: the assertion; no Rust reference points into guest memory.
        unsafe { page::copy_beside_guests(from, to, bytes) };
    }

    /// The word at `at`, a multiple of 4, of guest RAM.
    pub fn instruction(&mut self, at: Pa) -> u32 {
        debug_assert!(self.owns(at, 4));
        // SAFETY: a word of a frame out of this VM's share, which is RAM in EL2's map.
        unsafe { page::read_word(at) }
    }
}

/// Whether `bytes` from `at` on are in one of the `ranges`.
fn holds(ranges: &[Range<Pa>], at: Pa, bytes: u64) -> bool {
    let is_in = |range: &Range<Pa>| range.start <= at && at.0 + bytes <= range.end.0;
    ranges.iter().any(is_in)
}
