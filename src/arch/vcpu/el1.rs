//! Single registers of the guest that is in the CPU: what it takes to give it an exception, and those that say how it sees memory.

use crate::arch::isa;
use crate::arch::isa::registers::{
    ELR_EL1, ESR_EL1, FAR_EL1, Readable, SCTLR_EL1, SP_EL0, SP_EL1, SPSR_EL1, VBAR_EL1, Writeable,
};

use crate::arch::vcpu::{ExceptionReturn, ExceptionState, Stage1Register};

/// What taking an exception to EL1 reads; `pc` and `pstate` are not here but in [`Registers`](crate::arch::vcpu::Registers).
pub fn exception_state() -> ExceptionState {
    ExceptionState {
        vbar: VBAR_EL1.get(),
        sctlr: SCTLR_EL1.get(),
        far: FAR_EL1.get(),
        ..ExceptionState::default()
    }
}

/// Writes what the guest's exception handler will read. The ERET to the guest synchronizes it.
pub fn set_exception_state(state: &ExceptionState) {
    ELR_EL1.set(state.elr);
    SPSR_EL1.set(state.spsr);
    ESR_EL1.set(state.esr);
    FAR_EL1.set(state.far);
}

/// ELR_EL1, SPSR_EL1 and VBAR_EL1.
pub fn exception_return() -> ExceptionReturn {
    ExceptionReturn {
        elr: read_register!("elr_el1"),
        spsr: SPSR_EL1.get(),
        vbar: VBAR_EL1.get(),
    }
}

/// Writes SPSR_EL1. The ERET to the guest synchronizes it.
pub fn set_saved_pstate(spsr: u64) {
    SPSR_EL1.set(spsr);
}

/// Writes a register as the guest would, in effect when this returns: cache maintenance that follows is not undone by a speculative access
/// of the guest's regime as it was before.
pub fn write_stage1_register(register: Stage1Register, value: u64) {
    match register {
        Stage1Register::Sctlr => SCTLR_EL1.set(value),
        Stage1Register::Ttbr0 => write_register!("ttbr0_el1", value),
        Stage1Register::Ttbr1 => write_register!("ttbr1_el1", value),
        Stage1Register::Tcr => write_register!("tcr_el1", value),
        Stage1Register::Afsr0 => write_register!("afsr0_el1", value),
        Stage1Register::Afsr1 => write_register!("afsr1_el1", value),
        Stage1Register::Esr => ESR_EL1.set(value),
        Stage1Register::Far => FAR_EL1.set(value),
        Stage1Register::Mair => write_register!("mair_el1", value),
        Stage1Register::Amair => write_register!("amair_el1", value),
        Stage1Register::Contextidr => write_register!("contextidr_el1", value),
    }
    isa::isb();
}

/// SCTLR_EL1.
#[inline]
pub fn sctlr() -> u64 {
    SCTLR_EL1.get()
}

/// TCR_EL1.
#[inline]
pub fn tcr() -> u64 {
    read_register!("tcr_el1")
}

/// SP_EL1 or SP_EL0.
pub fn stack_pointer(el1: bool) -> u64 {
    match el1 {
        true => SP_EL1.get(),
        false => SP_EL0.get(),
    }
}

/// Writes it. EL2 is on its own stack pointer.
pub fn set_stack_pointer(el1: bool, value: u64) {
    match el1 {
        true => SP_EL1.set(value),
        false => SP_EL0.set(value),
    }
}
