//! A64 loads and stores that the syndrome of an abort does not describe (ESR_EL2.ISV = 0), decoded from the instruction itself (Arm ARM DDI
//! 0487, C4.1, "Loads and stores").
//!
//! | decoded | not decoded: the guest gets an external abort |
//! | --- | --- |
//! | LDR, STR and their B, H, SB, SH, SW forms: unsigned and register offset, pre- and post-index, unscaled (LDUR), unprivileged (LDTR) | SIMD and floating-point registers |
//! | LDP, STP, LDPSW, LDNP, STNP | exclusives (LDXR, STXP, ...) |
//! | LDR and LDRSW (literal) | atomics (CAS, SWP, LDADD, ...) and 64 bytes at once (LD64B) |
//! | LDAR, STLR, LDLAR, STLLR, LDAPR, LDAPUR, STLUR, and FEAT_LRCPC3's LDAPR, STLR with write-back, LDIAPP, STILP | tags (STG, LDG), authenticated loads (LDRAA), MOPS |
//! | | DC ZVA, A32 and T32 |
//!
//! Where a register is named twice, so that the architecture leaves the result open (CONSTRAINED UNPREDICTABLE), a store has the old values, and
//! of a load's destinations the last one written stays: Rt, then Rt2, then the base.

use super::access::{Access, GeneralRegisters, read_register};

/// A load or store of general registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LoadStore {
    /// It stores.
    pub store: bool,
    /// The access of the first register, at the address.
    pub access: Access,
    /// The second register of a pair, whose access is as the first one's and directly behind it.
    pub second: Option<u8>,
    base: Base,
    offset: Offset,
    index: Index,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Base {
    /// Xn; 31 is SP.
    Register(u8),
    /// The instruction's own address.
    Pc,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Offset {
    Immediate(i64),
    /// Of that register, shifted left.
    Register {
        index: u8,
        extend: Extend,
        shift: u8,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Extend {
    Uxtw,
    Sxtw,
    /// LSL and SXTX: all 64 bits.
    None,
}

/// When the offset is added, and whether the base register keeps the sum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Index {
    Offset,
    Pre,
    Post,
}

/// What a [`LoadStore`] comes to with the registers as they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target {
    /// The virtual address of the first access.
    pub address: u64,
    /// A register that gets this value at the end; 31 is SP.
    pub write_back: Option<(u8, u64)>,
}

impl LoadStore {
    /// Decodes an instruction; `None` for all that is not in the left column of the table [above](self).
    pub const fn decode(word: u32) -> Option<Self> {
        let word = Word(word);
        // Bits 29:24. Bit 26 is SIMD and floating-point.
        match word.field(24, 6) {
            0b00_1000 => word.ordered(),
            0b01_1000 => word.literal(),
            0b01_1001 => word.ordered_unscaled(),
            0b10_1000 | 0b10_1001 => word.pair(),
            0b11_1000 => word.single(),
            0b11_1001 => word.unsigned_offset(),
            _ => None,
        }
    }

    /// Where it goes from an instruction at `pc`; `sp` is the stack pointer that the guest has selected.
    pub fn target(&self, x: &GeneralRegisters, sp: u64, pc: u64) -> Target {
        let (number, base) = match self.base {
            Base::Pc => (None, pc),
            Base::Register(31) => (Some(31), sp),
            Base::Register(n) => (Some(n), read_register(x, n)),
        };
        let offset = match self.offset {
            Offset::Immediate(offset) => offset as u64,
            Offset::Register {
                index,
                extend,
                shift,
            } => extend.of(read_register(x, index)) << shift,
        };
        let sum = base.wrapping_add(offset);
        let written = number.map(|number| (number, sum));
        let (address, write_back) = match self.index {
            Index::Offset => (sum, None),
            Index::Pre => (sum, written),
            Index::Post => (base, written),
        };
        Target {
            address,
            write_back,
        }
    }

    /// Its accesses, in the order in which they are made: each with its distance from the address in bytes.
    pub fn accesses(self) -> impl Iterator<Item = (u64, Access)> {
        let Access { size, .. } = self.access;
        let second = self.second.map(|reg| Access { reg, ..self.access });
        let second = second.map(|access| (u64::from(size), access));
        core::iter::once((0, self.access)).chain(second)
    }

    /// Bytes from the address on.
    pub fn bytes(&self) -> u64 {
        u64::from(self.access.size) << self.second.is_some() as u32
    }
}

impl Extend {
    fn of(self, value: u64) -> u64 {
        match self {
            Self::Uxtw => value & 0xffff_ffff,
            Self::Sxtw => value as i32 as u64,
            Self::None => value,
        }
    }
}

/// An instruction.
#[derive(Clone, Copy)]
struct Word(u32);

impl Word {
    const fn field(self, low: u32, bits: u32) -> u32 {
        self.0 >> low & ((1 << bits) - 1)
    }

    const fn signed(self, low: u32, bits: u32) -> i64 {
        ((self.0 << (32 - bits - low)) as i32 >> (32 - bits)) as i64
    }

    const fn matches(self, mask: u32, value: u32) -> bool {
        self.0 & mask == value
    }

    /// A register's number at bit `low`.
    const fn reg(self, low: u32) -> u8 {
        self.field(low, 5) as u8
    }

    /// The `size` field: log2 of the bytes.
    const fn size(self) -> u32 {
        self.field(30, 2)
    }

    /// A load or store of Rt at an immediate offset from Rn. The fields `size` and `opc` say what is accessed: nothing for PRFM.
    const fn plain(self, opc: u32, offset: i64, index: Index) -> Option<LoadStore> {
        let size = self.size();
        // opc: a store, a load with zeroes above, one with the sign above to 64 bits and to 32.
        if opc == 2 && size == 3 || opc == 3 && size >= 2 {
            return None;
        }
        Some(LoadStore {
            store: opc == 0,
            access: Access {
                size: 1 << size,
                reg: self.reg(0),
                sign_extend: opc >= 2,
                sixty_four: opc == 2 || size == 3,
            },
            second: None,
            base: Base::Register(self.reg(5)),
            offset: Offset::Immediate(offset),
            index,
        })
    }

    /// LDAR, STLR, LDLAR, STLLR. Exclusives and CAS have the same bits 29:24.
    const fn ordered(self) -> Option<LoadStore> {
        if !self.matches(0x3fbf_7c00, 0x089f_7c00) {
            return None;
        }
        self.plain(self.field(22, 1), 0, Index::Offset)
    }

    /// LDR and LDRSW (literal).
    const fn literal(self) -> Option<LoadStore> {
        let (size, sign_extend) = match self.field(30, 2) {
            0 => (4, false),
            1 => (8, false),
            2 => (4, true),
            // PRFM.
            _ => return None,
        };
        Some(LoadStore {
            store: false,
            access: Access {
                size,
                reg: self.reg(0),
                sign_extend,
                sixty_four: size == 8 || sign_extend,
            },
            second: None,
            base: Base::Pc,
            offset: Offset::Immediate(self.signed(5, 19) * 4),
            index: Index::Offset,
        })
    }

    /// STLUR, LDAPUR and their B, H, SB, SH, SW forms; FEAT_LRCPC3. Tags and MOPS have the same bits 29:24.
    const fn ordered_unscaled(self) -> Option<LoadStore> {
        let opc = self.field(22, 2);
        match self.field(10, 2) | self.field(21, 1) << 2 {
            0b000 => self.plain(opc, self.signed(12, 9), Index::Offset),
            0b010 if self.size() >= 2 => self.ordered_write_back(opc),
            _ => None,
        }
    }

    /// FEAT_LRCPC3: STILP, LDIAPP (opc 0, 1), STLR and LDAPR (2, 3), which have no immediate: they step by what they access.
    const fn ordered_write_back(self, opc: u32) -> Option<LoadStore> {
        let bytes = 1 << self.size();
        let (second, step) = match (opc, self.field(12, 4), self.reg(16)) {
            (0 | 1, 0, rt2) => (Some(rt2), 2 * bytes),
            (0 | 1, 1, rt2) => (Some(rt2), 0),
            (2 | 3, 0, 0) => (None, bytes),
            _ => return None,
        };
        let load = opc & 1;
        let (offset, index) = match (load, step) {
            (_, 0) => (0, Index::Offset),
            (0, _) => (-step, Index::Pre),
            _ => (step, Index::Post),
        };
        match self.plain(load, offset, index) {
            Some(plain) => Some(LoadStore { second, ..plain }),
            None => None,
        }
    }

    /// LDP, STP, LDPSW, LDNP, STNP.
    const fn pair(self) -> Option<LoadStore> {
        let load = self.field(22, 1) == 1;
        let index = match self.field(23, 3) {
            0 | 2 => Index::Offset,
            1 => Index::Post,
            3 => Index::Pre,
            _ => return None,
        };
        let without_hint = self.field(23, 2) != 0;
        let (size, sign_extend) = match self.field(30, 2) {
            0 => (4, false),
            // STGP is the store, and there is no LDNPSW.
            1 if load && without_hint => (4, true),
            2 => (8, false),
            _ => return None,
        };
        Some(LoadStore {
            store: !load,
            access: Access {
                size,
                reg: self.reg(0),
                sign_extend,
                sixty_four: size == 8 || sign_extend,
            },
            second: Some(self.reg(10)),
            base: Base::Register(self.reg(5)),
            offset: Offset::Immediate(self.signed(15, 7) * size as i64),
            index,
        })
    }

    /// Unscaled, pre- and post-index, unprivileged, register offset; LDAPR. Atomics and LDRAA have the same bits 29:24.
    const fn single(self) -> Option<LoadStore> {
        const LDAPR: u32 = 0x38bf_c000;
        if self.matches(0x3fff_fc00, LDAPR) {
            return self.plain(1, 0, Index::Offset);
        }
        let opc = self.field(22, 2);
        let offset = self.signed(12, 9);
        match (self.field(21, 1), self.field(10, 2)) {
            // Unscaled, and unprivileged: stage 1 has looked at the permissions.
            (0, 0b00 | 0b10) => self.plain(opc, offset, Index::Offset),
            (0, 0b01) => self.plain(opc, offset, Index::Post),
            (0, 0b11) => self.plain(opc, offset, Index::Pre),
            (1, 0b10) => self.register_offset(opc),
            _ => None,
        }
    }

    const fn register_offset(self, opc: u32) -> Option<LoadStore> {
        let extend = match self.field(13, 3) {
            0b010 => Extend::Uxtw,
            0b110 => Extend::Sxtw,
            0b011 | 0b111 => Extend::None,
            _ => return None,
        };
        let shift = (self.size() * self.field(12, 1)) as u8;
        let offset = Offset::Register {
            index: self.reg(16),
            extend,
            shift,
        };
        match self.plain(opc, 0, Index::Offset) {
            Some(plain) => Some(LoadStore { offset, ..plain }),
            None => None,
        }
    }

    const fn unsigned_offset(self) -> Option<LoadStore> {
        let offset = (self.field(10, 12) as i64) << self.size();
        self.plain(self.field(22, 2), offset, Index::Offset)
    }
}

#[cfg(test)]
mod tests;
