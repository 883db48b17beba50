//! An exception that the guest takes to EL1 (Arm DDI 0487, D1.3.5).

use crate::machine::{Registers, system};

const NZCV: u64 = 0xf << 28;
const DIT: u64 = 1 << 24;
const PAN: u64 = 1 << 22;
/// D, A, I and F.
const DAIF: u64 = 0xf << 6;
const EL1H: u64 = 0b0101;
/// SCTLR_EL1.SPAN: PAN stays as it is.
const SPAN: u64 = 1 << 23;
/// SCTLR_EL1.DSSBS, and PSTATE.SSBS.
const DSSBS: u64 = 1 << 44;
const SSBS: u64 = 1 << 12;

/// Has a vCPU of AArch64 take a synchronous exception with this syndrome; the instruction at its pc is the one that caused it.
pub fn enter(registers: &mut Registers, esr: u64) {
    let before = registers.pstate;
    let sctlr = registers.system[system::SCTLR_EL1];
    registers.system[system::ELR_EL1] = registers.pc;
    registers.system[system::SPSR_EL1] = before;
    registers.system[system::ESR_EL1] = esr;
    let offset = match before & 0b1111 {
        EL1H => 0x200,
        0b0100 => 0,
        // From EL0: AArch64, or AArch32.
        _ if before & 1 << 4 == 0 => 0x400,
        _ => 0x600,
    };
    registers.pc = (registers.system[system::VBAR_EL1] & !0x7ff) + offset;
    let mut pstate = before & (NZCV | DIT | PAN) | DAIF | EL1H;
    // Where there is no PAN, SPAN is 1 (RES1).
    if sctlr & SPAN == 0 {
        pstate |= PAN;
    }
    if sctlr & DSSBS != 0 {
        pstate |= SSBS;
    }
    registers.pstate = pstate;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_and_pstate() {
        for (pstate, offset) in [
            (0x3c5, 0x200),
            (0x4, 0),
            (0x8000_0000, 0x400),
            (0x10, 0x600),
        ] {
            let mut registers = Registers {
                pc: 0x1234,
                pstate,
                ..Registers::default()
            };
            registers.system[system::VBAR_EL1] = 0x8000;
            registers.system[system::SCTLR_EL1] = SPAN;
            enter(&mut registers, 0xf200_4156);
            assert_eq!(registers.pc, 0x8000 + offset);
            assert_eq!(registers.pstate, pstate & NZCV | 0x3c5);
            assert_eq!(registers.system[system::ELR_EL1], 0x1234);
            assert_eq!(registers.system[system::SPSR_EL1], pstate);
            assert_eq!(registers.system[system::ESR_EL1], 0xf200_4156);
        }
    }
}
