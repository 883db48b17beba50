//! A VM: its vCPUs, what they share, and what becomes of their traps.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `schedule`, `alarms`, `console_host` | what a core does: which vCPU is next, for how long, and what is done in between |
//! | `vcpu`, `slot`, `saved_lrs` | a vCPU in memory, and what cores may know of it without its lock |
//! | `loaded` | a vCPU on a core: loaded, run from trap to trap, put |
//! | `dispatch` | the match over all that a guest can make happen |
//! | `exit` | what its handlers work on, and what the core does next |
//! | `calls`, `faults`, `device_faults`, `registers`, `power` | the handlers: hypercalls, accesses, system registers, PSCI |
//! | `doorbell` | an access to the page behind a window |
//! | `load_store` | an access to a device whose instruction must be read |
//! | `interrupts`, `reviews` | what is pending gets into list registers, and ends a wait; when to look for what changes without a trap |
//! | `kick` | how a core has another one look at a vCPU: requests, kicks, the console's input |
//! | `pieces`, `unfinished` | what takes long, done piece by piece |
//! | `clock` | the VM's counter, and what it shows when the VM starts, goes back, or goes on after a pause |
//! | `quiesce` | one point in time at which none of the VM's vCPUs runs |
//! | `snapshot`, `saved` | checkpoint and restore; what a snapshot keeps of a VM besides its RAM |
//! | `control`, `target`, `controller`, `run_call`, `reach`, `exchange`, `debug` | a VM that another one controls, and what the calls of that one do |
//! | `operator`, `pause`, `periodic`, `errand` | what the monitor does with VMs, and the checkpoints that nobody asks for |
//! | `start`, `reset`, `image`, `memory_share` | a VM is made, starts again or ends; its image in RAM; its share of the board's memory |
//! | `translate`, `stage1` | where a target's virtual addresses lead |
//! | `pins` | which core each vCPU is pinned to |
//! | `memory`, `log_budget` | RAM as snapshots see it; how many lines a VM may cause in the log |
//! | `backend` | the seams to what all this runs on |
//!
//! The path of a trap: vectors -> [`Core::run`] returns a trap -> [`Exit::decode`](crate::trap::syndrome::Exit::decode) -> the match in `LoadedVcpu::handle_exception` -> a handler ->
//! [`ExitAction`]. A handler that emulated an instruction steps over it, by [`step_over`](crate::trap::access::step_over) and nothing else.
//!
//! # Who may touch what
//!
//! | what | who |
//! | --- | --- |
//! | a vCPU (`Vcpu`) | the core that loaded it, which holds its lock; or the core that stopped the VM, which holds all locks |
//! | what the vCPUs share (`VmShared`) | the core that holds its lock: while it handles a trap, or for the operator |
//! | a slot's run state and request, the gate, the offset | every core: they are atomics, hints about what to do next, never the data itself |
//!
//! Nearly all of these atomics are relaxed: they are read under a lock that was held when they were written, or again after the kick that
//! follows. The tests of `src/vm/tests/loom.rs` run through all that cores may see then.
//!
//! Locks are taken in this order: a vCPU's own, the shared part's, then, with the gate closed, the other vCPUs'. A core that holds a vCPU
//! and waits for the shared part looks at the gate meanwhile, and puts the vCPU if the gate is closed (see `quiesce.rs`): so no core waits
//! for ever. Nor does it keep waiting who else wants the core: after a while it puts the vCPU, as with a closed gate, or has it try again if it is alone there. Of two VMs, a controller's locks come before its target's (see `controller.rs`).

mod alarms;
mod backend;
mod budget;
mod calls;
mod clock;
mod coherence;
mod console_host;
mod control;
mod controller;
mod debug;
mod device_faults;
mod dispatch;
mod doorbell;
mod errand;
mod exchange;
mod exit;
mod faults;
mod housekeeping;
mod image;
mod interrupts;
mod kick;
mod load_store;
mod loaded;
mod log_budget;
mod memory;
mod memory_share;
mod operator;
mod pause;
mod periodic;
mod pieces;
mod pins;
mod power;
mod quiesce;
mod reach;
mod registers;
mod reset;
mod reviews;
mod run_call;
mod saved;
mod saved_lrs;
mod schedule;
mod slot;
mod snapshot;
mod stage1;
mod start;
mod target;
mod translate;
mod unfinished;
mod vcpu;

#[cfg(test)]
mod tests;

pub use backend::{Core, Interrupt, VcpuIdentity, VmBackend};
pub use console_host::ConsoleHost;
pub use exit::ExitAction;
pub use loaded::LoadedVcpu;
pub(crate) use memory::GuestMemory;
pub use memory::RAM_BASE;
pub use memory_share::{carve_memory, carve_windows, heap_bytes};
pub use pins::{check_cores, core_of};
pub use schedule::run;
pub use start::StartError;

use alloc::boxed::Box;
use core::fmt;

use log::Level;
use spin::RelaxStrategy;

use crate::addr::PAGE_SIZE;
use crate::arch::sync::{AtomicBool, AtomicU64, Ordering};
use crate::arch::{Mutex, MutexGuard, Relax};
use crate::config::VmConfig;
use crate::device::gic::Gic;
use crate::device::{Devices, Window};
use crate::snapshot::{Page, Snapshots};
use clock::NEVER;
use errand::Errands;
use image::Loading;
use quiesce::Gate;
use slot::VcpuSlot;
use target::Target;
use vcpu::RunState;

/// Pages of the largest RAM: 15 GiB, so that some of the 16 GiB that frames have numbers for are left for snapshots.
const RAM_PAGES_MAX: u32 = 15 << 18;

/// How often a core looks at the lock of a VM's shared part, for a vCPU that it has loaded, before it drops what that needs the lock for and sees who
/// else wants it: some 15,000 instructions.
const LOOKS: u32 = 1000;

/// A vCPU's registers beyond the general ones, as a core of this backend has them.
type System<B> = <<B as VmBackend>::Core as Core>::System;

/// A VM.
pub struct Vm<B: VmBackend> {
    config: &'static VmConfig,
    /// The VM's number, from 0, in the order of the configuration.
    number: usize,
    vcpus: Box<[VcpuSlot<System<B>>]>,
    gate: Gate,
    /// How far the guest's counter is behind the physical count, in ticks: one for the whole VM, so that its vCPUs agree on the time.
    offset: AtomicU64,
    /// The physical count since which the VM stands still, paused by the operator or stopped by its controller; or [`NEVER`].
    paused_at: AtomicU64,
    /// The physical count at which the time is over that its controller gave it; while it stands still, how much is left. Or [`NEVER`].
    limit: AtomicU64,
    /// The VM ended or was reset, and those that it controls must stop before it controls them again.
    abandons: AtomicBool,
    /// Who has them stop.
    abandoning: Mutex<()>,
    /// The physical count at which the next periodic checkpoint is due; or [`NEVER`].
    next_checkpoint: AtomicU64,
    /// The console has characters for the UART.
    input: AtomicBool,
    /// A core that has no vCPU of this VM loaded waits for the shared part. It orders nothing, and who sees an older value waits a little longer or less:
    /// loom need not look at it.
    wanted: core::sync::atomic::AtomicBool,
    shared: Mutex<VmShared<B>>,
}

/// What the vCPUs of a VM share.
struct VmShared<B: VmBackend> {
    memory: GuestMemory<B>,
    snapshots: Snapshots,
    devices: Devices,
    gic: Gic,
    /// How many times the guest's resets went back to the newest snapshot since that was taken.
    restores_since_snapshot: u32,
    /// What its controller has made of it, if it has one.
    target: Option<Target>,
    /// A vCPU has switched its caches on since the VM was started or restored, and caches and memory were made to agree then.
    caches_agree: bool,
    /// Its image, while that gets into RAM.
    loading: Option<Loading>,
    errands: Errands,
    /// How far its memory is cleaned for SET_REGISTERS, as [`Unfinished::cleaned`](unfinished::Unfinished::cleaned) says; that begins anew when the VM runs or
    /// goes back, or its memory is written to.
    cleaned: Page,
    windows: &'static [Window],
    /// How far the windows are cleaned, which is to be done before the VM goes on.
    unclean_windows: Option<Page>,
}

impl<B: VmBackend> Vm<B> {
    /// The VM's name in the configuration.
    fn name(&self) -> &'static str {
        self.config.name
    }

    /// Locks the shared part, for a core that has a vCPU of this VM loaded. `None` if the gate is closed: the core must put the vCPU first.
    #[inline]
    fn lock_shared(&self) -> Option<MutexGuard<'_, VmShared<B>>> {
        self.shared
            .try_lock()
            .or_else(|| self.wait_for_shared(u32::MAX))
    }

    /// The same. `None` also if the core has waited for long ([`LOOKS`]), and should see who else wants it: another vCPU, or an interrupt of the board.
    #[inline]
    fn lock_shared_or_leave(&self) -> Option<MutexGuard<'_, VmShared<B>>> {
        self.shared
            .try_lock()
            .or_else(|| self.wait_for_shared(LOOKS))
    }

    /// Looks so often at the lock, or for ever. Cores that cannot leave come first ([`lock_from_outside`](Self::lock_from_outside)).
    #[cold]
    #[inline(never)]
    fn wait_for_shared(&self, patience: u32) -> Option<MutexGuard<'_, VmShared<B>>> {
        let mut looks = 0_u32;
        while !self.gate.is_closed() {
            // Not for ever: those outside may be many, and come again and again.
            if (looks >= LOOKS || !self.wanted.load(Ordering::Relaxed))
                && let Some(shared) = self.shared.try_lock()
            {
                return Some(shared);
            }
            looks = looks.saturating_add(1);
            if looks > patience {
                break;
            }
            Relax::relax();
        }
        None
    }

    /// Locks the shared part, for a core that has no vCPU of this VM loaded, and is to do something with the VM whoever has the lock. vCPUs that wait
    /// for the lock let it have that first, so that it waits for the one that has it, and hardly for more.
    fn lock_from_outside(&self) -> MutexGuard<'_, VmShared<B>> {
        loop {
            if let Some(shared) = self.shared.try_lock() {
                // Whoever else waits outside says so again.
                self.wanted.store(false, Ordering::Relaxed);
                return shared;
            }
            self.wanted.store(true, Ordering::Relaxed);
            Relax::relax();
        }
    }

    /// The numbers of the vCPUs that are pinned to core number `core`.
    fn pinned_to(&self, core: usize) -> impl Iterator<Item = usize> {
        (0..self.vcpus.len()).filter(move |&i| self.vcpus[i].core() == core)
    }

    /// Whether a core that has nothing else to do should give vCPU number `vcpu` a turn.
    fn is_runnable(&self, vcpu: usize) -> bool {
        match self.gate.is_closed_to(vcpu) {
            false => self.vcpus[vcpu].is_runnable(B::Core::physical_count),
            true => self.goes_on_errand(vcpu),
        }
    }

    /// Whether a request waits for vCPU number `vcpu`.
    fn has_request(&self, vcpu: usize) -> bool {
        self.vcpus[vcpu].has_request()
    }

    /// The physical count at which vCPU number `vcpu` is to be loaded at the latest, if it waits; or [`NEVER`].
    fn deadline_of(&self, vcpu: usize) -> u64 {
        let slot = &self.vcpus[vcpu];
        match slot.run_state() {
            RunState::Waiting if !self.gate.is_closed_to(vcpu) => slot.deadline(),
            _ => NEVER,
        }
    }
}

impl<B: VmBackend> VmShared<B> {
    /// Writes a line into the log that begins with the VM's `name`, however many VMs there are.
    fn log_named(&mut self, name: &str, level: Level, message: fmt::Arguments) {
        match self.memory.backend.log_name() {
            Some(_) => self.memory.log_line(level, message),
            None => self
                .memory
                .log_line(level, format_args!("{name}: {message}")),
        }
    }

    fn memory_bytes(&self) -> u64 {
        u64::from(self.snapshots.pages()) * PAGE_SIZE
    }
}
