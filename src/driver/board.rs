//! What the device tree says of the board.
#![allow(unsafe_code)]

use core::slice;

use log::{Level, LevelFilter};

use super::power::Power;
use super::{console, logger, pl011::Pl011};
use crate::addr::PAGE_SIZE;
use crate::arch::aarch64::mmio::Registers;
use crate::arch::aarch64::mmu::{self, Attributes};
use crate::arch::aarch64::{firmware, heap};
use crate::arch::memory_map::{MemoryMap, TooManyPieces};
use crate::arch::tree::{Device, Tree};

/// The board that the hypervisor runs on.
pub struct Board {
    /// Its device tree.
    pub tree: Tree<'static>,
    /// The interrupt of the console's UART.
    pub console_interrupt: Option<u32>,
}

impl Board {
    /// Finds the board's console and power switch through the device tree at physical address `tree`, and lets `log`
    /// print. Without tree or console there is no way to say anything: the core sleeps.
    pub fn open(tree: u64, level: LevelFilter) -> Self {
        let Some(tree) = read(tree) else {
            firmware::halt()
        };
        let Some(device) = find_uart(&tree) else {
            firmware::halt()
        };
        let Some(uart) = open_uart(&tree, &device, Registers::map) else {
            firmware::halt()
        };
        console::open(uart);
        logger::init(level);
        Power::find(&tree, 2, Registers::map).install();
        Self {
            console_interrupt: tree.shared_interrupt(&device),
            tree,
        }
    }

    /// Maps the board's RAM, and gives what nobody has of it to the heap.
    pub fn claim_memory(&self) {
        let Ok((mapped, free)) = memory(&self.tree) else {
            super::fail(format_args!("memory falls into too many pieces"))
        };
        if mapped
            .pages()
            .any(|range| mmu::map(range, Attributes::READ_WRITE).is_err())
        {
            super::fail(format_args!(
                "EL2's page tables have no room for the memory"
            ));
        }
        if free.bytes() == 0 {
            super::fail(format_args!("the device tree lists no memory"));
        }
        for range in free.pages() {
            // SAFETY: RAM that the device tree lists and does not reserve, without the image and the tree; it was
            // mapped above, and a second call would not have come here: mapping twice is refused.
            unsafe { heap::add(range) };
        }
        log::debug!(
            "memory: {} MiB, of them {} MiB free",
            mapped.bytes() >> 20,
            free.bytes() >> 20
        );
    }
}

/// The RAM to map and, of it, the RAM to use. What is mapped already (image, tree) is in neither. Nor is page 0, so
/// that a null pointer faults on every board.
fn memory(tree: &Tree<'static>) -> Result<(MemoryMap, MemoryMap), TooManyPieces> {
    let mut result = Ok(());
    let mut mapped = MemoryMap::default();
    tree.each_memory(|bank| result = result.and(mapped.add(bank.range())));
    for taken in [
        0..PAGE_SIZE,
        mmu::image(),
        mmu::tree_pages(tree.address()),
        mmu::ADDRESS_LIMIT..u64::MAX,
    ] {
        mapped.remove(taken)?;
    }
    tree.each_reserved(|reserved, no_map| {
        if no_map {
            result = result.and(mapped.remove(reserved.range()));
        }
    });
    let mut free = mapped.clone();
    tree.each_reserved(|reserved, _| result = result.and(free.remove(reserved.range())));
    result.map(|()| (mapped, free))
}

fn read(tree: u64) -> Option<Tree<'static>> {
    let pages = mmu::tree_pages(tree);
    if pages.is_empty() {
        return None;
    }
    // SAFETY: these pages hold the device tree: its magic number is there, and its size is what gave their end.
    // They are mapped read-only (or the MMU is off), and the memory map keeps them out of the heap: nothing ever
    // writes there.
    let bytes = unsafe { slice::from_raw_parts(tree as *const u8, (pages.end - tree) as usize) };
    Tree::new(bytes).ok()
}

/// The PL011 that the firmware calls its first serial port, or the console, or any. On the Raspberry Pi `stdout-path`
/// names the mini-UART, and the PL011 is serial0.
fn find_uart<'t>(tree: &Tree<'t>) -> Option<Device<'t>> {
    let is_pl011 = |device: &Device| device.is_compatible(Pl011::COMPATIBLE);
    tree.named("/aliases", "serial0")
        .filter(is_pl011)
        .or_else(|| tree.named("/chosen", "stdout-path").filter(is_pl011))
        .or_else(|| tree.compatible(Pl011::COMPATIBLE))
}

/// Makes it work; `registers` makes a block accessible.
fn open_uart(
    tree: &Tree,
    device: &Device,
    registers: impl Fn(u64, u64) -> Option<Registers>,
) -> Option<Pl011> {
    registers(device.base, device.size)
        .map(|registers| Pl011::new(registers, tree.fixed_clock(device)))
}

/// For an image entered at another level than EL2, MMU off: one line on the console that the tree names, and the end.
pub fn report_wrong_level(tree: u64, level: u64) -> ! {
    let Some(tree) = read(tree) else {
        firmware::halt()
    };
    let uart = find_uart(&tree).and_then(|device| open_uart(&tree, &device, Registers::unmapped));
    if let Some(uart) = uart {
        let hint = "under QEMU, run it with -M virt,virtualization=on; on a board, have the firmware enter it at EL2";
        console::write_line(
            uart,
            Level::Error,
            format_args!("started at EL{level}; Avisor needs EL2: {hint}"),
        );
    }
    Power::find(&tree, level, Registers::unmapped).failed()
}
