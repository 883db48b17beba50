//! A VM: its machine, its vCPUs, and what becomes of their traps.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `schedule` | what a core does: which vCPU is next, for how long, and what is done in between |
//! | `vcpu`, `running` | a vCPU in memory, and on a core: loaded, run from trap to trap, saved |
//! | `calls`, `faults`, `registers`, `power` | what a trap leads to: hypercalls, accesses, system registers, PSCI |
//! | `load_store` | an access to a device whose instruction must be read |
//! | `interrupts`, `reviews` | what is pending gets into list registers, and ends a wait; when to look at what changes without a trap |
//! | `clock` | the VM's counter when it starts, goes back, or goes on after a pause |
//! | `stop`, `saved` | one point in time for all vCPUs, and what a snapshot keeps of them |
//! | `operator` | what the monitor does with VMs, and the snapshots that nobody asks for |
//! | `load`, `machine` | the VM's share of memory, its image in RAM; RAM as snapshots see it |
//! | `hardware` | the seams to what all this runs on |
//!
//! The path of a trap: vectors -> [`Core::run`] returns a trap -> [`Exit::decode`] -> the match in `Turn::handle` -> a handler -> [`Next`]. A
//! handler that emulated an instruction steps over it, by [`step_over`](crate::trap::access::step_over) and nothing else.
//!
//! # Who may touch what
//!
//! | what | who |
//! | --- | --- |
//! | a vCPU ([`vcpu::Vcpu`]) | the core that has it loaded, which holds its lock; nobody else, but whoever stopped the VM |
//! | what the vCPUs share ([`Shared`]) | who holds its lock: a core while it handles a trap, the operator |
//! | a slot's phase and calls, the gate, the offset | anybody: they are atomic, and say no more than what to do next |
//!
//! Nearly all of these atomics are relaxed: they are read under a lock that was held when they were written, or again after the kick that
//! follows. The tests of `tests/loom.rs` run through all that cores may see then.
//!
//! Locks are taken in this order: a vCPU's own, the shared part's, then, with the gate closed, the other vCPUs'. So that nobody waits
//! for ever, a core that waits for the shared part looks at the gate, and gives its vCPU up when that is closed (see [`quiesce`]).

mod backend;
mod calls;
mod clock;
mod faults;
mod interrupts;
mod journal;
mod load_store;
mod loaded;
mod memory;
mod operator;
mod power;
mod quiesce;
mod registers;
mod reviews;
mod saved;
mod schedule;
mod start;
mod vcpu;

#[cfg(test)]
mod tests;

pub use backend::{Core, Hardware, Identity, Interrupt};
pub use loaded::{Next, Running};
pub(crate) use memory::GuestMachine;
pub use memory::RAM_BASE;
pub use schedule::{Desk, World, run};
pub use start::{StartError, bookkeeping, shares};

use alloc::boxed::Box;
use core::fmt;

use log::Level;
use spin::RelaxStrategy;

use crate::addr::PAGE_SIZE;
use crate::arch::sync::{AtomicBool, AtomicU64, Ordering};
use crate::arch::{Mutex, MutexGuard, Relax};
use crate::config::VmPlan;
use crate::device::Devices;
use crate::device::gic::Gic;
use crate::snapshot::{Moment, Snapshots};
use clock::counter_on_entry;
use quiesce::Gate;
use vcpu::{NEVER, Phase, Slot};

/// Pages of the largest RAM: 15 GiB, so that some of the 16 GiB that frames have numbers for are left for snapshots.
const RAM_PAGES_MAX: u32 = 15 << 18;

/// What a core of this hardware holds of a vCPU.
type System<H> = <<H as Hardware>::Core as Core>::System;

/// A VM.
pub struct Vm<H: Hardware> {
    plan: &'static VmPlan,
    /// From 0, in the order of the plan.
    number: usize,
    vcpus: Box<[Slot<System<H>>]>,
    gate: Gate,
    /// How far the guest's counter is behind the physical count: one for the whole VM, so that its vCPUs agree on the time.
    offset: AtomicU64,
    /// The physical count at which the operator paused the VM; or [`NEVER`].
    paused_at: AtomicU64,
    /// See [`Vm::next_checkpoint`].
    next_checkpoint: AtomicU64,
    /// The console has characters for the UART.
    input: AtomicBool,
    shared: Mutex<Shared<H>>,
}

/// What the vCPUs of a VM share.
struct Shared<H: Hardware> {
    machine: GuestMachine<H>,
    snapshots: Snapshots,
    devices: Devices,
    gic: Gic,
    /// Resets that ended in the newest snapshot since that was taken.
    tries: u32,
    /// A vCPU has switched its caches on since the VM was started or taken back, and caches and memory were made to agree then.
    caches_agree: bool,
}

impl<H: Hardware> Vm<H> {
    /// Its name.
    fn name(&self) -> &'static str {
        self.plan.name
    }

    fn offset(&self) -> u64 {
        self.offset.load(Ordering::Relaxed)
    }

    /// The guest's counter.
    fn virtual_count(&self) -> u64 {
        self.virtual_count_at(H::Core::count())
    }

    /// The guest's counter at the physical count `now`, which is not in the past. While the VM is paused: what it would go on with.
    #[inline]
    fn virtual_count_at(&self, now: u64) -> u64 {
        match self.paused_at.load(Ordering::Relaxed) {
            NEVER => now.wrapping_sub(self.offset()),
            at => counter_on_entry(Some(self.moment(at)), self.plan.time, now),
        }
    }

    /// The moment at which the physical count was `physical`, the offset being what it is now.
    fn moment(&self, physical: u64) -> Moment {
        Moment {
            physical,
            counter: physical.wrapping_sub(self.offset()),
        }
    }

    /// The VM goes on from the moment `from`, or from its image; while it is paused, that is where it will go on from. The vCPUs are
    /// stopped, and find it out when they are loaded.
    fn set_time(&self, from: Option<Moment>) {
        let now = H::Core::count();
        if self.paused_at.load(Ordering::Relaxed) != NEVER {
            self.paused_at.store(now, Ordering::Relaxed);
        }
        let counter = counter_on_entry(from, self.plan.time, now);
        let offset = now.wrapping_sub(counter);
        self.offset.store(offset, Ordering::Relaxed);
    }

    /// The shared part, for a core that holds a vCPU of this VM: nothing if it must give that up first.
    #[inline]
    fn share(&self) -> Option<MutexGuard<'_, Shared<H>>> {
        self.shared.try_lock().or_else(|| self.wait_for_share())
    }

    #[cold]
    fn wait_for_share(&self) -> Option<MutexGuard<'_, Shared<H>>> {
        while !self.gate.is_closed() {
            if let Some(shared) = self.shared.try_lock() {
                return Some(shared);
            }
            Relax::relax();
        }
        None
    }

    /// Its vCPUs that are pinned to `core`.
    fn pinned_to(&self, core: usize) -> impl Iterator<Item = usize> {
        (0..self.vcpus.len()).filter(move |&i| self.vcpus[i].core() == core)
    }

    /// Whether a core that has nothing else to do should load that vCPU.
    fn is_runnable(&self, vcpu: usize) -> bool {
        !self.gate.is_closed() && self.vcpus[vcpu].is_runnable(H::Core::count())
    }

    /// Whether another vCPU, or the console, has something for it.
    fn is_called(&self, vcpu: usize) -> bool {
        self.vcpus[vcpu].has_calls()
    }

    /// When a vCPU that waits is to be loaded at the latest: a physical count.
    fn deadline_of(&self, vcpu: usize) -> u64 {
        let slot = &self.vcpus[vcpu];
        match slot.phase() {
            Phase::Waiting if !self.gate.is_closed() => slot.deadline(),
            _ => NEVER,
        }
    }

    /// Tells the vCPUs in `mask` that something became pending for them.
    #[inline]
    fn call(&self, core: &mut H::Core, mask: u8) {
        if mask != 0 {
            self.call_some(core, mask);
        }
    }

    fn call_some(&self, core: &mut H::Core, mask: u8) {
        for (i, slot) in self.vcpus.iter().enumerate() {
            if mask & 1 << i != 0 {
                // One that was called and did not look yet has been told.
                if slot.call() {
                    self.tell(core, slot);
                }
            }
        }
    }

    /// Makes the core of a vCPU look at what was written for it.
    fn tell(&self, core: &mut H::Core, slot: &Slot<System<H>>) {
        if slot.core() == core.number() {
            // The scheduler sets the alarm anew when this one has gone off.
            core.alarm_by(H::Core::count());
        } else {
            core.kick(slot.core());
        }
    }

    /// Whether the console has characters for the UART; who asks takes them. Behind [`Slot::is_called`], which acquires what
    /// [`Slot::call`] released behind [`give_input`](Self::give_input)'s `true`; the characters are behind the console's lock.
    fn take_input(&self) -> bool {
        // The plain load first: it is nearly always false.
        self.input.load(Ordering::Relaxed) && self.input.swap(false, Ordering::Relaxed)
    }

    /// The console has characters for the UART. One of the vCPUs is going to take them.
    pub fn give_input(&self, core: &mut H::Core) {
        // No store: loom would not know that it is behind a swap to false that did not see it.
        self.input.swap(true, Ordering::Relaxed);
        let on = |slot: &&Slot<System<H>>| slot.phase() != Phase::Off;
        if let Some(slot) = self.vcpus.iter().find(on) {
            slot.call();
            self.tell(core, slot);
        }
    }
}

impl<H: Hardware> Shared<H> {
    /// Writes a line into the log that begins with the VM's `name`, however many VMs there are.
    fn say_named(&mut self, name: &str, level: Level, message: fmt::Arguments) {
        match self.machine.hardware.log_name() {
            Some(_) => self.machine.say(level, message),
            None => self.machine.say(level, format_args!("{name}: {message}")),
        }
    }

    fn memory_bytes(&self) -> u64 {
        u64::from(self.snapshots.pages()) * PAGE_SIZE
    }
}

#[cfg(test)]
impl<H: Hardware> Vm<H> {
    /// The guest's counter is at `count`, whatever it was.
    fn set_virtual_count(&self, count: u64) {
        let offset = H::Core::count().wrapping_sub(count);
        self.offset.store(offset, Ordering::Relaxed);
    }
}
