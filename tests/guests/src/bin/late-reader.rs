//! Waits until something is typed, but does not read it for some seconds; then reads up to a full stop. Every character before
//! that follows from the one before it (`0123456789` over and over): one that is missing shows.

#![no_std]
#![no_main]

use avisor_guest::console::PL011;
use avisor_guest::timer::{Timer, frequency};
use avisor_guest::{entry, mmio, power_off, println};

/// FR.RXFE: nothing has come in.
const EMPTY: u32 = 1 << 4;
/// Seconds.
const BUSY: u64 = 4;
/// The last character.
const END: u8 = b'.';
/// Seconds without a character after which it does not come any more: longer than a busy host stalls.
const SILENCE: u64 = 30;

entry!(main);

fn count() -> u64 {
    Timer::Virtual.count()
}

fn is_there() -> bool {
    mmio::read32(PL011 + 0x18) & EMPTY == 0
}

fn typed() -> Option<u8> {
    is_there().then(|| mmio::read32(PL011) as u8)
}

fn main(_device_tree: usize) -> ! {
    println!("late-reader: busy");
    while !is_there() {}
    let start = count();
    while count() - start < BUSY * frequency() {}
    let (mut read, mut wrong, mut last) = (0_u64, 0_u64, count());
    while count() - last < SILENCE * frequency() {
        if let Some(byte) = typed() {
            if byte == END {
                break;
            }
            wrong += u64::from(u64::from(byte) != u64::from(b'0') + read % 10);
            read += 1;
            last = count();
        }
    }
    println!("late-reader: {read} characters, {wrong} wrong");
    power_off()
}
