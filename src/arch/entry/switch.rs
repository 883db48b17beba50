//! The switch into a guest: a trap is a function that returns.

use core::arch::{asm, global_asm};
use core::mem::offset_of;

use crate::arch::isa::registers::{ESR_EL2, FAR_EL2, HPFAR_EL2, Readable};

use super::fault;
use crate::arch::assembly;
use crate::arch::percpu::Cpu;
use crate::arch::vcpu::{Registers, Trap, TrapKind};

global_asm!(
    include_str!("switch.S"),
    X = const offset_of!(Registers, x),
    PSTATE = const offset_of!(Registers, pstate),
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
    offset_of!(Registers, x) == 0 && offset_of!(Registers, pc) == offset_of!(Registers, x) + 8 * 31
);

unsafe extern "C" {
    fn avisor_switch();
    /// The vector table, for VBAR_EL2.
    pub(in crate::arch) static avisor_vectors: u8;
}

/// Runs the guest until it traps. Its other registers ([`crate::arch::vcpu::SystemState`]), VTTBR_EL2 and the trap controls
/// ([`crate::arch::vcpu::control`]) are those that are in the CPU.
#[inline(always)]
pub fn run(registers: &mut Registers) -> Trap {
    let kind: u64;
    // SAFETY: the assembly reads and writes `*registers`, this core's `Cpu::registers` and 48 bytes below the stack pointer, which it leaves as it was. It changes
    // all general registers but x19 and x29, and the flags: all of that is said here. What the guest can reach is bounded by stage 2.
    unsafe {
        asm!(
            "bl {switch}",
            switch = sym avisor_switch,
            inout("x0") &raw mut *registers => kind,
            out("x20") _, out("x21") _, out("x22") _, out("x23") _, out("x24") _,
            out("x25") _, out("x26") _, out("x27") _, out("x28") _,
            clobber_abi("C"),
        );
    }
    Trap {
        kind: TrapKind::from_number(kind),
        esr: ESR_EL2.get(),
        far: FAR_EL2.get(),
        hpfar: HPFAR_EL2.get(),
    }
}
