//! What AArch32 code at EL0 can bring to EL2 with an answer: the physical counter and timer, which it reaches through coprocessor 15, and
//! debug registers, through coprocessor 14 (Arm ARM DDI 0487, `ESR_EL2`, ISS encodings for an exception from an MCR or MRC access, and from an MCRR or MRRC access).

use super::esr::Esr;
use super::sysreg::{
    DBGDIDR, DBGDSCRINT, DBGDTR_EL0, MDRAR_EL1, SysReg, SysRegAccess, TimerRegister,
};

/// opc1, CRn, CRm, opc2 of a trapped MCR or MRC.
const fn word_encoding(esr: Esr) -> (u8, u8, u8, u8) {
    (
        esr.field(14, 3),
        esr.field(10, 4),
        esr.field(1, 4),
        esr.field(17, 3),
    )
}

/// A trapped MCR or MRC, of coprocessor 15: CNTP_TVAL, CNTP_CTL. `None` for all else.
pub(super) const fn decode_word(esr: Esr) -> Option<SysRegAccess> {
    let register = match word_encoding(esr) {
        (0, 14, 2, 0) => TimerRegister::Value,
        (0, 14, 2, 1) => TimerRegister::Control,
        _ => return None,
    };
    Some(word(register.encoding(), esr))
}

/// A trapped MCRR or MRRC, of coprocessor 15: CNTPCT, CNTP_CVAL. `None` for all else.
pub(super) const fn decode_pair(esr: Esr) -> Option<SysRegAccess> {
    let register = match (esr.field(16, 4), esr.field(1, 4)) {
        (0, 14) => TimerRegister::Count,
        (2, 14) => TimerRegister::Compare,
        _ => return None,
    };
    Some(pair(register.encoding(), esr))
}

/// A trapped MCR or MRC, of coprocessor 14: DBGDIDR, DBGDSCRint, DBGDTRRXint and DBGDTRTXint, DBGDRAR, DBGDSAR. `None` for all else.
pub(super) const fn decode_debug_word(esr: Esr) -> Option<SysRegAccess> {
    let register = match word_encoding(esr) {
        (0, 0, 0, 0) => DBGDIDR,
        (0, 0, 1, 0) => DBGDSCRINT,
        (0, 0, 5, 0) => DBGDTR_EL0,
        (0, 1 | 2, 0, 0) => MDRAR_EL1,
        _ => return None,
    };
    Some(word(register, esr))
}

/// A trapped MRRC, of coprocessor 14: DBGDRAR, DBGDSAR. `None` for all else.
pub(super) const fn decode_debug_pair(esr: Esr) -> Option<SysRegAccess> {
    match (esr.field(16, 4), esr.field(1, 4)) {
        (0, 1 | 2) => Some(pair(MDRAR_EL1, esr)),
        _ => None,
    }
}

const fn word(reg: SysReg, esr: Esr) -> SysRegAccess {
    SysRegAccess {
        reg,
        rt: esr.field(5, 5),
        rt2: None,
        write: !esr.bit(0),
    }
}

const fn pair(reg: SysReg, esr: Esr) -> SysRegAccess {
    SysRegAccess {
        rt2: Some(esr.field(10, 5)),
        ..word(reg, esr)
    }
}

/// PSTATE after an MRC into APSR_nzcv, which Rt = 15 stands for: N, Z, C and V are bits 31:28 of `value`. `None` for another `access`.
pub const fn flags_read(access: SysRegAccess, pstate: u64, value: u64) -> Option<u64> {
    const AARCH32: u64 = 1 << 4;
    const NZCV: u64 = 0xf << 28;
    if pstate & AARCH32 != 0 && access.rt == 15 && access.rt2.is_none() && !access.write {
        Some(pstate & !NZCV | value & NZCV)
    } else {
        None
    }
}

/// Whether the trapped instruction was to be executed at all: some CPUs trap an AArch32 instruction whose condition fails. Such a one
/// is stepped over. `pstate` is the guest's, in the layout of SPSR_EL2.
pub const fn condition_holds(esr: Esr, pstate: u64) -> bool {
    const AARCH32: u64 = 1 << 4;
    const ALWAYS: u64 = 0xe;
    if pstate & AARCH32 == 0 {
        return true;
    }
    let condition = if esr.bit(24) {
        esr.field(20, 4) as u64
    } else {
        // T32: the IT block says it, IT[7:4] in PSTATE 15:12. Outside of one ITSTATE is 0.
        let it = pstate >> 8 & 0xfc | pstate >> 25 & 3;
        if it == 0 { ALWAYS } else { it >> 4 }
    };
    let [n, z, c, v] = [
        pstate >> 31 & 1 != 0,
        pstate >> 30 & 1 != 0,
        pstate >> 29 & 1 != 0,
        pstate >> 28 & 1 != 0,
    ];
    let holds = match condition >> 1 {
        0 => z,
        1 => c,
        2 => n,
        3 => v,
        4 => c && !z,
        5 => n == v,
        6 => n == v && !z,
        _ => return true,
    };
    holds != (condition & 1 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trap::syndrome::Exit;

    const fn esr(class: u64, iss: u64) -> Esr {
        Esr(class << 26 | 1 << 25 | 0x1e << 20 | iss)
    }

    /// The access that a syndrome says, if any.
    fn access(class: u64, iss: u64) -> Option<(TimerRegister, u8, Option<u8>, bool)> {
        match Exit::decode(esr(class, iss), 0, 0) {
            Exit::SysReg(SysRegAccess {
                reg,
                rt,
                rt2,
                write,
            }) => Some((TimerRegister::of(reg).unwrap(), rt, rt2, write)),
            Exit::Unsupported { class: c } if u64::from(c) == class => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn timer_registers() {
        const MRC: u64 = 0x03;
        const MRRC: u64 = 0x04;
        // mrc p15, 0, r3, c14, c2, 0; mcr of the same; mrc ..., 1.
        let value = 14 << 10 | 3 << 5 | 2 << 1;
        for (iss, expected) in [
            (value | 1, Some((TimerRegister::Value, 3, None, false))),
            (value, Some((TimerRegister::Value, 3, None, true))),
            (
                value | 1 << 17 | 1,
                Some((TimerRegister::Control, 3, None, false)),
            ),
            // Another opc2 (there is no 2), opc1, CRm (CNTV), CRn.
            (value | 2 << 17 | 1, None),
            (value | 1 << 14 | 1, None),
            (value ^ 1 << 1 | 1, None),
            (value ^ 1 << 10 | 1, None),
        ] {
            assert_eq!(access(MRC, iss), expected, "{iss:#x}");
        }
        // mrrc p15, 0, r4, r5, c14; mcrr of opc1 2; opc1 1 is CNTVCT, 8 CNTPCTSS.
        let count = 5 << 10 | 4 << 5 | 14 << 1;
        for (iss, expected) in [
            (count | 1, Some((TimerRegister::Count, 4, Some(5), false))),
            (
                count | 2 << 16,
                Some((TimerRegister::Compare, 4, Some(5), true)),
            ),
            (count | 1 << 16 | 1, None),
            (count | 8 << 16 | 1, None),
            (count ^ 1 << 1 | 1, None),
        ] {
            assert_eq!(access(MRRC, iss), expected, "{iss:#x}");
        }
    }

    #[test]
    fn debug_registers() {
        let read = |class: u64, iss: u64| match Exit::decode(esr(class, iss | 1), 0, 0) {
            Exit::SysReg(access) => Some((access.reg, access.rt, access.rt2, access.write)),
            _ => None,
        };
        const MRC: u64 = 0x05;
        const MRRC: u64 = 0x0c;
        // mrc p14, 0, r3, c<crn>, c<crm>, 0
        for (crn, crm, reg) in [
            (0, 0, Some(DBGDIDR)),
            (0, 1, Some(DBGDSCRINT)),
            (0, 5, Some(DBGDTR_EL0)),
            (1, 0, Some(MDRAR_EL1)),
            (2, 0, Some(MDRAR_EL1)),
            (3, 0, None),
            (0, 2, None),
        ] {
            let expected = reg.map(|reg| (reg, 3, None, false));
            assert_eq!(read(MRC, crn << 10 | 3 << 5 | crm << 1), expected);
            assert_eq!(read(MRC, 1 << 14 | crn << 10 | crm << 1), None, "opc1");
            assert_eq!(read(MRC, 1 << 17 | crn << 10 | crm << 1), None, "opc2");
        }
        let pair = Some((MDRAR_EL1, 4, Some(5), false));
        assert_eq!(read(MRRC, 5 << 10 | 4 << 5 | 1 << 1), pair);
        assert_eq!(read(MRRC, 5 << 10 | 4 << 5 | 2 << 1), pair);
        assert_eq!(read(MRRC, 5 << 10 | 4 << 5), None);
    }

    #[test]
    fn rt_15_is_the_flags() {
        let mrc = word(DBGDSCRINT, Esr(15 << 5 | 1));
        assert_eq!(flags_read(mrc, 0xf000_0010, 0x6000_ffff), Some(0x6000_0010));
        assert_eq!(flags_read(mrc, 0xf000_0000, 0), None, "x15 in AArch64");
        assert_eq!(flags_read(word(DBGDIDR, Esr(14 << 5 | 1)), 0x10, 0), None);
        assert_eq!(
            flags_read(word(DBGDTR_EL0, Esr(15 << 5)), 0x10, 0),
            None,
            "a write"
        );
        assert_eq!(flags_read(pair(MDRAR_EL1, Esr(15 << 5 | 1)), 0x10, 0), None);
    }

    #[test]
    fn conditions() {
        const A32: u64 = 0x10;
        const T32: u64 = 0x30;
        let with_condition = |condition: u64| Esr(0x03 << 26 | 1 << 24 | condition << 20);
        // NZCV, and the conditions that hold, EQ lowest.
        for (nzcv, holding) in [
            (0b0000, 0b1101_0110_1010_1010_u16),
            (0b0100, 0b1110_0110_1010_1001),
            (0b0010, 0b1101_0101_1010_0110),
            (0b1000, 0b1110_1010_1001_1010),
            (0b0001, 0b1110_1010_0110_1010),
            (0b1001, 0b1101_0110_0101_1010),
        ] {
            for condition in 0..16 {
                let pstate = nzcv << 28 | A32;
                let holds = holding >> condition & 1 != 0 || condition >= 14;
                let esr = with_condition(condition);
                assert_eq!(condition_holds(esr, pstate), holds, "{nzcv:#b} {condition}");
                // The same in an IT block, with CV clear.
                let it = condition << 4 | 0b1000;
                let pstate = nzcv << 28 | (it >> 2) << 10 | (it & 3) << 25 | T32;
                assert_eq!(condition_holds(Esr(0x03 << 26), pstate), holds);
                // AArch64 has none.
                assert!(condition_holds(esr, nzcv << 28));
            }
            assert!(condition_holds(Esr(0x03 << 26), nzcv << 28 | T32));
        }
    }
}
