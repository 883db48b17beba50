//! What the VM does for a hypercall.

use super::exit::{ExitAction, ExitContext};
use super::loaded::LoadedVcpu;
use super::{VmBackend, VmShared};
use crate::hvc::{Hypercall, Results, SnapshotCall, error};
use crate::snapshot::{Count, NotFound, Which};
use crate::trap::Esr;
use core::task::Poll;
use log::Level;

/// The id that stands for "none".
const NO_ID: u64 = u64::MAX;

impl<B: VmBackend> LoadedVcpu<'_, B> {
    /// `hvc #immediate`.
    #[inline(always)]
    pub(super) fn hypercall(
        &mut self,
        shared: &mut VmShared<B>,
        core: &mut B::Core,
        immediate: u16,
    ) -> ExitAction {
        match Hypercall::decode(immediate, &self.vcpu.registers.x) {
            Hypercall::Answered(results) => {
                results.write_to(&mut self.vcpu.registers.x);
                ExitAction::Resume
            }
            Hypercall::Snapshot(call) => self.context(shared, core).snapshot_call(call),
            Hypercall::BareCheckpoint => self.context(shared, core).bare_checkpoint(immediate),
            Hypercall::BareRestore(which) => self.context(shared, core).bare_restore(which),
            Hypercall::Psci(call) => self.context(shared, core).power_call(call),
            Hypercall::Event(values) => self.context(shared, core).event_call(values),
            // With the shared part unlocked, as locks of other VMs come first.
            Hypercall::Control => ExitAction::Control,
        }
    }

    /// `smc #immediate`. With immediate 0, PSCI and SMCCC answer as for `hvc #0`; every other one is not supported, as the VM has no secure
    /// world.
    #[inline(never)]
    pub(super) fn smc(
        &mut self,
        shared: &mut VmShared<B>,
        core: &mut B::Core,
        immediate: u16,
        esr: Esr,
    ) -> ExitAction {
        self.vcpu.step_over(esr);
        match immediate {
            0 => self.hypercall(shared, core, 0),
            _ => {
                Results::NOT_SUPPORTED.write_to(&mut self.vcpu.registers.x);
                ExitAction::Resume
            }
        }
    }
}

impl<B: VmBackend> ExitContext<'_, B> {
    /// Gives the caller its results in x0 to x3.
    #[inline]
    pub(super) fn give_results(&mut self, results: Results) -> ExitAction {
        results.write_to(&mut self.vcpu.registers.x);
        ExitAction::Resume
    }

    /// With `returns_id`, the vCPU has the id in x0 and 0 in x1.
    fn checkpoint(&mut self, returns_id: bool) -> Poll<Option<u64>> {
        let (vm, shared, initiator) = self.initiator();
        vm.checkpoint_piece(shared, initiator, returns_id)
    }

    /// `value` is what a vCPU that took the snapshot by SMCCC finds in x1.
    fn restore(&mut self, which: Which, value: u64) -> Result<ExitAction, NotFound> {
        let (vm, shared, initiator) = self.initiator();
        vm.restore(shared, initiator, which, value)?;
        Ok(self.resume_restored())
    }

    #[inline(never)]
    fn bare_checkpoint(mut self, immediate: u16) -> ExitAction {
        if self.shared.prepare_checkpoint().is_pending() {
            return self.unfinished_call(immediate);
        }
        match self.checkpoint(false) {
            Poll::Ready(_) => ExitAction::Resume,
            Poll::Pending => self.unfinished_call(immediate),
        }
    }

    #[inline(never)]
    fn bare_restore(mut self, which: Which) -> ExitAction {
        self.restore(which, 1).unwrap_or_else(|NotFound| {
            let memory = &mut self.shared.memory;
            memory.log_line(Level::Error, format_args!("invalid snapshot id"));
            ExitAction::Resume
        })
    }

    #[inline(never)]
    fn snapshot_call(mut self, call: SnapshotCall) -> ExitAction {
        if call == SnapshotCall::Checkpoint && self.shared.prepare_checkpoint().is_pending() {
            return self.unfinished_call(0);
        }
        let done = match call {
            SnapshotCall::Checkpoint => match self.checkpoint(true) {
                Poll::Ready(Some(id)) => Ok(Results::of([id, 0])),
                Poll::Ready(None) => Err(error::NO_MEMORY),
                Poll::Pending => return self.unfinished_call(0),
            },
            SnapshotCall::Restore { which, value } => match self.restore(which, value) {
                // The registers are those of the checkpoint now.
                Ok(next) => return next,
                Err(NotFound) => Err(error::NOT_FOUND),
            },
            other => match self
                .shared
                .snapshot_call(other, &mut self.vcpu.unfinished.count)
            {
                Poll::Ready(done) => done,
                Poll::Pending => return self.unfinished_call(0),
            },
        };
        self.give_results(done.unwrap_or_else(Results::error))
    }

    #[inline(never)]
    fn event_call(mut self, values: [u64; 3]) -> ExitAction {
        match self.event(values) {
            Some(action) => {
                // When it is run again.
                self.give_results(Results::SUCCESS);
                action
            }
            None => self.give_results(Results::NOT_SUPPORTED),
        }
    }
}

impl<B: VmBackend> VmShared<B> {
    /// The snapshot calls that neither stop the VM nor take it back; or a piece of one, which goes on from `count`.
    #[inline(always)]
    pub(super) fn snapshot_call(
        &mut self,
        call: SnapshotCall,
        count: &mut Count,
    ) -> Poll<Result<Results, i64>> {
        let not_found = |NotFound| error::NOT_FOUND;
        let (snapshots, memory) = (&mut self.snapshots, &mut self.memory);
        Poll::Ready(match call {
            SnapshotCall::Checkpoint | SnapshotCall::Restore { .. } => Err(error::NOT_SUPPORTED),
            SnapshotCall::Delete { id } => snapshots
                .delete(memory, id)
                .map(|()| Results::SUCCESS)
                .map_err(not_found),
            SnapshotCall::Info { id } => {
                let Poll::Ready(info) = snapshots.info_piece(memory, id, count) else {
                    return Poll::Pending;
                };
                *count = Count::NOT_BEGUN;
                info.map(|info| {
                    let parent = info.parent.unwrap_or(NO_ID);
                    Results::of([0, parent, u64::from(info.pages), info.taken.counter])
                })
                .map_err(not_found)
            }
            SnapshotCall::Next { id } => snapshots
                .line_from(memory, (id != NO_ID).then_some(id))
                .map(|line| Results::of(line.map(|id| id.unwrap_or(NO_ID))))
                .map_err(not_found),
            SnapshotCall::Stats if snapshots.settle(memory).is_pending() => return Poll::Pending,
            SnapshotCall::Stats => {
                let stats = snapshots.stats();
                let counts = [
                    stats.snapshots,
                    stats.pools,
                    stats.kept_pages,
                    stats.free_pages,
                ];
                Ok(Results::of(counts.map(u64::from)))
            }
            SnapshotCall::Generation => Ok(Results::of([snapshots.generation()])),
        })
    }
}
