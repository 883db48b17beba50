//! What the VM does for a hypercall.

use super::Hardware;
use super::loaded::{Next, Turn};
use crate::hvc::{Call, Results, Snapshot, error};
use crate::snapshot::{NotFound, Which};
use log::Level;

/// What an id argument that is no id says: there is none.
const NO_ID: u64 = u64::MAX;

impl<H: Hardware> Turn<'_, H> {
    /// `hvc #immediate`.
    #[inline]
    pub(super) fn call(&mut self, immediate: u16) -> Next {
        match Call::decode(immediate, &self.vcpu.registers.x) {
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

    pub(super) fn answer(&mut self, results: Results) -> Next {
        results.write_to(&mut self.vcpu.registers.x);
        Next::Resume
    }

    fn checkpoint(&mut self, result: bool) -> Option<u64> {
        let (vm, shared, asker) = self.ask();
        vm.checkpoint(shared, asker, result)
    }

    /// `value` is what a checkpoint that returns results has in x1 now.
    fn restore(&mut self, which: Which, value: u64) -> Result<Next, NotFound> {
        let (vm, shared, asker) = self.ask();
        vm.restore(shared, asker, which, value)?;
        Ok(self.next())
    }

    fn bare_checkpoint(&mut self) -> Next {
        self.checkpoint(false);
        Next::Resume
    }

    fn bare_restore(&mut self, which: Which) -> Next {
        self.restore(which, 1).unwrap_or_else(|NotFound| {
            let machine = &mut self.shared.machine;
            machine.say(Level::Error, format_args!("invalid snapshot id"));
            Next::Resume
        })
    }

    fn snapshot_call(&mut self, call: Snapshot) -> Next {
        let not_found = |NotFound| error::NOT_FOUND;
        let (snapshots, machine) = (&mut self.shared.snapshots, &mut self.shared.machine);
        let done = match call {
            Snapshot::Checkpoint => match self.checkpoint(true) {
                Some(id) => Ok(Results::of([id, 0])),
                None => Err(error::NO_MEMORY),
            },
            Snapshot::Restore { which, value } => match self.restore(which, value) {
                // The registers are those of the checkpoint now.
                Ok(next) => return next,
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
                    Results::of([0, parent, u64::from(info.pages), info.taken.counter])
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
}
