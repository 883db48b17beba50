//! What the operator does with VMs: running, paused and off.

use super::guest::*;
use super::scheduling::{Quiet, turn_on, vms};
use crate::config::{Time, VmConfig};
use crate::fake::{FakeBoard, FakeCore, set_count};
use crate::monitor::{Refusal, SnapshotInfo, VcpuState, VmControl, VmState};
use crate::snapshot::Which;
use crate::vm::clock::NEVER;
use crate::vm::operator::Controls;
use crate::vm::vcpu::RunState;
use crate::vm::{Core, Vm};
use std::boxed::Box;
use std::vec::Vec;

/// Two VMs, the first with two vCPUs on cores 1 and 2, and the operator on core 0.
struct Desk {
    vms: &'static [Vm<FakeBoard>],
    core: FakeCore,
    desk: Quiet,
}

impl Desk {
    fn with(time: Time) -> Self {
        let first = VmConfig {
            vcpus: 2,
            time,
            ..PLAN
        };
        let second = VmConfig {
            name: "other",
            ..PLAN
        };
        Self {
            vms: vms([first, second].into(), |_, vcpu| 1 + vcpu),
            core: FakeCore::new(0),
            desk: Quiet::default(),
        }
    }

    fn new() -> Self {
        Self::with(Time::Stops)
    }

    fn operator(&mut self) -> Controls<'_, '_, FakeBoard, Quiet> {
        Controls::of(self.vms, &mut self.core, &self.desk)
    }

    fn vm(&self) -> &'static Vm<FakeBoard> {
        &self.vms[0]
    }

    fn state(&mut self) -> VmState {
        self.operator().status(0).state
    }

    /// Something that a restore takes back.
    fn mark(&self, value: u64) {
        self.vm().vcpus[0].lock().registers.x[20] = value;
    }

    fn marked(&self) -> u64 {
        self.vm().vcpus[0].lock().registers.x[20]
    }

    /// How often the console was told that the rest of a control sequence does not come.
    fn abandoned(&self) -> u32 {
        self.vm().shared.lock().memory.backend.abandoned
    }

    fn off(&mut self) {
        let mut shared = self.vm().shared.lock();
        self.vm().turn_off(&mut shared, &mut self.core, None);
    }
}

fn later(counts: u64) {
    set_count(FakeCore::physical_count() + counts);
}

#[test]
fn status_says_how_a_vm_and_its_vcpus_do() {
    let mut desk = Desk::new();
    let status = desk.operator().status(0);
    assert_eq!((status.vcpus, status.memory), (2, RAM_SIZE));
    assert_eq!((status.state, status.snapshots), (VmState::Running, 0));
    let vcpus = |desk: &mut Desk| [0, 1].map(|vcpu| desk.operator().vcpu_status(0, vcpu).state);
    assert_eq!(vcpus(&mut desk), [VcpuState::On, VcpuState::Off]);
    turn_on(desk.vm());
    desk.vm().vcpus[1].set_run_state(RunState::Waiting);
    assert_eq!(vcpus(&mut desk), [VcpuState::On, VcpuState::Waiting]);
    assert_eq!(desk.operator().vcpu_status(0, 1).core, 2);
    let operator = desk.operator();
    assert_eq!([0, 1].map(|vm| operator.name(vm)), ["test", "other"]);
    assert_eq!(operator.vms(), 2);
}

#[test]
fn a_checkpoint_and_a_restore_of_a_running_vm() {
    let mut desk = Desk::new();
    turn_on(desk.vm());
    desk.mark(7);
    let before = desk.vm().vcpus[0].lock().registers;
    let id = desk.operator().checkpoint(0).unwrap();
    assert_eq!(
        desk.core.kicked,
        [1, 2],
        "they may have been asleep meanwhile"
    );
    desk.mark(8);
    assert_eq!(desk.operator().restore(0, Which::Latest), Ok(id));
    assert_eq!(
        desk.vm().vcpus[0].lock().registers,
        before,
        "no results in x0 and x1"
    );
    desk.mark(9);
    assert_eq!(desk.operator().restore(0, Which::Id(id)), Ok(id));
    assert_eq!(desk.marked(), 7);
    assert_eq!(desk.operator().status(0).snapshots, 1);
    assert_eq!(desk.operator().status(1).snapshots, 0);
    let stats = desk.operator().stats(0);
    assert_eq!((stats.snapshots.snapshots, stats.generation), (1, 2));
    assert_eq!(
        desk.abandoned(),
        2,
        "the guest does not finish what it prints"
    );
}

#[test]
fn what_is_not_there_is_refused() {
    let mut desk = Desk::new();
    let mut operator = desk.operator();
    assert_eq!(
        operator.restore(0, Which::Latest),
        Err(Refusal::NoSnapshots)
    );
    let foreign = operator.checkpoint(1).unwrap();
    assert_eq!(
        operator.restore(0, Which::Id(foreign)),
        Err(Refusal::NoSnapshot(foreign))
    );
    assert_eq!(
        operator.delete(0, foreign),
        Err(Refusal::NoSnapshot(foreign))
    );
    assert_eq!(operator.snapshot_info(0, foreign), None);
    assert_eq!(operator.last_snapshot_to(0, u64::MAX), None);
    assert_eq!(operator.resume(0), Err(Refusal::NotPaused));
    assert_eq!(operator.pause(0), Ok(()));
    assert_eq!(operator.pause(0), Err(Refusal::Paused));
    assert_eq!(desk.state(), VmState::Paused);
    assert_eq!(desk.vm().shared.lock().snapshots.generation(), 0);
}

#[test]
fn info_and_delete() {
    let mut desk = Desk::new();
    let first = desk.operator().checkpoint(0).unwrap();
    later(FakeCore::frequency() * 5);
    let second = desk.operator().checkpoint(0).unwrap();
    later(FakeCore::frequency() / 2);
    let expected = SnapshotInfo {
        parent: Some(first),
        age: 500,
        pages: 0,
        is_current: true,
    };
    assert_eq!(desk.operator().snapshot_info(0, second), Some(expected));
    let info = desk.operator().snapshot_info(0, first).unwrap();
    assert_eq!(
        (info.parent, info.age, info.is_current),
        (None, 5500, false)
    );
    desk.operator().restore(0, Which::Id(first)).unwrap();
    let is_current = |desk: &mut Desk, id| desk.operator().snapshot_info(0, id).unwrap().is_current;
    assert!(is_current(&mut desk, first) && !is_current(&mut desk, second));
    let ids =
        |desk: &mut Desk| [second - 1, u64::MAX].map(|to| desk.operator().last_snapshot_to(0, to));
    assert_eq!(ids(&mut desk), [Some(first), Some(second)]);
    assert_eq!(desk.operator().delete(0, first), Ok(()));
    assert_eq!(ids(&mut desk), [None, Some(second)]);
    assert_eq!(
        desk.operator().delete(0, first),
        Err(Refusal::NoSnapshot(first))
    );
}

#[test]
fn a_pause_stops_the_clock_unless_time_passes() {
    for (time, expected) in [(Time::Stops, 1000), (Time::Passes, 8000)] {
        let mut desk = Desk::with(time);
        let vm = desk.vm();
        turn_on(vm);
        later(1000);
        desk.operator().pause(0).unwrap();
        assert!(!vm.is_runnable(0) && !vm.is_runnable(1));
        desk.core.kicked.clear();
        later(7000);
        assert_eq!(vm.virtual_count(), expected);
        desk.operator().resume(0).unwrap();
        assert_eq!(desk.core.kicked, [1, 2]);
        assert!(vm.is_runnable(0) && vm.is_runnable(1));
        assert_eq!(desk.state(), VmState::Running);
        assert_eq!(vm.virtual_count(), expected);
        later(10);
        assert_eq!(vm.virtual_count(), expected + 10);
    }
}

#[test]
fn a_paused_vm_is_saved_and_taken_back_and_stays_paused() {
    let mut desk = Desk::new();
    let vm = desk.vm();
    later(1000);
    desk.mark(7);
    desk.operator().pause(0).unwrap();
    later(500);
    let id = desk.operator().checkpoint(0).unwrap();
    desk.operator().resume(0).unwrap();
    later(3000);
    assert_eq!(vm.virtual_count(), 4000);
    desk.mark(8);
    desk.operator().pause(0).unwrap();
    later(1);
    assert_eq!(desk.operator().restore(0, Which::Latest), Ok(id));
    assert_eq!((desk.state(), desk.marked()), (VmState::Paused, 7));
    later(2000);
    assert_eq!(vm.virtual_count(), 1000, "its time at the checkpoint");
    assert!(vm.load(&mut FakeCore::new(1), 0).is_none());
    desk.operator().resume(0).unwrap();
    later(5);
    assert_eq!(vm.virtual_count(), 1005);
    // What is loaded agrees.
    let mut core = FakeCore::new(1);
    let running = vm.load(&mut core, 0).unwrap();
    assert_eq!(core.offsets, [FakeCore::physical_count() - 1005]);
    running.put(&mut core);
}

#[test]
fn a_vm_that_is_off_runs_again_after_a_restore_or_a_reset() {
    let mut desk = Desk::new();
    let vm = desk.vm();
    turn_on(vm);
    desk.mark(7);
    let id = desk.operator().checkpoint(0).unwrap();
    desk.off();
    assert_eq!(desk.state(), VmState::Off);
    assert_eq!(desk.operator().checkpoint(0), Err(Refusal::Off));
    assert_eq!(desk.operator().pause(0), Err(Refusal::Off));
    assert_eq!(desk.operator().resume(0), Err(Refusal::NotPaused));
    let absent = Refusal::NoSnapshot(NOBODY);
    assert_eq!(desk.operator().restore(0, Which::Id(NOBODY)), Err(absent));
    assert_eq!(desk.state(), VmState::Off, "a refusal changes nothing");
    assert_eq!(desk.abandoned(), 0);
    assert!(!vm.is_runnable(0));

    desk.core.kicked.clear();
    // A core that is kicked too early sleeps again.
    desk.core.on_kick = Some(Box::new(|core| assert!(vm.is_runnable(core - 1))));
    assert_eq!(desk.operator().restore(0, Which::Latest), Ok(id));
    desk.core.on_kick = None;
    assert_eq!((desk.state(), desk.marked()), (VmState::Running, 7));
    // Both, and one of them once more for the UART, which may have room again.
    assert_eq!(desk.core.kicked, [1, 2, 1]);
    assert!(vm.is_runnable(0) && vm.is_runnable(1));

    desk.off();
    assert_eq!(desk.operator().reset(0), Ok(()));
    assert_eq!((desk.state(), desk.marked()), (VmState::Running, 0));
    assert_eq!(desk.abandoned(), 2);
    assert!(vm.is_runnable(0) && !vm.is_runnable(1));
    assert_eq!(desk.operator().status(0).snapshots, 1, "snapshots stay");
}

#[test]
fn a_reset_of_a_paused_vm_leaves_it_paused_at_its_beginning() {
    let mut desk = Desk::new();
    let vm = desk.vm();
    turn_on(vm);
    later(1000);
    desk.mark(7);
    desk.operator().pause(0).unwrap();
    desk.operator().reset(0).unwrap();
    assert_eq!((desk.state(), desk.marked()), (VmState::Paused, 0));
    later(300);
    assert_eq!(vm.virtual_count(), 0);
    desk.operator().resume(0).unwrap();
    later(20);
    assert_eq!(vm.virtual_count(), 20);
    assert_eq!(
        [0, 1].map(|vcpu| vm.vcpus[vcpu].run_state()),
        [RunState::Ready, RunState::Off]
    );
}

#[test]
fn another_vms_translations_are_changed_under_its_own_number() {
    let mut desk = Desk::new();
    for vm in [1, 0] {
        desk.operator().checkpoint(vm).unwrap();
        assert_eq!(desk.core.faced, Some(vm));
    }
    desk.operator().attach(1).unwrap();
    assert_eq!(desk.operator().attached(), 1);
    let deadlines: Vec<u64> = [0, 1].map(|vcpu| desk.vm().deadline_of(vcpu)).into();
    assert_eq!(deadlines, [NEVER; 2]);
}
