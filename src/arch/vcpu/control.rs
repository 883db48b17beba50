//! What a guest may do itself and what traps: the EL2 registers that are the same for every guest, set once for each
//! core. All in the non-VHE layout.

use super::walks::clear_el1_regime;
use crate::arch::cpu::features;
use crate::arch::entry::fixup;
use crate::arch::isa;
use crate::arch::isa::registers::{
    ACTLR_EL2, CNTHCTL_EL2, CPTR_EL2, HCR_EL2, MDCR_EL2, MIDR_EL1, ReadWriteable, Readable,
    VTCR_EL2, Writeable,
};

/// Bits of an IPA: VTCR_EL2.T0SZ = 64 - 39, walks start at level 1 with one page of 512 entries.
pub const IPA_BITS: u32 = 39;

/// HCR_EL2 from the boot stub on. RW: EL1 is AArch64; AMO: an SError can be taken at EL2, for `fixup::probe`, where PSTATE.A is clear, which
/// it is nowhere else so early.
/// All else, E2H and TGE among it, off until [`set_up`].
pub const HCR_START: u64 = 1 << 31 | 1 << 5;

/// Sets up this core for guests, with no vCPU loaded.
pub fn set_up() {
    VTCR_EL2.set(vtcr());
    // TTBR, TCR, SCTLR and VTTBR are UNKNOWN after a reset (their register descriptions, "Reset"), and speculation may use them at once.
    clear_el1_regime();
    HCR_EL2.set(hcr());
    isa::isb();
    // What was cached by them, HCR_EL2.VM among it, or left by an earlier life of the board, goes once they are new (D8, "TLB maintenance").
    // No table was written: no DSB before. The one behind it is that of `synchronize_errors` below.
    isa::tlbi_alle1();
    CPTR_EL2.set(CPTR_RES1 | CPTR_TTA | CPTR_TAM);
    MDCR_EL2.set(mdcr());
    CNTHCTL_EL2.set(cnthctl());
    // EL1 may write no register that the implementation defines (Cortex-A72: CPUACTLR_EL1, CPUECTLR_EL1, ...).
    ACTLR_EL2.set(0);
    write_register!("hstr_el2", 0);
    // Nobody's timers yet, whatever the firmware left in them.
    write_register!("cnthp_ctl_el2", 0);
    write_register!("cntv_ctl_el0", 0);
    write_register!("cntp_ctl_el0", 0);
    write_register!("vpidr_el2", MIDR_EL1.get());
    if features().pmu {
        // EN: what EL0 tries traps here (MDCR_EL2.TPM), not to its EL1, and is undefined, as without a PMU.
        write_register!("pmuserenr_el0", 1);
    }
    set_up_newer();
    super::debug::set_up();
    isa::isb();
    // HCR_EL2.AMO is set: SErrors are EL2's from here on. One that waits already is nobody's here.
    if let Some(syndrome) = fixup::synchronize_errors() {
        log::warn!("an SError from before the start was dropped: syndrome {syndrome:#x}");
    }
    fixup::unmask_errors();
}

/// The bits of CPTR_EL2 that are RES1 where SVE and SME are not implemented, and that trap them where they are.
pub const CPTR_RES1: u64 = 0x33ff;
/// Trace system registers trap (or, without them, do not exist).
const CPTR_TTA: u64 = 1 << 20;
/// Activity monitors trap.
const CPTR_TAM: u64 = 1 << 30;

/// MPAM2_EL2.{TRAPMPAM0EL1, TRAPMPAM1EL1}: a guest has no say in how caches are partitioned.
const MPAM2_TRAP: u64 = 3 << 48;

fn hcr() -> u64 {
    let mut hcr = HCR_EL2::VM::SET
        // Cache maintenance by set and way traps: see `flush_and_trap` in `vm`.
        + HCR_EL2::TSW::SET
        // A stage 1 walk through memory that stage 2 calls Device faults instead of reading a device.
        + HCR_EL2::PTW::SET
        // Physical interrupts come to EL2 while a guest runs.
        + HCR_EL2::FMO::SET
        + HCR_EL2::IMO::SET
        + HCR_EL2::AMO::SET
        // Not FB and BSU, which make a guest's local TLB and cache maintenance and its barriers reach all cores: a vCPU is pinned to a
        // core, so that all that was cached for it is there; what another vCPU of its VM left there goes (`tlb::flush_vcpu_context`).
        + HCR_EL2::TWI::SET
        + HCR_EL2::TWE::SET
        // ID registers; not TID2 and TID4 (CTR_EL0, cache geometry): kernels read these all the time, and may know.
        + HCR_EL2::TID3::SET
        + HCR_EL2::TSC::SET
        // IMPLEMENTATION DEFINED registers and ACTLR_EL1.
        + HCR_EL2::TIDCP::SET
        + HCR_EL2::TACR::SET
        + HCR_EL2::RW::EL1IsAarch64
        // Limited ordering regions, error records.
        + HCR_EL2::TLOR::SET
        + HCR_EL2::TERR::SET;
    if features().pac {
        hcr += HCR_EL2::API::SET + HCR_EL2::APK::SET;
    }
    hcr.value
}

fn vtcr() -> u64 {
    let pa_range = super::id::read_id_register(0, 7, 0) & 0xf;
    (VTCR_EL2::RES1::SET
        + VTCR_EL2::PS.val(pa_range.min(5))
        + VTCR_EL2::TG0::Granule4KB
        + VTCR_EL2::SH0::Inner
        + VTCR_EL2::ORGN0::NormalWBRAWA
        + VTCR_EL2::IRGN0::NormalWBRAWA
        + VTCR_EL2::SL0::Granule4KBLevel1
        + VTCR_EL2::VS::Bits8
        + VTCR_EL2::T0SZ.val(64 - u64::from(IPA_BITS)))
    .value
}

/// Debug registers are emulated (`device::debug`); performance monitors, profiling and trace are not the
/// guest's.
fn mdcr() -> u64 {
    // All counters are in the lower range, which HPMN bounds: 0 would be reserved in ARMv8.0.
    let counters = if features().pmu {
        read_register!("pmcr_el0") >> 11 & 0x1f
    } else {
        0
    };
    let mut mdcr = MDCR_EL2::HPMN.val(counters)
        + MDCR_EL2::TDRA::SET
        + MDCR_EL2::TDOSA::SET
        + MDCR_EL2::TDA::SET;
    // A benchmark guest counts what EL2 does: it has the PMU to itself, and EL2 is not left out (HPMD = 0).
    if !cfg!(feature = "bench") {
        mdcr +=
            MDCR_EL2::TPM::SET + MDCR_EL2::TPMCR::SET + MDCR_EL2::TPMS::SET + MDCR_EL2::TTRF::SET;
    }
    mdcr.value
}

/// Trap registers of later architecture versions, whose value at reset is UNKNOWN. Zero means for each bit: as in
/// ARMv8.0, that is either "not trapped, was there before" or "trapped, is new".
fn set_up_newer() {
    let features = features();
    if features.ras {
        write_register!("S3_4_C5_C2_3", 0); // VSESR_EL2: the syndrome of a virtual SError
    }
    if features.fgt {
        write_register!("S3_4_C1_C1_4", 0); // HFGRTR_EL2
        write_register!("S3_4_C1_C1_5", 0); // HFGWTR_EL2
        write_register!("S3_4_C1_C1_6", 0); // HFGITR_EL2
        write_register!("S3_4_C3_C1_4", 0); // HDFGRTR_EL2
        write_register!("S3_4_C3_C1_5", 0); // HDFGWTR_EL2
    }
    if features.mpam {
        write_register!("S3_4_C10_C5_0", MPAM2_TRAP); // MPAM2_EL2: EL2's own partition is 0
    }
    if features.hcx {
        write_register!("S3_4_C1_C2_2", 0); // HCRX_EL2
    }
}

/// The guest's physical counter and timer (CNTPCT_EL0, CNTP_*_EL0) trap, as they are emulated in virtual time.
fn cnthctl() -> u64 {
    let mut cnthctl = CNTHCTL_EL2::EL1PCEN::CLEAR;
    // A benchmark guest sees the board's own counter: it measures from the power-on on.
    if cfg!(feature = "bench") {
        cnthctl += CNTHCTL_EL2::EL1PCTEN::SET;
    }
    cnthctl.value
}

/// Sets whether WFE traps (HCR_EL2.TWE): if several vCPUs share this core, one that waits for another in a loop gives the core away.
pub fn trap_wfe(trap: bool) {
    if trap {
        HCR_EL2.modify(HCR_EL2::TWE::SET);
    } else {
        HCR_EL2.modify(HCR_EL2::TWE::CLEAR);
    }
}

/// An SError becomes pending for the vCPU that is loaded.
pub fn pend_serror() {
    HCR_EL2.modify(HCR_EL2::VSE::SET);
}

/// Has the guest's writes to [`Stage1Register`](super::Stage1Register)s no longer trap (HCR_EL2.TVM).
pub fn untrap_stage1_registers() {
    HCR_EL2.modify(HCR_EL2::TVM::CLEAR);
}

/// Has the guest's writes to [`Stage1Register`](super::Stage1Register)s trap (HCR_EL2.TVM).
pub fn trap_stage1_registers() {
    HCR_EL2.modify(HCR_EL2::TVM::SET);
}

/// Whether the guest's writes to [`Stage1Register`](super::Stage1Register)s trap (HCR_EL2.TVM).
pub fn traps_stage1_registers() -> bool {
    HCR_EL2.is_set(HCR_EL2::TVM)
}
