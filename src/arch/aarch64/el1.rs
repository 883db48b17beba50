//! Single registers of the guest that is in the CPU: what it takes to give it an exception, and its own translation.

use core::arch::asm;

use aarch64_cpu::asm::barrier;
use aarch64_cpu::registers::{
    ELR_EL1, ESR_EL1, FAR_EL1, PAR_EL1, Readable, SCTLR_EL1, SPSR_EL1, VBAR_EL1, Writeable,
};

use crate::addr::{Ipa, PAGE_SIZE, Va};

/// What an exception that is taken to EL1 reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VectorState {
    /// VBAR_EL1.
    pub vbar: u64,
    /// SCTLR_EL1.
    pub sctlr: u64,
}

/// What an exception that is taken to EL1 writes. Its pc and PSTATE are in [`super::Registers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExceptionState {
    /// Where it came from.
    pub elr: u64,
    /// PSTATE there.
    pub spsr: u64,
    /// Its syndrome.
    pub esr: u64,
    /// The address of an abort; `None` leaves FAR_EL1 alone.
    pub far: Option<u64>,
}

/// Where the guest takes its exceptions, and in which PSTATE.
pub fn vector_state() -> VectorState {
    VectorState {
        vbar: VBAR_EL1.get(),
        sctlr: SCTLR_EL1.get(),
    }
}

/// Writes what the guest's exception handler will read. The ERET to the guest synchronizes it.
pub fn set_exception_state(state: &ExceptionState) {
    ELR_EL1.set(state.elr);
    SPSR_EL1.set(state.spsr);
    ESR_EL1.set(state.esr);
    if let Some(far) = state.far {
        FAR_EL1.set(far);
    }
}

/// Where the guest's stage 1 maps `va` for a read at EL1; `None` if it does not (any more). For permission faults,
/// which are not promised to set HPFAR_EL2 (its register description). The guest's PAR_EL1 stays as it is.
pub fn translate(va: Va) -> Option<Ipa> {
    let saved = PAR_EL1.get();
    // SAFETY: an address translation reads the guest's tables through stage 2 and writes PAR_EL1 only.
    unsafe { asm!("at s1e1r, {}", in(reg) va.0, options(nostack, preserves_flags)) };
    barrier::isb(barrier::SY);
    let par = PAR_EL1.get();
    PAR_EL1.set(saved);
    // F (bit 0): the translation failed. PA in 47:12.
    (par & 1 == 0).then_some(Ipa(par & 0x0000_ffff_ffff_f000 | va.0 % PAGE_SIZE))
}
