//! A guest that takes a snapshot and goes back to it. `cargo build --release` makes the file that Avisor's `make run GUEST=...` takes.

#![no_std]
#![no_main]

use avisor_guest::{Checkpoint, checkpoint, entry, power_off, println, restore_with};

entry!(main);

fn main(_device_tree: usize) -> ! {
    match checkpoint() {
        Ok(Checkpoint::Taken(id)) => {
            println!("my-guest: took snapshot {id}");
            let error = restore_with(id, 7);
            println!("my-guest: no way back: {error}");
        }
        Ok(Checkpoint::Restored { id, value }) => {
            println!("my-guest: back at snapshot {id} with {value}");
        }
        Err(error) => println!("my-guest: no checkpoint: {error}"),
    }
    power_off()
}
