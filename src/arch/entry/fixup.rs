//! Instructions of EL2 that may take an exception, and that EL2 survives: `fixup.S` has them, and the vectors look there before they call an
//! exception EL2's own mistake.

use crate::addr::Va;
use crate::arch::assembly;
use crate::arch::cpu::features;
use crate::arch::isa;
use crate::arch::isa::registers::{PAR_EL1, Readable, Writeable};
use crate::arch::vcpu::{Stage1Access, Stage1Mapping};

/// Where the guest's stage 1 maps `va` for an access, and how; `None` if it does not (any more), or if the table walk was aborted. For permission
/// faults, which are not promised to set HPFAR_EL2 (its register description), and to find an instruction. The guest's PAR_EL1 stays as it is.
pub fn translate(va: Va, access: Stage1Access) -> Option<Stage1Mapping> {
    let translate = match access {
        Stage1Access::El1Read => assembly::avisor_translate_s1e1r,
        Stage1Access::El1Write => assembly::avisor_translate_s1e1w,
        Stage1Access::El0Read => assembly::avisor_translate_s1e0r,
        Stage1Access::El0Write => assembly::avisor_translate_s1e0w,
    };
    let saved = PAR_EL1.get();
    // SAFETY: an address translation reads the guest's tables through stage 2 and writes PAR_EL1 only. The exception that it may take is
    // in the table of `fixup.S`, and changes registers only that AAPCS64 lets a callee change.
    let par = unsafe { translate(va.0) };
    PAR_EL1.set(saved);
    Stage1Mapping::from_par(par, va.page_offset())
}

/// The word at the physical address `address`, a multiple of 4; `None` if nothing answers there, or it is not mapped. Must not be the
/// register of a device that a read changes. At another level than EL2 an abort is not survived.
pub fn probe(address: u64) -> Option<u32> {
    // SAFETY: a load, which changes no memory. The exceptions that it may take are in the table of `fixup.S`, and change registers only
    // that AAPCS64 lets a callee change. PSTATE.A is as before.
    u32::try_from(unsafe { assembly::avisor_probe(address) }).ok()
}

/// ISR_EL1.A: an SError is pending. At EL2 this is the physical one.
const ISR_A: u64 = 1 << 8;
/// DISR_EL1.A: an SError was deferred.
const DISR_A: u64 = 1 << 31;

/// Waits until what was loaded and stored before is complete as far as this core knows, and consumes the SError that is pending then. Returns its syndrome, in the format of ESR_EL2
/// or, with FEAT_RAS, of DISR_EL1. PSTATE.A is set before and after.
pub fn synchronize_errors() -> Option<u64> {
    synchronize_errors_of(features().ras)
}

/// The same for a CPU with FEAT_RAS, or one without.
pub(in crate::arch) fn synchronize_errors_of(ras: bool) -> Option<u64> {
    // An External abort on a load comes before the load completes, which a DSB waits for. One on a store comes as an SError only where the CPU
    // reports it as one, and not later than the DSB's end only if the store was not acknowledged on the way to its target. Cortex-A72 reports that of a store
    // to Device or Non-cacheable memory by a signal of its own (nEXTERRIRQ), as no SError at all.
    isa::dsb_sy();
    if ras {
        // ESB synchronizes errors, and defers the pending one to DISR_EL1, as PSTATE.A is set (D1.3.5, "Error synchronization event").
        isa::esb();
        let deferred = read_register!("S3_0_C12_C1_1");
        if deferred & DISR_A != 0 {
            write_register!("S3_0_C12_C1_1", 0);
            return Some(deferred);
        }
    }
    // ISR_EL1 is not read before the DSB has ended, which alone would not hold up the MRS.
    isa::isb();
    if read_register!("isr_el1") & ISR_A == 0 {
        return None;
    }
    // SAFETY: the one exception that comes while PSTATE.A is clear is in the table of `fixup.S`, and changes registers only that AAPCS64
    // lets a callee change.
    let syndrome = unsafe { assembly::avisor_take_serror() };
    (syndrome != 0).then_some(syndrome)
}

/// An SError is taken from here on, and is EL2's own: no vCPU is loaded, and what the last one caused was synchronized.
pub fn unmask_errors() {
    isa::unmask_serrors();
}

/// SErrors of EL2's own have been taken; those from here on wait until the vCPU that is about to be loaded runs, and are its own.
pub fn mask_errors() {
    // The DSB waits for what was stored, the ESB for other errors where there is FEAT_RAS (else it is a NOP), the ISB for the exception.
    isa::dsb_sy();
    isa::esb();
    isa::isb();
    isa::mask_serrors();
}
