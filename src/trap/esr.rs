//! ESR_EL2 with its fields by name (Arm ARM DDI 0487, register `ESR_EL2`).

/// ESR_EL2 (or ESR_EL1, whose layout is the same) with its fields by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Esr(pub u64);

impl Esr {
    /// Exception classes, named as in the table of `ESR_ELx.EC`.
    pub const EC_UNKNOWN: u8 = 0x00;
    /// A trapped WFI, WFE, WFIT or WFET.
    pub const EC_WFX: u8 = 0x01;
    /// A trapped MCR or MRC of coprocessor 15, from AArch32.
    pub const EC_CP15_WORD: u8 = 0x03;
    /// A trapped MCRR or MRRC of coprocessor 15, from AArch32.
    pub const EC_CP15_PAIR: u8 = 0x04;
    /// A trapped MCR or MRC of coprocessor 14, from AArch32.
    pub const EC_CP14_WORD: u8 = 0x05;
    /// A trapped MRRC of coprocessor 14, from AArch32.
    pub const EC_CP14_PAIR: u8 = 0x0c;
    /// PSTATE.IL was set.
    pub const EC_ILLEGAL_STATE: u8 = 0x0e;
    /// HVC from AArch64.
    pub const EC_HVC64: u8 = 0x16;
    /// SMC from AArch64, trapped by HCR_EL2.TSC.
    pub const EC_SMC64: u8 = 0x17;
    /// A trapped MSR, MRS or system instruction from AArch64.
    pub const EC_SYSREG: u8 = 0x18;
    /// Instruction abort from a lower exception level.
    pub const EC_INSTRUCTION_ABORT_LOWER: u8 = 0x20;
    /// Instruction abort without a change of exception level.
    pub const EC_INSTRUCTION_ABORT_SAME: u8 = 0x21;
    /// Data abort from a lower exception level.
    pub const EC_DATA_ABORT_LOWER: u8 = 0x24;
    /// Data abort without a change of exception level.
    pub const EC_DATA_ABORT_SAME: u8 = 0x25;
    /// SError.
    pub const EC_SERROR: u8 = 0x2f;
    /// Breakpoint from a lower exception level.
    pub const EC_BREAKPOINT_LOWER: u8 = 0x30;
    /// Software step from a lower exception level.
    pub const EC_STEP_LOWER: u8 = 0x32;
    /// Software step without a change of the exception level.
    pub const EC_STEP_SAME: u8 = 0x33;
    /// Watchpoint from a lower exception level.
    pub const EC_WATCHPOINT_LOWER: u8 = 0x34;
    /// BKPT of AArch32.
    pub const EC_BKPT32: u8 = 0x38;
    /// BRK of AArch64.
    pub const EC_BRK64: u8 = 0x3c;

    /// EC: the exception class.
    #[inline]
    pub const fn class(self) -> u8 {
        (self.0 >> 26) as u8 & 0x3f
    }

    /// Bytes of the trapped instruction, 2 or 4: how far the pc moves when it was emulated.
    #[inline]
    pub const fn instruction_length(self) -> u64 {
        // IL, bit 25: it has 32 bits, not 16 (T32 code at EL0).
        2 + (self.0 >> 24 & 2)
    }

    /// The immediate of HVC and SMC.
    #[inline]
    pub(super) const fn immediate(self) -> u16 {
        self.0 as u16
    }

    #[inline]
    pub(super) const fn bit(self, n: u32) -> bool {
        self.0 >> n & 1 != 0
    }

    #[inline]
    pub(super) const fn field(self, low: u32, bits: u32) -> u8 {
        (self.0 >> low) as u8 & ((1u16 << bits) - 1) as u8
    }

    /// FnV: an external abort that came without a FAR.
    #[inline]
    pub(super) const fn far_not_valid(self) -> bool {
        self.bit(10)
    }

    /// DFSC/IFSC: the fault status code.
    #[inline]
    pub(super) const fn fault_status(self) -> u8 {
        self.field(0, 6)
    }
}
