//! What a fake core has of a vCPU.

use crate::arch::vcpu::SystemState;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The registers beyond the general ones: those that exceptions use, and some to stand for the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
#[expect(missing_docs, reason = "the registers' names")]
pub struct System {
    pub vbar: u64,
    pub sctlr: u64,
    pub elr: u64,
    pub spsr: u64,
    pub esr: u64,
    pub far: u64,
    pub sp_el0: u64,
    pub sp_el1: u64,
    pub tpidr_el1: u64,
    /// TCR_EL1.
    pub tcr: u64,
    /// TTBR0_EL1. Without a table there is no stage 1, whatever the tests put into `sctlr`.
    pub ttbr: u64,
    pub vectors: [u64; 4],
    /// An SError is pending.
    pub serror: u64,
    /// HCR_EL2.TVM.
    pub watched: u64,
    /// The virtual timer's output.
    pub timer_line: u64,
    /// When it fires, if not 0.
    pub timer_deadline: u64,
}

impl System {
    /// As after a reset.
    pub const RESET: Self = Self {
        vbar: 0,
        sctlr: 0x30d5_0838,
        elr: 0,
        spsr: 0,
        esr: 0,
        far: 0,
        sp_el0: 0,
        sp_el1: 0,
        tpidr_el1: 0,
        tcr: 0,
        ttbr: 0,
        vectors: [0; 4],
        serror: 0,
        watched: 1,
        timer_line: 0,
        timer_deadline: 0,
    };
}

impl System {
    /// Whether it has a table of stage 1.
    pub fn has_table(&self) -> bool {
        self.ttbr != 0
    }

    /// Those of them that another VM sees, each with its place among all.
    pub fn exchanged(&self) -> [(usize, u64); 10] {
        [
            (0, self.sp_el0),
            (1, self.sp_el1),
            (2, self.elr),
            (3, self.spsr),
            (4, self.esr),
            (5, self.far),
            (9, self.vbar),
            (11, self.ttbr),
            (18, self.tpidr_el1),
            (21, self.timer_deadline),
        ]
    }

    /// As the image would load it, as far as table walks depend on it.
    pub fn for_walks(&self) -> SystemState {
        let mut state = SystemState::reset();
        if self.has_table() {
            state.sctlr = self.sctlr;
        }
        state.tcr = self.tcr;
        state.el1.ttbr0 = self.ttbr;
        state
    }
}
