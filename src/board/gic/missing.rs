//! Why a board has no interrupts.

use crate::board::readback::Ignored;

/// Why there are no interrupts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The tree has no GICv2 that is known here.
    Gic,
    /// It has no virtual interface, or it cannot be mapped.
    VirtualInterface,
    /// It ignores what is written to it.
    Ignored(Ignored),
}

impl core::fmt::Display for Missing {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Gic => f.write_str("the device tree has no GICv2"),
            Self::VirtualInterface => f.write_str("the GICv2 has no virtual interface"),
            Self::Ignored(ignored) => write!(f, "{ignored}"),
        }
    }
}
