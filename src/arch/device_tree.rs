//! What the boot stub must know of the device tree that the firmware passes: where it ends (Devicetree Specification 0.4, 5.2).

/// The first word of a tree.
pub const MAGIC: u32 = 0xd00d_feed;
/// The largest tree that the boot protocol permits, in bytes.
pub const TREE_MAX: u64 = 2 << 20;
