//! The global allocator: all free memory of the board in a buddy heap.

use core::alloc::{GlobalAlloc, Layout};
use core::ops::Range;
use core::ptr::{self, NonNull};

use buddy_system_allocator::Heap;
use spin::Mutex;

/// Blocks up to 4 GiB.
struct Allocator(Mutex<Heap<33>>);

#[global_allocator]
static HEAP: Allocator = Allocator(Mutex::new(Heap::new()));

// SAFETY: Heap returns blocks that do not overlap, of the size and alignment that were asked for (a buddy block is
// aligned to its size, which is at least both), out of the ranges that `add` gave it; the lock makes it one caller
// at a time.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.0
            .lock()
            .alloc(layout)
            .map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if let Some(pointer) = NonNull::new(pointer) {
            // SAFETY: GlobalAlloc's contract: `pointer` came from `alloc` with the same layout.
            unsafe { self.0.lock().dealloc(pointer, layout) };
        }
    }
}

/// Gives `range` to the heap.
///
/// # Safety
/// The range is RAM, mapped read-write, and nobody else uses it, now or later.
pub unsafe fn add(range: Range<u64>) {
    // SAFETY: what Heap asks for is this function's own contract.
    unsafe {
        HEAP.0
            .lock()
            .add_to_heap(range.start as usize, range.end as usize)
    };
}

/// Bytes that are in nobody's hands.
pub fn free_bytes() -> u64 {
    let heap = HEAP.0.lock();
    (heap.stats_total_bytes() - heap.stats_alloc_actual()) as u64
}
