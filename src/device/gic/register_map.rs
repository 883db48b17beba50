//! Where each register of the distributor is (IHI 0048B, table 4-1).

/// A register of the distributor. Those of several words carry the number of the word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Register {
    Control,
    Type,
    Implementer,
    Bits(Bits, u32),
    Priorities(u32),
    Targets(u32),
    Configuration(u32),
    ClearSgis(u32),
    SetSgis(u32),
    Identification(u32),
    Absent,
}

/// Which register with a bit for each interrupt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bits {
    Group,
    SetEnable,
    ClearEnable,
    SetPending,
    ClearPending,
    SetActive,
    ClearActive,
}

/// Offset of GICD_SGIR.
pub const SGIR: u64 = 0xf00;

/// Whether a load at `offset` can see what is pending or active: ISPENDR to ICACTIVER and CPENDSGIR, SPENDSGIR, with 8 bytes
/// before each of the two, since a load may be of 8 bytes.
#[inline]
pub const fn reads_state(offset: u64) -> bool {
    offset.wrapping_sub(0x1f8) < 0x208 || offset.wrapping_sub(0xf08) < 0x28
}

impl Register {
    /// The register that the byte at `offset` belongs to. Inlined, so that its match becomes one with the
    /// caller's: half the instructions.
    #[inline(always)]
    pub const fn at(offset: u64) -> Self {
        if offset >= 0x1000 {
            return Self::Absent;
        }
        let offset = offset as u32;
        let word = offset >> 2 & 0x1f;
        match offset >> 7 {
            0 => match word {
                0 => Self::Control,
                1 => Self::Type,
                2 => Self::Implementer,
                _ => Self::Absent,
            },
            1 => Self::bits(Bits::Group, word),
            2 => Self::bits(Bits::SetEnable, word),
            3 => Self::bits(Bits::ClearEnable, word),
            4 => Self::bits(Bits::SetPending, word),
            5 => Self::bits(Bits::ClearPending, word),
            6 => Self::bits(Bits::SetActive, word),
            7 => Self::bits(Bits::ClearActive, word),
            8 if word < 16 => Self::Priorities(word),
            16 if word < 16 => Self::Targets(word),
            24 if word < 4 => Self::Configuration(word),
            30 => match word {
                4..8 => Self::ClearSgis(word - 4),
                8..12 => Self::SetSgis(word - 8),
                _ => Self::Absent,
            },
            31 if word >= 20 => Self::Identification(word - 20),
            _ => Self::Absent,
        }
    }

    #[inline]
    const fn bits(bits: Bits, word: u32) -> Self {
        if word < 2 {
            Self::Bits(bits, word)
        } else {
            Self::Absent
        }
    }

    /// The interrupts whose state in list registers a read sees, or a `write` changes: bit n is INTID n.
    #[inline]
    pub const fn in_flight(self, write: bool) -> u64 {
        match self {
            Self::Bits(Bits::Group | Bits::SetEnable | Bits::ClearEnable, _)
            | Self::Control
            | Self::Priorities(_)
            | Self::Targets(_)
            | Self::Configuration(_)
                if !write =>
            {
                0
            }
            Self::Control => u64::MAX,
            Self::Bits(_, word) => 0xffff_ffff << (32 * word),
            Self::Priorities(word) | Self::Targets(word) => 0xf << (4 * word),
            Self::Configuration(word) => 0xffff << (16 * word),
            Self::ClearSgis(word) | Self::SetSgis(word) => 0xf << (4 * word),
            _ => 0,
        }
    }
}
