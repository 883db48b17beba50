//! Says that it is ready, then sends back each byte that comes, and sleeps when none is there, until the UART's interrupt.

#![no_std]
#![no_main]
// Registers of the UART, and WFI.
#![allow(unsafe_code)]

use core::arch::asm;

use avisor_guest::console::{self, PL011};
use avisor_guest::{entry, gic, mmio, println};

/// FR.RXFE: nothing has come in.
const EMPTY: u32 = 1 << 4;
/// FR.TXFF: there is no room for another byte.
const FULL: u32 = 1 << 5;
/// UARTIMSC: something came in, and did so a while ago.
const RECEIVE: u32 = 1 << 4 | 1 << 6;
/// UARTLCR_H: 8 bits, FIFOs on.
const LINE_CONTROL: u32 = 0b11 << 5 | 1 << 4;

entry!(main);

fn flags() -> u32 {
    mmio::read32(PL011 + 0x18)
}

fn main(_device_tree: usize) -> ! {
    // SAFETY: a register of the UART.
    unsafe { mmio::write32(PL011 + 0x2c, LINE_CONTROL) }
    console::set_interrupts(RECEIVE);
    gic::set_targets(console::INTID, 1);
    gic::enable_interrupt(console::INTID);
    gic::enable();
    gic::enable_cpu();
    println!("ready");
    loop {
        while flags() & EMPTY == 0 {
            let byte = mmio::read32(PL011) as u8;
            while flags() & FULL != 0 {}
            // SAFETY: writing the UART's data register sends a byte.
            unsafe { mmio::write32(PL011, byte.into()) }
        }
        // Interrupts are masked, so that none is taken; one that is pending ends the sleep all the same.
        // SAFETY: no memory is changed.
        unsafe { asm!("wfi", options(nostack, preserves_flags)) }
    }
}
