//! Single registers of the guest that is in the CPU: what it takes to give it an exception, and its own translation.

use core::arch::asm;

use aarch64_cpu::asm::barrier;
use aarch64_cpu::registers::{
    ELR_EL1, ESR_EL1, FAR_EL1, PAR_EL1, Readable, SCTLR_EL1, SP_EL0, SP_EL1, SPSR_EL1, VBAR_EL1,
    Writeable,
};

use crate::addr::{Ipa, Va};
use crate::trap::inject::ExceptionState;
use crate::trap::sysreg::VmRegister;
use crate::vm::Stage1Access;

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

/// Writes a register as the guest would. The ERET to the guest synchronizes it.
pub fn write_vm_register(register: VmRegister, value: u64) {
    match register {
        VmRegister::Sctlr => SCTLR_EL1.set(value),
        VmRegister::Ttbr0 => write_register!("ttbr0_el1", value),
        VmRegister::Ttbr1 => write_register!("ttbr1_el1", value),
        VmRegister::Tcr => write_register!("tcr_el1", value),
        VmRegister::Afsr0 => write_register!("afsr0_el1", value),
        VmRegister::Afsr1 => write_register!("afsr1_el1", value),
        VmRegister::Esr => ESR_EL1.set(value),
        VmRegister::Far => FAR_EL1.set(value),
        VmRegister::Mair => write_register!("mair_el1", value),
        VmRegister::Amair => write_register!("amair_el1", value),
        VmRegister::Contextidr => write_register!("contextidr_el1", value),
    }
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

macro_rules! at {
    ($operation:literal, $va:expr) => {
        // SAFETY: an address translation reads the guest's tables through stage 2 and writes PAR_EL1 only.
        unsafe { asm!(concat!("at ", $operation, ", {}"), in(reg) $va.0, options(nostack, preserves_flags)) }
    };
}

/// Where the guest's stage 1 maps `va` for an access; `None` if it does not (any more). For permission faults,
/// which are not promised to set HPFAR_EL2 (its register description), and to find an instruction. The guest's PAR_EL1 stays as it is.
#[inline(always)]
pub fn translate(va: Va, access: Stage1Access) -> Option<Ipa> {
    let saved = PAR_EL1.get();
    match access {
        Stage1Access::El1Read => at!("s1e1r", va),
        Stage1Access::El1Write => at!("s1e1w", va),
        Stage1Access::El0Read => at!("s1e0r", va),
        Stage1Access::El0Write => at!("s1e0w", va),
    }
    barrier::isb(barrier::SY);
    let par = PAR_EL1.get();
    PAR_EL1.set(saved);
    // F (bit 0): the translation failed. PA in 47:12.
    (par & 1 == 0).then_some(Ipa(par & 0x0000_ffff_ffff_f000 | va.page_offset()))
}
