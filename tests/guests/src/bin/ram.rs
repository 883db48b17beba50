//! A guest that finds out how much RAM it has, a power of two, and looks at some pages of it: the first behind the image,
//! the last, and every so often one between. They are zero, keep what is stored, and come back with a snapshot.

#![no_std]
#![no_main]
// RAM behind the image is read and written directly.
#![allow(unsafe_code)]

use avisor_guest::exception::{self, Frame};
use avisor_guest::memory::{self, PAGE, load};
use avisor_guest::{
    Checkpoint, RAM_START, Shared, checkpoint, entry, image_end, mmio, power_off, println,
    restore_with,
};

/// Pages to look at, and one more.
const SAMPLES: usize = 64;

static FAULTED: Shared<bool> = Shared::new(false);

entry!(main);

fn main(_device_tree: usize) -> ! {
    let end = ram_end();
    println!("ram: {} MiB", (end - RAM_START) >> 20);
    let zero = pages(end).all(|page| load(page) == 0);
    println!("ram: zero at the start: {zero}");
    pages(end).for_each(|page| store(page, page as u64));
    match checkpoint() {
        Ok(Checkpoint::Taken(id)) => {
            pages(end).for_each(|page| store(page, !0));
            let error = restore_with(id, 1);
            println!("ram: no way back: {error}");
        }
        Ok(Checkpoint::Restored { .. }) => {
            let same = pages(end).all(|page| load(page) == page as u64);
            println!("ram: as it was after a restore: {same}");
        }
        Err(error) => println!("ram: no checkpoint: {error}"),
    }
    power_off()
}

/// The last word of pages all over RAM. None of them holds the device tree: that begins at a multiple of 2 MiB and is
/// shorter than the way to the end of a sample's block.
fn pages(end: usize) -> impl Iterator<Item = usize> {
    let blocks = (end - RAM_START) / SAMPLES;
    let last = move |n| RAM_START + n * blocks - 8;
    core::iter::once(image_end() + PAGE - 8).chain((1..=SAMPLES).map(last))
}

/// The first power of two of RAM behind whose end nothing can be read.
fn ram_end() -> usize {
    exception::set_handler(|frame: &mut Frame| {
        FAULTED.set(true);
        frame.skip();
    });
    let end = (21..40)
        .map(|bits| RAM_START + (1 << bits))
        .find(|&end| {
            FAULTED.set(false);
            mmio::read32(end);
            FAULTED.get()
        })
        .expect("RAM ends somewhere");
    exception::reset_handler();
    end
}

fn store(address: usize, value: u64) {
    // SAFETY: RAM behind the image, 8-byte aligned; nothing else uses it.
    unsafe { memory::store(address, value) }
}
