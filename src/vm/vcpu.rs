//! A vCPU while no core has it, and what others may know of it while one does.

use super::reviews::Reviews;
use crate::arch::sync::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use crate::arch::vcpu::Registers;
use crate::arch::{Mutex, MutexGuard};
use crate::device::debug::DebugState;
use crate::device::gic::{self, CpuInterface, Gich, ListRegister};
use crate::device::timer::PhysicalTimer;
use crate::hvc::psci::PowerState;

/// A vCPU. Whoever holds its lock may change it: the core that it is loaded on, or one that stopped the VM.
pub struct Vcpu<S> {
    /// Its general registers.
    pub registers: Registers,
    /// The others. While it is loaded they are in the core, and this is old.
    pub system: S,
    /// GICH_VMCR and GICH_APR; likewise.
    pub interface: [u32; 2],
    /// Its list registers; likewise. Whoever stopped the VM, or loads it, takes back what they hold.
    pub lists: Lists,
    /// Its emulated timer.
    pub timer: PhysicalTimer,
    /// When it must be looked at again, though nothing traps.
    pub reviews: Reviews,
    /// Its debug registers. Those that act are in the core too.
    pub debug: DebugState,
    /// It waits for an interrupt, in WFI or CPU_SUSPEND; its pc is behind that.
    pub waiting: bool,
}

impl<S> Vcpu<S> {
    /// As after a reset, about to run at `pc` with `x0`.
    pub fn reset(system: S, pc: u64, x0: u64) -> Self {
        Self {
            registers: Registers::reset(pc, x0),
            system,
            interface: [0; 2],
            lists: Lists::default(),
            timer: PhysicalTimer::default(),
            reviews: Reviews::NONE,
            debug: DebugState::RESET,
            waiting: false,
        }
    }
}

/// What a vCPU would do if it had a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing: it is off.
    Off,
    /// It would run.
    Ready,
    /// It would wait for an interrupt.
    Waiting,
}

impl Phase {
    /// Out of a number that [`Phase`] was made.
    pub fn from_number(number: u64) -> Self {
        match number {
            0 => Self::Off,
            1 => Self::Ready,
            _ => Self::Waiting,
        }
    }
}

/// The list registers of a vCPU that is not loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    registers: [ListRegister; gic::LRS_MAX],
    /// Which of them hold something.
    used: u32,
    /// GICH_HCR.
    control: u32,
}

impl Lists {
    /// Takes them out of a core, which has none then, and enables no maintenance interrupt: that would be the next vCPU's.
    pub fn take(core: &mut impl Gich) -> Self {
        let control = core.hcr();
        if control & gic::hcr::OWNED != 0 {
            core.set_hcr(control & !gic::hcr::OWNED);
        }
        let mut lists = Self {
            control,
            ..Self::default()
        };
        let mut used = !core.empty_lrs() & gic::LRS_MASK;
        while used != 0 {
            let n = used.trailing_zeros() as usize;
            lists.set_list_register(n, core.list_register(n));
            core.set_list_register(n, ListRegister::EMPTY);
            used &= used - 1;
        }
        lists
    }

    /// Whether a CPU interface like this one signals what is in one of them.
    pub fn any_signalled(&self, interface: CpuInterface) -> bool {
        let signalled = |register: &ListRegister| interface.signals_register(*register);
        self.registers.iter().any(signalled)
    }
}

impl Gich for Lists {
    fn empty_lrs(&mut self) -> u32 {
        !self.used & gic::LRS_MASK
    }

    fn list_register(&mut self, n: usize) -> ListRegister {
        self.registers[n]
    }

    fn set_list_register(&mut self, n: usize, value: ListRegister) {
        self.registers[n] = value;
        self.used = self.used & !(1 << n) | u32::from(value != ListRegister::EMPTY) << n;
    }

    fn hcr(&mut self) -> u32 {
        self.control
    }

    fn set_hcr(&mut self, hcr: u32) {
        self.control = hcr;
    }

    // The timer of a vCPU that is not loaded is off, and its interrupt is not active: neither is asked for before it is loaded.
    fn vtimer_line(&mut self) -> bool {
        true
    }

    fn deactivate_vtimer(&mut self) {}

    // Nothing is placed in these.
    fn cpu_interface(&mut self) -> CpuInterface {
        CpuInterface::default()
    }
}

/// A vCPU's place in its VM.
pub struct Slot<S> {
    vcpu: Mutex<Vcpu<S>>,
    /// The core that it is pinned to.
    core: usize,
    phase: AtomicU8,
    /// Something became pending for it, or its VM has input.
    look: AtomicBool,
    /// The physical count at which a timer of it fires, while it is not loaded.
    deadline: AtomicU64,
    /// How often it came to EL2, as far as that was noted.
    exits: AtomicU64,
}

/// No deadline.
pub const NEVER: u64 = u64::MAX;

impl<S> Slot<S> {
    /// A vCPU that is off, pinned to `core`.
    pub fn new(vcpu: Vcpu<S>, core: usize) -> Self {
        Self {
            vcpu: Mutex::new(vcpu),
            core,
            phase: AtomicU8::new(Phase::Off as u8),
            look: AtomicBool::new(false),
            deadline: AtomicU64::new(NEVER),
            exits: AtomicU64::new(0),
        }
    }

    /// Waits for its turn.
    pub fn lock(&self) -> MutexGuard<'_, Vcpu<S>> {
        self.vcpu.lock()
    }

    /// Its turn, if nobody has it.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, Vcpu<S>>> {
        self.vcpu.try_lock()
    }

    /// The vCPU, for who has the VM to itself.
    #[cfg(test)]
    pub fn get_mut(&mut self) -> &mut Vcpu<S> {
        self.vcpu.get_mut()
    }

    /// The core that it is pinned to.
    pub fn core(&self) -> usize {
        self.core
    }

    /// What it would do. One that goes on or off does so in a turn with what the vCPUs share, so who has that knows; so does who has the vCPU, as
    /// CPU_ON locks that before it says `Ready`. Who has neither, as the scheduler, is kicked after a change that it must see.
    pub fn phase(&self) -> Phase {
        Phase::from_number(self.phase.load(Ordering::Relaxed).into())
    }

    /// What it would do, from here on.
    pub fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// AFFINITY_INFO's answer.
    pub fn power(&self) -> PowerState {
        match self.phase() {
            Phase::Off => PowerState::Off,
            Phase::Ready | Phase::Waiting => PowerState::On,
        }
    }

    /// It must look around. Returns whether its core must be told, as it was not called before. A release: what the caller did is seen by the
    /// look that this is for, though the caller may have no lock, as [`Vm::give_input`](super::Vm::give_input).
    pub fn call(&self) -> bool {
        !self.look.swap(true, Ordering::Release)
    }

    /// Whether it must look around; not any more.
    #[inline]
    pub fn is_called(&self) -> bool {
        // The plain load first: it is nearly always false.
        self.look.load(Ordering::Relaxed) && self.look.swap(false, Ordering::Acquire)
    }

    /// Whether it must look around; it still must.
    pub fn has_calls(&self) -> bool {
        self.look.load(Ordering::Relaxed)
    }

    /// Remembers when a timer of it fires. Its core does, or who stopped the VM and kicks that core afterwards.
    pub fn set_deadline(&self, at: u64) {
        self.deadline.store(at, Ordering::Relaxed);
    }

    /// When a timer of it fires, while it is not loaded.
    pub fn deadline(&self) -> u64 {
        self.deadline.load(Ordering::Relaxed)
    }

    /// How often it came to EL2. What it did since its core was last interrupted is not in it yet.
    pub fn exits(&self) -> u64 {
        self.exits.load(Ordering::Relaxed)
    }

    /// Notes more of them. Only the core that has it does.
    pub fn add_exits(&self, more: u64) {
        let exits = self.exits() + more;
        self.exits.store(exits, Ordering::Relaxed);
    }

    /// Whether a core that has nothing else to do should load it at the physical count `now`.
    pub fn is_runnable(&self, now: u64) -> bool {
        match self.phase() {
            Phase::Off => false,
            Phase::Ready => true,
            Phase::Waiting => self.look.load(Ordering::Relaxed) || self.deadline() <= now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gic::hcr::{EOI_COUNT_SHIFT, NPIE};

    #[test]
    fn nothing_of_a_vcpu_stays_in_the_core() {
        let mut core = Lists::default();
        core.set_hcr(3 << EOI_COUNT_SHIFT | NPIE | 1);
        core.set_list_register(2, ListRegister(0x1000_0021));
        let mut taken = Lists::take(&mut core);
        assert_eq!((core.hcr(), core.empty_lrs()), (1, 0xf));
        assert_eq!(taken.hcr() >> EOI_COUNT_SHIFT, 3);
        assert_eq!(taken.list_register(2), ListRegister(0x1000_0021));
    }
}
