//! Text on the PL011 UART.

use core::fmt::{self, Write};

use crate::mmio;

/// Where the UART's registers are.
pub const PL011: usize = 0x0900_0000;

const DR: usize = PL011;
const FR: usize = PL011 + 0x18;
const CR: usize = PL011 + 0x30;
const IMSC: usize = PL011 + 0x38;
const RIS: usize = PL011 + 0x3c;
const ICR: usize = PL011 + 0x44;

/// The UART's interrupt.
pub const INTID: u32 = 33;
/// UARTIMSC, UARTRIS, UARTICR: there is room for characters to send.
pub const TRANSMIT: u32 = 1 << 5;

/// UARTIMSC, UARTRIS, UARTICR: characters came in, many or some time ago.
pub const RECEIVE: u32 = 1 << 4 | 1 << 6;

/// FR.RXFE: no character came in.
const RXFE: u32 = 1 << 4;
/// FR.TXFF: there is no room for another character.
const TXFF: u32 = 1 << 5;
/// CR: UARTEN, TXE and RXE.
const ENABLED: u32 = 1 << 0 | 1 << 8 | 1 << 9;

/// Switches the UART on; the boot stub does it before `main`.
pub fn enable() {
    // SAFETY: CR is a register of the UART, which nothing but this module uses.
    unsafe { mmio::write32(CR, ENABLED) }
}

/// UARTIMSC: what the UART interrupts for.
pub fn interrupts() -> u32 {
    mmio::read32(IMSC)
}

/// Writes UARTIMSC.
pub fn set_interrupts(mask: u32) {
    // SAFETY: a register of the UART: it changes which interrupts come.
    unsafe { mmio::write32(IMSC, mask) }
}

/// UARTRIS: what the UART would interrupt for.
pub fn raw_interrupts() -> u32 {
    mmio::read32(RIS)
}

/// UARTICR: the UART has nothing to interrupt for any more.
pub fn clear_interrupts() {
    // SAFETY: as in `set_interrupts`.
    unsafe { mmio::write32(ICR, 0x7ff) }
}

/// The UART as a place to format to. It has no state: every user writes to the same one.
pub struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for &byte in text.as_bytes() {
            // A terminal wants both; on a real serial line nobody adds the other.
            if byte == b'\n' {
                send(b'\r');
            }
            send(byte);
        }
        Ok(())
    }
}

/// The next character that came in, if one did.
pub fn receive() -> Option<u8> {
    (mmio::read32(FR) & RXFE == 0).then(|| mmio::read32(DR) as u8)
}

fn send(byte: u8) {
    while mmio::read32(FR) & TXFF != 0 {}
    // SAFETY: DR is a register of the UART, and writing it sends a character.
    unsafe { mmio::write32(DR, byte.into()) }
}

/// Formats to the console.
#[macro_export]
macro_rules! print {
    ($($arguments:tt)*) => {
        // Sending cannot fail, and what a `Display` of the program does is its own business.
        { let _ = core::fmt::Write::write_fmt(&mut $crate::console::Console, format_args!($($arguments)*)); }
    };
}

/// Formats to the console and ends the line.
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($($arguments:tt)*) => { $crate::print!("{}\n", format_args!($($arguments)*)) };
}
