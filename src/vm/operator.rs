//! What the operator does with VMs, and what a VM does by itself from time to time: from a core that has no vCPU loaded.

use super::quiesce::{OFF, PAUSED};
use super::saved::Asker;
use super::schedule::{Desk, World};
use super::vcpu::{NEVER, Phase};
use super::{Core, Hardware, Shared, Vm};
use crate::arch::sync::Ordering;
use crate::monitor::{Operator, Refusal, SnapshotInfo, Status, Vcpu, VcpuState, VmState, VmStats};
use crate::snapshot::Which;

/// The operator's hands: all VMs, on a core that has no vCPU loaded.
pub struct Controls<'a, H: Hardware, D> {
    pub(super) world: &'a World<H>,
    pub(super) core: &'a mut H::Core,
    pub(super) desk: &'a D,
}

impl<H: Hardware, D: Desk<H>> Controls<'_, H, D> {
    /// Does something with a VM as one.
    fn with<R>(
        &mut self,
        vm: usize,
        action: impl FnOnce(&Vm<H>, &mut Shared<H>, Asker<'_, H>) -> R,
    ) -> R {
        let vm = &self.world.vms[vm];
        vm.with_all(self.core, |shared, asker| {
            shared.machine.say_left_out(false);
            action(vm, shared, asker)
        })
    }
}

impl<H: Hardware, D: Desk<H>> Operator for Controls<'_, H, D> {
    fn vms(&self) -> usize {
        self.world.vms.len()
    }

    fn name(&self, vm: usize) -> &'static str {
        self.world.vms[vm].name()
    }

    fn status(&mut self, vm: usize) -> Status {
        self.with(vm, |vm, shared, _| Status {
            state: match (vm.is_off(), vm.is_paused()) {
                (true, _) => VmState::Off,
                (_, true) => VmState::Paused,
                _ => VmState::Running,
            },
            vcpus: vm.vcpus.len() as u32,
            memory: shared.memory_bytes(),
            snapshots: shared.snapshots.stats().snapshots,
        })
    }

    fn vcpu(&mut self, vm: usize, vcpu: u32) -> Vcpu {
        let slot = &self.world.vms[vm].vcpus[vcpu as usize];
        Vcpu {
            state: match slot.phase() {
                Phase::Off => VcpuState::Off,
                Phase::Ready => VcpuState::On,
                Phase::Waiting => VcpuState::Waiting,
            },
            core: slot.core(),
        }
    }

    fn attached(&self) -> usize {
        self.desk.attached()
    }

    fn attach(&mut self, vm: usize) {
        self.desk.attach(vm);
    }

    fn checkpoint(&mut self, vm: usize) -> Result<u64, Refusal> {
        self.with(vm, |vm, shared, asker| {
            if vm.is_off() {
                return Err(Refusal::Off);
            }
            vm.checkpoint(shared, asker, false).ok_or(Refusal::NoMemory)
        })
    }

    fn next(&mut self, vm: usize, from: u64) -> Option<u64> {
        self.with(vm, |_, shared, _| {
            shared.snapshots.next(&shared.machine, from).ok()
        })
    }

    fn info(&mut self, vm: usize, id: u64) -> Option<SnapshotInfo> {
        self.with(vm, |_, shared, _| {
            let info = shared.snapshots.info(&mut shared.machine, id).ok()?;
            let age = H::Core::count().saturating_sub(info.taken.physical);
            Some(SnapshotInfo {
                parent: info.parent,
                age: (u128::from(age) * 1000 / u128::from(H::Core::frequency())) as u64,
                pages: info.pages,
                is_base: shared.snapshots.current() == Some(id),
            })
        })
    }

    fn restore(&mut self, vm: usize, which: Which) -> Result<u64, Refusal> {
        let refusal = match which {
            Which::Latest => Refusal::NoSnapshots,
            Which::Id(id) => Refusal::NoSnapshot(id),
        };
        let restored = self.with(vm, |vm, shared, asker| vm.restore(shared, asker, which, 1));
        // The UART has room again.
        self.world.vms[vm].give_input(self.core);
        restored.map_err(|_| refusal)
    }

    fn delete(&mut self, vm: usize, id: u64) -> Result<(), Refusal> {
        self.with(vm, |_, shared, _| {
            shared.snapshots.delete(&mut shared.machine, id)
        })
        .map_err(|_| Refusal::NoSnapshot(id))
    }

    fn pause(&mut self, vm: usize) -> Result<(), Refusal> {
        self.with(vm, |vm, _, Asker { core, .. }| match () {
            _ if vm.is_off() => Err(Refusal::Off),
            _ if vm.is_paused() => Err(Refusal::Paused),
            _ => {
                vm.pause(core);
                Ok(())
            }
        })
    }

    fn resume(&mut self, vm: usize) -> Result<(), Refusal> {
        self.with(vm, |vm, _, Asker { core, .. }| match vm.is_paused() {
            false => Err(Refusal::NotPaused),
            true => {
                vm.resume(core);
                Ok(())
            }
        })
    }

    fn reset(&mut self, vm: usize) -> Result<(), Refusal> {
        self.with(vm, |vm, shared, asker| vm.reset(shared, asker));
        self.world.vms[vm].give_input(self.core);
        Ok(())
    }

    fn stats(&mut self, vm: usize) -> VmStats {
        self.with(vm, |vm, shared, _| VmStats {
            snapshots: shared.snapshots.stats(),
            generation: shared.snapshots.generation(),
            exits: vm.vcpus.iter().map(|slot| slot.exits()).sum(),
        })
    }
}

impl<H: Hardware> Vm<H> {
    /// Does something with the VM as one. The core has no vCPU loaded, so nobody waits for it while it waits.
    fn with_all<R>(
        &self,
        core: &mut H::Core,
        action: impl FnOnce(&mut Shared<H>, Asker<'_, H>) -> R,
    ) -> R {
        let mut shared = self.shared.lock();
        core.face(self.number, shared.machine.stage2.root());
        let asker = Asker {
            core: &mut *core,
            vcpu: None,
        };
        let result = action(&mut shared, asker);
        core.look_away();
        result
    }

    /// Whether it is off.
    pub(super) fn is_off(&self) -> bool {
        self.gate.is(OFF)
    }

    fn is_paused(&self) -> bool {
        self.gate.is(PAUSED)
    }

    /// Stops it until [`resume`](Self::resume). The caller holds the shared part.
    fn pause(&self, core: &mut H::Core) {
        let others = self.stop(core, None);
        self.paused_at.store(H::Core::count(), Ordering::Relaxed);
        self.gate.close(PAUSED);
        self.release(core, others);
    }

    /// Lets it go on after [`pause`](Self::pause). The caller holds the shared part.
    fn resume(&self, core: &mut H::Core) {
        let at = self.paused_at.swap(NEVER, Ordering::Relaxed);
        self.set_time(Some(self.moment(at)));
        self.gate.open(PAUSED);
        self.wake_cores(core);
    }

    /// The physical count at which a snapshot is to be taken without being asked for.
    pub(super) fn next_checkpoint(&self) -> u64 {
        self.next_checkpoint.load(Ordering::Relaxed)
    }

    /// Takes a snapshot if it is time to.
    pub(super) fn checkpoint_when_due(&self, core: &mut H::Core) {
        let now = H::Core::count();
        if self.next_checkpoint() > now {
            return;
        }
        self.plan_checkpoint(now);
        if !self.gate.is(PAUSED | OFF) {
            self.with_all(core, |shared, asker| self.checkpoint(shared, asker, false));
        }
    }

    /// The next snapshot that nobody asks for is taken a period after `now`, if the plan has them.
    pub(super) fn plan_checkpoint(&self, now: u64) {
        let counts = |ms: u64| (u128::from(ms) * u128::from(H::Core::frequency()) / 1000) as u64;
        let period = self.plan.checkpoint_every.map(counts);
        let at = period.map_or(NEVER, |period| now.saturating_add(period));
        self.next_checkpoint.store(at, Ordering::Relaxed);
    }
}
