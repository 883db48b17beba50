//! The global allocator: all free memory of the board in a buddy heap.

use alloc::vec::Vec;
use core::alloc::{GlobalAlloc, Layout};
use core::ops::Range;
use core::ptr::{self, NonNull};

use buddy_system_allocator::Heap;
use spin::Mutex;

use crate::addr::{BLOCK_SIZE, Pa};

/// Blocks up to 4 GiB.
const ORDERS: usize = 33;

struct Allocator(Mutex<Heap<ORDERS>>);

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

/// Takes whole blocks out of the heap for good, the largest first, until not much more than `keep` bytes are left in it.
pub fn take_blocks(keep: u64) -> Vec<Range<Pa>> {
    const MOST_BLOCKS: usize = 64;
    let aligned = |size: usize| Layout::from_size_align(size, size).expect("a power of two");
    // Nothing may be allocated while the blocks are taken: what is kept is set aside, and the list has its size.
    let kept = aligned(keep.next_power_of_two() as usize);
    let mut taken = Vec::with_capacity(MOST_BLOCKS);
    let mut heap = HEAP.0.lock();
    let reserve = heap.alloc(kept);
    for order in (BLOCK_SIZE.trailing_zeros()..ORDERS as u32).rev() {
        let layout = aligned(1 << order);
        while taken.len() < MOST_BLOCKS
            && let Ok(block) = heap.alloc(layout)
        {
            let start = block.as_ptr() as u64;
            taken.push(Pa(start)..Pa(start + layout.size() as u64));
        }
    }
    if let Ok(reserve) = reserve {
        // SAFETY: the same heap gave it, for the same layout.
        unsafe { heap.dealloc(reserve, kept) };
    }
    taken
}
