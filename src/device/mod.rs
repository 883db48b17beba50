//! The devices of a VM: a closed set, each with its place in the guest's address space.
//!
//! [`Device`] says which device an address belongs to, [`Devices`] holds their state, but for those of interrupts ([`gic`]) and of a
//! vCPU ([`timer`], [`debug`]). The state is plain data of fixed size without pointers, so that a snapshot copies it as it is. What a
//! device does to the world outside goes through [`Console`], which a snapshot does not take back.

pub mod debug;
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

/// What answers at an address, by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Device {
    /// The PL011 UART.
    Uart,
    /// The GIC's distributor. Its state is in [`gic`], not in [`Devices`].
    Distributor,
    /// The second page of the GIC's CPU interface: GICC_DIR. It is emulated, as the virtual CPU interface does not say which interrupt a write
    /// names when that is in no list register. Its state is in [`gic`], too.
    Deactivation,
    /// A device of `virt` that this machine does not have, whose driver looks before it believes: reads as zero, ignores
    /// writes.
    Silent,
    /// A PCIe bus without a device on it: reads as all ones, ignores writes.
    EmptyBus,
    /// A slot for a virtio device with none in it.
    EmptySlot,
}

/// First address of the GIC's distributor.
pub const DISTRIBUTOR_BASE: Ipa = Ipa(0x0800_0000);
/// Bytes of its region. The registers are in the first 4 KiB, the rest reads as zero.
pub const DISTRIBUTOR_SIZE: u64 = 0x1_0000;
/// First address of the GIC's CPU interface, whose first page stage 2 maps to hardware: nothing of that is emulated.
pub const CPU_INTERFACE_BASE: Ipa = Ipa(0x0801_0000);
/// Bytes of it that are mapped.
pub const CPU_INTERFACE_SIZE: u64 = 0x1000;
/// Its second page, with GICC_DIR alone; nothing in the rest of its 64 KiB, as in `virt`.
pub const DEACTIVATION_BASE: Ipa = Ipa(0x0801_1000);
/// Bytes of that page.
pub const DEACTIVATION_SIZE: u64 = 0x1000;
/// First address of the UART.
pub const UART_BASE: Ipa = Ipa(0x0900_0000);
/// Bytes of its registers: one page.
pub const UART_SIZE: u64 = 0x1000;

/// PCIe memory below 4 GiB, which has the same addresses on the bus: first address and bytes.
pub const PCIE_MEMORY: (u64, u64) = (0x1000_0000, 0x2eff_0000);
/// PCIe ports, from 0 on the bus.
pub const PCIE_PORTS: (u64, u64) = (0x3eff_0000, 0x1_0000);
/// PCIe configuration space of a `virt` with highmem=off: 16 buses.
const PCIE_LOW_CONFIGURATION: (u64, u64) = (0x3f00_0000, 0x100_0000);
/// PCIe configuration space (ECAM: 1 MiB for each bus) of 256 buses.
pub const PCIE_CONFIGURATION: (u64, u64) = (0x40_1000_0000, 0x1000_0000);
/// PCIe memory above RAM, at the same addresses on the bus: beyond what stage 2 translates and up to what a VM can address.
pub const PCIE_HIGH_MEMORY: (u64, u64) = (0x80_0000_0000, 0x80_0000_0000);

/// What `virt` has elsewhere and this machine has not: first address, bytes, what answers.
///
/// But for the PCIe bus, which is there with nothing on it, none of it is in the device tree, and drivers that go by that never come here.
/// Kernels with built-in addresses do, and find what an empty `virt` would show them as far as that can be known without the device.
const ABSENT: [(u64, u64, Device); 11] = [
    // Two banks of flash without a drive behind them. U-Boot looks for its environment there.
    (0x0000_0000, 0x0800_0000, Device::Silent),
    // GICv2m: a frame without interrupts to give to MSIs.
    (0x0802_0000, 0x1000, Device::Silent),
    // PL031: 1970. Its identification registers are zero too.
    (0x0901_0000, 0x1000, Device::Silent),
    // fw_cfg: no signature.
    (0x0902_0000, 0x18, Device::Silent),
    // PL061, GPIO with the power button on it.
    (0x0903_0000, 0x1000, Device::Silent),
    // 32 slots.
    (0x0a00_0000, 32 * SLOT_SIZE, Device::EmptySlot),
    empty_bus(PCIE_MEMORY),
    empty_bus(PCIE_PORTS),
    empty_bus(PCIE_LOW_CONFIGURATION),
    // `virt` has its host bridge there as device 0; here there is not even that.
    empty_bus(PCIE_CONFIGURATION),
    empty_bus(PCIE_HIGH_MEMORY),
];

const fn empty_bus((base, size): (u64, u64)) -> (u64, u64, Device) {
    (base, size, Device::EmptyBus)
}

/// Bytes of a virtio-mmio slot.
const SLOT_SIZE: u64 = 0x200;

impl Device {
    /// What answers at `ipa`, and the offset within it; `None` where nothing does, which gives an access an external abort.
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
        let offset = ipa.0.wrapping_sub(DEACTIVATION_BASE.0);
        if offset < DEACTIVATION_SIZE {
            return Some((Self::Deactivation, offset));
        }
        Self::absent(ipa)
    }

    #[cold]
    const fn absent(ipa: Ipa) -> Option<(Self, u64)> {
        let mut i = 0;
        while i < ABSENT.len() {
            let (base, size, device) = ABSENT[i];
            let offset = ipa.0.wrapping_sub(base);
            if offset < size {
                return Some((device, offset));
            }
            i += 1;
        }
        None
    }
}

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
    /// The registers of the devices here are 32 bits wide: a narrower access reads its bytes of one, an access of 8
    /// bytes reads two, the lower first. Offsets without a register read as zero. The distributor is not read here.
    #[inline]
    pub fn read(
        &mut self,
        device: Device,
        offset: u64,
        size: u8,
        console: &mut impl Console,
    ) -> u64 {
        match device {
            Device::Uart => read(offset, size, |offset| self.uart.read(offset, console)),
            absent => read_absent(absent, offset, size),
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
        // What is absent ignores them.
        if device != Device::Uart {
            return;
        }
        let value = if size < 4 {
            value & ((1 << (8 * size)) - 1)
        } else {
            value
        };
        let low = (value << (8 * (offset & 3))) as u32;
        self.uart.write(offset & !3, low, console);
        if size == 8 {
            let high = (value >> 32) as u32;
            self.uart.write((offset & !3) + 4, high, console);
        }
    }
}

/// A load from a device whose registers are 32 bits wide.
#[inline]
fn read(offset: u64, size: u8, mut register: impl FnMut(u64) -> u32) -> u64 {
    let low = u64::from(register(offset & !3)) >> (8 * (offset & 3));
    match size {
        1 => low & 0xff,
        2 => low & 0xffff,
        8 => low | u64::from(register((offset & !3) + 4)) << 32,
        _ => low,
    }
}

/// A load from what is not there.
#[cold]
fn read_absent(device: Device, offset: u64, size: u8) -> u64 {
    match device {
        // On a bus that nobody drives there are no registers: all bytes are ones, at every address.
        Device::EmptyBus => u64::MAX >> (64 - 8 * u32::from(size)),
        Device::EmptySlot => read(offset, size, empty_slot),
        Device::Silent | Device::Distributor | Device::Deactivation | Device::Uart => 0,
    }
}

/// MagicValue, Version (the legacy interface), DeviceID (none) and VendorID of a virtio-mmio slot (virtio 1.2, 4.2.2), as `virt` has them
/// where no device was plugged in. The rest is zero there.
const fn empty_slot(offset: u64) -> u32 {
    match offset % SLOT_SIZE {
        0x000 => u32::from_le_bytes(*b"virt"),
        0x004 => 1,
        0x00c => u32::from_le_bytes(*b"QEMU"),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pl011::tests::Terminal;
    use std::vec::Vec;

    #[test]
    fn addresses() {
        assert_eq!(Device::at(Ipa(0x0900_0000)), Some((Device::Uart, 0)));
        assert_eq!(Device::at(Ipa(0x0900_0fff)), Some((Device::Uart, 0xfff)));
        assert_eq!(Device::at(Ipa(0x0800_0000)), Some((Device::Distributor, 0)));
        let last = Some((Device::Distributor, 0xffff));
        assert_eq!(Device::at(Ipa(0x0800_ffff)), last);
        assert_eq!(
            Device::at(Ipa(0x0801_1000)),
            Some((Device::Deactivation, 0))
        );
        for nothing in [
            CPU_INTERFACE_BASE.0,
            CPU_INTERFACE_BASE.0 + CPU_INTERFACE_SIZE - 1,
            DEACTIVATION_BASE.0 + DEACTIVATION_SIZE,
            0x0801_ffff,
            0x080a_0000,
            0x08ff_ffff,
            0x0900_1000,
            0x0902_0018,
            0x0904_0000,
            0x0a00_4000,
            0x0c00_0000,
            0x0fff_ffff,
            0x4000_0000,
            0x40_0000_0000,
            0x100_0000_0000,
            u64::MAX,
        ] {
            assert_eq!(Device::at(Ipa(nothing)), None, "{nothing:#x}");
        }
    }

    #[test]
    fn ranges_are_disjoint() {
        let ours = [
            (DISTRIBUTOR_BASE.0, DISTRIBUTOR_SIZE),
            (CPU_INTERFACE_BASE.0, CPU_INTERFACE_SIZE),
            (DEACTIVATION_BASE.0, DEACTIVATION_SIZE),
            (UART_BASE.0, UART_SIZE),
            (0x4000_0000, 15 << 30),
        ];
        let absent = ABSENT.map(|(base, size, _)| (base, size));
        let mut all: Vec<_> = ours.into_iter().chain(absent).collect();
        all.sort();
        for pair in all.windows(2) {
            assert!(pair[0].0 + pair[0].1 <= pair[1].0, "{pair:x?}");
        }
    }

    #[test]
    fn what_is_absent_answers_as_in_an_empty_virt() {
        let mut devices = Devices::default();
        let mut terminal = Terminal::default();
        // Address, and what a load of 4 and of 8 bytes gives: xp/1xw of QEMU on such a machine, but for the clock, the GPIO's
        // identification and the GICv2m frame.
        for (address, word, long) in [
            (0x0000_0000, 0, 0),
            (0x07ff_fff8, 0, 0),
            (0x0802_0008, 0, 0),
            (0x0901_0000, 0, 0),
            (0x0902_0000, 0, 0),
            (0x0903_0fe0, 0, 0),
            (0x0a00_0000, 0x7472_6976, 0x1_7472_6976),
            (0x0a00_3e08, 0, 0x554d_4551_0000_0000),
            (0x0a00_0100, 0, 0),
            (0x1000_0000, 0xffff_ffff, u64::MAX),
            (0x3eff_0000, 0xffff_ffff, u64::MAX),
            (0x3fff_fff8, 0xffff_ffff, u64::MAX),
            (0x3f00_0000, 0xffff_ffff, u64::MAX),
            (0x40_1000_0000, 0xffff_ffff, u64::MAX),
            (0x40_1000_8000, 0xffff_ffff, u64::MAX),
            (0xff_ffff_fff8, 0xffff_ffff, u64::MAX),
        ] {
            let (device, offset) = Device::at(Ipa(address)).unwrap();
            devices.write(device, offset, 8, 0x1234_5678_9abc_def0, &mut terminal);
            let mut read = |size| devices.read(device, offset, size, &mut terminal);
            assert_eq!(read(4), word, "{address:#x}");
            assert_eq!(read(8), long, "{address:#x}");
            assert_eq!(read(2), word & 0xffff, "{address:#x}");
            assert_eq!(read(1), word & 0xff, "{address:#x}");
        }
        assert_eq!(devices, Devices::default());
        assert!(terminal.printed.is_empty());
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
    fn an_empty_bus_is_all_ones_for_every_access() {
        let mut devices = Devices::default();
        let mut terminal = Terminal::default();
        for (base, bytes) in [
            PCIE_MEMORY,
            PCIE_PORTS,
            PCIE_CONFIGURATION,
            PCIE_HIGH_MEMORY,
        ] {
            for offset in [0, 1, 2, 3, 5, 0x2c, bytes - 8] {
                let (device, offset) = Device::at(Ipa(base + offset)).unwrap();
                for (size, ones) in [(1, 0xff), (2, 0xffff), (4, 0xffff_ffff), (8, u64::MAX)] {
                    devices.write(device, offset, size, 0, &mut terminal);
                    let read = devices.read(device, offset, size, &mut terminal);
                    assert_eq!(read, ones, "{base:#x} + {offset:#x}, {size}");
                }
            }
        }
    }

    #[test]
    fn no_access_panics() {
        let mut devices = Devices::default();
        let mut terminal = Terminal::default();
        for device in [
            Device::Uart,
            Device::Distributor,
            Device::Deactivation,
            Device::Silent,
            Device::EmptyBus,
            Device::EmptySlot,
        ] {
            for offset in 0..UART_SIZE {
                for size in [1, 2, 4, 8] {
                    devices.write(device, offset, size, u64::MAX, &mut terminal);
                    devices.read(device, offset, size, &mut terminal);
                }
            }
        }
    }
}
