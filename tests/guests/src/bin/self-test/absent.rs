//! What `virt` has and the machine need not have: a kernel that looks for it finds nothing, and goes on.

use crate::fault::try_read;
use avisor_guest::check::{Outcome, equal, holds};
use avisor_guest::memory::PAGE;
use avisor_guest::{mmio, snapshot};

const FLASH: [usize; 2] = [0x0000_0000, 0x0400_0000];
const VIRTIO_SLOTS: [usize; 2] = [0x0a00_0000, 0x0a00_3e00];
/// PCIe: memory and ports, device 1 of the bus, memory above RAM.
const EMPTY_BUS: [usize; 4] = [0x1000_0000, 0x3eff_0000, 0x40_1000_8000, 0x80_0000_0000];
/// The configuration space where `virt` has it with highmem=off.
const LOW_CONFIGURATION: usize = 0x3f00_0000;
const HOLES: [usize; 4] = [0x0801_2000, 0x0c00_0000, 0x0fff_fffc, 0x40_0000_0000];

/// What a load that faults brings.
const NOTHING: u64 = u64::MAX;

/// With the MMU off: these addresses are not in its map.
pub fn devices() -> Outcome {
    let word = |address| try_read(address).map_or(NOTHING, u64::from);
    for address in FLASH {
        equal("flash", 0, word(address))?;
    }
    for slot in VIRTIO_SLOTS {
        equal("virtio: magic", 0x7472_6976, word(slot))?;
        equal("virtio: version", 1, word(slot + 4))?;
        equal("virtio: device", 0, word(slot + 8))?;
    }
    for address in EMPTY_BUS {
        equal("PCIe", 0xffff_ffff, word(address))?;
    }
    if snapshot::available() {
        let device = word(LOW_CONFIGURATION);
        equal("PCIe configuration", 0xffff_ffff, device)?;
    }
    for hole in HOLES {
        equal("hole", NOTHING, word(hole))?;
    }
    Ok(())
}

/// The copy of the device tree that kernels look for at the start of RAM.
const TREE: usize = 0x4000_0000;

/// It is in the tree, though nothing is on it: kernels for `virt` take that for granted.
pub fn pcie_node() -> Outcome {
    let magic = u32::from_be(mmio::read32(TREE));
    equal("the device tree's magic", 0xd00d_feed, magic.into())?;
    let size = u32::from_be(mmio::read32(TREE + 4)) as usize;
    holds(size < 256 * PAGE, "the device tree has no size")?;
    let is_at = |at: usize, text: &[u8]| (0..text.len()).all(|i| mmio::read8(at + i) == text[i]);
    for text in ["pcie@10000000\0", "pci-host-ecam-generic\0"] {
        let text = text.as_bytes();
        let mut places = TREE..TREE + size - text.len();
        holds(
            places.any(|at| is_at(at, text)),
            "no PCIe bus in the device tree",
        )?;
    }
    Ok(())
}
