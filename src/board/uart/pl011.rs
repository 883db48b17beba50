//! The board's PL011 UART (Arm DDI 0183): sends by polling, receives by polling or after its interrupt.

use core::sync::atomic::{AtomicBool, Ordering};

use super::{Driver, Kind, Uart};
use crate::arch::memory::mmio::DeviceRegisters;

const DR: u64 = 0x00;
/// RSR when read, ECR when written.
const RSR: u64 = 0x04;
const FR: u64 = 0x18;
const IBRD: u64 = 0x24;
const FBRD: u64 = 0x28;
const LCR_H: u64 = 0x2c;
const CR: u64 = 0x30;
const IFLS: u64 = 0x34;
const IMSC: u64 = 0x38;
const ICR: u64 = 0x44;

/// A character came while the FIFO was full, and is lost.
const RSR_OE: u32 = 1 << 3;
const FR_RXFE: u32 = 1 << 4;
const FR_TXFF: u32 = 1 << 5;
const LCR_H_8_BITS_FIFO: u32 = 0b11 << 5 | 1 << 4;
/// Receive at 1/8 full, transmit at 1/2 full as after reset.
const IFLS_RECEIVE_EARLY: u32 = 0b010;
/// The receive FIFO has reached its level; or holds less, for 32 bit times in which nothing more came.
const RECEIVE_INTERRUPTS: u32 = 1 << 4 | 1 << 6;
const CR_ENABLE_TX_RX: u32 = 1 << 0 | 1 << 8 | 1 << 9;

/// The speed of a UART that nobody has set up.
const BAUD: u64 = 115_200;
/// Its clock where the tree names no fixed one: what the Raspberry Pi's firmware gives it.
const USUAL_CLOCK: u64 = 48_000_000;
/// Looks at a full FIFO before it is given up: a second or more, where a character takes a millisecond at worst.
const TRIES: u32 = 10_000_000;

/// The UART was given up: it is still looked at, but not waited for.
static STUCK: AtomicBool = AtomicBool::new(false);

/// A PL011.
#[derive(Debug, Clone, Copy)]
pub struct Pl011(DeviceRegisters);

pub(super) const KIND: Kind = Kind {
    compatible: "arm,pl011",
    size: 0x48,
    answers_at: FR,
    is_there,
    open,
};

/// Whether what is at `registers`, a page, identifies itself as a PL011 (DDI 0183, 3.3.17 and 3.3.18), of whatever revision.
fn is_there(registers: DeviceRegisters) -> bool {
    if registers.size() < 0x1000 {
        return false;
    }
    let byte = |n: u64| registers.read(0xfe0 + 4 * n) & 0xff;
    let part = byte(0) | (byte(1) & 0xf) << 8;
    let cell = [4, 5, 6, 7].map(byte);
    part == 0x011 && cell == [0x0d, 0xf0, 0x05, 0xb1]
}

/// Takes the UART over, at the speed at which the firmware left it: its clock is in the hands of the firmware too
/// (on the Raspberry Pi it is no fixed clock that the tree could tell), and the speed is right because the firmware
/// itself prints there. One that has no speed gets one out of `clock`, in Hz, if the tree tells.
fn open(registers: DeviceRegisters, clock: Option<u64>) -> Uart {
    let enabled = registers.read(CR) & CR_ENABLE_TX_RX == CR_ENABLE_TX_RX;
    let has_speed = registers.read(IBRD) != 0;
    if !enabled || !has_speed {
        registers.write(CR, 0);
        if !has_speed {
            // 64ths of the clock's cycles per 16th of a bit.
            let divisor = (clock.unwrap_or(USUAL_CLOCK) * 4 + BAUD / 2) / BAUD;
            registers.write(IBRD, (divisor >> 6) as u32);
            registers.write(FBRD, divisor as u32 & 0x3f);
        }
        // LCR_H must be written with the UART off, and after the divisors, which it latches (DDI 0183, 3.3.6).
        registers.write(LCR_H, LCR_H_8_BITS_FIFO);
        registers.write(CR, CR_ENABLE_TX_RX);
    }
    Uart::Pl011(Pl011(registers))
}

impl Driver for Pl011 {
    fn send(&self, byte: u8) {
        let tries = if STUCK.load(Ordering::Relaxed) {
            1
        } else {
            TRIES
        };
        let has_room = (0..tries).any(|_| self.0.read(FR) & FR_TXFF == 0);
        STUCK.store(!has_room, Ordering::Relaxed);
        if has_room {
            self.0.write(DR, byte.into());
        }
    }

    fn receive(&self) -> Option<u8> {
        // Bits 11:8 are errors of the line; a damaged character is passed on like any other.
        (self.0.read(FR) & FR_RXFE == 0).then(|| self.0.read(DR) as u8)
    }

    fn take_overrun(&self) -> bool {
        let overrun = self.0.read(RSR) & RSR_OE != 0;
        if overrun {
            self.0.write(RSR, 0);
        }
        overrun
    }

    fn enable_rx_irq(&self) {
        self.0.write(IFLS, IFLS_RECEIVE_EARLY);
        self.0.write(IMSC, RECEIVE_INTERRUPTS);
    }

    fn disable_rx_irq(&self) {
        self.0.write(IMSC, 0);
    }

    fn acknowledge(&self) {
        self.0.write(ICR, RECEIVE_INTERRUPTS);
    }
}
