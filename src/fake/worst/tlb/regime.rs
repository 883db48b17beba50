//! What a core translates by.

use super::{ADDRESS, NO_ASID};

/// The registers that translation depends on.
#[derive(Clone, Copy, Debug)]
pub struct Regime {
    /// SCTLR_EL1.
    pub sctlr: u64,
    /// TCR_EL1.
    pub tcr: u64,
    /// TTBR0_EL1.
    pub ttbr: u64,
    /// VTTBR_EL2.
    pub vttbr: u64,
}

impl Regime {
    /// These registers.
    pub fn new([sctlr, tcr, ttbr, vttbr]: [u64; 4]) -> Self {
        Self {
            sctlr,
            tcr,
            ttbr,
            vttbr,
        }
    }

    pub(super) fn vmid(self) -> u32 {
        (self.vttbr >> 48) as u32
    }

    pub(super) fn root(self) -> u64 {
        self.vttbr & ADDRESS
    }

    /// Whether stage 1 is on.
    pub(super) fn translates(self) -> bool {
        self.sctlr & 1 != 0
    }

    /// EPD0.
    pub(super) fn walks_are_off(self) -> bool {
        self.tcr & 1 << 7 != 0
    }

    /// Whether walks of stage 1 read through the caches: C of SCTLR_EL1, and Write-Back in both IRGN0 and ORGN0 of TCR_EL1.
    pub fn walks_through_caches(self) -> bool {
        const WRITE_BACK: u64 = 1 << 8 | 1 << 10;
        self.sctlr & 1 << 2 != 0 && self.tcr & WRITE_BACK == WRITE_BACK
    }

    pub(super) fn asid(self) -> u32 {
        match self.translates() {
            true => (self.ttbr >> 48) as u32,
            false => NO_ASID,
        }
    }
}
