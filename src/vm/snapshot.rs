//! The two verbs: checkpoint and restore of a whole VM.
//!
//! Both stop the VM, sync its list registers into the GIC model, have [`Snapshots`] save or overwrite the [`QuiescedVm`], and let the VM go
//! on. The VM's own snapshots do all that is about RAM; [`SaveState`](crate::snapshot::SaveState) of `saved.rs` does the rest.

use super::memory::GuestMemory;
use super::quiesce::{Initiator, OFF};
use super::saved::QuiescedVm;
use super::vcpu::RunState;
use super::{Core, Vm, VmBackend, VmShared};
use crate::snapshot::{Moment, NotFound, Snapshots, Which};
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::Poll;
use log::Level;

/// The next snapshot's id: counted for all VMs together, so that no id ever names two snapshots.
static NEXT_ID: AtomicU64 = AtomicU64::new(0);

impl<B: VmBackend> VmShared<B> {
    /// A piece of what a checkpoint does before the VM is stopped for it, if that is much.
    #[inline]
    pub(super) fn prepare_checkpoint(&mut self) -> Poll<()> {
        match self.snapshots.needs_preparation() {
            true => self.snapshots.prepare_checkpoint(&mut self.memory),
            false => Poll::Ready(()),
        }
    }
}

impl<B: VmBackend> Vm<B> {
    /// Takes a snapshot of the whole VM, and returns its id; `None` if memory does not suffice; or, pending, makes some room for it. With
    /// `returns_id`, the initiator's vCPU has the id in x0 and 0 in x1. The caller holds the shared part.
    pub(super) fn checkpoint_piece(
        &self,
        shared: &mut VmShared<B>,
        initiator: Initiator<'_, B>,
        returns_id: bool,
    ) -> Poll<Option<u64>> {
        let taken = self.with_quiesced(shared, initiator, |(snapshots, memory), state| {
            state.returns_id = returns_id;
            let next_id = || NEXT_ID.fetch_add(1, Ordering::Relaxed);
            let taken = snapshots.checkpoint_piece(memory, state, next_id);
            if let Poll::Ready(Ok(_)) = taken {
                memory.caches.note_all(state.around);
            }
            taken.map(Result::ok)
        });
        match taken {
            Poll::Ready(Some(_)) => shared.restores_since_snapshot = 0,
            Poll::Ready(None) => {
                let what = format_args!("no memory for a snapshot");
                shared.log_named(self.config.name, Level::Error, what);
            }
            Poll::Pending => {}
        }
        taken
    }

    /// The same, however long it takes.
    #[cfg(test)]
    pub(super) fn checkpoint(
        &self,
        shared: &mut VmShared<B>,
        mut initiator: Initiator<'_, B>,
        returns_id: bool,
    ) -> Option<u64> {
        shared.finish_loading();
        loop {
            let taken = self.checkpoint_piece(shared, initiator.reborrow(), returns_id);
            if let Poll::Ready(taken) = taken {
                return taken;
            }
        }
    }

    /// Takes the whole VM back to a snapshot, and returns that one's id. A vCPU that took it by SMCCC has `value` in x1 then. The caller holds
    /// the shared part.
    pub(super) fn restore(
        &self,
        shared: &mut VmShared<B>,
        initiator: Initiator<'_, B>,
        which: Which,
        value: u64,
    ) -> Result<u64, NotFound> {
        let by_operator = initiator.vcpu.is_none();
        // A vCPU is pinned to its core.
        shared.memory.runs_only_here = !by_operator && self.vcpus.len() == 1;
        let mut is_around = false;
        let restored = self.with_quiesced(shared, initiator, |(snapshots, memory), state| {
            state.value = value;
            let restored = snapshots.restore(memory, state, which)?;
            // Before any vCPU runs.
            memory.caches.note_all(state.around);
            if memory.caches.is_mapped_ahead() {
                memory.caches.note_watched(state.watch_caches());
            }
            is_around = state.around != 0 && !self.config.windows.is_empty();
            if snapshots.owes_pages() || is_around {
                state.load_later();
            }
            // Before the cores are told to look: they sleep again while the VM is off.
            self.gate.open(OFF);
            Ok(restored)
        });
        // What is owed may be paid by any core.
        shared.memory.runs_only_here = false;
        let restored = restored?;
        (shared.caches_agree, shared.cleaned) = (false, 0);
        // What RAM has is the snapshot's.
        if shared.loading.is_some() {
            shared.forget_loading();
        }
        shared.unclean_windows = is_around.then_some(0);
        Ok(restored)
    }

    /// Does something with the VM while it is stopped and none of its interrupts are in list registers.
    fn with_quiesced<R>(
        &self,
        shared: &mut VmShared<B>,
        mut initiator: Initiator<'_, B>,
        action: impl FnOnce((&mut Snapshots, &mut GuestMemory<B>), &mut QuiescedVm<'_, '_, B>) -> R,
    ) -> R {
        let own = initiator.index();
        let mut stopped = self.quiesce(initiator.core, own);
        let VmShared {
            memory,
            snapshots,
            devices,
            gic,
            ..
        } = shared;
        let mut requested = stopped.sync_lrs(gic);
        let mut synced = false;
        if let Some(own) = own {
            synced = !gic.is_idle(own);
            if synced {
                requested |= gic.sync(own, initiator.core);
            }
        }
        let physical = B::Core::physical_count();
        let at = Moment {
            physical,
            counter: self.virtual_count_at(physical),
        };
        let mut state = QuiescedVm {
            vm: self,
            initiator: initiator.reborrow(),
            stopped: &mut stopped,
            devices,
            gic,
            at,
            returns_id: false,
            value: 1,
            taken_by: 0,
            around: 0,
            restored: false,
        };
        let done = action((snapshots, memory), &mut state);
        let lrs_changed = synced || state.restored;
        // A vCPU that is off begins without list registers.
        if let Some((own, vcpu)) = initiator.vcpu
            && lrs_changed
            && self.vcpus[own].run_state() != RunState::Off
        {
            requested |= gic.flush(own, initiator.core);
            self.note_review(own, vcpu, gic.review_needed(own), initiator.core);
        }
        self.release(initiator.core, stopped);
        self.kick_vcpus(initiator.core, requested);
        done
    }
}
