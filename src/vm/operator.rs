//! What the monitor does with VMs: from a core that has no vCPU loaded.

use super::console_host::ConsoleHost;
use super::control::tell_controller;
use super::controller::abandon_targets;
use super::quiesce::{Initiator, STOPPED};
use super::vcpu::RunState;
use super::{Core, Vm, VmBackend, VmShared};
use crate::config::Uart;
use crate::monitor::{
    Refusal, SnapshotInfo, VcpuState, VcpuStatus, VmControl, VmState, VmStats, VmStatus,
};
use crate::snapshot::{NotFound, Which};

/// All VMs in the operator's hands, on a core that has no vCPU loaded.
pub struct Controls<'a, B: VmBackend, C> {
    pub(super) vms: &'a [Vm<B>],
    pub(super) core: &'a mut B::Core,
    pub(super) console: &'a C,
}

impl<B: VmBackend, C: ConsoleHost<B>> Controls<'_, B, C> {
    /// Does something with VM number `vm` and its shared part.
    fn with<R>(
        &mut self,
        vm: usize,
        action: impl FnOnce(&Vm<B>, &mut VmShared<B>, Initiator<'_, B>) -> R,
    ) -> R {
        let vm = &self.vms[vm];
        vm.with_locked(self.core, |shared, initiator| {
            shared.memory.log_left_out(false);
            action(vm, shared, initiator)
        })
    }
}

impl<B: VmBackend, C: ConsoleHost<B>> VmControl for Controls<'_, B, C> {
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
        self.console.attached()
    }

    fn attach(&mut self, vm: usize) -> Result<(), Refusal> {
        if self.vms[vm].config.uart == Uart::Second {
            return Err(Refusal::Elsewhere);
        }
        self.console.attach(vm);
        Ok(())
    }

    fn checkpoint(&mut self, vm: usize) -> Result<u64, Refusal> {
        self.with(vm, |vm, shared, initiator| {
            if vm.is_off() {
                return Err(Refusal::Off);
            }
            vm.checkpoint(shared, initiator, false)
                .ok_or(Refusal::NoMemory)
        })
    }

    fn first_snapshot_from(&mut self, vm: usize, id: u64) -> Option<u64> {
        self.with(vm, |_, shared, _| {
            shared.snapshots.first_id_from(&shared.memory, id).ok()
        })
    }

    fn snapshot_info(&mut self, vm: usize, id: u64) -> Option<SnapshotInfo> {
        self.with(vm, |_, shared, _| {
            let info = shared.snapshots.info(&mut shared.memory, id).ok()?;
            let age = B::Core::physical_count().saturating_sub(info.taken.physical);
            Some(SnapshotInfo {
                parent: info.parent,
                age: (u128::from(age) * 1000 / u128::from(B::Core::frequency())) as u64,
                pages: info.pages,
                is_current: shared.snapshots.current() == Some(id),
            })
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
        self.vms[vm].request_input(self.core);
        restored.map_err(|_| refusal)
    }

    fn delete(&mut self, vm: usize, id: u64) -> Result<(), Refusal> {
        self.with(vm, |_, shared, _| {
            shared.snapshots.delete(&mut shared.memory, id)
        })
        .map_err(|_| Refusal::NoSnapshot(id))
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
        abandon_targets(self.vms, &self.vms[vm], self.core);
        tell_controller(self.vms, &self.vms[vm], self.core);
        // The UART may have room again.
        self.vms[vm].request_input(self.core);
        Ok(())
    }

    fn stats(&mut self, vm: usize) -> VmStats {
        self.with(vm, |vm, shared, _| {
            while shared.snapshots.settle(&mut shared.memory).is_pending() {}
            VmStats {
                snapshots: shared.snapshots.stats(),
                generation: shared.snapshots.generation(),
                exits: vm.vcpus.iter().map(|slot| slot.exits()).sum(),
            }
        })
    }
}
