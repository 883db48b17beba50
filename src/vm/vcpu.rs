//! A vCPU in memory.

use super::reviews::ReviewSchedule;
use super::saved_lrs::SavedLrs;
use super::unfinished::Unfinished;
use crate::arch::vcpu::Registers;
use crate::device::caught::VcpuDebug;
use crate::device::timer::PhysicalTimer;
use crate::hvc::Results;
use crate::trap::Esr;
use crate::trap::access::step_over;

/// RUN's results when the caller has an interrupt, and the VM that it controls runs.
pub const INTERRUPTED: Results = Results::of([5]);

/// A vCPU. The core that loaded it, or the core that stopped the VM, holds its lock and may change it.
///
/// `system`, `interface` and `lrs` are valid only while the vCPU is not loaded: the core has them otherwise.
pub struct Vcpu<S> {
    /// Its general registers.
    pub registers: Registers,
    /// Its registers beyond the general ones.
    pub system: S,
    /// GICH_VMCR and GICH_APR.
    pub interface: [u32; 2],
    /// Its list registers. The core that loads the vCPU, or stops the VM, syncs them into the GIC model before it uses that.
    pub lrs: SavedLrs,
    /// Its emulated physical timer.
    pub timer: PhysicalTimer,
    /// While it is loaded and waits: the physical count up to which the GIC model knows what its timers have to say, and signals nothing of it. 0:
    /// nobody has looked.
    pub timers_known: u64,
    /// When the vCPU must be looked at for what changes without a trap.
    pub reviews: ReviewSchedule,
    /// It is in the midst of RUN: it waits, its pc on the call; or it was woken, and the call is to be made again.
    pub in_run: bool,
    /// Its debug registers, and what its VM's controller has in their place. The core that loaded the vCPU has a copy of those that act.
    pub debug: VcpuDebug,
    /// What EL2 does for it in pieces, and is in the midst of.
    pub unfinished: Unfinished,
}

impl<S> Vcpu<S> {
    /// A new one, as after a reset, about to run at `pc` with `x0`.
    pub fn new(system: S, pc: u64, x0: u64) -> Self {
        Self {
            registers: Registers::reset(pc, x0),
            system,
            interface: [0; 2],
            lrs: SavedLrs::default(),
            timer: PhysicalTimer::default(),
            timers_known: 0,
            reviews: ReviewSchedule::NONE,
            in_run: false,
            debug: VcpuDebug::RESET,
            unfinished: Unfinished::NOTHING,
        }
    }

    /// Resets it: it is about to run at `pc` with `x0`. What its VM's controller catches stays.
    pub fn reset(&mut self, system: S, pc: u64, x0: u64) {
        let Self {
            registers,
            system: own,
            interface,
            lrs,
            timer,
            timers_known,
            reviews,
            in_run,
            debug,
            unfinished,
        } = self;
        *registers = Registers::reset(pc, x0);
        *own = system;
        *interface = [0; 2];
        *lrs = SavedLrs::default();
        *timer = PhysicalTimer::default();
        *timers_known = 0;
        *reviews = ReviewSchedule::NONE;
        *in_run = false;
        debug.reset(registers);
        *unfinished = Unfinished::NOTHING;
    }

    /// RUN returns that its caller has an interrupt, if the vCPU waits in it.
    #[inline]
    pub fn interrupt_run(&mut self) {
        if core::mem::take(&mut self.in_run) {
            self.step_over_call();
            INTERRUPTED.write_to(&mut self.registers.x);
        }
    }

    /// Moves the pc behind an `hvc` or `smc` of A64.
    #[inline]
    pub fn step_over_call(&mut self) {
        let Registers { pc, pstate, .. } = &mut self.registers;
        step_over(pc, pstate, 4);
    }

    /// Moves the pc behind the instruction that trapped.
    #[inline]
    pub fn step_over(&mut self, esr: Esr) {
        let Registers { pc, pstate, .. } = &mut self.registers;
        step_over(pc, pstate, esr.instruction_length());
    }
}

/// What a vCPU does if it has a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// Nothing: it is off (PSCI).
    Off,
    /// It runs.
    Ready,
    /// It waits for an interrupt, in WFI or CPU_SUSPEND; its pc is behind that.
    Waiting,
}

impl RunState {
    /// The state that `state as u64` made this number of.
    pub fn from_number(number: u64) -> Self {
        match number {
            0 => Self::Off,
            1 => Self::Ready,
            _ => Self::Waiting,
        }
    }
}
