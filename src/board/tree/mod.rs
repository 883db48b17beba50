//! The board's device tree, as far as Avisor asks it: where devices are, in physical addresses, and which memory
//! there is. `fdt` walks the tree; what it leaves to its callers is here: `ranges` of the buses on the way, and the
//! reservation block.

use core::ops::Range;

use fdt::Fdt;
use fdt::nodes::Node;
use fdt::parsing::{NoPanic, unaligned::UnalignedParser};

use super::memory_map::PhysRange;

#[cfg(test)]
mod broken;
mod bus;
mod check;
mod cores;
mod device;
mod node;
#[cfg(test)]
mod tests;

pub use check::BadTree;
pub use cores::{Core, Start};
pub use device::Device;
pub use node::{property, string};

use bus::{Bus, cells, each_reg};
use node::{children, is_compatible, is_in_use, is_named, number};

/// The fastest clock of a UART that is believed, in Hz.
const CLOCK_MAX: u64 = 10_000_000_000;

/// Reads bytes one by one: a tree is only promised to lie on 8 bytes, and its properties on 4.
type Parser<'t> = (UnalignedParser<'t>, NoPanic);
/// A node.
pub type TreeNode<'t> = Node<'t, Parser<'t>>;

/// The board's device tree.
pub struct Tree<'t> {
    bytes: &'t [u8],
    fdt: Fdt<'t, Parser<'t>>,
}

impl<'t> Tree<'t> {
    /// Parses the tree that `bytes` begin with, if it is whole.
    pub fn new(bytes: &'t [u8]) -> Result<Self, BadTree> {
        let bytes = &bytes[..check::check(bytes)?];
        let fdt = Fdt::new_unaligned_fallible(bytes).map_err(|_| BadTree::Header)?;
        Ok(Self { bytes, fdt })
    }

    /// Where it lies.
    pub fn address(&self) -> u64 {
        self.bytes.as_ptr() as u64
    }

    fn root(&self) -> Option<TreeNode<'t>> {
        use fdt::nodes::AsNode;
        self.fdt.root().ok().map(|root| root.as_node())
    }

    /// The node at `path`: names with or without their unit addresses.
    fn node(&self, path: &str) -> Option<TreeNode<'t>> {
        let mut node = self.root()?;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            node = children(&node).find(|child| is_named(child, name))?;
        }
        Some(node)
    }

    /// `model` of the board.
    pub fn model(&self) -> &'t str {
        self.root()
            .and_then(|root| string(&root, "model"))
            .filter(|model| !model.contains(char::is_control))
            .unwrap_or("unknown board")
    }

    /// `/chosen/bootargs`.
    pub fn bootargs(&self) -> &'t str {
        self.node("/chosen")
            .and_then(|chosen| string(&chosen, "bootargs"))
            .unwrap_or("")
    }

    /// `/chosen/rng-seed`: what the firmware has for a kernel's random number generator; empty if it has nothing.
    pub fn rng_seed(&self) -> &'t [u8] {
        self.node("/chosen")
            .and_then(|chosen| property(&chosen, "rng-seed"))
            .unwrap_or_default()
    }

    /// The device that `property` of `node` names: a path, or an alias, perhaps with options behind a colon.
    pub fn find_referenced(&self, node: &str, property: &str) -> Option<Device<'t>> {
        let value = string(&self.node(node)?, property)?;
        let name = value.split(':').next()?;
        let path = if name.starts_with('/') {
            name
        } else {
            string(&self.node("/aliases")?, name)?
        };
        self.device(path)
    }

    /// The device at `path`.
    pub fn device(&self, path: &str) -> Option<Device<'t>> {
        let target = self.node(path)?.id();
        self.find(|node| node.id() == target)
    }

    /// The first device that is in use and compatible with `model`.
    pub fn find_compatible(&self, model: &str) -> Option<Device<'t>> {
        self.find(|node| is_compatible(node, model) && is_in_use(node))
    }

    /// What `f` gives for the first device for which it gives something, of those that are in use and compatible with one of `models`.
    pub fn find_map_compatible<T>(
        &self,
        models: &[&str],
        mut f: impl FnMut(Device<'t>) -> Option<T>,
    ) -> Option<T> {
        let is_one = |node: &TreeNode<'t>| {
            is_in_use(node) && models.iter().any(|model| is_compatible(node, model))
        };
        let mut found = None;
        self.visit(&is_one, &mut |device| {
            found = f(device);
            found.is_some()
        });
        found
    }

    /// The rate in Hz of the device's clock: what the device itself says, or that of its first clock, if that is a fixed one.
    pub fn clock(&self, device: &Device) -> Option<u64> {
        let own = device.number("clock-frequency");
        let rate = own.or_else(|| self.fixed_clock(device));
        rate.filter(|rate| (1..=CLOCK_MAX).contains(rate))
    }

    fn fixed_clock(&self, device: &Device) -> Option<u64> {
        let phandle = property(&device.node, "clocks")?.get(..4)?;
        let is_it = |node: &TreeNode| {
            property(node, "phandle") == Some(phandle) && is_compatible(node, "fixed-clock")
        };
        let clock = first(&self.root()?, &is_it)?;
        property(&clock, "clock-frequency").map(number)
    }

    /// The first node with a usable address for which `test` holds.
    fn find(&self, test: impl Fn(&TreeNode<'t>) -> bool) -> Option<Device<'t>> {
        let mut found = None;
        self.visit(&test, &mut |device| {
            found = Some(device);
            true
        });
        found
    }

    /// Calls `f` with each node with a usable address for which `test` holds, until `f` returns true.
    fn visit(&self, test: &dyn Fn(&TreeNode<'t>) -> bool, f: &mut dyn FnMut(Device<'t>) -> bool) {
        let Some(root) = self.root() else { return };
        let bus = Bus {
            parent: None,
            cells: cells(&root),
            ranges: None,
        };
        search(&root, &bus, test, f);
    }

    /// The instruction that PSCI wants, `smc` or `hvc`, if the board has PSCI.
    pub fn psci_method(&self) -> Option<&'t str> {
        let psci = self.node("/psci").filter(|psci| {
            is_compatible(psci, "arm,psci-1.0") || is_compatible(psci, "arm,psci-0.2")
        })?;
        string(&psci, "method")
    }

    /// The number of the device's first interrupt, if it is a shared one of the board's GIC: 32 and above.
    pub fn shared_interrupt(&self, device: &Device) -> Option<u32> {
        // Kind, number within the kind, trigger (the GIC's binding).
        let (kind, rest) = property(&device.node, "interrupts")?.split_at_checked(4)?;
        let shared = number(rest.get(..4)?);
        (number(kind) == 0 && rest.len() >= 8 && shared < 988).then(|| 32 + shared as u32)
    }

    /// Calls `f` with each bank of RAM.
    pub fn each_memory(&self, mut f: impl FnMut(PhysRange)) {
        let Some(root) = self.root() else { return };
        for node in children(&root) {
            if string(&node, "device_type") == Some("memory") && is_in_use(&node) {
                each_reg(&node, cells(&root), &mut f);
            }
        }
    }

    /// Whether one reserved range covers all of `addresses`.
    pub fn is_reserved(&self, addresses: Range<u64>) -> bool {
        let mut covered = false;
        self.each_reserved(|region, _| {
            let range = region.range();
            covered |= range.start <= addresses.start && addresses.end <= range.end;
        });
        covered
    }

    /// Whether some of `addresses` is RAM.
    pub fn is_memory(&self, addresses: Range<u64>) -> bool {
        let mut meets = false;
        self.each_memory(|bank| {
            let range = bank.range();
            meets |= range.start < addresses.end && addresses.start < range.end;
        });
        meets
    }

    /// Calls `f` with each range that is not free for use, and whether it may not even be mapped.
    pub fn each_reserved(&self, mut f: impl FnMut(PhysRange, bool)) {
        let table = self.fdt.header().memory_reserve_map_offset as usize;
        for entry in self.bytes.get(table..).unwrap_or_default().chunks_exact(16) {
            let region = PhysRange {
                base: number(&entry[..8]),
                size: number(&entry[8..]),
            };
            if region.base == 0 && region.size == 0 {
                break;
            }
            f(region, false);
        }
        let Some(reserved) = self.node("/reserved-memory") else {
            return;
        };
        for node in children(&reserved).filter(is_in_use) {
            let no_map = property(&node, "no-map").is_some();
            each_reg(&node, cells(&reserved), &mut |region| f(region, no_map));
        }
    }
}

/// The first node below `node` for which `test` holds.
fn first<'t>(node: &TreeNode<'t>, test: &impl Fn(&TreeNode<'t>) -> bool) -> Option<TreeNode<'t>> {
    children(node).find_map(|child| {
        if test(&child) {
            return Some(child);
        }
        first(&child, test)
    })
}

/// [`Tree::visit`] below `node`. Returns whether `f` has returned true. Without generics, as most of the image's start would be copies of it.
fn search<'t>(
    node: &TreeNode<'t>,
    bus: &Bus<'t, '_>,
    test: &dyn Fn(&TreeNode<'t>) -> bool,
    f: &mut dyn FnMut(Device<'t>) -> bool,
) -> bool {
    children(node).any(|child| {
        if test(&child)
            && let Some(PhysRange { base, size }) = bus.physical_reg(&child, 0)
        {
            let device = Device {
                others: [1, 2, 3].map(|index| bus.physical_reg(&child, index)),
                node: child,
                base,
                size,
            };
            if f(device) {
                return true;
            }
        }
        let below = Bus {
            parent: Some(bus),
            cells: cells(&child),
            ranges: property(&child, "ranges"),
        };
        search(&child, &below, test, f)
    })
}
