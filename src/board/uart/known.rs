//! UARTs of the board that this runs on: their registers, and where one is that no tree tells of.

use super::{Registers, Uart};
use crate::arch::boot::image;
use crate::arch::cpu;
use crate::arch::memory::mmio::DeviceRegisters;

/// A UART of this board.
pub type BoardUart = Uart<DeviceRegisters>;

impl Registers for DeviceRegisters {
    fn base(self) -> u64 {
        self.base()
    }

    fn size(self) -> u64 {
        self.size()
    }

    #[inline]
    fn read(self, offset: u64) -> u32 {
        self.read(offset)
    }

    #[inline]
    fn write(self, offset: u64, value: u32) {
        self.write(offset, value);
    }

    fn read8(self, offset: u64) -> u8 {
        self.read8(offset)
    }

    fn write8(self, offset: u64, value: u8) {
        self.write8(offset, value);
    }
}

/// Where a board has its UART that no tree tells of. Which board it is shows in where the image is, as RAM is in other places, and in the
/// kind of its cores. Where this is wrong nothing answers, or something that does not identify itself.
pub fn known_address() -> Option<u64> {
    const VIRT_RAM: u64 = 0x4000_0000;
    match cpu::part() {
        _ if image::range().start >= VIRT_RAM => Some(0x0900_0000),
        cpu::CORTEX_A72 => Some(0xfe20_1000),
        cpu::CORTEX_A53 => Some(0x3f20_1000),
        _ => None,
    }
}
