//! The devices of a VM: a closed set, each with its place in the guest's address space.
//!
//! [`Device`] says which device an address belongs to, [`Devices`] holds their state. The state is plain data of fixed
//! size without pointers, so that a snapshot copies it as it is. What a device does to the world outside goes
//! through [`Console`], which a snapshot does not take back.

pub mod gic;
pub mod pl011;
pub mod timer;

use crate::addr::Ipa;
use pl011::Pl011;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Where characters of a VM go, and come from.
pub trait Console {
    /// Takes a character. Never refuses: a console that cannot keep up waits or drops.
    fn put(&mut self, byte: u8);

    /// The next character that was typed, if there is one. Does not wait.
    fn get(&mut self) -> Option<u8>;
}

/// A device, by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Device {
    /// The PL011 UART.
    Uart,
    /// The GIC's distributor. Its state is not in [`Devices`] but in [`gic`], as it takes list registers to know it.
    Distributor,
    /// Where `virt` has the configuration space of its PCIe bus: one without a device, so all that is read is ones.
    EmptyBus,
}

/// First address of the UART.
pub const UART_BASE: Ipa = Ipa(0x0900_0000);
/// Bytes of its registers: one page.
pub const UART_SIZE: u64 = 0x1000;

impl Device {
    /// The device at `ipa` and the offset within it; `None` where the machine has nothing, which gives an access an
    /// external abort.
    #[inline]
    pub const fn at(ipa: Ipa) -> Option<(Self, u64)> {
        let offset = ipa.0.wrapping_sub(UART_BASE.0);
        if offset < UART_SIZE {
            return Some((Self::Uart, offset));
        }
        let offset = ipa.0.wrapping_sub(DISTRIBUTOR_BASE.0);
        if offset < DISTRIBUTOR_SIZE {
            return Some((Self::Distributor, offset));
        }
        Self::empty_bus(ipa)
    }

    #[inline(never)]
    const fn empty_bus(ipa: Ipa) -> Option<(Self, u64)> {
        let mut i = 0;
        while i < CONFIGURATION_SPACES.len() {
            let (base, size) = CONFIGURATION_SPACES[i];
            let offset = ipa.0.wrapping_sub(base);
            if offset < size {
                return Some((Self::EmptyBus, offset));
            }
            i += 1;
        }
        None
    }
}

/// First address of the GIC's distributor.
pub const DISTRIBUTOR_BASE: Ipa = Ipa(0x0800_0000);
/// Bytes of its region, all but the first 4 KiB of it reserved.
pub const DISTRIBUTOR_SIZE: u64 = 0x1_0000;

/// First address and bytes of the PCIe configuration space, below 4 GiB and, for machines with much memory, above.
const CONFIGURATION_SPACES: [(u64, u64); 2] =
    [(0x3f00_0000, 16 << 20), (0x40_1000_0000, 256 << 20)];

/// The state of all devices of one VM.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Devices {
    /// The UART at [`UART_BASE`].
    pub uart: Pl011,
}

impl Devices {
    /// A load of `size` bytes (1, 2, 4 or 8) at `offset`, from [`Device::at`]. The answer has no bits above `size`.
    ///
    /// The registers of every device here are 32 bits wide: a narrower access reads its bytes of one, an access of 8
    /// bytes reads two, the lower first. Offsets without a register read as zero.
    #[inline]
    pub fn read(
        &mut self,
        device: Device,
        offset: u64,
        size: u8,
        console: &mut impl Console,
    ) -> u64 {
        let low = u64::from(self.read_register(device, offset & !3, console)) >> (8 * (offset & 3));
        match size {
            1 => low & 0xff,
            2 => low & 0xffff,
            8 => low | u64::from(self.read_register(device, (offset & !3) + 4, console)) << 32,
            _ => low,
        }
    }

    /// A store of the low `size` bytes (1, 2, 4 or 8) of `value` at `offset`, from [`Device::at`].
    ///
    /// A narrower access writes the whole register, the other bytes with zeroes, as a bus without byte strobes does. An
    /// access of 8 bytes writes two, the lower first. Stores to offsets without a register are ignored.
    #[inline]
    pub fn write(
        &mut self,
        device: Device,
        offset: u64,
        size: u8,
        value: u64,
        console: &mut impl Console,
    ) {
        let value = if size < 4 {
            value & ((1 << (8 * size)) - 1)
        } else {
            value
        };
        self.write_register(
            device,
            offset & !3,
            (value << (8 * (offset & 3))) as u32,
            console,
        );
        if size == 8 {
            self.write_register(device, (offset & !3) + 4, (value >> 32) as u32, console);
        }
    }

    #[inline]
    fn read_register(&mut self, device: Device, offset: u64, console: &mut impl Console) -> u32 {
        match device {
            Device::Uart => self.uart.read(offset, console),
            Device::EmptyBus => u32::MAX,
            Device::Distributor => 0,
        }
    }

    #[inline]
    fn write_register(
        &mut self,
        device: Device,
        offset: u64,
        value: u32,
        console: &mut impl Console,
    ) {
        match device {
            Device::Uart => self.uart.write(offset, value, console),
            Device::Distributor | Device::EmptyBus => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pl011::tests::Terminal;

    #[test]
    fn addresses() {
        assert_eq!(Device::at(Ipa(0x0900_0000)), Some((Device::Uart, 0)));
        assert_eq!(Device::at(Ipa(0x0900_0fff)), Some((Device::Uart, 0xfff)));
        assert_eq!(
            Device::at(Ipa(0x0800_ffff)),
            Some((Device::Distributor, 0xffff))
        );
        for bus in [0x3f00_0000, 0x3fff_ffff, 0x40_1000_0000, 0x40_1fff_ffff] {
            assert!(matches!(Device::at(Ipa(bus)), Some((Device::EmptyBus, _))));
        }
        for elsewhere in [
            0,
            0x07ff_ffff,
            0x0801_0000,
            0x08ff_ffff,
            0x0900_1000,
            0x3eff_ffff,
            0x4000_0000,
            0x40_2000_0000,
            u64::MAX,
        ] {
            assert_eq!(Device::at(Ipa(elsewhere)), None);
        }
    }

    #[test]
    fn accesses_of_every_size() {
        let mut devices = Devices::default();
        let mut terminal = Terminal::default();
        devices.write(Device::Uart, 0x24, 8, 0x0000_0011_0000_1234, &mut terminal);
        for (offset, size, expected) in [
            (0x24, 4, 0x1234),
            (0x28, 4, 0x11),
            (0x24, 8, 0x11_0000_1234),
            (0x24, 2, 0x1234),
            (0x24, 1, 0x34),
            (0x25, 1, 0x12),
            (0x26, 2, 0),
            (0xff8, 8, 0xb1_0000_0005),
            (0xffc, 8, 0xb1),
        ] {
            assert_eq!(
                devices.read(Device::Uart, offset, size, &mut terminal),
                expected,
                "{offset:#x} {size}"
            );
        }
        for size in [1, 2, 4, 8] {
            devices.write(Device::Uart, 0, size, 0xffff_ffff_ffff_ff41, &mut terminal);
        }
        devices.write(Device::Uart, 0x25, 1, 0xabcd, &mut terminal);
        assert_eq!(terminal.printed, b"AAAA");
        assert_eq!(devices.read(Device::Uart, 0x24, 4, &mut terminal), 0xcd00);
    }

    #[test]
    fn no_access_panics() {
        let mut devices = Devices::default();
        let mut terminal = Terminal::default();
        for offset in 0..UART_SIZE {
            for size in [1, 2, 4, 8] {
                devices.write(Device::Uart, offset, size, u64::MAX, &mut terminal);
                devices.read(Device::Uart, offset, size, &mut terminal);
            }
        }
    }
}
