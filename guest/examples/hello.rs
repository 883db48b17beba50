//! A snapshot, a change, and back: the least that a guest can do. `guest/c/hello.c` is the same in C.

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use avisor_guest::{Checkpoint, checkpoint, entry, power_off, println, restore_with};

static COUNTER: AtomicU32 = AtomicU32::new(1);

entry!(main);

fn main(_device_tree: usize) -> ! {
    println!("Hello from Rust");
    // Returns once for the checkpoint, and once more for the restore below.
    match checkpoint() {
        Ok(Checkpoint::Taken(id)) => {
            println!("took snapshot {id}");
            COUNTER.store(2, Relaxed);
            println!("  counter changed to {}", COUNTER.load(Relaxed));
            let error = restore_with(id, 42);
            println!("no way back: {error}");
        }
        Ok(Checkpoint::Restored { id, value }) => {
            println!("back at snapshot {id}");
            println!("  counter is {} again", COUNTER.load(Relaxed));
            println!("  the restorer passed {value}");
        }
        Err(error) => println!("no checkpoint: {error}"),
    }
    power_off()
}
