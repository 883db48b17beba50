//! What the VM does for a hypercall.

use super::hardware::Hardware;
use super::{Next, Vm};
use crate::addr::Ipa;
use crate::hvc::psci::{self, Action, PowerState};
use crate::hvc::{Call, Results, Snapshot, error};
use crate::snapshot::{NotFound, Which};
use core::sync::atomic::{AtomicU64, Ordering};

/// The next snapshot's id: counted for all VMs together, so that no id ever names two snapshots.
static NEXT_ID: AtomicU64 = AtomicU64::new(0);

/// What an id argument that is no id says: there is none.
const NO_ID: u64 = u64::MAX;

impl<H: Hardware> Vm<H> {
    /// `hvc #immediate`.
    #[inline]
    pub(super) fn call(&mut self, immediate: u16) -> Next {
        match Call::decode(immediate, &self.machine.registers.x) {
            Call::Answered(results) => self.answer(results),
            Call::Snapshot(call) => self.snapshot_call(call),
            Call::BareCheckpoint => self.bare_checkpoint(),
            Call::BareRestore(which) => self.bare_restore(which),
            Call::Psci(call) => self.power_call(call),
        }
    }

    /// `smc`: there is no secure world behind it. PSCI and SMCCC answer as for `hvc #0`; everything else is not known there.
    pub(super) fn secure_call(&mut self, immediate: u16) -> Next {
        match immediate {
            0 => self.call(0),
            _ => self.answer(Results::NOT_SUPPORTED),
        }
    }

    fn answer(&mut self, results: Results) -> Next {
        results.write_to(&mut self.machine.registers.x);
        Next::Resume
    }

    fn checkpoint(&mut self, returns_results: bool) -> Option<u64> {
        self.machine.returns_results = returns_results;
        let next_id = || NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let taken = self.snapshots.checkpoint(&mut self.machine, next_id).ok();
        if taken.is_none() {
            log::error!("no memory for a snapshot of {}", self.plan.name);
        }
        taken
    }

    /// `value` is what a checkpoint that returns results has in x1 now.
    fn restore(&mut self, which: Which, value: u64) -> Result<(), NotFound> {
        self.snapshots.restore(&mut self.machine, which)?;
        if self.machine.returns_results {
            self.machine.registers.x[1] = value;
        }
        Ok(())
    }

    fn bare_checkpoint(&mut self) -> Next {
        self.checkpoint(false);
        Next::Resume
    }

    fn bare_restore(&mut self, which: Which) -> Next {
        if self.restore(which, 1).is_err() {
            log::error!("invalid snapshot id");
        }
        Next::Resume
    }

    fn snapshot_call(&mut self, call: Snapshot) -> Next {
        let not_found = |NotFound| error::NOT_FOUND;
        let (snapshots, machine) = (&mut self.snapshots, &mut self.machine);
        let done = match call {
            Snapshot::Checkpoint => match self.checkpoint(true) {
                Some(id) => Ok(Results::of([id, 0])),
                None => Err(error::NO_MEMORY),
            },
            Snapshot::Restore { which, value } => match self.restore(which, value) {
                // The registers are those of the checkpoint now.
                Ok(()) => return Next::Resume,
                Err(NotFound) => Err(error::NOT_FOUND),
            },
            Snapshot::Delete { id } => snapshots
                .delete(machine, id)
                .map(|()| Results::SUCCESS)
                .map_err(not_found),
            Snapshot::Info { id } => snapshots
                .info(machine, id)
                .map(|info| {
                    let parent = info.parent.unwrap_or(NO_ID);
                    Results::of([0, parent, u64::from(info.pages), info.counter])
                })
                .map_err(not_found),
            Snapshot::Next { id } => snapshots
                .next(machine, id)
                .map(|id| Results::of([id]))
                .map_err(not_found),
            Snapshot::Stats => {
                let stats = snapshots.stats();
                let counts = [stats.snapshots, stats.pools, stats.pages, stats.free];
                Ok(Results::of(counts.map(u64::from)))
            }
            Snapshot::Generation => Ok(Results::of([snapshots.generation()])),
        };
        self.answer(done.unwrap_or_else(Results::error))
    }

    fn power_call(&mut self, call: psci::Call) -> Next {
        match call.handle(self) {
            Action::Return(results) => self.answer(results),
            // Interrupts do not reach a guest yet: nothing to wait for, as with WFI.
            Action::Standby => self.answer(Results::SUCCESS),
            Action::CpuOff => {
                log::info!("{}: its only vCPU is off", self.plan.name);
                Next::Stop
            }
            // Refused before it comes to this, as long as there is one vCPU.
            Action::CpuOn { .. } => self.answer(Results::NOT_SUPPORTED),
            Action::SystemOff => Next::Stop,
            Action::SystemReset => Next::Reset,
        }
    }
}

impl<H: Hardware> psci::Machine for Vm<H> {
    fn cpus(&self) -> impl Iterator<Item = (u64, PowerState)> {
        core::iter::once((0, PowerState::On))
    }

    fn is_ram(&self, entry: Ipa) -> bool {
        self.machine.stage2.page_at(entry).is_some()
    }
}
