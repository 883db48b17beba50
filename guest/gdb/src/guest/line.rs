//! The line to the client: this VM's PL011, byte for byte (Arm DDI 0183).

use avisor_guest::console::{self, PL011};
use avisor_guest::{gic, mmio};

const DR: usize = PL011;
const FR: usize = PL011 + 0x18;
const LCR_H: usize = PL011 + 0x2c;
/// FR: nothing was received; no room to send.
const RXFE: u32 = 1 << 4;
const TXFF: u32 = 1 << 5;
/// LCR_H: FIFOs on, 8 bits.
const FIFOS: u32 = 1 << 4 | 3 << 5;
/// IMSC: something was received; it was, and no more comes.
const RX: u32 = 1 << 4;
const RT: u32 = 1 << 6;

/// The line.
pub struct Line(());

impl Line {
    /// Has it interrupt for what is received.
    pub fn open() -> Self {
        // SAFETY: a register of this VM's UART, which nothing else of this program uses.
        unsafe { mmio::write32(LCR_H, FIFOS) }
        console::set_interrupts(RX | RT);
        gic::enable_interrupt(console::INTID);
        Self(())
    }

    /// A byte that was received.
    pub fn receive(&self) -> Option<u8> {
        let is_there = mmio::read32(FR) & RXFE == 0;
        is_there.then(|| mmio::read32(DR) as u8)
    }

    /// Sends bytes.
    pub fn send(&self, bytes: &[u8]) {
        for &byte in bytes {
            while mmio::read32(FR) & TXFF != 0 {}
            // SAFETY: as above; what is written is sent.
            unsafe { mmio::write32(DR, byte.into()) }
        }
    }
}
