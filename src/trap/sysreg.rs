//! What a trapped system register answers.

use super::debug::{self, DebugRegister};
use super::id_registers;
use super::syndrome::SysRegAccess;
use crate::arch::vcpu::VmRegister;
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

impl VmRegister {
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

/// What the guest gets for a trapped access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// The register that it reads into gets this.
    Value(u64),
    /// Its write is dropped, and it continues behind the instruction.
    Ignored,
    /// Its write is done for it.
    Write(VmRegister),
    /// The emulated timer is read or written.
    Timer(TimerRegister),
    /// Cache maintenance by set and way.
    SetWay,
    /// A debug register is read or written.
    Debug(DebugRegister),
    /// An undefined-instruction exception.
    Undefined,
}

/// Decides a trapped access. `read_id` reads the hardware's own identification register.
///
/// | register | read | write |
/// | --- | --- | --- |
/// | identification | the hardware's, as [`id_registers::sanitize`] shows it | undefined |
/// | ACTLR_EL1, implementation defined | 0 | ignored: boot code sets bits there blindly, QEMU's models do the same |
/// | [`VmRegister`] | not trapped | as the guest says |
/// | [`SET_WAY`] | undefined | done by address |
/// | [`TimerRegister`] | the emulated timer's | the same; the counter's is undefined |
/// | debug registers | [`debug::answer`] | the same |
/// | all else that may be trapped: PMU, SPE, trace, RAS, LOR, GIC system registers, SVE | undefined | undefined |
///
/// The last row is what the identification registers promise. What the VM does have is not trapped.
pub fn answer(access: SysRegAccess, read_id: impl FnOnce(SysReg) -> u64) -> Answer {
    let reg = access.reg;
    if reg.is_identification() && !access.write {
        return Answer::Value(id_registers::shown(reg, read_id));
    }
    if reg == ACTLR_EL1 || reg.is_implementation_defined() {
        return if access.write {
            Answer::Ignored
        } else {
            Answer::Value(0)
        };
    }
    if matches!(reg.op0(), 0 | 2) {
        let dfr0 = || id_registers::shown(id_registers::ID_AA64DFR0_EL1, read_id);
        return debug::answer(reg, access.write, dfr0).unwrap_or(Answer::Undefined);
    }
    match (VmRegister::of(reg), TimerRegister::of(reg)) {
        (Some(register), _) if access.write => Answer::Write(register),
        (_, Some(TimerRegister::Count)) if access.write => Answer::Undefined,
        (_, Some(register)) => Answer::Timer(register),
        _ if access.write && SET_WAY.contains(&reg) => Answer::SetWay,
        _ => Answer::Undefined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(reg: SysReg) -> SysRegAccess {
        SysRegAccess {
            reg,
            rt: 0,
            rt2: None,
            write: false,
        }
    }

    fn write(reg: SysReg) -> SysRegAccess {
        SysRegAccess {
            reg,
            rt: 0,
            rt2: None,
            write: true,
        }
    }

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
    fn identification_registers_are_read_and_cut() {
        let pfr0 = SysReg::id(4, 0);
        assert_eq!(answer(read(pfr0), |_| 0x2222), Answer::Value(0x12));
        assert_eq!(
            answer(read(SysReg::id(4, 4)), |_| panic!()),
            Answer::Value(0)
        );
    }

    #[test]
    fn what_tvm_traps() {
        // Arm ARM, HCR_EL2.TVM, of the registers that Armv8.0 has.
        let registers = [
            (1, 0, 0),
            (2, 0, 0),
            (2, 0, 1),
            (2, 0, 2),
            (5, 1, 0),
            (5, 1, 1),
            (5, 2, 0),
            (6, 0, 0),
            (10, 2, 0),
            (10, 3, 0),
            (13, 0, 1),
        ];
        let mut seen = std::vec::Vec::new();
        for bits in 0..1 << 14 {
            let (op1, crn) = (bits >> 11, bits >> 7 & 15);
            let (crm, op2) = (bits >> 3 & 15, bits & 7);
            let reg = SysReg::new(3, op1 as u8, crn as u8, crm as u8, op2 as u8);
            let expected = op1 == 0 && registers.contains(&(crn, crm, op2));
            if let Answer::Write(register) = answer(write(reg), |_| 0) {
                assert!(expected && !seen.contains(&register), "{reg:?}");
                seen.push(register);
                assert_eq!(answer(read(reg), |_| 0), Answer::Undefined);
            }
        }
        assert_eq!(seen.len(), registers.len());
        assert!(!caches_are_on(1) && !caches_are_on(4) && caches_are_on(5));
    }

    #[test]
    fn set_way_operations() {
        // SYS #0, C7, C6/C10/C14, #2: and no other system instruction.
        for bits in 0..1 << 14 {
            let (op1, crn) = (bits >> 11, bits >> 7 & 15);
            let (crm, op2) = (bits >> 3 & 15, bits & 7);
            let reg = SysReg::new(1, op1 as u8, crn as u8, crm as u8, op2 as u8);
            let expected = (op1, crn, op2) == (0, 7, 2) && matches!(crm, 6 | 10 | 14);
            let answered = answer(write(reg), |_| 0) == Answer::SetWay;
            assert_eq!(answered, expected, "{reg:?}");
            assert_eq!(answer(read(reg), |_| 0), Answer::Undefined);
        }
    }

    #[test]
    fn the_rest() {
        let no_id = |_| -> u64 { panic!("not an identification register") };
        let l2ctlr = SysReg::new(3, 1, 11, 0, 2);
        let cpuectlr = SysReg::new(3, 1, 15, 2, 1);
        for reg in [ACTLR_EL1, l2ctlr, cpuectlr] {
            assert_eq!(answer(read(reg), no_id), Answer::Value(0));
            assert_eq!(answer(write(reg), no_id), Answer::Ignored);
        }
        let cntpct = SysReg::new(3, 3, 14, 0, 1);
        assert_eq!(answer(write(cntpct), no_id), Answer::Undefined);
        let timer = [(0, 1), (2, 0), (2, 1), (2, 2)];
        for (crm, op2) in timer {
            let reg = SysReg::new(3, 3, 14, crm, op2);
            assert_eq!(
                answer(read(reg), no_id),
                Answer::Timer(TimerRegister::of(reg).unwrap())
            );
        }
        let pmccntr = SysReg::new(3, 3, 9, 13, 0);
        let icc_sre = SysReg::new(3, 0, 12, 12, 5);
        let trace = SysReg::new(2, 1, 0, 0, 0);
        for reg in [pmccntr, icc_sre, trace, SysReg::new(3, 0, 5, 3, 0)] {
            assert_eq!(answer(read(reg), no_id), Answer::Undefined);
            assert_eq!(answer(write(reg), no_id), Answer::Undefined);
        }
        assert_eq!(answer(write(SysReg::id(4, 0)), no_id), Answer::Undefined);
    }
}
