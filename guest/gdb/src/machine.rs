//! What a debugged VM is to the rest: the calls of a controller (docs/control.md), behind a trait, so that tests have a machine of their own.

use core::fmt;

/// A snapshot's number.
pub type Id = u64;

/// Why a call was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no such call: the hypervisor is too old, or not Avisor.
    NotSupported,
    /// An argument names what is not there, or what the CPU cannot do.
    Invalid,
    /// No snapshot has that id, or nothing is mapped there.
    NotFound,
    /// There is no memory for a snapshot.
    NoMemory,
    /// Not as the VM is now: it is off.
    Denied,
    /// What this crate does not know.
    Other,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::NotSupported => "the hypervisor has no such call",
            Self::Invalid => "that is not possible",
            Self::NotFound => "there is no such snapshot, or no such memory",
            Self::NoMemory => "there is no memory for it",
            Self::Denied => "the VM is off",
            Self::Other => "the hypervisor refused it",
        })
    }
}

/// Why RUN returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The guest called EVENT with these values.
    Event([u64; 3]),
    /// It was reset, and has not begun again.
    Reset,
    /// It is off.
    Off,
    /// Nothing happened: it runs on. There is something on the line, or an alarm.
    Interrupted,
    /// A debug exception.
    Debug {
        /// The vCPU that had it.
        vcpu: usize,
        /// Its syndrome, as in ESR_EL2.
        esr: u64,
        /// The address, of a watchpoint.
        far: u64,
    },
    /// Stopped by something else; the number is RUN's x0.
    Other(u64),
}

/// ESR_EL2.EC: a hardware breakpoint.
pub const BREAKPOINT: u64 = 0x30;
/// ESR_EL2.EC: a software step.
pub const STEP: u64 = 0x32;
/// ESR_EL2.EC: a watchpoint.
pub const WATCHPOINT: u64 = 0x34;
/// ESR_EL2.EC: BRK.
pub const BRK: u64 = 0x3c;

/// ESR_EL2.EC of a syndrome (Arm DDI 0487, D24.2.40).
pub const fn class(esr: u64) -> u64 {
    esr >> 26 & 0x3f
}

/// Whether a VM runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It switched itself off.
    Off,
    /// It waits for RUN.
    Stopped,
    /// It runs.
    Running,
}

/// What INFO_OF tells of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// The snapshot that the VM ran on when it was taken, which may be gone.
    pub parent: Option<Id>,
    /// 4 KiB pages that deleting it would free.
    pub own_pages: u64,
    /// The virtual counter at its checkpoint, in ticks.
    pub counter: u64,
}

/// What a comparator watches for. The numbers are those of the call BREAKPOINT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An instruction.
    Execute = 1,
    /// Loads.
    Load = 2,
    /// Stores.
    Store = 3,
    /// Both.
    Access = 4,
}

/// A vCPU's registers: what REGISTERS and SET_REGISTERS pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registers {
    /// 0: off; 1: on; 2: it waits for an interrupt.
    pub state: u64,
    /// x0 to x30.
    pub x: [u64; 31],
    /// Where it goes on.
    pub pc: u64,
    /// PSTATE as in SPSR_EL1.
    pub pstate: u64,
    /// System registers, in the order of [`SYSTEM`](crate::registers::SYSTEM).
    pub system: [u64; SYSTEM_REGISTERS],
    /// q0 to q31.
    pub q: [u128; 32],
    /// FPCR.
    pub fpcr: u64,
    /// FPSR.
    pub fpsr: u64,
}

/// How many [`Registers::system`] has: 23 of EL1 and EL0, SCTLR_EL1, TCR_EL1, and 10 halves of keys.
pub const SYSTEM_REGISTERS: usize = 35;

/// Places in [`Registers::system`].
pub mod system {
    /// SP_EL0.
    pub const SP_EL0: usize = 0;
    /// SP_EL1.
    pub const SP_EL1: usize = 1;
    /// ELR_EL1.
    pub const ELR_EL1: usize = 2;
    /// SPSR_EL1.
    pub const SPSR_EL1: usize = 3;
    /// ESR_EL1.
    pub const ESR_EL1: usize = 4;
    /// VBAR_EL1.
    pub const VBAR_EL1: usize = 9;
    /// TTBR0_EL1.
    pub const TTBR0_EL1: usize = 11;
    /// TTBR1_EL1.
    pub const TTBR1_EL1: usize = 12;
    /// CNTV_CTL_EL0.
    pub const CNTV_CTL_EL0: usize = 22;
    /// SCTLR_EL1.
    pub const SCTLR_EL1: usize = 23;
    /// TCR_EL1.
    pub const TCR_EL1: usize = 24;
}

impl Default for Registers {
    fn default() -> Self {
        Self {
            state: 0,
            x: [0; 31],
            pc: 0,
            pstate: 0,
            system: [0; SYSTEM_REGISTERS],
            q: [0; 32],
            fpcr: 0,
            fpsr: 0,
        }
    }
}

/// One VM that this one controls. `id` is a snapshot, or `None` for now. An address is the VM's physical one, unless it says otherwise.
pub trait Machine {
    /// How many vCPUs it has.
    fn vcpus(&self) -> usize;
    /// 4 KiB pages of its RAM.
    fn pages(&self) -> u64;
    /// Whether it runs.
    fn state(&self) -> State;
    /// Runs it until something happens: all vCPUs, or one instruction of one of them. [`Stop::Interrupted`] as soon as this VM has something to do.
    fn run(&mut self, step: Option<usize>) -> Result<Stop, Refused>;
    /// Has it run, and waits for nothing. What it had to tell of before comes instead.
    fn start(&mut self) -> Result<Stop, Refused>;
    /// Stops it.
    fn stop(&mut self) -> Result<(), Refused>;
    /// Has comparators and BRKs with this immediate stop it, or nothing. How many breakpoints and watchpoints the CPU has.
    fn catch(&mut self, brk: Option<u16>) -> Result<(usize, usize), Refused>;
    /// Sets breakpoint `n`, or watchpoint `n` - 16: virtual address and bytes. `None` removes it.
    fn comparator(&mut self, n: usize, what: Option<(Kind, u64, u64)>) -> Result<(), Refused>;
    /// A virtual address by a vCPU's tables: the physical one, and how many bytes the page or block has from there on.
    fn translate(&self, id: Option<Id>, vcpu: usize, va: u64) -> Result<(u64, u64), Refused>;
    /// Reads memory, at most 64 KiB.
    fn read(&self, id: Option<Id>, address: u64, to: &mut [u8]) -> Result<(), Refused>;
    /// Writes memory, at most 64 KiB.
    fn write(&mut self, address: u64, from: &[u8]) -> Result<(), Refused>;
    /// A vCPU's registers.
    fn registers(&self, id: Option<Id>, vcpu: usize) -> Result<Registers, Refused>;
    /// Sets a vCPU's registers.
    fn set_registers(&mut self, vcpu: usize, registers: &Registers) -> Result<(), Refused>;
    /// The first page from `from` on that two snapshots have in different frames; [`pages`](Self::pages) if there is none.
    fn differs(&self, one: Option<Id>, other: Option<Id>, from: u64) -> Result<u64, Refused>;
    /// Takes a snapshot.
    fn checkpoint(&mut self) -> Result<Id, Refused>;
    /// Goes back to a snapshot.
    fn restore(&mut self, id: Id) -> Result<(), Refused>;
    /// Deletes a snapshot.
    fn delete(&mut self, id: Id) -> Result<(), Refused>;
    /// Tells about a snapshot.
    fn info(&self, id: Id) -> Result<Info, Refused>;
    /// The smallest id that exists and is not below this one.
    fn next(&self, id: Id) -> Result<Id, Refused>;
    /// Snapshot `id`, if it exists, or the next one that does, and three that it comes from, each the parent of the one before; `None` behind one that
    /// is gone, or has no parent. Without `id` the first is what the VM was last saved as or restored to, which may be gone.
    fn line(&self, id: Option<Id>) -> Result<[Option<Id>; 4], Refused>;
    /// Ticks of the virtual counter in a second.
    fn frequency(&self) -> u64;
}
