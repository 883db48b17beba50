//! Quiescing a VM: one point in time at which none of its vCPUs runs.
//!
//! The core that stops a VM holds the lock of the VM's shared part. It closes the gate, and kicks the cores that have vCPUs loaded. These
//! see the closed gate when they take the kick, or while they wait for the shared part; they put their vCPU and unlock it. So to stop a VM is
//! to lock all of its vCPUs. A trap whose core has not got the shared part by then is dropped: its instruction runs again.

use super::slot::VcpuSlot;
use super::vcpu::Vcpu;
use super::{Core, System, Vm, VmBackend, VmShared};
use crate::arch::MutexGuard;
use crate::arch::sync::{AtomicU16, Ordering};
use crate::device::gic::{Gic, VCPUS_MAX};
use core::hint::cold_path;

/// Why a VM's vCPUs may not run: one bit for each reason; and [who alone may run](Self::let_step). All of it is relaxed: a core that sees an older one tries a lock in vain, or looks
/// again when it is kicked; what the gate guards is behind the vCPUs' locks.
#[derive(Default)]
pub struct Gate(AtomicU16);

/// A core has stopped the VM for a moment.
pub const QUIESCED: u16 = 1;
/// The operator paused the VM.
pub const PAUSED: u16 = 2;
/// The VM is off.
pub const OFF: u16 = 4;
/// The VM that controls it has it stopped.
pub const STOPPED: u16 = 8;
/// All but one vCPU stand, whose number is in these bits, counted from 1: it executes one instruction.
pub const STEPPING: u16 = 0xf0;
/// It is in the midst of an [errand](super::errand).
pub const ERRAND: u16 = 0x100;

const ALONE: u32 = STEPPING.trailing_zeros();
const _: () = assert!(VCPUS_MAX <= (STEPPING >> ALONE) as usize);

impl Gate {
    /// Whether there is any reason why no vCPU may run.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.is_closed_for(!STEPPING)
    }

    /// Whether vCPU number `vcpu` may not run. Nearly always the gate is open, or closed for all: both are found out at once.
    #[inline]
    pub fn is_closed_to(&self, vcpu: usize) -> bool {
        let gate = self.0.load(Ordering::Relaxed);
        gate != 0 && {
            cold_path();
            gate != (vcpu as u16 + 1) << ALONE
        }
    }

    /// Once the gate is open, vCPU number `vcpu` alone may run. It is closed for another reason now: nobody is let through in between.
    pub fn let_step(&self, vcpu: usize) {
        self.open(STEPPING);
        self.close((vcpu as u16 + 1) << ALONE);
    }

    /// The vCPU that alone may run, if it is one.
    pub fn stepping(&self) -> Option<usize> {
        let alone = (self.0.load(Ordering::Relaxed) & STEPPING) >> ALONE;
        usize::from(alone).checked_sub(1)
    }

    /// Whether any of `reasons` is there.
    pub fn is_closed_for(&self, reasons: u16) -> bool {
        self.0.load(Ordering::Relaxed) & reasons != 0
    }

    /// Adds a reason. Each vCPU's lock makes this seen. A core locks its vCPU, then looks here; the core that closes the gate locks the vCPUs
    /// afterwards. All that changes a lock is in one order:
    /// - the stopper had the lock before the core: the core's locking acquires what the stopper's unlocking released, and that is behind this
    ///   store, so the core sees the gate as it was left;
    /// - the core has the lock: the stopper's `try_lock` fails, and it kicks the core. What it stored before a kick is seen by the core that
    ///   takes the kick ([`Core::kick`]), and that core looks here again then.
    #[inline]
    pub fn close(&self, reason: u16) {
        self.0.fetch_or(reason, Ordering::Relaxed);
    }

    /// Removes reasons, and returns those that are left. The caller kicks the cores afterwards: one that saw the gate closed may sleep.
    #[inline]
    pub fn open(&self, reasons: u16) -> u16 {
        self.0.fetch_and(!reasons, Ordering::Relaxed) & !reasons & !STEPPING
    }
}

/// The core that has a VM stopped, and the vCPU that is loaded there and asked for it. `vcpu` is `None` when the operator asks.
pub struct Initiator<'a, B: VmBackend> {
    /// The core on which this runs.
    pub core: &'a mut B::Core,
    /// The number and the state of the vCPU that asks.
    pub vcpu: Option<(usize, &'a mut Vcpu<System<B>>)>,
}

impl<B: VmBackend> Initiator<'_, B> {
    /// The same, for a shorter time.
    pub fn reborrow(&mut self) -> Initiator<'_, B> {
        Initiator {
            core: self.core,
            vcpu: self
                .vcpu
                .as_mut()
                .map(|(index, vcpu)| (*index, &mut **vcpu)),
        }
    }

    /// The number of the vCPU that asks.
    pub fn index(&self) -> Option<usize> {
        self.vcpu.as_ref().map(|(index, _)| *index)
    }

    /// Replaces the registers of the vCPU that asks, in its core, by reset values: no walk through its tables of stage 1 starts by speculation.
    /// To be called before stage 2 is invalidated, or while RAM's tables are detached, so that nothing comes into the TLBs afterwards.
    pub fn clear_core(&mut self) {
        if self.vcpu.is_some() {
            self.core.consume_serror();
            self.core.begin_replacement();
            self.core.load_system(&B::Core::RESET);
        }
    }
}

/// The vCPUs of a stopped VM, all but the initiator's own; nothing if there are no others.
pub enum StoppedVcpus<'a, S> {
    /// There are none: the VM's only vCPU is the initiator's.
    None,
    /// The VM's only vCPU. It is a variant of its own, as most VMs that another one drives have one.
    One([Stopped<'a, S>; 1]),
    /// Each at its number.
    Several([Stopped<'a, S>; VCPUS_MAX]),
}

/// A vCPU, if it is stopped.
type Stopped<'a, S> = Option<MutexGuard<'a, Vcpu<S>>>;

impl<'a, S> StoppedVcpus<'a, S> {
    #[inline]
    fn as_mut_slice(&mut self) -> &mut [Stopped<'a, S>] {
        match self {
            Self::None => &mut [],
            Self::One(vcpu) => vcpu,
            Self::Several(vcpus) => vcpus,
        }
    }

    fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// vCPU number `index`, if it is not the initiator's own.
    #[inline]
    pub fn get(&mut self, index: usize) -> Option<&mut Vcpu<S>> {
        self.as_mut_slice().get_mut(index)?.as_deref_mut()
    }

    /// All of them, each with its number.
    #[inline]
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut Vcpu<S>)> {
        let vcpus = self.as_mut_slice().iter_mut().enumerate();
        vcpus.filter_map(|(index, vcpu)| Some((index, vcpu.as_deref_mut()?)))
    }

    /// Syncs their list registers into the GIC model. Returns the vCPUs that must look around, a bit for each.
    pub fn sync_lrs(&mut self, gic: &mut Gic) -> u8 {
        let sync = |(index, vcpu): (usize, &mut Vcpu<S>)| gic.sync(index, &mut vcpu.lrs);
        self.iter_mut().map(sync).fold(0, |all, mask| all | mask)
    }
}

impl<B: VmBackend> Vm<B> {
    /// Stops the VM. The caller holds the shared part and, if its core has a vCPU of this VM loaded, that one, number `own`.
    #[inline]
    pub(super) fn quiesce(
        &self,
        core: &mut B::Core,
        own: Option<usize>,
    ) -> StoppedVcpus<'_, System<B>> {
        match own.is_some() && self.vcpus.len() == 1 {
            true => StoppedVcpus::None,
            false => self.quiesce_others(core, own),
        }
    }

    fn quiesce_others(
        &self,
        core: &mut B::Core,
        own: Option<usize>,
    ) -> StoppedVcpus<'_, System<B>> {
        self.gate.close(QUIESCED);
        if let [only] = &*self.vcpus {
            return StoppedVcpus::One([Some(self.lock_or_kick(core, only))]);
        }
        let mut others = [const { None }; VCPUS_MAX];
        for (i, slot) in self.vcpus.iter().enumerate() {
            if Some(i) != own {
                others[i] = Some(self.lock_or_kick(core, slot));
            }
        }
        StoppedVcpus::Several(others)
    }

    /// Locks a vCPU. If another core has it loaded, kicks that one and waits.
    fn lock_or_kick<'a>(
        &self,
        core: &mut B::Core,
        slot: &'a VcpuSlot<System<B>>,
    ) -> MutexGuard<'a, Vcpu<System<B>>> {
        slot.try_lock().unwrap_or_else(|| {
            if slot.core() != core.number() {
                core.kick(slot.core());
            }
            slot.lock()
        })
    }

    /// Lets a stopped VM go on.
    #[inline]
    pub(super) fn release(&self, core: &mut B::Core, stopped: StoppedVcpus<'_, System<B>>) {
        // The gate is still open if the VM's only vCPU asked: there was none to stop.
        if !stopped.is_none() {
            self.release_others(core, stopped);
        }
    }

    fn release_others(&self, core: &mut B::Core, stopped: StoppedVcpus<'_, System<B>>) {
        drop(stopped);
        // Whoever opens it for another reason does so then.
        if self.gate.open(QUIESCED) == 0 {
            self.wake_cores(core);
        }
    }

    /// Ends a stop of a VM whose gate stays closed for another reason: nobody has anything to do yet.
    #[inline]
    pub(super) fn end_stop(&self, stopped: StoppedVcpus<'_, System<B>>) {
        if !stopped.is_none() {
            drop(stopped);
            self.gate.open(QUIESCED);
        }
    }

    /// Does something with the VM's shared part, from a core that has no vCPU loaded. So no core waits for that core while it waits for the
    /// lock.
    pub(super) fn with_locked<R>(
        &self,
        core: &mut B::Core,
        action: impl FnOnce(&mut VmShared<B>, Initiator<'_, B>) -> R,
    ) -> R {
        let mut shared = self.lock_from_outside();
        core.enter_stage2(self.number, shared.memory.stage2.root());
        let initiator = Initiator {
            core: &mut *core,
            vcpu: None,
        };
        let result = action(&mut shared, initiator);
        core.leave_stage2();
        result
    }
}
