//! The switch into a guest: a trap is a function that returns.

use core::arch::global_asm;
use core::mem::offset_of;

use crate::arch::isa::registers::{ESR_EL2, FAR_EL2, HPFAR_EL2, Readable};

use super::fault;
use crate::arch::assembly;
use crate::arch::percpu::Cpu;
use crate::arch::vcpu::{Registers, Trap, TrapKind};

global_asm!(
    include_str!("switch.S"),
    X = const offset_of!(Registers, x),
    PC = const offset_of!(Registers, pc),
    CPU_REGISTERS = const offset_of!(Cpu, registers),
    CPU_EMERGENCY = const offset_of!(Cpu, emergency),
    SYNC = const TrapKind::Sync as u64,
    IRQ = const TrapKind::Irq as u64,
    FIQ = const TrapKind::Fiq as u64,
    SERROR = const TrapKind::SError as u64,
    el2_fault = sym fault::el2_fault,
    fixups = sym assembly::avisor_fixups,
);

// What switch.S takes for granted.
const _: () = assert!(
    offset_of!(Registers, x) == 0 && offset_of!(Registers, pstate) == offset_of!(Registers, pc) + 8
);

unsafe extern "C" {
    fn avisor_switch(registers: *mut Registers) -> TrapKind;
    /// The vector table, for VBAR_EL2.
    pub(in crate::arch) static avisor_vectors: u8;
}

/// Runs the guest until it traps. Its other registers ([`crate::arch::vcpu::SystemState`]), VTTBR_EL2 and the trap controls
/// ([`crate::arch::vcpu::control`]) are those that are in the CPU.
#[inline]
pub fn run(registers: &mut Registers) -> Trap {
    // SAFETY: the assembly reads and writes `*registers` only, restores what AAPCS64 asks a function to preserve, and
    // returns one of the four values that it was given as TrapKind. What the guest can reach is bounded by stage 2.
    let kind = unsafe { avisor_switch(registers) };
    Trap {
        kind,
        esr: ESR_EL2.get(),
        far: FAR_EL2.get(),
        hpfar: HPFAR_EL2.get(),
    }
}
