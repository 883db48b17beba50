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
mod check;
mod cores;
mod device;
#[cfg(test)]
mod tests;

pub use check::BadTree;
pub use cores::{Core, Start};
pub use device::Device;

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

/// What a node's children are addressed in.
struct Bus<'t, 'p> {
    parent: Option<&'p Bus<'t, 'p>>,
    cells: Cells,
    /// `ranges`; `None` where the children's addresses mean nothing outside.
    ranges: Option<&'t [u8]>,
}

#[derive(Clone, Copy)]
struct Cells {
    address: usize,
    size: usize,
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

impl Bus<'_, '_> {
    /// `reg` entry `index` of a child, as physical addresses.
    fn physical_reg(&self, child: &TreeNode, index: usize) -> Option<PhysRange> {
        let (mut next, mut found) = (0, None);
        each_reg(child, self.cells, &mut |region| {
            if next == index {
                found = Some(region);
            }
            next += 1;
        });
        let PhysRange { base, size } = found?;
        let base = self.to_physical(base)?;
        Some(PhysRange { base, size })
    }

    /// An address of this bus as a physical one.
    fn to_physical(&self, address: u64) -> Option<u64> {
        let Some(parent) = self.parent else {
            return Some(address);
        };
        let ranges = self.ranges?;
        if ranges.is_empty() {
            return parent.to_physical(address);
        }
        let (child, above) = (self.cells.address * 4, parent.cells.address * 4);
        let entry = child + above + self.cells.size * 4;
        for entry in ranges.chunks_exact(entry.max(4)) {
            if entry.len() < child + above {
                return None;
            }
            let (from, rest) = entry.split_at(child);
            let (to, size) = rest.split_at(above);
            let offset = address.checked_sub(number(from));
            if let Some(offset) = offset.filter(|offset| *offset < number(size)) {
                return parent.to_physical(number(to).checked_add(offset)?);
            }
        }
        None
    }
}

fn children<'t>(node: &TreeNode<'t>) -> impl Iterator<Item = TreeNode<'t>> + use<'t> {
    node.children()
        .into_iter()
        .flat_map(|children| children.iter())
        .map_while(Result::ok)
}

/// The value of property `name`; without its terminating zero byte, see [`string`].
pub fn property<'t>(node: &TreeNode<'t>, name: &str) -> Option<&'t [u8]> {
    node.raw_property(name).ok()?.map(|property| property.value)
}

/// The first string of property `name`.
pub fn string<'t>(node: &TreeNode<'t>, name: &str) -> Option<&'t str> {
    core::ffi::CStr::from_bytes_until_nul(property(node, name)?)
        .ok()?
        .to_str()
        .ok()
}

/// `name` is the node's, with its unit address or without.
fn is_named(node: &TreeNode, name: &str) -> bool {
    let (base, unit_address) = name
        .split_once('@')
        .map_or((name, None), |(base, unit)| (base, Some(unit)));
    node.name().is_ok_and(|own| {
        own.name == base && (unit_address.is_none() || own.unit_address == unit_address)
    })
}

#[inline(never)]
fn is_compatible(node: &TreeNode, model: &str) -> bool {
    property(node, "compatible").is_some_and(|value| {
        value
            .split(|byte| *byte == 0)
            .any(|entry| entry == model.as_bytes())
    })
}

/// `status` is `okay`, or absent.
fn is_in_use(node: &TreeNode) -> bool {
    matches!(string(node, "status"), None | Some("okay" | "ok"))
}

/// `#address-cells` and `#size-cells`, with the defaults that the specification gives them.
fn cells(node: &TreeNode) -> Cells {
    let cells =
        |name, default| property(node, name).map_or(default, |value| number(value).min(4) as usize);
    Cells {
        address: cells("#address-cells", 2),
        size: cells("#size-cells", 1),
    }
}

fn each_reg(node: &TreeNode, cells: Cells, f: &mut impl FnMut(PhysRange)) {
    let entry = (cells.address + cells.size) * 4;
    if entry == 0 {
        return;
    }
    for reg in property(node, "reg")
        .unwrap_or_default()
        .chunks_exact(entry)
    {
        let (base, size) = reg.split_at(cells.address * 4);
        f(PhysRange {
            base: number(base),
            size: number(size),
        });
    }
}

/// Big-endian; of more than two cells (PCI), the last two.
// Once in the image, as the next one: the start asks a lot.
#[inline(never)]
fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}
