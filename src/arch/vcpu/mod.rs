//! A vCPU: its registers between two traps, and what a trap is, as plain data that the switch and the handlers share; what a guest may do itself and
//! what traps.
//!
//! | module | what |
//! | --- | --- |
//! | [`control`] | what traps: HCR_EL2, VTCR_EL2, ..., the same for every guest |
//! | [`walks`] | whose stage 2 the core is in, and whether it walks there |
//! | [`state`], [`debug`], [`fp`] | a vCPU's registers beyond the general ones, saved and loaded |
//! | [`exchange`] | the same for another VM |
//! | [`el1`], [`id`] | single registers of the guest that is in the CPU; ID registers |

pub mod exchange;

#[cfg(any(target_os = "none", test))]
pub mod control;
#[cfg(any(target_os = "none", test))]
pub mod debug;
#[cfg(any(target_os = "none", test))]
pub mod el1;
#[cfg(any(target_os = "none", test))]
pub mod fp;
#[cfg(any(target_os = "none", test))]
pub mod id;
#[cfg(any(target_os = "none", test))]
pub mod state;
#[cfg(any(target_os = "none", test))]
pub mod walks;

#[cfg(any(target_os = "none", test))]
pub use state::SystemState;

use crate::addr::Ipa;
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

impl TrapKind {
    /// The vector that `kind as u64` made this number of.
    #[inline]
    pub const fn from_number(number: u64) -> Self {
        match number {
            0 => Self::Sync,
            1 => Self::Irq,
            2 => Self::Fiq,
            _ => Self::SError,
        }
    }
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

/// What taking an exception to EL1 reads and writes.
///
/// | field | register | read | written |
/// | --- | --- | --- | --- |
/// | `pc` | ELR_EL2 | return address | the vector |
/// | `pstate` | SPSR_EL2 | where the guest was | EL1h, masked |
/// | `vbar`, `sctlr` | VBAR_EL1, SCTLR_EL1 | yes | no |
/// | `elr`, `spsr`, `esr` | ELR_EL1, SPSR_EL1, ESR_EL1 | no | yes |
/// | `far` | FAR_EL1 | no | by aborts that have an address |
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ExceptionState {
    /// The guest's pc; for the exceptions here, of the instruction that caused them.
    pub pc: u64,
    /// The guest's PSTATE in the layout of SPSR_EL2.
    pub pstate: u64,
    /// VBAR_EL1.
    pub vbar: u64,
    /// SCTLR_EL1.
    pub sctlr: u64,
    /// ELR_EL1.
    pub elr: u64,
    /// SPSR_EL1.
    pub spsr: u64,
    /// ESR_EL1.
    pub esr: u64,
    /// FAR_EL1.
    pub far: u64,
}

/// Where a guest's EL1 takes exceptions, and what it returns to from the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExceptionReturn {
    /// ELR_EL1.
    pub elr: u64,
    /// SPSR_EL1.
    pub spsr: u64,
    /// VBAR_EL1.
    pub vbar: u64,
}

/// A register that says how EL1 sees memory, or why it did not. HCR_EL2.TVM traps writes to them while the guest's caches are off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the registers' names, `_EL1` left out")]
pub enum Stage1Register {
    Sctlr,
    Ttbr0,
    Ttbr1,
    Tcr,
    Afsr0,
    Afsr1,
    Esr,
    Far,
    Mair,
    Amair,
    Contextidr,
}

/// What stage 1 says of an address: PAR_EL1 after an AT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage1Mapping {
    /// Where it leads.
    pub ipa: Ipa,
    /// Whether it is Normal memory, Inner and Outer Write-Back Cacheable.
    pub write_back: bool,
}

impl Stage1Mapping {
    /// From PAR_EL1 for an address with this offset in its page; `None` if the translation failed (PAR_EL1.F).
    #[inline]
    pub const fn from_par(par: u64, page_offset: u64) -> Option<Self> {
        if par & 1 != 0 {
            return None;
        }
        Some(Self {
            ipa: Ipa(par & 0x0000_ffff_ffff_f000 | page_offset),
            write_back: is_write_back((par >> 56) as u8),
        })
    }
}

/// Whether these attributes, encoded as in MAIR_EL1, are Normal memory, Inner and Outer Write-Back Cacheable: each half is 0b11RW,
/// non-transient, or 0b01RW with RW not 0, transient.
const fn is_write_back(attributes: u8) -> bool {
    const fn half(half: u8) -> bool {
        half & 0b0100 != 0 && half != 0b0100
    }
    half(attributes >> 4) && half(attributes & 0xf)
}

/// An access whose stage 1 translation is asked for: the AT instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage1Access {
    /// AT S1E1R.
    El1Read,
    /// AT S1E1W.
    El1Write,
    /// AT S1E0R.
    El0Read,
    /// AT S1E0W.
    El0Write,
}
