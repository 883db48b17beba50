//! A target's CPU, as [`REGISTERS`](super::REGISTERS) has it.

/// A CPU's registers, but for its physical timer, its debug registers, and those of the interrupt controller.
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    /// 1.
    pub version: u64,
    /// 0: off, and all that follows is zero; 1: on; 2: it waits for an interrupt. Not to be set.
    pub state: u64,
    /// x0 to x30.
    pub x: [u64; 31],
    /// Where it goes on.
    pub pc: u64,
    /// PSTATE as in SPSR_EL1: a mode of EL1 or EL0.
    pub pstate: u64,
    /// SP_EL0, SP_EL1, ELR_EL1, SPSR_EL1, ESR_EL1, FAR_EL1, AFSR0_EL1, AFSR1_EL1, PAR_EL1, VBAR_EL1, CPACR_EL1, TTBR0_EL1, TTBR1_EL1, MAIR_EL1,
    /// AMAIR_EL1, CONTEXTIDR_EL1, TPIDR_EL0, TPIDRRO_EL0, TPIDR_EL1, CSSELR_EL1, CNTKCTL_EL1, CNTV_CVAL_EL0, CNTV_CTL_EL0.
    pub el1: [u64; 23],
    /// SCTLR_EL1.
    pub sctlr: u64,
    /// TCR_EL1.
    pub tcr: u64,
    /// The keys of pointer authentication, low half first: IA, IB, DA, DB, GA.
    pub keys: [u64; 10],
    /// q0 to q31.
    pub q: [u128; 32],
    /// FPCR.
    pub fpcr: u64,
    /// FPSR.
    pub fpsr: u64,
}

impl Registers {
    /// All zeros, of the version that this crate knows.
    pub const ZERO: Self = Self {
        version: 1,
        state: 0,
        x: [0; 31],
        pc: 0,
        pstate: 0,
        el1: [0; 23],
        sctlr: 0,
        tcr: 0,
        keys: [0; 10],
        q: [0; 32],
        fpcr: 0,
        fpsr: 0,
    };
}
