//! Addresses of a bus, and where they are for the CPUs: `#address-cells`, `#size-cells`, `ranges` and `reg` (Devicetree Specification, 2.3).

use super::TreeNode;
use super::node::{number, property};
use crate::board::memory_map::PhysRange;

/// What a node's children are addressed in.
pub(super) struct Bus<'t, 'p> {
    pub(super) parent: Option<&'p Bus<'t, 'p>>,
    pub(super) cells: Cells,
    /// `ranges`; `None` where the children's addresses mean nothing outside.
    pub(super) ranges: Option<&'t [u8]>,
}

#[derive(Clone, Copy)]
pub(super) struct Cells {
    pub(super) address: usize,
    pub(super) size: usize,
}

impl Bus<'_, '_> {
    /// `reg` entry `index` of a child, as physical addresses.
    pub(super) fn physical_reg(&self, child: &TreeNode, index: usize) -> Option<PhysRange> {
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
    pub(super) fn to_physical(&self, address: u64) -> Option<u64> {
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

/// `#address-cells` and `#size-cells`, with the defaults that the specification gives them.
pub(super) fn cells(node: &TreeNode) -> Cells {
    let cells =
        |name, default| property(node, name).map_or(default, |value| number(value).min(4) as usize);
    Cells {
        address: cells("#address-cells", 2),
        size: cells("#size-cells", 1),
    }
}

pub(super) fn each_reg(node: &TreeNode, cells: Cells, f: &mut impl FnMut(PhysRange)) {
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
