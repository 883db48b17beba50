//! A heap for a guest program with one CPU: RAM behind the image. A program that depends on this crate has it as its allocator.

#![no_std]
#![allow(unsafe_code)]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::NonNull;

use avisor_guest::image_end;
use buddy_system_allocator::Heap;

/// Where nothing says where RAM ends: the initial RAM disk and the device tree lie behind so much.
const LEAST: usize = 16 << 20;

struct Allocator(UnsafeCell<Heap<32>>);

// SAFETY: `start`'s contract: one CPU, and no handler of an interrupt comes here, so nobody comes between.
unsafe impl Sync for Allocator {}

#[global_allocator]
static HEAP: Allocator = Allocator(UnsafeCell::new(Heap::empty()));

/// Gives the heap what is behind the image, up to what comes first: the device tree or the initial RAM disk. Before that, there is nothing in it.
///
/// # Safety
/// It is called once. The program has one CPU, its handlers of interrupts leave the heap alone, and nothing else uses RAM behind its image.
pub unsafe fn start(device_tree: usize, initrd: Option<usize>) {
    let start = image_end();
    let ends = [Some(device_tree), initrd].into_iter().flatten();
    let end = ends.filter(|end| *end > start).min();
    let end = end.unwrap_or(start + LEAST);
    // SAFETY: nothing of the program is behind its image, and nobody holds a reference to the heap.
    unsafe { (*HEAP.0.get()).init(start, end - start) }
}

// SAFETY: the heap's own contract, and one caller at a time.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: one caller at a time.
        let heap = unsafe { &mut *self.0.get() };
        heap.alloc(layout)
            .map_or(core::ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let Some(pointer) = NonNull::new(pointer) else {
            return;
        };
        // SAFETY: one caller at a time; the pointer came from `alloc` with this layout.
        unsafe { (*self.0.get()).dealloc(pointer, layout) }
    }
}
