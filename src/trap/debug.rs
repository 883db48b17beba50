//! Which debug register a trapped access is to: those that MDCR_EL2.{TDA, TDOSA, TDRA} trap (Arm ARM DDI 0487, `MDCR_EL2`).

use super::sysreg::{Answer, DebugRegister, SysReg};

/// What ID_AA64DFR0_EL1 says of the debug registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DebugFeatures {
    /// Breakpoints, 1-16.
    breakpoints: usize,
    /// Watchpoints, 1-16.
    watchpoints: usize,
    /// FEAT_DoubleLock.
    double_lock: bool,
    /// DBGDIDR.
    didr: u64,
}

impl DebugFeatures {
    /// Out of ID_AA64DFR0_EL1, as the guest sees it.
    pub fn from_id_register(dfr0: u64) -> Self {
        let field = |low: u32| dfr0 >> low & 0xf;
        let (version, breakpoints) = (field(0), field(12));
        let (watchpoints, contexts) = (field(20), field(28));
        Self {
            breakpoints: breakpoints as usize + 1,
            watchpoints: watchpoints as usize + 1,
            double_lock: field(36) == 0,
            // Bit 15 is RES1; nSUHD_imp and SE_imp: there is no Secure state.
            didr: watchpoints << 28 | breakpoints << 24 | contexts << 20 | version << 16 | 1 << 15,
        }
    }
}

impl DebugFeatures {
    /// How many breakpoints there are, and how many watchpoints.
    pub fn comparators(self) -> [usize; 2] {
        [self.breakpoints, self.watchpoints]
    }
}

/// The answer to a debug register, or `None` for what is none of the VM's: trace, and numbers of comparators that the core does not have.
/// `dfr0` reads ID_AA64DFR0_EL1 as the guest sees it.
///
/// | register | read | write |
/// | --- | --- | --- |
/// | [`DebugRegister`] | its state | likewise |
/// | MDCCINT_EL1, DBGDTR_EL0, DBGDTRRX_EL0, DBGDTRTX_EL0, OSDTRRX_EL1, OSDTRTX_EL1, OSECCR_EL1, DBGPRCR_EL1 | 0 | ignored |
/// | MDRAR_EL1, DBGAUTHSTATUS_EL1, MDCCSR_EL0 | 0 | undefined |
pub fn answer(reg: SysReg, write: bool, dfr0: impl FnOnce() -> u64) -> Option<Answer> {
    use DebugRegister::*;
    let register = match (reg.op0(), reg.op1(), reg.crn(), reg.crm(), reg.op2()) {
        // OSDTRRX_EL1, MDCCINT_EL1, OSDTRTX_EL1, OSECCR_EL1, DBGPRCR_EL1, DBGDTR_EL0, DBGDTRRX_EL0 and DBGDTRTX_EL0.
        (2, 0, 0, 0, 2)
        | (2, 0, 0, 2, 0)
        | (2, 0, 0, 3 | 6, 2)
        | (2, 0, 1, 4, 4)
        | (2, 3, 0, 4 | 5, 0) => return Some(nothing(write)),
        // MDRAR_EL1, DBGAUTHSTATUS_EL1, MDCCSR_EL0.
        (2, 0, 1, 0, 0) | (2, 0, 7, 14, 6) | (2, 3, 0, 1, 0) if !write => {
            return Some(Answer::Value(0));
        }
        (0, 0, 0, 0, 0) if !write => {
            return Some(Answer::Value(DebugFeatures::from_id_register(dfr0()).didr));
        }
        (0, 0, 0, 1, 0) if !write => Dscr,
        (2, 0, 0, 2, 2) => Mdscr,
        (2, 0, 1, 0, 4) if write => OsLockAccess,
        (2, 0, 1, 1, 4) if !write => OsLockStatus,
        (2, 0, 1, 3, 4) => match DebugFeatures::from_id_register(dfr0()).double_lock {
            true => OsDoubleLock,
            false => return Some(nothing(write)),
        },
        (2, 0, 7, 8, 6) => ClaimSet,
        (2, 0, 7, 9, 6) => ClaimClear,
        (2, 0, 0, n, op2 @ 4..=7) => {
            let (n, features) = (n as usize, DebugFeatures::from_id_register(dfr0()));
            let (register, there) = match op2 {
                4 => (BreakpointValue(n), features.breakpoints),
                5 => (BreakpointControl(n), features.breakpoints),
                6 => (WatchpointValue(n), features.watchpoints),
                _ => (WatchpointControl(n), features.watchpoints),
            };
            if n >= there {
                return None;
            }
            register
        }
        _ => return None,
    };
    Some(Answer::Debug(register))
}

/// Reads as zero, ignores writes.
const fn nothing(write: bool) -> Answer {
    if write {
        Answer::Ignored
    } else {
        Answer::Value(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ID_AA64DFR0_EL1 of Cortex-A72: six breakpoints, four watchpoints, two that match contexts, version 6.
    #[test]
    fn didr_says_what_the_register_of_aarch64_says() {
        let features = DebugFeatures::from_id_register(0x1030_5106);
        assert_eq!((features.breakpoints, features.watchpoints), (6, 4));
        assert_eq!(features.didr, 0x3516_8000);
    }

    /// DBGDIDR, DBGDSCRint and OSLSR_EL1 are read-only, OSLAR_EL1 is write-only.
    #[test]
    fn what_cannot_be_written_or_read_is_undefined() {
        let is_there = |reg, write| answer(reg, write, || 0x1030_5106).is_some();
        for (reg, write) in [
            (SysReg::new(0, 0, 0, 0, 0), false),
            (SysReg::new(0, 0, 0, 1, 0), false),
            (SysReg::new(2, 0, 1, 1, 4), false),
            (SysReg::new(2, 0, 1, 0, 4), true),
        ] {
            assert!(is_there(reg, write), "{reg:?}");
            assert!(!is_there(reg, !write), "{reg:?}");
        }
    }
}
