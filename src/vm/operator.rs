//! What the monitor does with VMs: from a core that has no vCPU loaded.

use super::budget::SLICE;
use super::clock::NEVER;
use super::console_host::ConsoleHost;
use super::control::tell_controller;
use super::controller::abandon_targets;
use super::errand::{Asked, Errand, Outcome};
use super::quiesce::{Initiator, STOPPED};
use super::schedule::Scheduler;
use super::vcpu::RunState;
use super::{Core, Vm, VmBackend, VmShared};
use crate::config::Uart;
use crate::monitor::{
    Refusal, SnapshotInfo, VcpuState, VcpuStatus, VmControl, VmState, VmStats, VmStatus,
};
use crate::snapshot::{Count, NotFound, Which};

/// How long a command may keep the core from the others, in counts of the physical counter: some 20,000 instructions.
const AT_A_TIME: u64 = SLICE >> 8;

/// All VMs in the operator's hands, on a core that has no vCPU loaded.
pub struct Controls<'s, 'a, B: VmBackend, C> {
    scheduler: &'s mut Scheduler<'a, B, C>,
    vms: &'a [Vm<B>],
    /// The physical count at which others had the core last.
    since: u64,
}

impl<'s, 'a, B: VmBackend, C: ConsoleHost<B>> Controls<'s, 'a, B, C> {
    /// The VMs of a core's scheduler, which is between two turns.
    pub(super) fn new(scheduler: &'s mut Scheduler<'a, B, C>) -> Self {
        Self {
            vms: scheduler.vms,
            scheduler,
            since: B::Core::physical_count(),
        }
    }

    /// Does something with VM number `vm` and its shared part.
    fn with<R>(
        &mut self,
        vm: usize,
        action: impl FnOnce(&Vm<B>, &mut VmShared<B>, Initiator<'_, B>) -> R,
    ) -> R {
        self.let_others_run();
        let vm = &self.vms[vm];
        vm.with_locked(self.scheduler.core, |shared, initiator| {
            shared.memory.log_left_out(false);
            action(vm, shared, initiator)
        })
    }

    /// Others have a turn, if it is long since they had one: there are commands of many steps.
    fn let_others_run(&mut self) {
        if B::Core::physical_count() - self.since >= AT_A_TIME {
            // What is due in between is done: as long as it is not, no turn lasts.
            self.lend_core(false);
        }
    }

    /// Others have the core, for a slice at the most. If none wants it, it sleeps so long, or not.
    #[cold]
    #[inline(never)]
    fn lend_core(&mut self, sleeps: bool) {
        self.scheduler.command_due = B::Core::physical_count() + SLICE;
        match sleeps {
            true => self.scheduler.schedule_once(),
            false => _ = self.scheduler.give_turn(),
        }
        self.scheduler.command_due = NEVER;
        self.since = B::Core::physical_count();
    }

    /// Has VM number `vm` do this, however long it takes. Others run meanwhile.
    fn wait_for(&mut self, vm: usize, errand: Errand) -> Outcome {
        let mut errand = Some(errand);
        loop {
            let outcome = self.with(vm, |vm, shared, initiator| {
                // A periodic checkpoint comes first.
                match errand.take_if(|_| !vm.has_errand()) {
                    Some(errand) => vm.begin_errand(shared, initiator, errand, Asked::ByOperator),
                    None => shared.take_outcome(),
                }
            });
            if let Some(outcome) = outcome {
                return outcome;
            }
            self.lend_core(true);
        }
    }
}

impl<B: VmBackend, C: ConsoleHost<B>> VmControl for Controls<'_, '_, B, C> {
    fn vms(&self) -> usize {
        self.vms.len()
    }

    fn name(&self, vm: usize) -> &'static str {
        self.vms[vm].name()
    }

    fn status(&mut self, vm: usize) -> VmStatus {
        self.with(vm, |vm, shared, _| VmStatus {
            state: match () {
                _ if vm.is_off() => VmState::Off,
                _ if vm.is_paused() => VmState::Paused,
                _ if vm.gate.is_closed_for(STOPPED) => VmState::Stopped,
                _ => VmState::Running,
            },
            vcpus: vm.vcpus.len() as u32,
            memory: shared.memory_bytes(),
            snapshots: shared.snapshots.stats().snapshots,
        })
    }

    fn vcpu_status(&mut self, vm: usize, vcpu: u32) -> VcpuStatus {
        let slot = &self.vms[vm].vcpus[vcpu as usize];
        VcpuStatus {
            state: match slot.run_state() {
                RunState::Off => VcpuState::Off,
                RunState::Ready => VcpuState::On,
                RunState::Waiting => VcpuState::Waiting,
            },
            core: slot.core(),
        }
    }

    fn attached(&self) -> usize {
        self.scheduler.console.attached()
    }

    fn attach(&mut self, vm: usize) -> Result<(), Refusal> {
        if self.vms[vm].config.uart == Uart::Second {
            return Err(Refusal::Elsewhere);
        }
        self.scheduler.console.attach(vm);
        Ok(())
    }

    fn checkpoint(&mut self, vm: usize) -> Result<u64, Refusal> {
        match self.wait_for(vm, Errand::Checkpoint) {
            Outcome::Checkpoint(taken) => taken,
            _ => Err(Refusal::NoMemory),
        }
    }

    fn last_snapshot_to(&mut self, vm: usize, id: u64) -> Option<u64> {
        self.with(vm, |_, shared, _| {
            shared.snapshots.last_id_to(&shared.memory, id).ok()
        })
    }

    fn snapshot_info(&mut self, vm: usize, id: u64) -> Option<SnapshotInfo> {
        let count = Count::NOT_BEGUN;
        let Outcome::Info(Some(info)) = self.wait_for(vm, Errand::Info { id, count }) else {
            return None;
        };
        let age = B::Core::physical_count().saturating_sub(info.taken.physical);
        let current = self.with(vm, |_, shared, _| shared.snapshots.current());
        Some(SnapshotInfo {
            parent: info.parent,
            age: (u128::from(age) * 1000 / u128::from(B::Core::frequency())) as u64,
            pages: info.pages,
            is_current: current == Some(id),
        })
    }

    fn restore(&mut self, vm: usize, which: Which) -> Result<u64, Refusal> {
        let refusal = match which {
            Which::Latest => Refusal::NoSnapshots,
            Which::Id(id) => Refusal::NoSnapshot(id),
        };
        let restored = self.with(vm, |vm, shared, initiator| {
            let id = vm.restore(shared, initiator, which, 1)?;
            // While nothing prints, which takes the shared part. Not for a guest that goes back by itself, as often as it may: at worst the rest of a
            // line does not show.
            shared.memory.backend.abandon_sequence();
            if let Some(target) = &mut shared.target {
                target.forget();
            }
            Ok::<_, NotFound>(id)
        });
        // The UART may have room again.
        self.vms[vm].request_input(self.scheduler.core);
        restored.map_err(|_| refusal)
    }

    fn delete(&mut self, vm: usize, id: u64) -> Result<(), Refusal> {
        match self.wait_for(vm, Errand::Delete(id)) {
            Outcome::Deleted(Ok(())) => Ok(()),
            _ => Err(Refusal::NoSnapshot(id)),
        }
    }

    fn pause(&mut self, vm: usize) -> Result<(), Refusal> {
        self.with(vm, |vm, _, Initiator { core, .. }| match () {
            _ if vm.is_off() => Err(Refusal::Off),
            _ if vm.is_paused() => Err(Refusal::Paused),
            _ => {
                vm.pause(core);
                Ok(())
            }
        })
    }

    fn resume(&mut self, vm: usize) -> Result<(), Refusal> {
        self.with(vm, |vm, _, Initiator { core, .. }| match vm.is_paused() {
            false => Err(Refusal::NotPaused),
            true => {
                vm.resume(core);
                Ok(())
            }
        })
    }

    fn reset(&mut self, vm: usize) -> Result<(), Refusal> {
        self.with(vm, |vm, shared, initiator| vm.reset(shared, initiator));
        abandon_targets(self.vms, &self.vms[vm], self.scheduler.core);
        tell_controller(self.vms, &self.vms[vm], self.scheduler.core);
        // The UART may have room again.
        self.vms[vm].request_input(self.scheduler.core);
        Ok(())
    }

    fn stats(&mut self, vm: usize) -> VmStats {
        self.wait_for(vm, Errand::Settle);
        self.with(vm, |vm, shared, _| VmStats {
            snapshots: shared.snapshots.stats(),
            generation: shared.snapshots.generation(),
            exits: vm.vcpus.iter().map(|slot| slot.exits()).sum(),
        })
    }
}

#[cfg(test)]
impl<'a, B: VmBackend, C: ConsoleHost<B>> Controls<'a, 'a, B, C> {
    /// The VMs in the hands of an operator on this core.
    pub fn of(vms: &'a [Vm<B>], core: &'a mut B::Core, console: &'a C) -> Self {
        let scheduler = Scheduler::new(core, vms, console);
        Self::new(alloc::boxed::Box::leak(alloc::boxed::Box::new(scheduler)))
    }
}
