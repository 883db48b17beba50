//! A node of the tree: its children, its properties, and what these say.

use super::TreeNode;

pub(super) fn children<'t>(node: &TreeNode<'t>) -> impl Iterator<Item = TreeNode<'t>> + use<'t> {
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
pub(super) fn is_named(node: &TreeNode, name: &str) -> bool {
    let (base, unit_address) = name
        .split_once('@')
        .map_or((name, None), |(base, unit)| (base, Some(unit)));
    node.name().is_ok_and(|own| {
        own.name == base && (unit_address.is_none() || own.unit_address == unit_address)
    })
}

#[inline(never)]
pub(super) fn is_compatible(node: &TreeNode, model: &str) -> bool {
    property(node, "compatible").is_some_and(|value| {
        value
            .split(|byte| *byte == 0)
            .any(|entry| entry == model.as_bytes())
    })
}

/// `status` is `okay`, or absent.
pub(super) fn is_in_use(node: &TreeNode) -> bool {
    matches!(string(node, "status"), None | Some("okay" | "ok"))
}

/// Big-endian; of more than two cells (PCI), the last two.
// Once in the image, as the next one: the start asks a lot.
#[inline(never)]
pub(super) fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}
