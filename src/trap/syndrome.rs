//! The syndrome of an exception taken to EL2, decoded (Arm ARM DDI 0487, registers `ESR_EL2`, `FAR_EL2` and
//! `HPFAR_EL2`; field names as there).

use super::aarch32;
use super::access::{GeneralRegisters, read_register, write_register};
use super::memory_fault::MemoryFault;
use super::sysreg::SysReg;

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

    /// EC: the exception class.
    #[inline]
    pub const fn class(self) -> u8 {
        (self.0 >> 26) as u8 & 0x3f
    }

    /// IL: whether the trapped instruction has 32 bits (16 otherwise: T32 code at EL0).
    #[inline]
    pub const fn is_32bit_instruction(self) -> bool {
        self.bit(25)
    }

    /// Bytes of the trapped instruction, 2 or 4: how far the pc moves when it was emulated.
    #[inline]
    pub const fn instruction_length(self) -> u64 {
        if self.is_32bit_instruction() { 4 } else { 2 }
    }

    /// The immediate of HVC and SMC.
    #[inline]
    const fn immediate(self) -> u16 {
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

/// Why a guest left.
///
/// The guest's pc (ELR_EL2) is at the instruction that trapped, which the handler must step over if it emulated
/// it, with one exception: after an HVC it is already behind it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// `hvc #imm`. The pc is behind it.
    Hvc {
        /// The immediate in the instruction.
        imm: u16,
    },
    /// `smc #imm`, trapped. The pc is at it.
    Smc {
        /// The immediate in the instruction.
        imm: u16,
    },
    /// A wait instruction, trapped by HCR_EL2.TWI or TWE.
    Wfx(Wfx),
    /// A system register, or a system instruction such as DC or TLBI.
    SysReg(SysRegAccess),
    /// Stage 2 refused an access.
    MemoryFault(MemoryFault),
    /// PSTATE.IL was set. The architecture sends this to EL1; it is here so that every guest's exit has a name.
    IllegalState,
    /// An SError that was reported while the guest ran.
    SError {
        /// ESR_EL2.ISS, bits 24:0.
        iss: u32,
    },
    /// Anything else: a class for a feature that the VM does not offer, most traps out of AArch32 at EL0, classes that
    /// architecture versions to come will add. The guest gets an undefined-instruction exception.
    Unsupported {
        /// ESR_EL2.EC.
        class: u8,
    },
}

/// Which wait instruction (ESR_EL2.TI). Each is a hint: it may end at any time, and one with a time-out is a loop in the guest, which
/// looks at the counter itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wfx {
    /// Wait for interrupt.
    Wfi,
    /// Wait for event.
    Wfe,
    /// Wait for interrupt, with a time-out.
    Wfit,
    /// Wait for event, with a time-out.
    Wfet,
}

/// A trapped MSR/MRS/SYS, or what AArch32 has for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SysRegAccess {
    /// Which register.
    pub reg: SysReg,
    /// The general register, 0-31; 31 is XZR.
    pub rt: u8,
    /// AArch32's MRRC and MCRR: `rt` has bits 31:0, this one bits 63:32.
    pub rt2: Option<u8>,
    /// The guest writes (MSR, SYS); otherwise it reads (MRS).
    pub write: bool,
}

impl Exit {
    /// Decodes ESR_EL2, FAR_EL2 and HPFAR_EL2 as they were when the guest left. Total: there is an answer for every
    /// value.
    // Inlined, it goes straight from the class to the handler.
    #[inline(always)]
    pub const fn decode(esr: Esr, far: u64, hpfar: u64) -> Self {
        match esr.class() {
            Esr::EC_DATA_ABORT_LOWER => {
                Self::MemoryFault(MemoryFault::decode(esr, far, hpfar, false))
            }
            Esr::EC_HVC64 => Self::Hvc {
                imm: esr.immediate(),
            },
            Esr::EC_INSTRUCTION_ABORT_LOWER => {
                Self::MemoryFault(MemoryFault::decode(esr, far, hpfar, true))
            }
            Esr::EC_WFX => Self::Wfx(match esr.field(0, 2) {
                0 => Wfx::Wfi,
                1 => Wfx::Wfe,
                2 => Wfx::Wfit,
                _ => Wfx::Wfet,
            }),
            Esr::EC_SYSREG => Self::SysReg(SysRegAccess::decode(esr)),
            Esr::EC_SMC64 => Self::Smc {
                imm: esr.immediate(),
            },
            Esr::EC_ILLEGAL_STATE => Self::IllegalState,
            Esr::EC_SERROR => Self::SError {
                iss: esr.0 as u32 & 0x1ff_ffff,
            },
            class => Self::aarch32(esr, class),
        }
    }

    #[cold]
    const fn aarch32(esr: Esr, class: u8) -> Self {
        let access = match class {
            Esr::EC_CP15_WORD => aarch32::decode_word(esr),
            Esr::EC_CP15_PAIR => aarch32::decode_pair(esr),
            Esr::EC_CP14_WORD => aarch32::decode_debug_word(esr),
            Esr::EC_CP14_PAIR => aarch32::decode_debug_pair(esr),
            _ => None,
        };
        match access {
            Some(access) => Self::SysReg(access),
            None => Self::Unsupported { class },
        }
    }
}

impl SysRegAccess {
    const fn decode(esr: Esr) -> Self {
        let reg = SysReg::new(
            esr.field(20, 2),
            esr.field(14, 3),
            esr.field(10, 4),
            esr.field(1, 4),
            esr.field(17, 3),
        );
        Self {
            reg,
            rt: esr.field(5, 5),
            rt2: None,
            write: !esr.bit(0),
        }
    }

    /// What a write has for the register.
    #[inline]
    pub fn written(self, x: &GeneralRegisters) -> u64 {
        let low = read_register(x, self.rt);
        match self.rt2 {
            Some(rt2) => low & 0xffff_ffff | read_register(x, rt2) << 32,
            None => low,
        }
    }

    /// Gives a read its value.
    #[inline]
    pub fn give(self, x: &mut GeneralRegisters, value: u64) {
        match self.rt2 {
            Some(rt2) => {
                write_register(x, self.rt, value & 0xffff_ffff);
                write_register(x, rt2, value >> 32);
            }
            None => write_register(x, self.rt, value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn esr(class: u8, iss: u64) -> Esr {
        Esr((class as u64) << 26 | 1 << 25 | iss)
    }

    #[test]
    fn calls_and_waits() {
        assert_eq!(Exit::decode(esr(0x16, 2), 0, 0), Exit::Hvc { imm: 2 });
        assert_eq!(
            Exit::decode(esr(0x17, 0xffff), 0, 0),
            Exit::Smc { imm: 0xffff }
        );
        for (ti, wfx) in [Wfx::Wfi, Wfx::Wfe, Wfx::Wfit, Wfx::Wfet]
            .into_iter()
            .enumerate()
        {
            assert_eq!(
                Exit::decode(esr(1, 0x1e0_0000 | ti as u64), 0, 0),
                Exit::Wfx(wfx)
            );
        }
        assert_eq!(Exit::decode(esr(0x0e, 0), 0, 0), Exit::IllegalState);
        assert_eq!(
            Exit::decode(esr(0x2f, 1 << 24), 0, 0),
            Exit::SError { iss: 1 << 24 }
        );
        assert_eq!(Esr(0x0600_0000).instruction_length(), 4);
        assert_eq!(Esr(0x0400_0000).instruction_length(), 2);
    }

    #[test]
    fn every_class_decodes() {
        for class in 0..64 {
            let known = [0x01, 0x05, 0x0e, 0x16, 0x17, 0x18, 0x20, 0x24, 0x2f].contains(&class);
            let unsupported = matches!(Exit::decode(esr(class, 0), 0, 0), Exit::Unsupported { class: c } if c == class);
            assert_eq!(unsupported, !known, "class {class:#x}");
        }
    }

    #[test]
    fn system_registers() {
        // mrs x3, id_aa64pfr0_el1: op0 3, op1 0, crn 0, crm 4, op2 0.
        let read = Exit::decode(esr(0x18, 3 << 20 | 3 << 5 | 4 << 1 | 1), 0, 0);
        let reg = SysReg::new(3, 0, 0, 4, 0);
        assert_eq!(
            read,
            Exit::SysReg(SysRegAccess {
                reg,
                rt: 3,
                rt2: None,
                write: false
            })
        );
        // msr s3_7_c15_c11_5, xzr.
        let write = Exit::decode(
            esr(
                0x18,
                3 << 20 | 5 << 17 | 7 << 14 | 15 << 10 | 31 << 5 | 11 << 1,
            ),
            0,
            0,
        );
        let reg = SysReg::new(3, 7, 15, 11, 5);
        assert_eq!(
            write,
            Exit::SysReg(SysRegAccess {
                reg,
                rt: 31,
                rt2: None,
                write: true
            })
        );
    }

    #[test]
    fn operands_of_one_and_two_registers() {
        let reg = SysReg::new(3, 3, 14, 2, 2);
        let (rt, write) = (3, false);
        let mut access = SysRegAccess {
            reg,
            rt,
            rt2: None,
            write,
        };
        let mut x = [7; 31];
        access.give(&mut x, 0x1234_5678_9abc_def0);
        assert_eq!((x[3], x[4]), (0x1234_5678_9abc_def0, 7));
        assert_eq!(access.written(&x), 0x1234_5678_9abc_def0);
        access.rt2 = Some(4);
        assert_eq!(access.written(&x), 0x0000_0007_9abc_def0);
        access.give(&mut x, 0x1234_5678_9abc_def0);
        assert_eq!((x[3], x[4], x[5]), (0x9abc_def0, 0x1234_5678, 7));
    }
}
