//! What a vCPU is between two traps, and what a trap is: plain data that the switch and the handlers share.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The general registers of a vCPU, while it does not run.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
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
        Self {
            x,
            pc,
            pstate: PSTATE_EL1H_DAIF,
        }
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
