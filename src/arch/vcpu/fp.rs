//! A vCPU's SIMD and floating-point registers. EL2 is compiled without them (softfloat), so they stay in the CPU
//! while it runs.

use core::mem::offset_of;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::arch::assembly;

/// q0 to q31, FPCR, FPSR.
#[repr(C, align(16))]
#[derive(Debug, Clone, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct FpState {
    /// q0 to q31.
    pub q: [u128; 32],
    /// Control.
    pub fpcr: u64,
    /// Status.
    pub fpsr: u64,
}

impl FpState {
    /// All zero, as a reset may leave them.
    pub const fn reset() -> Self {
        Self {
            q: [0; 32],
            fpcr: 0,
            fpsr: 0,
        }
    }

    /// Takes over what is in the CPU.
    pub fn save(&mut self) {
        // SAFETY: writes exactly `*self`: offsets below are the struct's, checked by the assertion.
        unsafe { assembly::avisor_fp_save((&raw mut *self).cast()) };
    }

    /// Puts it into the CPU.
    pub fn load(&self) {
        // SAFETY: reads exactly `*self`; no Rust code keeps anything in these registers (softfloat).
        unsafe { assembly::avisor_fp_load((&raw const *self).cast()) };
    }
}

const _: () = assert!(
    offset_of!(FpState, q) == 0
        && offset_of!(FpState, fpcr) == 512
        && offset_of!(FpState, fpsr) == 520
);
