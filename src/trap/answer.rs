//! What a trapped system register answers.

use super::sysreg::{ACTLR_EL1, Answer, SET_WAY, SysReg, SysRegAccess, TimerRegister};
use super::{debug, id_registers};
use crate::arch::vcpu::Stage1Register;

/// Decides a trapped access. `read_id` reads the hardware's own identification register.
///
/// | register | read | write |
/// | --- | --- | --- |
/// | identification | the hardware's, as [`id_registers::sanitize`] shows it | undefined |
/// | ACTLR_EL1, implementation defined | 0 | ignored: boot code sets bits there blindly, QEMU's models do the same |
/// | [`Stage1Register`] | not trapped | as the guest says |
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
    match (Stage1Register::of(reg), TimerRegister::of(reg)) {
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
    use crate::trap::sysreg::caches_are_on;

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
