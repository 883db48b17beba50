//! A vCPU's place in its VM: its lock, and what cores may know of the vCPU without holding that.

use super::clock::NEVER;
use super::vcpu::{RunState, Vcpu};
use crate::arch::sync::{AtomicU8, AtomicU64, Ordering};
use crate::arch::{Mutex, MutexGuard};
use crate::hvc::psci::PowerState;

/// In [`VcpuSlot::awaits`]: no VM.
const NONE: u8 = u8::MAX;

/// Bits of [`VcpuSlot::requested`]: interrupts became pending for the vCPU.
const FLUSH: u8 = 1;
/// All that there is to look at.
const ALL: u8 = 2;

/// What a vCPU was requested to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Nothing.
    Nothing,
    /// Interrupts that became pending for it.
    Flush,
    /// All that there is to look at, as its VM's input.
    All,
}

/// A vCPU's place in its VM.
pub struct VcpuSlot<S> {
    vcpu: Mutex<Vcpu<S>>,
    /// The number of the core that the vCPU is pinned to.
    core: usize,
    /// [`RunState`].
    run_state: AtomicU8,
    /// What the vCPU must look at: [`FLUSH`] and [`ALL`].
    requested: AtomicU8,
    /// The number of the VM that the vCPU waits for, in RUN; or [`NONE`].
    awaits: AtomicU8,
    /// The physical count at which one of the vCPU's timers fires, while it is not loaded.
    deadline: AtomicU64,
    /// How often the vCPU came to EL2, as far as its core has noted it.
    exits: AtomicU64,
}

impl<S> VcpuSlot<S> {
    /// A vCPU that is off, pinned to core number `core`.
    pub fn new(vcpu: Vcpu<S>, core: usize) -> Self {
        Self {
            vcpu: Mutex::new(vcpu),
            core,
            run_state: AtomicU8::new(RunState::Off as u8),
            requested: AtomicU8::new(0),
            awaits: AtomicU8::new(NONE),
            deadline: AtomicU64::new(NEVER),
            exits: AtomicU64::new(0),
        }
    }

    /// Locks the vCPU, once no other core holds it.
    pub fn lock(&self) -> MutexGuard<'_, Vcpu<S>> {
        self.vcpu.lock()
    }

    /// Locks the vCPU, if no other core holds it.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, Vcpu<S>>> {
        self.vcpu.try_lock()
    }

    /// The vCPU, for a test that has the VM to itself.
    #[cfg(test)]
    pub fn get_mut(&mut self) -> &mut Vcpu<S> {
        self.vcpu.get_mut()
    }

    /// The number of the core that the vCPU is pinned to.
    pub fn core(&self) -> usize {
        self.core
    }

    /// What the vCPU does if it has a core. Who knows whether the vCPU is on or off:
    /// - a core that holds the VM's shared part, as the vCPU goes on or off only under that lock;
    /// - a core that holds the vCPU's own lock, as CPU_ON takes that before it says `Ready`.
    ///
    /// A core that holds neither, as the scheduler, is kicked after a change that it must see.
    pub fn run_state(&self) -> RunState {
        RunState::from_number(self.run_state.load(Ordering::Relaxed).into())
    }

    /// Sets what the vCPU does if it has a core.
    pub fn set_run_state(&self, run_state: RunState) {
        self.run_state.store(run_state as u8, Ordering::Relaxed);
    }

    /// Whether the vCPU waits for an interrupt.
    #[inline]
    pub fn is_waiting(&self) -> bool {
        self.run_state() == RunState::Waiting
    }

    /// Ends the vCPU's wait, if it waits. RUN is called again.
    pub fn end_wait(&self) {
        if self.is_waiting() {
            self.set_run_state(RunState::Ready);
        }
    }

    /// The vCPU waits for VM number `vm` to stop, too. It waits already. A release: who finds this finds it waiting.
    pub fn set_awaits(&self, vm: usize) {
        self.awaits.store(vm as u8, Ordering::Release);
    }

    /// The vCPU waits for no VM any more. Returns whether it did, and nobody else ended that before.
    pub fn take_awaits(&self) -> bool {
        self.awaits.swap(NONE, Ordering::Relaxed) != NONE
    }

    /// The number of the VM that the vCPU waits for to stop, if it does.
    pub fn awaited(&self) -> Option<usize> {
        match self.awaits.load(Ordering::Relaxed) {
            NONE => None,
            vm => Some(vm.into()),
        }
    }

    /// Whether the vCPU waits for VM number `vm` to stop.
    pub fn awaits(&self, vm: usize) -> bool {
        self.awaits.load(Ordering::Relaxed) == vm as u8
    }

    /// Ends the vCPU's wait if it waits for VM number `vm`, and returns whether it did. Any core may do this, and holds no lock of this VM's
    /// meanwhile: the vCPU may begin to wait for something else, whose end this is then too. It looks again, and waits on.
    pub fn end_awaiting(&self, vm: usize) -> bool {
        let (vm, acquire) = (vm as u8, Ordering::Acquire);
        let ended = self.awaits(vm.into())
            && self
                .awaits
                .compare_exchange(vm, NONE, acquire, Ordering::Relaxed)
                .is_ok();
        if ended {
            // Only if it waits: it may be off by now.
            let [waiting, ready] = [RunState::Waiting, RunState::Ready].map(|state| state as u8);
            let _ = self.run_state.compare_exchange(
                waiting,
                ready,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
        }
        ended
    }

    /// AFFINITY_INFO's answer.
    pub fn power(&self) -> PowerState {
        match self.run_state() {
            RunState::Off => PowerState::Off,
            RunState::Ready | RunState::Waiting => PowerState::On,
        }
    }

    /// Requests that the vCPU look around. Returns whether there was no request yet, so that its core must be notified. A release: the look that
    /// this is for sees what the caller did before, though the caller may hold no lock, as
    /// [`Vm::request_input`](super::Vm::request_input) does.
    pub fn request(&self) -> bool {
        self.requested.fetch_or(ALL, Ordering::Release) == 0
    }

    /// The same for a vCPU that only has to flush what became pending for it. The caller holds the VM's shared part, which the flush has to lock: that orders
    /// the two, and the request need not.
    pub fn request_flush(&self) -> bool {
        self.requested.fetch_or(FLUSH, Ordering::Relaxed) == 0
    }

    /// Clears the request, and returns what it was for.
    #[inline]
    pub fn take_request(&self) -> Request {
        // The plain load first: nearly always there is none.
        if !self.has_request() {
            return Request::Nothing;
        }
        match self.requested.swap(0, Ordering::Acquire) {
            0 => Request::Nothing,
            FLUSH => Request::Flush,
            _ => Request::All,
        }
    }

    /// Whether a request waits for the vCPU.
    pub fn has_request(&self) -> bool {
        self.requested.load(Ordering::Relaxed) != 0
    }

    /// Sets the physical count at which one of the vCPU's timers fires. The vCPU's core does, or the core that stopped the VM and kicks
    /// that core afterwards.
    pub fn set_deadline(&self, at: u64) {
        self.deadline.store(at, Ordering::Relaxed);
    }

    /// The physical count at which one of the vCPU's timers fires, while it is not loaded.
    pub fn deadline(&self) -> u64 {
        self.deadline.load(Ordering::Relaxed)
    }

    /// How often the vCPU came to EL2, without the exits since its core was last interrupted.
    pub fn exits(&self) -> u64 {
        self.exits.load(Ordering::Relaxed)
    }

    /// Adds to the count of exits. Only the core that loaded the vCPU does.
    pub fn add_exits(&self, more: u64) {
        let exits = self.exits() + more;
        self.exits.store(exits, Ordering::Relaxed);
    }

    /// Whether a core that has nothing else to do should load the vCPU at the physical count `now`, which is read if it matters.
    #[inline]
    pub fn is_runnable(&self, now: impl FnOnce() -> u64) -> bool {
        match self.run_state() {
            RunState::Off => false,
            RunState::Ready => true,
            RunState::Waiting => {
                self.has_request() || self.deadline() != NEVER && self.deadline() <= now()
            }
        }
    }
}
