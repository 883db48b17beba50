//! A device as the tree has it.

use super::node::{children, is_compatible, is_in_use, number, property};
use super::{PhysRange, TreeNode};

/// A node with its first `reg` entries, at physical addresses.
pub struct Device<'t> {
    /// The node.
    pub node: TreeNode<'t>,
    /// Physical address.
    pub base: u64,
    /// Bytes.
    pub size: u64,
    /// The second to the fourth.
    pub(super) others: [Option<PhysRange>; 3],
}

impl Device<'_> {
    /// Entry `index` of `reg`, of the first four.
    pub fn registers(&self, index: usize) -> Option<PhysRange> {
        match index {
            0 => Some(PhysRange {
                base: self.base,
                size: self.size,
            }),
            _ => *self.others.get(index - 1)?,
        }
    }

    /// Whether `compatible` names `model`.
    pub fn is_compatible(&self, model: &str) -> bool {
        is_compatible(&self.node, model)
    }

    /// Property `name`, a number.
    pub fn number(&self, name: &str) -> Option<u64> {
        property(&self.node, name).map(number)
    }

    /// Whether it is in use: `status` is `okay`, or absent.
    pub fn is_in_use(&self) -> bool {
        is_in_use(&self.node)
    }

    /// Whether it has a node of a device in use within its own: of one that is connected to it.
    pub fn has_connected_device(&self) -> bool {
        children(&self.node)
            .any(|child| property(&child, "compatible").is_some() && is_in_use(&child))
    }
}
