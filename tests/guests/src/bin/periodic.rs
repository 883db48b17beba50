//! A guest that knows nothing of snapshots, but looks how many there are: with `checkpoint_every` they are taken without it.

#![no_std]
#![no_main]

use avisor_guest::{entry, power_off, println, snapshot};

entry!(main);

fn main(_device_tree: usize) -> ! {
    while snapshot::stats().is_ok_and(|stats| stats.snapshots < 3) {}
    println!("periodic: three snapshots");
    power_off()
}
