//! What becomes of each register that EL1 or EL0 can write, on Armv8.0 to 8.6 and of what came later and has state: the table that the code
//! is held against. Nothing reads it at run time. Tests compare it with the lists of registers that are saved, with [`answer`], with the
//! identification registers and with the trap controls; and with what a guest that tries every encoding can write.
//!
//! [`answer`]: super::answer::answer

/// What becomes of a register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It is the guest's while its vCPU is loaded, and saved and loaded by this name in `arch/vcpu`.
    Saved(&'static str),
    /// A field of PSTATE, which is saved with the general registers.
    Pstate,
    /// Each access traps, to a model whose state is saved.
    Emulated,
    /// Each access traps, reads 0 and ignores writes.
    Zero,
    /// It is of a feature that the VM does not have: hidden, and undefined.
    Absent {
        /// The field that says so: CRm and op2 of the identification register, the field's lowest bit.
        id: (u8, u8, u8),
        /// The guest sees less than this in that field, whatever the CPU has.
        below: u64,
        /// What `arch/vcpu/control.rs` sets, or leaves 0, so that it traps.
        by: &'static str,
    },
}

use Fate::{Emulated, Pstate, Saved, Zero};

/// A register, or several that differ in a number.
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// Its encoding as the assembler writes it; `*` is any number.
    pub encoding: &'static str,
    /// Since when.
    pub since: &'static str,
    /// What becomes of it.
    pub fate: Fate,
}

const fn row(name: &'static str, encoding: &'static str, since: &'static str, fate: Fate) -> Row {
    Row {
        name,
        encoding,
        since,
        fate,
    }
}

const fn absent(id: (u8, u8, u8), below: u64, by: &'static str) -> Fate {
    Fate::Absent { id, below, by }
}

impl Row {
    /// Whether `encoding`, such as `S3_0_C1_C0_0`, is one of its.
    pub fn has(&self, encoding: &str) -> bool {
        let mut parts = encoding.split('_');
        let all = self.encoding.split('_').all(|own| {
            parts.next().is_some_and(|part| {
                own == part || own.trim_start_matches('C') == "*" && own.len() <= part.len()
            })
        });
        all && parts.next().is_none()
    }
}

/// Whether the table has the register with this encoding.
pub fn is_known(encoding: &str) -> bool {
    ROWS.iter().any(|row| row.has(encoding))
}

/// All of them.
#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    row("SP_EL0", "S3_0_C4_C1_0", "Armv8.0", Saved("sp_el0")),
    row("SP_EL1", "S3_4_C4_C1_0", "Armv8.0", Saved("sp_el1")),
    row("ELR_EL1", "S3_0_C4_C0_1", "Armv8.0", Saved("elr_el1")),
    row("SPSR_EL1", "S3_0_C4_C0_0", "Armv8.0", Saved("spsr_el1")),
    row("ESR_EL1", "S3_0_C5_C2_0", "Armv8.0", Saved("esr_el1")),
    row("FAR_EL1", "S3_0_C6_C0_0", "Armv8.0", Saved("far_el1")),
    row("AFSR0_EL1", "S3_0_C5_C1_0", "Armv8.0", Saved("afsr0_el1")),
    row("AFSR1_EL1", "S3_0_C5_C1_1", "Armv8.0", Saved("afsr1_el1")),
    row("PAR_EL1", "S3_0_C7_C4_0", "Armv8.0", Saved("par_el1")),
    row("VBAR_EL1", "S3_0_C12_C0_0", "Armv8.0", Saved("vbar_el1")),
    row("CPACR_EL1", "S3_0_C1_C0_2", "Armv8.0", Saved("cpacr_el1")),
    row("TTBR0_EL1", "S3_0_C2_C0_0", "Armv8.0", Saved("ttbr0_el1")),
    row("TTBR1_EL1", "S3_0_C2_C0_1", "Armv8.0", Saved("ttbr1_el1")),
    row("MAIR_EL1", "S3_0_C10_C2_0", "Armv8.0", Saved("mair_el1")),
    row("AMAIR_EL1", "S3_0_C10_C3_0", "Armv8.0", Saved("amair_el1")),
    row("CONTEXTIDR_EL1", "S3_0_C13_C0_1", "Armv8.0", Saved("contextidr_el1")),
    row("TPIDR_EL0", "S3_3_C13_C0_2", "Armv8.0", Saved("tpidr_el0")),
    row("TPIDRRO_EL0", "S3_3_C13_C0_3", "Armv8.0", Saved("tpidrro_el0")),
    row("TPIDR_EL1", "S3_0_C13_C0_4", "Armv8.0", Saved("tpidr_el1")),
    row("CSSELR_EL1", "S3_2_C0_C0_0", "Armv8.0", Saved("csselr_el1")),
    row("CNTKCTL_EL1", "S3_0_C14_C1_0", "Armv8.0", Saved("cntkctl_el1")),
    row("CNTV_CVAL_EL0", "S3_3_C14_C3_2", "Armv8.0", Saved("cntv_cval_el0")),
    row("CNTV_CTL_EL0", "S3_3_C14_C3_1", "Armv8.0", Saved("cntv_ctl_el0")),
    row("CNTV_TVAL_EL0", "S3_3_C14_C3_0", "Armv8.0", Saved("cntv_cval_el0")),
    row("SCTLR_EL1", "S3_0_C1_C0_0", "Armv8.0", Saved("SCTLR_EL1")),
    row("TCR_EL1", "S3_0_C2_C0_2", "Armv8.0", Saved("TCR_EL1")),
    row("FPCR", "S3_3_C4_C4_0", "Armv8.0", Saved("fpcr")),
    row("FPSR", "S3_3_C4_C4_1", "Armv8.0", Saved("fpsr")),
    row("DISR_EL1", "S3_0_C12_C1_1", "FEAT_RAS", Saved("vdisr_el2")),
    row("APIAKeyLo_EL1", "S3_0_C2_C1_0", "FEAT_PAuth", Saved("S3_0_C2_C1_0")),
    row("APIAKeyHi_EL1", "S3_0_C2_C1_1", "FEAT_PAuth", Saved("S3_0_C2_C1_1")),
    row("APIBKeyLo_EL1", "S3_0_C2_C1_2", "FEAT_PAuth", Saved("S3_0_C2_C1_2")),
    row("APIBKeyHi_EL1", "S3_0_C2_C1_3", "FEAT_PAuth", Saved("S3_0_C2_C1_3")),
    row("APDAKeyLo_EL1", "S3_0_C2_C2_0", "FEAT_PAuth", Saved("S3_0_C2_C2_0")),
    row("APDAKeyHi_EL1", "S3_0_C2_C2_1", "FEAT_PAuth", Saved("S3_0_C2_C2_1")),
    row("APDBKeyLo_EL1", "S3_0_C2_C2_2", "FEAT_PAuth", Saved("S3_0_C2_C2_2")),
    row("APDBKeyHi_EL1", "S3_0_C2_C2_3", "FEAT_PAuth", Saved("S3_0_C2_C2_3")),
    row("APGAKeyLo_EL1", "S3_0_C2_C3_0", "FEAT_PAuth", Saved("S3_0_C2_C3_0")),
    row("APGAKeyHi_EL1", "S3_0_C2_C3_1", "FEAT_PAuth", Saved("S3_0_C2_C3_1")),
    row("NZCV", "S3_3_C4_C2_0", "Armv8.0", Pstate),
    row("DAIF", "S3_3_C4_C2_1", "Armv8.0", Pstate),
    row("SPSel", "S3_0_C4_C2_0", "Armv8.0", Pstate),
    row("PAN", "S3_0_C4_C2_3", "FEAT_PAN", Pstate),
    row("UAO", "S3_0_C4_C2_4", "FEAT_UAO", Pstate),
    row("DIT", "S3_3_C4_C2_5", "FEAT_DIT", Pstate),
    row("SSBS", "S3_3_C4_C2_6", "FEAT_SSBS", Pstate),
    row("TCO", "S3_3_C4_C2_7", "FEAT_MTE", Pstate),
    row("ALLINT", "S3_0_C4_C3_0", "FEAT_NMI", Pstate),
    row("MDSCR_EL1", "S2_0_C0_C2_2", "Armv8.0", Emulated),
    row("DBGBVRn_EL1", "S2_0_C0_C*_4", "Armv8.0", Emulated),
    row("DBGBCRn_EL1", "S2_0_C0_C*_5", "Armv8.0", Emulated),
    row("DBGWVRn_EL1", "S2_0_C0_C*_6", "Armv8.0", Emulated),
    row("DBGWCRn_EL1", "S2_0_C0_C*_7", "Armv8.0", Emulated),
    row("OSLAR_EL1", "S2_0_C1_C0_4", "Armv8.0", Emulated),
    row("DBGCLAIMSET_EL1", "S2_0_C7_C8_6", "Armv8.0", Emulated),
    row("DBGCLAIMCLR_EL1", "S2_0_C7_C9_6", "Armv8.0", Emulated),
    row("OSDLR_EL1", "S2_0_C1_C3_4", "Armv8.0", Emulated),
    row("CNTP_TVAL_EL0", "S3_3_C14_C2_0", "Armv8.0", Emulated),
    row("CNTP_CTL_EL0", "S3_3_C14_C2_1", "Armv8.0", Emulated),
    row("CNTP_CVAL_EL0", "S3_3_C14_C2_2", "Armv8.0", Emulated),
    row("OSDTRRX_EL1", "S2_0_C0_C0_2", "Armv8.0", Zero),
    row("MDCCINT_EL1", "S2_0_C0_C2_0", "Armv8.0", Zero),
    row("OSDTRTX_EL1", "S2_0_C0_C3_2", "Armv8.0", Zero),
    row("OSECCR_EL1", "S2_0_C0_C6_2", "Armv8.0", Zero),
    row("DBGPRCR_EL1", "S2_0_C1_C4_4", "Armv8.0", Zero),
    row("DBGDTR_EL0", "S2_3_C0_C4_0", "Armv8.0", Zero),
    row("DBGDTRRX_EL0, DBGDTRTX_EL0", "S2_3_C0_C5_0", "Armv8.0", Zero),
    row("ACTLR_EL1", "S3_0_C1_C0_1", "Armv8.0", Zero),
    row("IMPLEMENTATION DEFINED", "S3_*_C11_C*_*", "Armv8.0", Zero),
    row("IMPLEMENTATION DEFINED", "S3_*_C15_C*_*", "Armv8.0", Zero),
    row("PMINTEN*, PMMIR", "S3_0_C9_C14_*", "Armv8.0", absent((5, 0, 8), 1, "MDCR_EL2::TPM::SET")),
    row("PMCR, PMCNTEN*, PMOVS*, PMSELR, PMCEID*", "S3_3_C9_C12_*", "Armv8.0", absent((5, 0, 8), 1, "MDCR_EL2::TPM::SET")),
    row("PMCCNTR, PMXEV*", "S3_3_C9_C13_*", "Armv8.0", absent((5, 0, 8), 1, "MDCR_EL2::TPM::SET")),
    row("PMUSERENR, PMOVSSET", "S3_3_C9_C14_*", "Armv8.0", absent((5, 0, 8), 1, "MDCR_EL2::TPM::SET")),
    row("PMEVCNTRn, PMEVTYPERn, PMCCFILTR", "S3_3_C14_C8_*", "Armv8.0", absent((5, 0, 8), 1, "MDCR_EL2::TPM::SET")),
    row("PMEVCNTRn, PMEVTYPERn, PMCCFILTR", "S3_3_C14_C9_*", "Armv8.0", absent((5, 0, 8), 1, "MDCR_EL2::TPM::SET")),
    row("PMEVCNTRn, PMEVTYPERn, PMCCFILTR", "S3_3_C14_C10_*", "Armv8.0", absent((5, 0, 8), 1, "MDCR_EL2::TPM::SET")),
    row("PMEVCNTRn, PMEVTYPERn, PMCCFILTR", "S3_3_C14_C11_*", "Armv8.0", absent((5, 0, 8), 1, "MDCR_EL2::TPM::SET")),
    row("PMEVCNTRn, PMEVTYPERn, PMCCFILTR", "S3_3_C14_C12_*", "Armv8.0", absent((5, 0, 8), 1, "MDCR_EL2::TPM::SET")),
    row("PMEVCNTRn, PMEVTYPERn, PMCCFILTR", "S3_3_C14_C13_*", "Armv8.0", absent((5, 0, 8), 1, "MDCR_EL2::TPM::SET")),
    row("PMEVCNTRn, PMEVTYPERn, PMCCFILTR", "S3_3_C14_C14_*", "Armv8.0", absent((5, 0, 8), 1, "MDCR_EL2::TPM::SET")),
    row("PMEVCNTRn, PMEVTYPERn, PMCCFILTR", "S3_3_C14_C15_*", "Armv8.0", absent((5, 0, 8), 1, "MDCR_EL2::TPM::SET")),
    row("trace unit", "S2_1_C*_C*_*", "Armv8.0", absent((5, 0, 4), 1, "CPTR_TTA")),
    row("PMSCR and the rest of SPE", "S3_0_C9_C9_*", "FEAT_SPE", absent((5, 0, 32), 1, "MDCR_EL2::TPMS::SET")),
    row("PMBLIMITR, PMBPTR, PMBSR (MDCR_EL2.E2PB is 0)", "S3_0_C9_C10_*", "FEAT_SPE", absent((5, 0, 32), 1, "MDCR_EL2::TPMS::SET")),
    row("TRBE (MDCR_EL2.E2TB is 0)", "S3_0_C9_C11_*", "FEAT_TRBE", absent((5, 0, 44), 1, "MDCR_EL2::TTRF::SET")),
    row("TRFCR_EL1", "S3_0_C1_C2_1", "FEAT_TRF", absent((5, 0, 40), 1, "MDCR_EL2::TTRF::SET")),
    row("MDSELR_EL1", "S2_0_C0_C4_2", "FEAT_Debugv8p9", absent((5, 0, 0), 9, "MDCR_EL2::TDA::SET")),
    row("activity monitors", "S3_3_C13_C2_*", "FEAT_AMUv1", absent((4, 0, 44), 1, "CPTR_TAM")),
    row("activity monitors", "S3_3_C13_C3_*", "FEAT_AMUv1", absent((4, 0, 44), 1, "CPTR_TAM")),
    row("activity monitors", "S3_3_C13_C4_*", "FEAT_AMUv1", absent((4, 0, 44), 1, "CPTR_TAM")),
    row("activity monitors", "S3_3_C13_C5_*", "FEAT_AMUv1", absent((4, 0, 44), 1, "CPTR_TAM")),
    row("activity monitors", "S3_3_C13_C6_*", "FEAT_AMUv1", absent((4, 0, 44), 1, "CPTR_TAM")),
    row("activity monitors", "S3_3_C13_C7_*", "FEAT_AMUv1", absent((4, 0, 44), 1, "CPTR_TAM")),
    row("activity monitors", "S3_3_C13_C8_*", "FEAT_AMUv1", absent((4, 0, 44), 1, "CPTR_TAM")),
    row("activity monitors", "S3_3_C13_C9_*", "FEAT_AMUv1", absent((4, 0, 44), 1, "CPTR_TAM")),
    row("activity monitors", "S3_3_C13_C10_*", "FEAT_AMUv1", absent((4, 0, 44), 1, "CPTR_TAM")),
    row("activity monitors", "S3_3_C13_C11_*", "FEAT_AMUv1", absent((4, 0, 44), 1, "CPTR_TAM")),
    row("activity monitors", "S3_3_C13_C12_*", "FEAT_AMUv1", absent((4, 0, 44), 1, "CPTR_TAM")),
    row("activity monitors", "S3_3_C13_C13_*", "FEAT_AMUv1", absent((4, 0, 44), 1, "CPTR_TAM")),
    row("activity monitors", "S3_3_C13_C14_*", "FEAT_AMUv1", absent((4, 0, 44), 1, "CPTR_TAM")),
    row("activity monitors", "S3_3_C13_C15_*", "FEAT_AMUv1", absent((4, 0, 44), 1, "CPTR_TAM")),
    row("ERRSELR, ERRIDR", "S3_0_C5_C3_*", "FEAT_RAS", absent((4, 0, 28), 1, "HCR_EL2::TERR::SET")),
    row("ERX*", "S3_0_C5_C4_*", "FEAT_RAS", absent((4, 0, 28), 1, "HCR_EL2::TERR::SET")),
    row("ERXMISC*", "S3_0_C5_C5_*", "FEAT_RAS", absent((4, 0, 28), 1, "HCR_EL2::TERR::SET")),
    row("LORSA, LOREA, LORN, LORC, LORID", "S3_0_C10_C4_*", "FEAT_LOR", absent((7, 1, 16), 1, "HCR_EL2::TLOR::SET")),
    row("MPAM0, MPAM1, MPAMIDR", "S3_0_C10_C5_*", "FEAT_MPAM", absent((4, 0, 40), 1, "MPAM2_TRAP")),
    row("ZCR_EL1", "S3_0_C1_C2_0", "FEAT_SVE", absent((4, 0, 32), 1, "CPTR_RES1")),
    row("SMPRI_EL1", "S3_0_C1_C2_4", "FEAT_SME", absent((4, 1, 24), 1, "S3_4_C1_C1_4")),
    row("SMCR_EL1", "S3_0_C1_C2_6", "FEAT_SME", absent((4, 1, 24), 1, "CPTR_RES1")),
    row("SVCR", "S3_3_C4_C2_2", "FEAT_SME", absent((4, 1, 24), 1, "CPTR_RES1")),
    row("TPIDR2_EL0", "S3_3_C13_C0_5", "FEAT_SME", absent((4, 1, 24), 1, "S3_4_C1_C1_4")),
    row("SCXTNUM_EL1 (HCR_EL2.EnSCXT is 0)", "S3_0_C13_C0_7", "FEAT_CSV2_2", absent((4, 0, 56), 2, "let mut hcr =")),
    row("SCXTNUM_EL0 (HCR_EL2.EnSCXT is 0)", "S3_3_C13_C0_7", "FEAT_CSV2_2", absent((4, 0, 56), 2, "let mut hcr =")),
    row("RGSR_EL1 (HCR_EL2.ATA is 0)", "S3_0_C1_C0_5", "FEAT_MTE", absent((4, 1, 8), 1, "let mut hcr =")),
    row("GCR_EL1 (HCR_EL2.ATA is 0)", "S3_0_C1_C0_6", "FEAT_MTE", absent((4, 1, 8), 1, "let mut hcr =")),
    row("TFSR_EL1 (HCR_EL2.ATA is 0)", "S3_0_C5_C6_0", "FEAT_MTE", absent((4, 1, 8), 1, "let mut hcr =")),
    row("TFSRE0_EL1 (HCR_EL2.ATA is 0)", "S3_0_C5_C6_1", "FEAT_MTE", absent((4, 1, 8), 1, "let mut hcr =")),
    row("CNTPCTSS_EL0", "S3_3_C14_C0_5", "FEAT_ECV", absent((7, 0, 60), 1, "EL1PCEN::CLEAR")),
    row("TCR2_EL1", "S3_0_C2_C0_3", "FEAT_TCR2", absent((7, 3, 0), 1, "S3_4_C1_C2_2")),
    row("SCTLR2_EL1", "S3_0_C1_C0_3", "FEAT_SCTLR2", absent((7, 3, 4), 1, "S3_4_C1_C2_2")),
    row("PIRE0_EL1", "S3_0_C10_C2_2", "FEAT_S1PIE", absent((7, 3, 8), 1, "S3_4_C1_C1_4")),
    row("PIR_EL1", "S3_0_C10_C2_3", "FEAT_S1PIE", absent((7, 3, 8), 1, "S3_4_C1_C1_4")),
    row("POR_EL1", "S3_0_C10_C2_4", "FEAT_S1POE", absent((7, 3, 16), 1, "S3_4_C1_C1_4")),
    row("POR_EL0", "S3_3_C10_C2_4", "FEAT_S1POE", absent((7, 3, 16), 1, "S3_4_C1_C1_4")),
    row("MAIR2_EL1", "S3_0_C10_C2_1", "FEAT_AIE", absent((7, 3, 24), 1, "S3_4_C1_C1_4")),
    row("AMAIR2_EL1", "S3_0_C10_C3_1", "FEAT_AIE", absent((7, 3, 24), 1, "S3_4_C1_C1_4")),
    row("GCSCR_EL1, GCSPR_EL1, GCSCRE0_EL1", "S3_0_C2_C5_*", "FEAT_GCS", absent((4, 1, 44), 1, "S3_4_C1_C1_4")),
    row("GCSPR_EL0", "S3_3_C2_C5_1", "FEAT_GCS", absent((4, 1, 44), 1, "S3_4_C1_C1_4")),
    row("ACCDATA_EL1", "S3_0_C13_C0_5", "FEAT_LS64_ACCDATA", absent((6, 1, 60), 1, "S3_4_C1_C1_4")),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trap::answer::answer;
    use crate::trap::id_registers;
    use crate::trap::sysreg::{Answer, SysReg, SysRegAccess};
    use std::string::String;
    use std::vec::Vec;
    use std::{assert, assert_eq, format};

    /// The code that knows which registers are saved, and which traps are set. It is compiled for the board only.
    const STATE: &str = concat!(
        include_str!("../arch/vcpu/state.rs"),
        include_str!("../arch/vcpu/fp.S")
    );
    const CONTROL: &str = include_str!("../arch/vcpu/control.rs");

    #[test]
    fn a_register_is_in_the_table_or_it_is_not() {
        assert!(is_known("S3_0_C4_C1_0"), "SP_EL0");
        assert!(!is_known("S3_0_C4_C1_1"), "allocated to none");
        assert!(!is_known("S3_0_C4_C1"), "a part of one");
    }

    /// Every encoding with op0 2 and 3, and how it is written.
    fn encodings() -> impl Iterator<Item = (SysReg, String)> {
        (0..1_u32 << 15).map(|n| {
            let [op0, op1, crn] = [2 + (n >> 14), n >> 11 & 7, n >> 7 & 15].map(|part| part as u8);
            let [crm, op2] = [n >> 3 & 15, n & 7].map(|part| part as u8);
            let reg = SysReg::new(op0, op1, crn, crm, op2);
            (reg, format!("{reg:?}"))
        })
    }

    /// The answers to a read and to a write, on a CPU that has everything.
    fn answers(reg: SysReg) -> [Answer; 2] {
        [false, true].map(|write| {
            let access = SysRegAccess {
                reg,
                rt: 0,
                rt2: None,
                write,
            };
            answer(access, |_| 0x0fff_ff0f_ffff_ffff)
        })
    }

    /// What is between the quotes of `field: "register"` in the lists of state.rs.
    fn listed() -> Vec<&'static str> {
        STATE
            .lines()
            .filter_map(|line| line.trim().strip_suffix("\","))
            .filter_map(|line| line.split_once(": \""))
            .map(|(_, register)| register)
            .collect()
    }

    #[test]
    fn what_is_saved_is_what_the_table_says() {
        let listed = listed();
        assert!(listed.len() >= 33, "{listed:?}");
        let saved = ROWS.iter().filter_map(|row| match row.fate {
            Saved(name) => Some((row, name)),
            _ => None,
        });
        let names: Vec<&str> = saved.clone().map(|(_, name)| name).collect();
        for register in &listed {
            assert!(
                names.contains(register),
                "{register} is saved, and in no row"
            );
        }
        for (row, name) in saved {
            // What is not in the lists has lines of its own, to save it and to load it.
            let own_lines = [
                format!("{name}.get()"),
                format!("{name}.set("),
                format!("{name}!()"),
                format!("{name}\n"),
                format!("msr     {name},"),
            ];
            let times: usize = own_lines
                .iter()
                .map(|line| STATE.matches(line.as_str()).count())
                .sum();
            assert!(
                listed.contains(&name) || times >= 2,
                "{}: {name} is not saved",
                row.name
            );
            for (reg, _) in encodings().filter(|(_, text)| row.has(text)) {
                let [read, write] = answers(reg);
                assert_eq!(read, Answer::Undefined, "{}: reads do not trap", row.name);
                assert!(
                    matches!(write, Answer::Undefined | Answer::Write(_)),
                    "{}",
                    row.name
                );
            }
        }
    }

    #[test]
    fn what_traps_has_the_answer_that_the_table_says() {
        for (reg, text) in encodings() {
            let rows: Vec<&Row> = ROWS.iter().filter(|row| row.has(&text)).collect();
            assert!(rows.len() <= 1, "{text} has several rows");
            let [read, write] = answers(reg);
            match rows.first().map(|row| row.fate) {
                Some(Emulated) => assert!(
                    matches!(write, Answer::Debug(_) | Answer::Timer(_)),
                    "{text}: {write:?}"
                ),
                Some(Zero) => {
                    assert_eq!([read, write], [Answer::Value(0), Answer::Ignored], "{text}");
                }
                Some(Fate::Absent { .. }) => {
                    assert_eq!([read, write], [Answer::Undefined; 2], "{text}");
                }
                Some(Saved(_) | Pstate) => {}
                None => assert_eq!(write, Answer::Undefined, "{text} is in no row"),
            }
        }
    }

    #[test]
    fn what_is_absent_is_hidden_and_traps() {
        for row in ROWS {
            let Fate::Absent { id, below, by } = row.fate else {
                continue;
            };
            let (crm, op2, low) = id;
            // Whatever the CPU says.
            for raw in (0..16_u64).map(|field| field << low) {
                let shown = id_registers::shown(SysReg::id(crm, op2), |_| raw) >> low & 0xf;
                assert!(shown < below, "{} is shown: {shown}", row.name);
            }
            assert!(CONTROL.contains(by), "{}: nothing sets {by}", row.name);
        }
    }

    #[test]
    fn encodings_have_wild_cards() {
        let one = |encoding| row("", encoding, "", Pstate);
        assert!(one("S3_*_C15_C*_*").has("S3_7_C15_C0_1"));
        assert!(!one("S3_*_C15_C*_*").has("S3_7_C1_C0_1"));
        assert!(!one("S3_0_C1_C0_0").has("S3_0_C1_C0_01"));
        assert!(!one("S3_0_C1_C0_0").has("S3_0_C1_C0") && !one("S3_0_C1").has("S3_0_C1_C0"));
    }
}
