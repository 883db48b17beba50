//! The identification registers as a VM sees them.
//!
//! They tell what the hardware has, less what the VM does not offer. The rule is "what is not listed is not there": a
//! feature that a later CPU brings may have state that a snapshot would not bring back, or need a trap that is not set.
//! A field is listed once that is known not to be so.

use super::sysreg::SysReg;

/// ID_AA64DFR0_EL1: debug features.
pub const ID_AA64DFR0_EL1: SysReg = SysReg::id(5, 0);

/// What the guest reads in identification register `reg`. `read` reads the hardware's; it is called only for registers
/// of which something is shown. (Those younger than the CPU read as 0 there: the ID space is RAZ where not assigned.)
pub fn shown(reg: SysReg, read: impl FnOnce(SysReg) -> u64) -> u64 {
    if fields(reg).is_empty() {
        0
    } else {
        sanitize(reg, read(reg))
    }
}

/// How one 4-bit field of an identification register is shown.
#[derive(Clone, Copy)]
enum Show {
    /// As it is.
    Raw,
    /// As it is, but no more than this (the field is unsigned).
    AtMost(u8),
    /// Signed (0xf: not there): as it is, but no more than 0.
    Basic,
}

/// The lowest bit of the field, and how to show it.
type Field = (u8, Show);

/// The value that the guest sees for what the hardware has. Fields and registers without a rule read as 0, which means
/// "not there" for each of them.
pub fn sanitize(reg: SysReg, raw: u64) -> u64 {
    fields(reg).iter().fold(0, |shown, &(low, show)| {
        let field = raw >> low & 0xf;
        let field = match show {
            Show::Raw => field,
            Show::AtMost(limit) => field.min(u64::from(limit)),
            Show::Basic => {
                if field & 8 == 0 {
                    0
                } else {
                    field
                }
            }
        };
        shown | field << low
    })
}

fn fields(reg: SysReg) -> &'static [Field] {
    RULES
        .iter()
        .find(|(listed, _)| *listed == reg)
        .map_or(&[], |(_, fields)| fields)
}

use Show::{AtMost, Basic, Raw};

const EVERYTHING: &[Field] = &[
    (0, Raw),
    (4, Raw),
    (8, Raw),
    (12, Raw),
    (16, Raw),
    (20, Raw),
    (24, Raw),
    (28, Raw),
    (32, Raw),
    (36, Raw),
    (40, Raw),
    (44, Raw),
    (48, Raw),
    (52, Raw),
    (56, Raw),
    (60, Raw),
];

/// Every register that is not 0 for the guest (Arm ARM, the descriptions of the registers named at the right).
const RULES: &[(SysReg, &[Field])] = &[
    (SysReg::id(4, 0), ID_AA64PFR0),
    (SysReg::id(4, 1), ID_AA64PFR1),
    (ID_AA64DFR0_EL1, ID_AA64DFR0),
    (SysReg::id(6, 0), ID_AA64ISAR0),
    (SysReg::id(6, 1), ID_AA64ISAR1),
    (SysReg::id(6, 2), ID_AA64ISAR2),
    (SysReg::id(7, 0), ID_AA64MMFR0),
    (SysReg::id(7, 1), ID_AA64MMFR1),
    (SysReg::id(7, 2), ID_AA64MMFR2),
    // AArch32, for EL0. The ISAR, MMFR and MVFR registers describe instructions and formats only.
    (SysReg::id(1, 0), ID_PFR0),
    (SysReg::id(1, 1), ID_PFR1),
    (SysReg::id(1, 2), ID_DFR0),
    (SysReg::id(1, 4), EVERYTHING),            // ID_MMFR0_EL1
    (SysReg::id(1, 5), EVERYTHING),            // ID_MMFR1_EL1
    (SysReg::id(1, 6), EVERYTHING),            // ID_MMFR2_EL1
    (SysReg::id(1, 7), EVERYTHING),            // ID_MMFR3_EL1
    (SysReg::id(2, 0), EVERYTHING),            // ID_ISAR0_EL1
    (SysReg::id(2, 1), EVERYTHING),            // ID_ISAR1_EL1
    (SysReg::id(2, 2), EVERYTHING),            // ID_ISAR2_EL1
    (SysReg::id(2, 3), EVERYTHING),            // ID_ISAR3_EL1
    (SysReg::id(2, 4), EVERYTHING),            // ID_ISAR4_EL1
    (SysReg::id(2, 5), EVERYTHING),            // ID_ISAR5_EL1
    (SysReg::id(2, 6), EVERYTHING),            // ID_MMFR4_EL1
    (SysReg::id(2, 7), EVERYTHING),            // ID_ISAR6_EL1
    (SysReg::id(3, 0), EVERYTHING),            // MVFR0_EL1
    (SysReg::id(3, 1), EVERYTHING),            // MVFR1_EL1
    (SysReg::id(3, 2), EVERYTHING),            // MVFR2_EL1
    (SysReg::id(3, 4), &[(0, Raw), (4, Raw)]), // ID_PFR2_EL1: CSV3, SSBS
    (SysReg::id(3, 6), &[(0, Raw), (4, Raw)]), // ID_MMFR5_EL1: ETS, nTLBPA
];

/// Not shown: EL2 (8) and EL3 (12), which `virt` does not have either; GIC (24): the VM has a GICv2; RAS (28), SVE (32),
/// SEL2 (36), MPAM (40), AMU (44), RME (52).
const ID_AA64PFR0: &[Field] = &[
    (0, AtMost(2)),  // EL0, AArch32 too where the CPU has it
    (4, AtMost(1)),  // EL1, AArch64 only: HCR_EL2.RW
    (16, Raw),       // FP
    (20, Raw),       // AdvSIMD
    (48, AtMost(1)), // DIT
    (56, AtMost(1)), // CSV2; 2 brings SCXTNUM_EL1, which no snapshot holds
    (60, AtMost(1)), // CSV3
];

/// Not shown: MTE (8), RAS_frac (12), MPAM_frac (16), SME (24), NMI (36), GCS (44), THE (48) and later.
const ID_AA64PFR1: &[Field] = &[
    (0, AtMost(1)), // BT
    (4, AtMost(2)), // SSBS
];

/// Not shown: TraceVer (4), PMUVer (8), PMSVer (32), TraceFilt (40), TraceBuffer (44), MTPMU (48), BRBE (52).
const ID_AA64DFR0: &[Field] = &[
    (0, AtMost(8)), // DebugVer: up to Armv8.2; later ones have more registers
    (12, Raw),      // BRPs
    (20, Raw),      // WRPs
    (28, Raw),      // CTX_CMPs
    (36, Raw),      // DoubleLock, 0xf: OSDLR_EL1 does nothing
];

/// Not shown: TME (24).
const ID_AA64ISAR0: &[Field] = &[
    (4, Raw),        // AES
    (8, Raw),        // SHA1
    (12, Raw),       // SHA2
    (16, Raw),       // CRC32
    (20, Raw),       // Atomic
    (28, Raw),       // RDM
    (32, Raw),       // SHA3
    (36, Raw),       // SM3
    (40, Raw),       // SM4
    (44, Raw),       // DP
    (48, Raw),       // FHM
    (52, Raw),       // TS
    (56, AtMost(2)), // TLB
    (60, AtMost(1)), // RNDR
];

/// Pointer authentication (API, APA, GPA, GPI; PAC_frac and APA3, GPA3 in ISAR2) is the VM's: a snapshot holds its keys.
/// Not shown: LS64 (60), which needs HCRX_EL2.
const ID_AA64ISAR1: &[Field] = &[
    (0, AtMost(2)), // DPB
    (4, Raw),       // APA
    (8, Raw),       // API
    (12, Raw),      // JSCVT
    (16, Raw),      // FCMA
    (20, Raw),      // LRCPC
    (24, Raw),      // GPA
    (28, Raw),      // GPI
    (32, Raw),      // FRINTTS
    (36, Raw),      // SB
    (40, Raw),      // SPECRES
    (44, Raw),      // BF16
    (48, Raw),      // DGH
    (52, Raw),      // I8MM
    (56, Raw),      // XS
];

/// Not shown: MOPS (16), which needs HCRX_EL2.MSCEn; SYSREG_128 (32) and SYSINSTR_128 (36), ATS1A (60).
const ID_AA64ISAR2: &[Field] = &[
    (0, Raw),  // WFxT
    (4, Raw),  // RPRES
    (8, Raw),  // GPA3
    (12, Raw), // APA3
    (20, Raw), // BC
    (24, Raw), // PAC_frac
    (28, Raw), // CLRBHB
    (48, Raw), // RPRFM
    (52, Raw), // CSSC
];

/// Not shown: BigEnd (8) and BigEndEL0 (16), as devices are little-endian whatever the guest's accesses are; SNSMem (12), the
/// stage 2 granules (32, 36, 40), FGT (56), ECV (60: more counters to emulate).
const ID_AA64MMFR0: &[Field] = &[
    (0, AtMost(2)),  // PARange: 40 bits, the same on every board
    (4, Raw),        // ASIDBits
    (20, AtMost(1)), // TGran16; 2 is 52-bit addresses, which PARange does not have
    (24, Raw),       // TGran64, 0xf: none
    (28, Basic),     // TGran4, 0xf: none, 1: 52-bit addresses
    (44, Raw),       // ExS
];

/// Not shown: VMIDBits (4), VH (8), LO (16), SpecSEI (24), XNX (28), TWED (32), HCX (40), TIDCP1 (52), CMOW (56).
const ID_AA64MMFR1: &[Field] = &[
    (0, AtMost(2)),  // HAFDBS
    (12, Raw),       // HPDS
    (20, AtMost(3)), // PAN
    (36, Raw),       // ETS
    (44, Raw),       // AFP
    (48, Raw),       // nTLBPA
    (60, Raw),       // ECBHB
];

/// Not shown: IESB (12: goes with RAS), NV (24), FWB (40), EVT (56).
const ID_AA64MMFR2: &[Field] = &[
    (0, AtMost(1)),  // CnP
    (4, AtMost(1)),  // UAO
    (8, AtMost(1)),  // LSM
    (16, AtMost(1)), // VARange
    (20, AtMost(1)), // CCIDX
    (28, AtMost(1)), // ST
    (32, AtMost(1)), // AT
    (36, AtMost(1)), // IDS
    (48, AtMost(1)), // TTL
    (52, AtMost(2)), // BBM
    (60, AtMost(1)), // E0PD
];

/// Not shown: AMU (20), RAS (28).
const ID_PFR0: &[Field] = &[
    (0, Raw),
    (4, Raw),
    (8, Raw),
    (12, Raw),
    (16, AtMost(1)),
    (24, Raw),
];

/// Not shown: Security (4), Virtualization (12) and their fractions (20, 24), GIC (28).
const ID_PFR1: &[Field] = &[(0, Raw), (8, Raw), (16, Raw)];

/// Not shown: all but CopDbg.
const ID_DFR0: &[Field] = &[(0, AtMost(8))];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cortex_a72_is_shown_as_virt_shows_it() {
        // Raw values of a Cortex-A72 with EL2, EL3 and PMU, and what the guest gets.
        for (reg, raw, shown) in [
            (SysReg::id(4, 0), 0x2222, 0x12), // ID_AA64PFR0: no EL2, EL3, AArch32 EL1
            (SysReg::id(5, 0), 0x1030_5106, 0x1030_5006), // ID_AA64DFR0: no PMU
            (SysReg::id(6, 0), 0x1_1120, 0x1_1120), // ID_AA64ISAR0
            (SysReg::id(7, 0), 0x1124, 0x0022), // ID_AA64MMFR0: 40 bits; BigEnd, SNSMem
            (SysReg::id(1, 0), 0x131, 0x131), // ID_PFR0
            (SysReg::id(1, 1), 0x1_1011, 0x1_0001), // ID_PFR1
            (SysReg::id(1, 2), 0x0301_0066, 0x06), // ID_DFR0
            (SysReg::id(2, 0), 0x0210_1110, 0x0210_1110), // ID_ISAR0
        ] {
            assert_eq!(super::shown(reg, |_| raw), shown, "{reg:?}");
        }
    }

    #[test]
    fn a_cpu_with_everything_shows_only_what_the_vm_has() {
        assert_eq!(
            sanitize(SysReg::id(4, 0), 0x1211_1111_1311_2222),
            0x1101_0000_0011_0012
        );
        assert_eq!(
            sanitize(SysReg::id(4, 0), 0x00ff_0000) & 0x00ff_0000,
            0x00ff_0000,
            "no FP stays no FP"
        );
        assert_eq!(sanitize(SysReg::id(4, 1), u64::MAX), 0x21);
        assert_eq!(sanitize(SysReg::id(6, 0), u64::MAX) >> 24 & 0xf, 0, "TME");
        assert_eq!(
            sanitize(SysReg::id(6, 1), 0x0123_4567_89ab_cdef),
            0x0123_4567_89ab_cde2
        );
        for (raw, shown) in [(0, 0), (1, 0), (0xf, 0xf)] {
            assert_eq!(sanitize(SysReg::id(7, 0), raw << 28) >> 28, shown, "TGran4");
        }
        // SVE, SME, FP8, MMFR3 and 4, DFR1, AFR, and numbers not given out yet.
        for (crm, op2) in [
            (4, 2),
            (4, 4),
            (4, 5),
            (4, 7),
            (5, 1),
            (5, 4),
            (6, 3),
            (7, 3),
            (7, 4),
            (3, 3),
            (7, 7),
        ] {
            assert_eq!(sanitize(SysReg::id(crm, op2), u64::MAX), 0, "{crm} {op2}");
            assert_eq!(
                shown(SysReg::id(crm, op2), |_| panic!(
                    "read though it is not shown"
                )),
                0
            );
        }
    }

    #[test]
    fn no_register_has_two_rules_and_no_rule_overlaps() {
        for (i, (reg, fields)) in RULES.iter().enumerate() {
            assert!(reg.is_identification() && RULES[..i].iter().all(|(other, _)| other != reg));
            assert!(
                fields.windows(2).all(|pair| pair[0].0 + 4 <= pair[1].0),
                "{reg:?}"
            );
        }
    }
}
