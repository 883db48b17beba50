//! The switch into a guest: a trap is a function that returns.

use core::arch::global_asm;
use core::mem::offset_of;

use aarch64_cpu::registers::{ESR_EL2, FAR_EL2, HPFAR_EL2, Readable};

use super::cpu::Cpu;
use super::fault;

/// The general registers of a vCPU, while it does not run.
#[repr(C)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registers {
    /// x0 to x30.
    pub x: [u64; 31],
    /// Where it goes on.
    pub pc: u64,
    /// PSTATE in the format of SPSR_EL2.
    pub pstate: u64,
}

/// EL1 with its own stack pointer, all interrupts masked: how Linux's boot protocol and a reset enter a kernel.
const PSTATE_EL1H_DAIF: u64 = 0x3c5;

impl Registers {
    /// A vCPU that starts at `pc` in EL1 with `x0`, interrupts masked, all other registers zero.
    pub const fn reset(pc: u64, x0: u64) -> Self {
        let mut x = [0; 31];
        x[0] = x0;
        Self { x, pc, pstate: PSTATE_EL1H_DAIF }
    }
}

/// Which vector a trap came through.
#[repr(u64)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrapKind {
    /// A synchronous exception: `Trap::esr` says which.
    Sync = 0,
    /// A physical interrupt.
    Irq = 1,
    /// A physical fast interrupt.
    Fiq = 2,
    /// An asynchronous external abort.
    SError = 3,
}

/// Why a guest stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trap {
    /// The vector.
    pub kind: TrapKind,
    /// ESR_EL2.
    pub esr: u64,
    /// FAR_EL2: the virtual address of an abort.
    pub far: u64,
    /// HPFAR_EL2: its IPA, where the architecture promises one.
    pub hpfar: u64,
}

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
);

// What switch.S takes for granted.
const _: () = assert!(offset_of!(Registers, x) == 0 && offset_of!(Registers, pstate) == offset_of!(Registers, pc) + 8);

unsafe extern "C" {
    fn avisor_switch(registers: *mut Registers) -> TrapKind;
    /// The vector table, for VBAR_EL2.
    pub(super) static avisor_vectors: u8;
}

/// Runs the guest until it traps. Its other registers ([`super::SystemState`]), VTTBR_EL2 and the trap controls
/// ([`super::control`]) are those that are in the CPU.
#[inline]
pub fn run(registers: &mut Registers) -> Trap {
    // SAFETY: the assembly reads and writes `*registers` only, restores what AAPCS64 asks a function to preserve, and
    // returns one of the four values that it was given as TrapKind. What the guest can reach is bounded by stage 2.
    let kind = unsafe { avisor_switch(registers) };
    Trap { kind, esr: ESR_EL2.get(), far: FAR_EL2.get(), hpfar: HPFAR_EL2.get() }
}
