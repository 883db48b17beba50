//! What a machine is to the rest: RAM, and vCPUs with registers. It stands still while it is looked at.

/// Bytes of a page: what RAM is counted by.
pub const PAGE: u64 = 4096;

/// A machine: a snapshot, or a VM that stands.
pub trait Machine {
    /// Why a machine could not be read.
    type Error;

    /// The guest-physical address at which RAM begins, and its bytes: both whole pages.
    fn ram(&self) -> (u64, u64);

    /// How many vCPUs it has.
    fn vcpus(&self) -> usize;

    /// The registers of vCPU `n`, which is less than [`vcpus`](Self::vcpus).
    fn vcpu(&mut self, n: usize) -> Result<Vcpu, Self::Error>;

    /// Reads RAM from the guest-physical address `ipa` on. All of `to` is within RAM, and it may be long.
    fn read(&mut self, ipa: u64, to: &mut [u8]) -> Result<(), Self::Error>;
}

/// Registers of a vCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vcpu {
    /// Whether it is on. All else is zero if it is off.
    pub is_on: bool,
    /// x0 to x30.
    pub x: [u64; 31],
    /// The stack pointer in use: SP_EL1, or SP_EL0 if PSTATE selects that.
    pub sp: u64,
    /// The address of the next instruction.
    pub pc: u64,
    /// PSTATE as in SPSR_EL1.
    pub pstate: u64,
    /// q0 to q31.
    pub q: [u128; 32],
    /// FPSR.
    pub fpsr: u64,
    /// FPCR.
    pub fpcr: u64,
    /// What translates its addresses.
    pub stage1: Stage1,
}

/// The registers that say how a vCPU's virtual addresses are translated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stage1 {
    /// SCTLR_EL1.
    pub sctlr: u64,
    /// TCR_EL1.
    pub tcr: u64,
    /// TTBR0_EL1 and TTBR1_EL1.
    pub ttbr: [u64; 2],
}

impl Stage1 {
    /// SCTLR_EL1.M: the MMU is on.
    pub fn is_on(&self) -> bool {
        self.sctlr & 1 != 0
    }
}

impl Vcpu {
    /// One that is off.
    pub const OFF: Self = Self {
        is_on: false,
        x: [0; 31],
        sp: 0,
        pc: 0,
        pstate: 0,
        q: [0; 32],
        fpsr: 0,
        fpcr: 0,
        stage1: Stage1 {
            sctlr: 0,
            tcr: 0,
            ttbr: [0; 2],
        },
    };
}
