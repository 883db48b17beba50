//! System registers by encoding and by name, a trapped access to one, and the kinds of answer that there are.

use super::access::{GeneralRegisters, read_register, write_register};
use super::esr::Esr;
use crate::arch::vcpu::Stage1Register;
use core::fmt;

/// A system register by its encoding, packed: op0 15:14, op1 13:11, CRn 10:7, CRm 6:3, op2 2:0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SysReg(u16);

impl SysReg {
    /// op0 0-3, op1 0-7, crn 0-15, crm 0-15, op2 0-7; higher bits are ignored.
    #[inline]
    pub const fn new(op0: u8, op1: u8, crn: u8, crm: u8, op2: u8) -> Self {
        Self(
            (op0 as u16 & 3) << 14
                | (op1 as u16 & 7) << 11
                | (crn as u16 & 15) << 7
                | (crm as u16 & 15) << 3
                | (op2 as u16 & 7),
        )
    }

    /// An identification register: op0 3, op1 0, CRn 0.
    pub const fn id(crm: u8, op2: u8) -> Self {
        Self::new(3, 0, 0, crm, op2)
    }

    /// op0, 0-3.
    pub const fn op0(self) -> u8 {
        (self.0 >> 14) as u8
    }

    /// op1, 0-7.
    pub const fn op1(self) -> u8 {
        (self.0 >> 11 & 7) as u8
    }

    /// CRn, 0-15.
    pub const fn crn(self) -> u8 {
        (self.0 >> 7 & 15) as u8
    }

    /// CRm, 0-15.
    pub const fn crm(self) -> u8 {
        (self.0 >> 3 & 15) as u8
    }

    /// op2, 0-7.
    pub const fn op2(self) -> u8 {
        (self.0 & 7) as u8
    }

    /// Whether HCR_EL2.TID3 traps it: op0 3, op1 0, CRn 0, CRm 1-7, assigned or not.
    pub const fn is_identification(self) -> bool {
        self.op0() == 3 && self.op1() == 0 && self.crn() == 0 && matches!(self.crm(), 1..=7)
    }

    /// Whether the encoding is left to the implementation: op0 3, CRn 11 or 15 (what HCR_EL2.TIDCP traps).
    pub const fn is_implementation_defined(self) -> bool {
        self.op0() == 3 && matches!(self.crn(), 11 | 15)
    }
}

impl fmt::Debug for SysReg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "S{}_{}_C{}_C{}_{}",
            self.op0(),
            self.op1(),
            self.crn(),
            self.crm(),
            self.op2()
        )
    }
}

/// ACTLR_EL1, trapped by HCR_EL2.TACR.
pub const ACTLR_EL1: SysReg = SysReg::new(3, 0, 1, 0, 1);

impl Stage1Register {
    /// Which one it is, if any.
    pub const fn of(reg: SysReg) -> Option<Self> {
        let (3, 0) = (reg.op0(), reg.op1()) else {
            return None;
        };
        Some(match (reg.crn(), reg.crm(), reg.op2()) {
            (1, 0, 0) => Self::Sctlr,
            (2, 0, 0) => Self::Ttbr0,
            (2, 0, 1) => Self::Ttbr1,
            (2, 0, 2) => Self::Tcr,
            (5, 1, 0) => Self::Afsr0,
            (5, 1, 1) => Self::Afsr1,
            (5, 2, 0) => Self::Esr,
            (6, 0, 0) => Self::Far,
            (10, 2, 0) => Self::Mair,
            (10, 3, 0) => Self::Amair,
            (13, 0, 1) => Self::Contextidr,
            _ => return None,
        })
    }
}

/// Whether the guest's SCTLR_EL1 has its MMU (M) and its data cache (C) on: without either it goes around the caches.
#[inline]
pub const fn caches_are_on(sctlr: u64) -> bool {
    const M_AND_C: u64 = 1 << 0 | 1 << 2;
    sctlr & M_AND_C == M_AND_C
}

/// Whether all that a vCPU with these registers, SCTLR_EL1 and TCR_EL1, does with Write-Back memory goes through the caches: its loads and stores
/// (M and C), its fetches (I: without it they are Non-cacheable) and its table walks (IRGN and ORGN of each half whose walks EPD does not
/// switch off). What a mapping says of its page is another matter.
#[inline]
pub const fn goes_through_caches(sctlr: u64, tcr: u64) -> bool {
    const M_C_AND_I: u64 = 1 << 0 | 1 << 2 | 1 << 12;
    // Both kinds of Write-Back are odd: 0b01 and 0b11.
    const IRGN0_AND_ORGN0: u64 = 1 << 8 | 1 << 10;
    const EPD0: u64 = 1 << 7;
    const IRGN1_AND_ORGN1: u64 = 1 << 24 | 1 << 26;
    const EPD1: u64 = 1 << 23;
    sctlr & M_C_AND_I == M_C_AND_I
        && (tcr & IRGN0_AND_ORGN0 == IRGN0_AND_ORGN0 || tcr & EPD0 != 0)
        && (tcr & IRGN1_AND_ORGN1 == IRGN1_AND_ORGN1 || tcr & EPD1 != 0)
}

/// DC ISW, CSW and CISW, trapped by HCR_EL2.TSW.
pub const SET_WAY: [SysReg; 3] = [
    SysReg::new(1, 0, 7, 6, 2),
    SysReg::new(1, 0, 7, 10, 2),
    SysReg::new(1, 0, 7, 14, 2),
];

/// A register of the EL1 physical timer, or its counter. CNTHCTL_EL2 traps all of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimerRegister {
    /// CNTPCT_EL0.
    Count,
    /// CNTP_TVAL_EL0.
    Value,
    /// CNTP_CTL_EL0.
    Control,
    /// CNTP_CVAL_EL0.
    Compare,
}

impl TimerRegister {
    const ALL: [Self; 4] = [Self::Count, Self::Value, Self::Control, Self::Compare];

    /// Its encoding in AArch64.
    pub const fn encoding(self) -> SysReg {
        match self {
            Self::Count => SysReg::new(3, 3, 14, 0, 1),
            Self::Value => SysReg::new(3, 3, 14, 2, 0),
            Self::Control => SysReg::new(3, 3, 14, 2, 1),
            Self::Compare => SysReg::new(3, 3, 14, 2, 2),
        }
    }

    /// Which one it is, if any.
    pub fn of(reg: SysReg) -> Option<Self> {
        Self::ALL.into_iter().find(|timer| timer.encoding() == reg)
    }
}

/// A debug register with a state of its own, which [`DebugState`](crate::device::debug::DebugState) holds. Comparators have numbers 0-15.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DebugRegister {
    /// MDSCR_EL1.
    Mdscr,
    /// OSLAR_EL1, write-only.
    OsLockAccess,
    /// OSLSR_EL1, read-only.
    OsLockStatus,
    /// OSDLR_EL1.
    OsDoubleLock,
    /// DBGCLAIMSET_EL1.
    ClaimSet,
    /// DBGCLAIMCLR_EL1.
    ClaimClear,
    /// DBGBVRn_EL1.
    BreakpointValue(usize),
    /// DBGBCRn_EL1.
    BreakpointControl(usize),
    /// DBGWVRn_EL1.
    WatchpointValue(usize),
    /// DBGWCRn_EL1.
    WatchpointControl(usize),
    /// DBGDSCRint, AArch32's, read-only.
    Dscr,
}

impl DebugRegister {
    /// Whether it belongs to a breakpoint or a watchpoint.
    pub const fn is_comparator(self) -> bool {
        matches!(
            self,
            Self::BreakpointValue(_)
                | Self::BreakpointControl(_)
                | Self::WatchpointValue(_)
                | Self::WatchpointControl(_)
        )
    }
}

/// MDRAR_EL1: no debug ROM table. DBGDRAR and DBGDSAR are the same to AArch32.
pub const MDRAR_EL1: SysReg = SysReg::new(2, 0, 1, 0, 0);
/// DBGDTRRX_EL0 and DBGDTRTX_EL0; DBGDTRRXint and DBGDTRTXint to AArch32.
pub const DBGDTR_EL0: SysReg = SysReg::new(2, 3, 0, 5, 0);
/// DBGDIDR, which only AArch32 has. op0 0 stands for coprocessor 14 here: no MSR or MRS has it.
pub const DBGDIDR: SysReg = SysReg::new(0, 0, 0, 0, 0);
/// DBGDSCRint, likewise.
pub const DBGDSCRINT: SysReg = SysReg::new(0, 0, 0, 1, 0);

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

impl SysRegAccess {
    pub(super) const fn decode(esr: Esr) -> Self {
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
    pub fn write_value(self, x: &GeneralRegisters) -> u64 {
        let low = read_register(x, self.rt);
        match self.rt2 {
            Some(rt2) => low & 0xffff_ffff | read_register(x, rt2) << 32,
            None => low,
        }
    }

    /// Gives a read its value.
    #[inline]
    pub fn complete_read(self, x: &mut GeneralRegisters, value: u64) {
        match self.rt2 {
            Some(rt2) => {
                write_register(x, self.rt, value & 0xffff_ffff);
                write_register(x, rt2, value >> 32);
            }
            None => write_register(x, self.rt, value),
        }
    }
}

/// What the guest gets for a trapped access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// The register that it reads into gets this.
    Value(u64),
    /// Its write is dropped, and it continues behind the instruction.
    Ignored,
    /// Its write is done for it.
    Write(Stage1Register),
    /// The emulated timer is read or written.
    Timer(TimerRegister),
    /// Cache maintenance by set and way.
    SetWay,
    /// A debug register is read or written.
    Debug(DebugRegister),
    /// An undefined-instruction exception.
    Undefined,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_round_trip() {
        let reg = SysReg::new(3, 7, 15, 11, 5);
        assert_eq!(
            (reg.op0(), reg.op1(), reg.crn(), reg.crm(), reg.op2()),
            (3, 7, 15, 11, 5)
        );
        assert_eq!(std::format!("{reg:?}"), "S3_7_C15_C11_5");
        assert!(SysReg::id(7, 7).is_identification() && !SysReg::id(0, 0).is_identification());
        assert!(!SysReg::new(3, 0, 0, 8, 0).is_identification());
        assert!(!SysReg::new(3, 1, 0, 1, 0).is_identification());
    }

    #[test]
    fn who_goes_through_the_caches() {
        const ON: u64 = 1 << 0 | 1 << 2 | 1 << 12;
        const BOTH: u64 = 1 << 8 | 1 << 10 | 3 << 24 | 1 << 26;
        assert!(goes_through_caches(ON, BOTH));
        for bit in [0, 2, 12] {
            assert!(!goes_through_caches(ON & !(1 << bit), BOTH));
        }
        // Non-cacheable, and Write-Through, which is 0b10.
        for (bit, off) in [(8, 7), (10, 7), (24, 23), (26, 23)] {
            let tcr = BOTH & !(1 << bit);
            assert!(!goes_through_caches(ON, tcr));
            assert!(!goes_through_caches(ON, tcr & !(3 << bit) | 2 << bit));
            assert!(goes_through_caches(ON, tcr | 1 << off));
            // The walks of the other half that are off do not matter.
            assert!(!goes_through_caches(ON, tcr | 1 << (30 - off)));
        }
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
        access.complete_read(&mut x, 0x1234_5678_9abc_def0);
        assert_eq!((x[3], x[4]), (0x1234_5678_9abc_def0, 7));
        assert_eq!(access.write_value(&x), 0x1234_5678_9abc_def0);
        access.rt2 = Some(4);
        assert_eq!(access.write_value(&x), 0x0000_0007_9abc_def0);
        access.complete_read(&mut x, 0x1234_5678_9abc_def0);
        assert_eq!((x[3], x[4], x[5]), (0x9abc_def0, 0x1234_5678, 7));
    }
}
