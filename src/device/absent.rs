//! What QEMU's `virt` has and this machine has not, and what drivers find in its place.

use super::registers::read_registers;
use crate::addr::Ipa;

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

/// What answers in place of a device that this machine does not have. All of them ignore writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Absent {
    /// Reads as zero: a device whose driver looks before it believes.
    Silent,
    /// A PCIe bus without a device on it: reads as all ones.
    EmptyBus,
    /// A slot for a virtio device with none in it.
    EmptySlot,
}

/// What `virt` has elsewhere and this machine has not: first address, bytes, what answers.
///
/// But for the PCIe bus, which is there with nothing on it, none of it is in the device tree, and drivers that go by that never come here.
/// Kernels with built-in addresses do, and find what an empty `virt` would show them as far as that can be known without the device.
const ABSENT: [(u64, u64, Absent); 11] = [
    // Two banks of flash without a drive behind them. U-Boot looks for its environment there.
    (0x0000_0000, 0x0800_0000, Absent::Silent),
    // GICv2m: a frame without interrupts to give to MSIs.
    (0x0802_0000, 0x1000, Absent::Silent),
    // PL031: 1970. Its identification registers are zero too.
    (0x0901_0000, 0x1000, Absent::Silent),
    // fw_cfg: no signature.
    (0x0902_0000, 0x18, Absent::Silent),
    // PL061, GPIO with the power button on it.
    (0x0903_0000, 0x1000, Absent::Silent),
    // 32 slots.
    (0x0a00_0000, 32 * SLOT_SIZE, Absent::EmptySlot),
    empty_bus(PCIE_MEMORY),
    empty_bus(PCIE_PORTS),
    empty_bus(PCIE_LOW_CONFIGURATION),
    // `virt` has its host bridge there as device 0; here there is not even that.
    empty_bus(PCIE_CONFIGURATION),
    empty_bus(PCIE_HIGH_MEMORY),
];

const fn empty_bus((base, size): (u64, u64)) -> (u64, u64, Absent) {
    (base, size, Absent::EmptyBus)
}

/// Bytes of a virtio-mmio slot.
const SLOT_SIZE: u64 = 0x200;

impl Absent {
    /// What answers at `ipa`, and the offset within it.
    #[cold]
    pub const fn at(ipa: Ipa) -> Option<(Self, u64)> {
        let mut i = 0;
        while i < ABSENT.len() {
            let (base, size, absent) = ABSENT[i];
            let offset = ipa.0.wrapping_sub(base);
            if offset < size {
                return Some((absent, offset));
            }
            i += 1;
        }
        None
    }

    /// A load of `size` bytes (1, 2, 4 or 8) at `offset`, from [`Absent::at`]. The answer has no bits above `size`.
    #[cold]
    pub fn read(self, offset: u64, size: u8) -> u64 {
        match self {
            // On a bus that nobody drives there are no registers: all bytes are ones, at every address.
            Self::EmptyBus => u64::MAX >> (64 - 8 * u32::from(size)),
            Self::EmptySlot => read_registers(offset, size, empty_slot),
            Self::Silent => 0,
        }
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

/// First address and bytes of each region in the table.
#[cfg(test)]
pub(super) fn regions() -> [(u64, u64); 11] {
    ABSENT.map(|(base, size, _)| (base, size))
}
