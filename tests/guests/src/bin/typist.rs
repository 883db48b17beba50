//! Passes a key on, and says how long it took until it was answered, in ticks of the counter: whoever is at the other end of the line sends the
//! key, types it where it belongs when it comes back, and sends a byte when there is an answer.

#![no_std]
#![no_main]
// Registers of the UART.
#![allow(unsafe_code)]

use avisor_guest::console::PL011;
use avisor_guest::timer::Timer;
use avisor_guest::{entry, mmio, println};

/// FR.RXFE: nothing has come in.
const EMPTY: u32 = 1 << 4;

entry!(main);

fn byte() -> u8 {
    while mmio::read32(PL011 + 0x18) & EMPTY != 0 {}
    mmio::read32(PL011) as u8
}

fn main(_device_tree: usize) -> ! {
    println!("ready");
    loop {
        let key = byte();
        let typed = Timer::Physical.count();
        // SAFETY: writing the UART's data register sends a byte.
        unsafe { mmio::write32(PL011, key.into()) }
        byte();
        println!("{}", Timer::Physical.count() - typed);
    }
}
