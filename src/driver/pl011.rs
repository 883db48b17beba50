//! The board's PL011 UART (Arm DDI 0183), polled.

use crate::arch::aarch64::mmio::Registers;

const DR: u64 = 0x00;
const FR: u64 = 0x18;
const LCR_H: u64 = 0x2c;
const CR: u64 = 0x30;

const FR_RXFE: u32 = 1 << 4;
const FR_TXFF: u32 = 1 << 5;
const LCR_H_8_BITS_FIFO: u32 = 0b11 << 5 | 1 << 4;
const CR_ENABLE_TX_RX: u32 = 1 << 0 | 1 << 8 | 1 << 9;

/// A PL011.
#[derive(Debug, Clone, Copy)]
pub struct Pl011(Registers);

impl Pl011 {
    /// What a tree calls it.
    pub const COMPATIBLE: &str = "arm,pl011";

    /// Takes the UART over, at the speed at which the firmware left it: its clock is in the hands of the firmware too
    /// (on the Raspberry Pi it is no fixed clock that the tree could tell), and the speed is right because the firmware
    /// itself prints there. QEMU's has no speed.
    pub fn new(registers: Registers) -> Self {
        let uart = Self(registers);
        let enabled = registers.read(CR) & CR_ENABLE_TX_RX == CR_ENABLE_TX_RX;
        if !enabled {
            // LCR_H must be written with the UART off, and latches the divisors as they are (DDI 0183, 3.3.6).
            registers.write(CR, 0);
            registers.write(LCR_H, LCR_H_8_BITS_FIFO);
            registers.write(CR, CR_ENABLE_TX_RX);
        }
        uart
    }

    /// Waits for room, then sends `byte`.
    pub fn send(self, byte: u8) {
        while self.0.read(FR) & FR_TXFF != 0 {
            core::hint::spin_loop();
        }
        self.0.write(DR, byte.into());
    }

    /// A byte that has come in.
    pub fn receive(self) -> Option<u8> {
        // Bits 11:8 are errors of the line; a damaged character is passed on like any other.
        (self.0.read(FR) & FR_RXFE == 0).then(|| self.0.read(DR) as u8)
    }
}
