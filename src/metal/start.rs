//! What the board has is opened, in order; and a start that fails.

use log::{Level, LevelFilter};

use super::{console, failure, logger};
use crate::arch::boot::image;
use crate::arch::firmware;
use crate::arch::memory::mmio::DeviceRegisters;
use crate::board::power::Power;
use crate::board::tree::{BadTree, Tree};
use crate::board::uart::Opened;
use crate::board::{ram, uart};

/// The board that the hypervisor runs on.
pub struct Board {
    /// Its device tree.
    pub tree: Tree<'static>,
    /// The console's UART.
    pub console: Opened<DeviceRegisters>,
}

impl Board {
    /// Finds the board's console and power switch through the device tree at physical address `tree`, and lets `log`
    /// print what is at most as verbose as `level`. Without a tree, says so on the console that the board is known to have. Without a console, ends
    /// the run without a word: there is no way to say anything.
    pub fn open(tree: u64, level: LevelFilter) -> Self {
        let found = read(tree);
        let known = uart::known_address();
        let console = uart::find(found.as_ref().ok(), known, &DeviceRegisters::map_probing);
        if let Some(console) = console {
            console::open(console.uart);
            logger::init(level);
        }
        let tree = found.unwrap_or_else(|why| fail_without_tree(why, tree));
        Power::find(&tree, 2, DeviceRegisters::map).install();
        let Some(console) = console else {
            failure::exit_failure()
        };
        Self { tree, console }
    }

    /// Maps the board's RAM, and gives its free part to the heap.
    pub fn claim_memory(&self) {
        let claimed =
            ram::claim(&self.tree).unwrap_or_else(|why| failure::fail(format_args!("{why}")));
        log::debug!(
            "memory: {} MiB, of them {} MiB free",
            claimed.mapped >> 20,
            claimed.free >> 20
        );
    }
}

fn read(tree: u64) -> Result<Tree<'static>, BadTree> {
    Tree::new(image::tree(tree).ok_or(BadTree::Absent)?)
}

/// Ends the run for want of a tree.
fn fail_without_tree(why: BadTree, tree: u64) -> ! {
    failure::fail(format_args!(
        "{why} (x0 was {tree:#x}): give the board's own, under QEMU with -dtb, on a board as its firmware's"
    ))
}

/// For an image entered at another level than EL2, MMU off: one line on the console that the tree names, or without a tree on the one that the
/// board is known to have, and the end. No abort is survived here: where there is a tree, nothing is read that it does not name.
pub fn report_wrong_level(tree: u64, level: u64) -> ! {
    let tree = read(tree);
    let with_mmu_off = |base, size, _| DeviceRegisters::with_mmu_off(base, size);
    let uart = match &tree {
        Ok(tree) => uart::named(tree, &with_mmu_off),
        Err(_) => uart::find(None, uart::known_address(), &with_mmu_off).map(|found| found.uart),
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
        Ok(tree) => Power::find(&tree, level, DeviceRegisters::with_mmu_off).exit_failure(),
        Err(_) => firmware::halt(),
    }
}
