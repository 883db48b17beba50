//! What the device tree says of the board.
#![allow(unsafe_code)]

use core::ops::Range;
use core::slice;

use log::{Level, LevelFilter};

use super::power::Power;
use super::{console, logger, pl011::Pl011};
use crate::addr::{BLOCK_SIZE, PAGE_SIZE};
use crate::arch::aarch64::mmio::Registers;
use crate::arch::aarch64::mmu::{self, Attributes};
use crate::arch::aarch64::{cpu, firmware, fixup, heap, image};
use crate::arch::memory_map::{MemoryMap, TooManyPieces};
use crate::arch::tree::{BadTree, Device, Tree};

/// The board that the hypervisor runs on.
pub struct Board {
    /// Its device tree.
    pub tree: Tree<'static>,
    /// The interrupt of the console's UART.
    pub console_interrupt: Option<u32>,
}

impl Board {
    /// Finds the board's console and power switch through the device tree at physical address `tree`, and lets `log`
    /// print. Without a tree, it says so on the console that the board is known to have. If there is none, the run ends without a word.
    pub fn open(tree: u64, level: LevelFilter) -> Self {
        let found = read(tree);
        let uart = find_uart(found.as_ref().ok(), |base, size| {
            Registers::map_at(base, size, Pl011::FLAGS)
        });
        if let Some((uart, _)) = uart {
            console::open(uart);
            logger::init(level);
        }
        let tree = found.unwrap_or_else(|why| refuse(why, tree));
        Power::find(&tree, 2, Registers::map).install();
        let Some((_, console_interrupt)) = uart else {
            super::give_up()
        };
        Self {
            console_interrupt,
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
            if let Some(hole) = hole_in(range.clone()) {
                super::fail(format_args!(
                    "the device tree lists memory that does not answer: at {hole:#x}"
                ));
            }
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
        image::range(),
        image::tree_pages(tree.address()),
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

/// An address in `range`, which is mapped, at which there is no memory: one in each block is looked at, and the last page.
fn hole_in(range: Range<u64>) -> Option<u64> {
    let last = range.end - PAGE_SIZE;
    let mut looked_at = range.step_by(BLOCK_SIZE as usize).chain([last]);
    looked_at.find(|address| fixup::probe(*address).is_none())
}

fn read(tree: u64) -> Result<Tree<'static>, BadTree> {
    let pages = image::tree_pages(tree);
    let size = pages.end.saturating_sub(tree);
    let mut each = pages.step_by(PAGE_SIZE as usize);
    if size == 0 || each.any(|page| fixup::probe(page).is_none()) {
        return Err(BadTree::Absent);
    }
    // SAFETY: these pages hold the device tree: its magic number is there, and its size is what gave their end.
    // They are mapped read-only (or the MMU is off), and answer, and the memory map keeps them out of the heap: nothing ever
    // writes there.
    Tree::new(unsafe { slice::from_raw_parts(tree as *const u8, size as usize) })
}

/// Ends the run for want of a tree.
fn refuse(why: BadTree, tree: u64) -> ! {
    super::fail(format_args!(
        "{why} (x0 was {tree:#x}): give the board's own, under QEMU with -dtb, on a board as its firmware's"
    ))
}

/// The console, with its interrupt: the PL011 that the firmware calls its first serial port, or the console, or any. On the Raspberry Pi
/// `stdout-path` names the mini-UART, and the PL011 is serial0. One that does not identify itself as a PL011 is only believed where none is
/// known that does. `registers` makes a block accessible.
fn find_uart(
    tree: Option<&Tree>,
    registers: impl Fn(u64, u64) -> Option<Registers>,
) -> Option<(Pl011, Option<u32>)> {
    let named = tree.and_then(|tree| named_uart(tree, &registers));
    let known = || {
        let registers = registers(known_uart()?, PAGE_SIZE)?;
        Pl011::is_there(registers).then_some((registers, None, None))
    };
    let is_certain = named.is_some_and(|(registers, ..)| Pl011::is_there(registers));
    let found = if is_certain { named } else { known().or(named) };
    found.map(|(registers, clock, interrupt)| (Pl011::new(registers, clock), interrupt))
}

/// The PL011 that the tree names, with its clock and its interrupt.
fn named_uart(
    tree: &Tree,
    registers: impl Fn(u64, u64) -> Option<Registers>,
) -> Option<(Registers, Option<u64>, Option<u32>)> {
    let candidates = [
        tree.named("/aliases", "serial0"),
        tree.named("/chosen", "stdout-path"),
        tree.compatible(Pl011::COMPATIBLE),
    ];
    let may_be = |device: &Device| {
        let range = device.base..device.base.saturating_add(device.size);
        device.is_compatible(Pl011::COMPATIBLE)
            && device.size >= Pl011::SIZE
            && !tree.is_memory(range)
    };
    let mut devices = candidates.into_iter().flatten().filter(may_be);
    devices.find_map(|device| {
        // Its identification is at the end of its page, if it has one for itself.
        let size = match device.base.is_multiple_of(PAGE_SIZE) {
            true => device.size.max(PAGE_SIZE),
            false => device.size,
        };
        let registers = registers(device.base, size)?;
        let clock = tree.fixed_clock(&device);
        Some((registers, clock, tree.shared_interrupt(&device)))
    })
}

/// Where a board has its PL011 that no tree tells of. Which board it is shows in where the image is, as RAM is in other places, and in the
/// kind of its cores. Where this is wrong nothing answers, or something that is no PL011.
fn known_uart() -> Option<u64> {
    const VIRT_RAM: u64 = 0x4000_0000;
    match cpu::part() {
        _ if image::range().start >= VIRT_RAM => Some(0x0900_0000),
        cpu::CORTEX_A72 => Some(0xfe20_1000),
        cpu::CORTEX_A53 => Some(0x3f20_1000),
        _ => None,
    }
}

/// For an image entered at another level than EL2, MMU off: one line on the console that the tree names, or without a tree on the one that the
/// board is known to have, and the end. No abort is survived here: where there is a tree, nothing is read that it does not name.
pub fn report_wrong_level(tree: u64, level: u64) -> ! {
    let tree = read(tree);
    let uart = match &tree {
        Ok(tree) => named_uart(tree, Registers::unmapped)
            .map(|(registers, clock, _)| Pl011::new(registers, clock)),
        Err(_) => find_uart(None, Registers::unmapped).map(|(uart, _)| uart),
    };
    if let Some(uart) = uart {
        let hint = "under QEMU, run it with -M virt,virtualization=on; on a board, have the firmware enter it at EL2";
        console::write_line(
            uart,
            Level::Error,
            format_args!("started at EL{level}; Avisor needs EL2: {hint}"),
        );
    }
    match tree {
        Ok(tree) => Power::find(&tree, level, Registers::unmapped).failed(),
        Err(_) => firmware::halt(),
    }
}
