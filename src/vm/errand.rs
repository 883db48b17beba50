//! Errands: what the operator or `checkpoint_every` asks of a VM and takes long, as a checkpoint of much memory. No vCPU asks for it, so none is in the
//! midst of it.
//!
//! A first piece is done at once, which mostly is all. If not, the VM stands, and the rest is done piece by piece in the turns of its vCPU 0, on that
//! one's core, whether the vCPU is on or not. So it comes off the VM's own share of the core, and nobody else waits. As the VM stands, nothing is dirtied
//! meanwhile, and what is counted is of one moment.

use super::quiesce::{ERRAND, Initiator};
use super::{Vm, VmBackend, VmShared};
use crate::monitor::Refusal;
use crate::snapshot::{Count, Info, NotFound};
use core::task::Poll;

/// The vCPU in whose turns errands are done.
const DOER: usize = 0;

/// What is asked for.
pub(super) enum Errand {
    /// A snapshot.
    Checkpoint,
    /// What is known of a snapshot, as far as `count` says.
    Info { id: u64, count: Count },
    /// A snapshot deleted.
    Delete(u64),
    /// The accounts of the snapshots made exact.
    Settle,
}

/// What came of it.
pub(super) enum Outcome {
    /// The new snapshot's id; or why there is none: memory does not suffice, or the VM is off.
    Checkpoint(Result<u64, Refusal>),
    /// `None`: there is no such snapshot.
    Info(Option<Info>),
    /// Whether there was such a snapshot.
    Deleted(Result<(), NotFound>),
    /// The accounts are exact.
    Settled,
}

/// Who learns of the outcome.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// The operator, who looks for it now and then, and [takes it](VmShared::take_outcome).
    ByOperator,
    /// Nobody.
    ByNobody,
}

/// A VM's errand.
#[derive(Default)]
pub(super) struct Errands {
    /// What the VM is in the midst of: exactly as long as its gate says [`ERRAND`].
    begun: Option<(Errand, Asked)>,
    /// What the operator has not seen yet.
    outcome: Option<Outcome>,
}

impl<B: VmBackend> VmShared<B> {
    /// What came of the operator's errand, once it is done.
    pub(super) fn take_outcome(&mut self) -> Option<Outcome> {
        self.errands.outcome.take()
    }
}

impl<B: VmBackend> Vm<B> {
    /// Whether the VM is in the midst of an errand.
    pub(super) fn has_errand(&self) -> bool {
        self.gate.is_closed_for(ERRAND)
    }

    /// Whether vCPU number `vcpu`, which may not run, has its turns nevertheless.
    pub(super) fn goes_on_errand(&self, vcpu: usize) -> bool {
        vcpu == DOER && self.has_errand()
    }

    /// A piece of an errand.
    fn errand_step(
        &self,
        shared: &mut VmShared<B>,
        initiator: Initiator<'_, B>,
        errand: &mut Errand,
    ) -> Poll<Outcome> {
        // What a reset, or a restore, has left to load: a look at the pages would load all of it at once.
        if !shared.is_loaded() {
            shared.load_piece();
            return Poll::Pending;
        }
        let is_checkpoint = matches!(errand, Errand::Checkpoint);
        // Others ran since it was asked for: a snapshot of one that is off would be of one that never ends.
        if is_checkpoint && self.is_off() {
            return Poll::Ready(Outcome::Checkpoint(Err(Refusal::Off)));
        }
        if is_checkpoint && shared.prepare_checkpoint().is_pending() {
            return Poll::Pending;
        }
        let (snapshots, memory) = (&mut shared.snapshots, &mut shared.memory);
        match errand {
            Errand::Checkpoint => self
                .checkpoint_piece(shared, initiator, false)
                .map(|taken| Outcome::Checkpoint(taken.ok_or(Refusal::NoMemory))),
            Errand::Info { id, count } => snapshots
                .info_piece(memory, *id, count)
                .map(|info| Outcome::Info(info.ok())),
            Errand::Delete(id) => Poll::Ready(Outcome::Deleted(snapshots.delete(memory, *id))),
            Errand::Settle => snapshots.settle(memory).map(|()| Outcome::Settled),
        }
    }

    /// Does a piece of `errand`, of a VM that is in the midst of none. `None`: there is more, for which the VM stands from here on. The caller holds the
    /// shared part.
    pub(super) fn begin_errand(
        &self,
        shared: &mut VmShared<B>,
        mut initiator: Initiator<'_, B>,
        mut errand: Errand,
        asked: Asked,
    ) -> Option<Outcome> {
        debug_assert!(!self.has_errand());
        if let Poll::Ready(done) = self.errand_step(shared, initiator.reborrow(), &mut errand) {
            return Some(done);
        }
        let core = initiator.core;
        let stopped = self.quiesce(core, None);
        self.gate.close(ERRAND);
        self.end_stop(stopped);
        shared.errands.begun = Some((errand, asked));
        self.notify_core(core, &self.vcpus[DOER]);
        None
    }

    /// Does a piece of the VM's errand, if it is in the midst of one. The core has no vCPU loaded.
    pub(super) fn go_on_errand(&self, core: &mut B::Core) {
        self.with_locked(core, |shared, mut initiator| {
            let Some((mut errand, asked)) = shared.errands.begun.take() else {
                return;
            };
            match self.errand_step(shared, initiator.reborrow(), &mut errand) {
                Poll::Pending => {
                    shared.errands.begun = Some((errand, asked));
                    return;
                }
                Poll::Ready(done) if asked == Asked::ByOperator => {
                    shared.errands.outcome = Some(done);
                }
                Poll::Ready(_) => {}
            }
            if self.gate.open(ERRAND) == 0 {
                self.wake_cores(initiator.core);
            }
        });
    }
}
