//! The boards that QEMU plays.

/// A board that QEMU plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Board {
    Virt,
    Rpi4,
}

impl Board {
    /// What `tools/qemu` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Virt => "virt",
            Self::Rpi4 => "rpi4",
        }
    }

    /// What its device tree calls it.
    pub fn model(self) -> &'static str {
        match self {
            Self::Virt => "linux,dummy-virt",
            Self::Rpi4 => "Raspberry Pi 4 Model B",
        }
    }
}
