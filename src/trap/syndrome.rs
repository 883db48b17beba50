//! The syndrome of an exception taken to EL2, decoded (Arm ARM DDI 0487, registers `ESR_EL2`, `FAR_EL2` and
//! `HPFAR_EL2`; field names as there).

use super::aarch32;
use super::esr::Esr;
use super::memory_fault::MemoryFault;
use super::sysreg::SysRegAccess;
use core::hint::cold_path;

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
    /// A debug exception, or BRK or BKPT, which MDCR_EL2.TDE sends to EL2. The pc is at the instruction: not executed yet, or for a software step the next
    /// one.
    Debug,
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

impl Exit {
    /// Decodes ESR_EL2, FAR_EL2 and HPFAR_EL2 as they were when the guest left. Total: there is an answer for every
    /// value.
    // Inlined, it goes straight from the class to the handler.
    #[inline(always)]
    pub const fn decode(esr: Esr, far: u64, hpfar: u64) -> Self {
        match esr.class() {
            Esr::EC_DATA_ABORT_LOWER => Self::MemoryFault(MemoryFault::new(esr, far, hpfar)),
            Esr::EC_HVC64 => Self::Hvc {
                imm: esr.immediate(),
            },
            // The first two are looked for first: they are most exits, and the shortest.
            class => {
                cold_path();
                Self::decode_rarer(esr, far, hpfar, class)
            }
        }
    }

    #[inline(always)]
    const fn decode_rarer(esr: Esr, far: u64, hpfar: u64, class: u8) -> Self {
        match class {
            Esr::EC_INSTRUCTION_ABORT_LOWER => Self::MemoryFault(MemoryFault::new(esr, far, hpfar)),
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
            class => Self::rarest(esr, class),
        }
    }

    #[cold]
    const fn rarest(esr: Esr, class: u8) -> Self {
        let access = match class {
            Esr::EC_CP15_WORD => aarch32::decode_word(esr),
            Esr::EC_CP15_PAIR => aarch32::decode_pair(esr),
            Esr::EC_CP14_WORD => aarch32::decode_debug_word(esr),
            Esr::EC_CP14_PAIR => aarch32::decode_debug_pair(esr),
            Esr::EC_BREAKPOINT_LOWER
            | Esr::EC_STEP_LOWER
            | Esr::EC_WATCHPOINT_LOWER
            | Esr::EC_BKPT32
            | Esr::EC_BRK64 => return Self::Debug,
            _ => None,
        };
        match access {
            Some(access) => Self::SysReg(access),
            None => Self::Unsupported { class },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trap::sysreg::SysReg;

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
            let known = [
                0x01, 0x05, 0x0e, 0x16, 0x17, 0x18, 0x20, 0x24, 0x2f, 0x30, 0x32, 0x34, 0x38, 0x3c,
            ]
            .contains(&class);
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
}
