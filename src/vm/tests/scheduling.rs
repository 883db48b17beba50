//! What a core does with the vCPUs that are pinned to it.

use super::guest::*;
use super::interrupts::GICD;
use super::smp::{CPU_OFF, ENTRY, OPEN, sync};
use crate::arch::vcpu::Registers;
use crate::config::VmConfig;
use crate::console::Input;
use crate::fake::abort::Abort;
use crate::fake::{FakeBoard, FakeCore, Patience, Step, set_count};
use crate::monitor::VmControl;
use crate::trap::Access;
use crate::vm::alarms::WAKEUP_SLICE;
use crate::vm::budget::SLICE;
use crate::vm::schedule::Scheduler;
use crate::vm::vcpu::RunState;
use crate::vm::{ConsoleHost, Core, Interrupt, Vm, VmBackend};
use std::boxed::Box;
use std::cell::{Cell, RefCell};
use std::vec::Vec;

/// The operator's desk, where nothing happens but what the test put there.
#[derive(Default)]
pub struct Quiet {
    pub input: Cell<Input>,
    pub poll_due: Cell<Option<u64>>,
    /// What comes behind the next command.
    pub further: Cell<Input>,
    /// The number of VMs, for each command.
    pub commands: RefCell<Vec<usize>>,
    pub attached: Cell<usize>,
    /// The VM that has news from the second UART.
    pub second: Cell<Option<usize>>,
    /// How often that was asked for.
    pub served: Cell<u32>,
}

impl<B: VmBackend> ConsoleHost<B> for Quiet {
    fn drain_uart(&self) -> Input {
        self.poll_due.set(None);
        self.input.take()
    }

    fn poll_due(&self) -> u64 {
        self.poll_due.get().unwrap_or(u64::MAX)
    }

    fn run_command(&self, control: &mut impl VmControl) -> Input {
        self.commands.borrow_mut().push(control.vms());
        self.further.take()
    }

    fn attached(&self) -> usize {
        self.attached.get()
    }

    fn attach(&self, vm: usize) {
        self.attached.set(vm);
    }

    fn serve_second(&self) -> Option<usize> {
        self.served.set(self.served.get() + 1);
        self.second.take()
    }

    fn power_off(&self) -> ! {
        panic!("power off")
    }
}

/// VMs with these plans. vCPUs are pinned to the cores that `core_of` says.
pub fn vms(plans: Vec<VmConfig>, core_of: fn(usize, usize) -> usize) -> &'static [Vm<FakeBoard>] {
    let vm = |(number, plan)| {
        let share = [share(number as u64, 32)];
        let plan = Box::leak(Box::new(plan));
        let board = FakeBoard::new(&share);
        Vm::new(plan, number, board, &share, |vcpu| core_of(number, vcpu)).unwrap()
    };
    let vms: Vec<_> = plans.into_iter().enumerate().map(vm).collect();
    vms.leak()
}

/// All vCPUs of the VM are on.
pub fn turn_on(vm: &Vm<FakeBoard>) {
    for slot in &vm.vcpus {
        if slot.run_state() == RunState::Off {
            slot.lock().reset(FakeCore::RESET, ENTRY, 0);
            slot.set_run_state(RunState::Ready);
        }
    }
}

pub fn core(number: usize) -> FakeCore {
    let mut core = FakeCore::new(number);
    core.patience = Patience::Alarm;
    core
}

/// One VM with so many vCPUs, all on and all on core 0.
pub fn one(vcpus: u32) -> &'static [Vm<FakeBoard>] {
    let vms = vms([VmConfig { vcpus, ..PLAN }].into(), |_, _| 0);
    turn_on(&vms[0]);
    vms
}

/// WFI, with the virtual timer set to fire so many counts after the VM's begin, if not 0.
pub fn waits(vm: &Vm<FakeBoard>, vcpu: usize, deadline: u64) {
    let mut slot = vm.vcpus[vcpu].lock();
    slot.system.timer_deadline = deadline;
    vm.vcpus[vcpu].set_run_state(RunState::Waiting);
    vm.vcpus[vcpu].set_deadline(vm.timer_deadline(&slot));
}

pub fn rounds(
    core: &mut FakeCore,
    vms: &[Vm<FakeBoard>],
    console: &Quiet,
    count: usize,
) -> Vec<(usize, usize)> {
    let mut scheduler = Scheduler::new(core, vms, console);
    for _ in 0..count {
        scheduler.schedule_once();
    }
    core.ran.dedup();
    std::mem::take(&mut core.ran)
}

pub fn trap(class: u64, iss: u64) -> Step {
    Box::new(move |_: &mut Registers| sync(class, iss))
}

#[test]
fn those_that_compute_have_the_core_in_turn_for_a_slice_each() {
    let vms = vms(
        [
            VmConfig { vcpus: 2, ..PLAN },
            VmConfig {
                name: "other",
                ..PLAN
            },
        ]
        .into(),
        |_, _| 0,
    );
    turn_on(&vms[0]);
    let mut core = core(0);
    let start = FakeCore::physical_count();
    let ran = rounds(&mut core, vms, &Quiet::default(), 6);
    let turn = [(0, 0), (0, 1), (1, 0)];
    assert_eq!(ran, [turn, turn].concat());
    assert_eq!(FakeCore::physical_count(), start + 6 * SLICE);
    assert!(core.multiplexed && core.slept.is_empty());
    assert!(core.vcpu.is_none(), "the last one was saved");
}

#[test]
fn a_core_runs_those_that_are_pinned_to_it() {
    let vms = vms(
        [VmConfig { vcpus: 4, ..PLAN }, VmConfig { vcpus: 2, ..PLAN }].into(),
        |vm, vcpu| (vm + vcpu) % 2,
    );
    for vm in vms {
        turn_on(vm);
    }
    let mut core = core(1);
    let ran = rounds(&mut core, vms, &Quiet::default(), 4);
    assert_eq!(ran, [(0, 1), (0, 3), (1, 0), (0, 1)]);
}

#[test]
fn one_that_waits_gives_the_core_away() {
    let vms = one(2);
    let mut core = core(0);
    let start = FakeCore::physical_count();
    // vCPU 0: WFI at once. vCPU 1 computes; nobody else wants the core, and at the alarm vCPU 0's timer has fired.
    core.script.push_back(trap(0x01, 0));
    vms[0].vcpus[0].lock().system.timer_deadline = SLICE / 2;
    let ran = rounds(&mut core, vms, &Quiet::default(), 2);
    assert_eq!(ran, [(0, 0), (0, 1)]);
    assert_eq!(vms[0].vcpus[0].run_state(), RunState::Waiting);
    assert!(core.slept.is_empty());
    // It has its slice even so: the timer alone takes nothing from it.
    assert_eq!(FakeCore::physical_count(), start + SLICE);
}

#[test]
fn one_that_yields_gives_the_core_away_if_another_wants_it() {
    let vms = one(2);
    let mut core = core(0);
    core.script.push_back(trap(0x01, 1));
    core.script.push_back(trap(0x01, 1));
    let start = FakeCore::physical_count();
    let ran = rounds(&mut core, vms, &Quiet::default(), 2);
    assert_eq!(ran, [(0, 0), (0, 1)]);
    assert_eq!(FakeCore::physical_count(), start);
}

#[test]
fn one_that_was_called_has_the_core_soon() {
    let vms = one(2);
    let vm = &vms[0];
    waits(vm, 1, 0);
    vm.shared.lock().gic.write(1, 0x100, 4, 0xffff_ffff);
    vm.shared.lock().gic.write(0, 0, 4, 1);
    let mut core = core(0);
    // vCPU 0 sends vCPU 1 an interrupt, and computes.
    let store = Abort {
        access: Some(Access {
            size: 4,
            reg: 9,
            sign_extend: false,
            sixty_four: false,
        }),
        ..Abort::store(GICD + 0xf00)
    };
    core.script.push_back(Box::new(move |registers| {
        registers.x[9] = 1 << 17 | 3;
        store.trap()
    }));
    let start = FakeCore::physical_count();
    let ran = rounds(&mut core, vms, quiet(), 1);
    assert_eq!(ran, [(0, 0)]);
    assert_eq!(FakeCore::physical_count(), start + WAKEUP_SLICE);
    assert!(vm.is_runnable(1));
}

pub fn quiet() -> &'static Quiet {
    Box::leak(Box::default())
}

#[test]
fn a_core_sleeps_until_the_earliest_deadline() {
    let vms = one(3);
    let vm = &vms[0];
    for (vcpu, deadline) in [(0, 9000), (1, 0), (2, 4000)] {
        waits(vm, vcpu, deadline);
    }
    let mut core = core(0);
    let start = FakeCore::physical_count();
    let mut scheduler = Scheduler::new(&mut core, vms, quiet());
    scheduler.schedule_once();
    assert_eq!(core.slept, [start + 4000]);
    assert_eq!(FakeCore::physical_count(), start + 4000);
    assert!(core.ran.is_empty());
    assert!(vm.is_runnable(2) && !vm.is_runnable(0) && !vm.is_runnable(1));
}

#[test]
fn the_last_one_that_waits_stays_loaded_while_the_core_sleeps() {
    let vms = one(1);
    let vm = &vms[0];
    let mut core = core(0);
    core.script.push_back(trap(0x01, 0));
    vm.vcpus[0].lock().interface = OPEN;
    // Its timer's interrupt finds it there.
    vm.shared.lock().gic.write(0, 0x100, 4, 1 << 27);
    vm.shared.lock().gic.write(0, 0, 4, 1);
    core.dreams.push_back(Box::new(|core| {
        assert!(core.vcpu.is_some());
        core.system.timer_line = 1;
        core.interrupts.push_back(Interrupt::VirtualTimer);
    }));
    core.script.push_back(Box::new(|registers| {
        registers.x[0] = CPU_OFF;
        sync(0x16, 0)
    }));
    let ran = rounds(&mut core, vms, &Quiet::default(), 1);
    assert_eq!(ran, [(0, 0)]);
    assert_eq!(core.slept.len(), 1);
    assert!(core.script.is_empty() && vm.is_off());
}

#[test]
fn an_interrupt_is_not_forgotten_when_the_core_is_taken_away_at_the_same_time() {
    let vms = one(2);
    let vm = &vms[0];
    let mut core = core(0);
    waits(vm, 1, 3 * SLICE);
    vm.vcpus[0].lock().interface = OPEN;
    vm.shared.lock().gic.write(0, 0x100, 4, 0xffff_ffff);
    vm.shared.lock().gic.write(0, 0, 4, 1);
    core.script.push_back(trap(0x01, 0));
    // While vCPU 0 sleeps an interrupt for it comes, and by then vCPU 1's timer has fired.
    core.dreams.push_back(Box::new(move |core| {
        set_count(FakeCore::physical_count() + 5 * SLICE);
        let called = vm.shared.lock().gic.write(1, 0xf00, 4, 1 << 16 | 3);
        assert_eq!(called, 1);
        vm.vcpus[0].request();
        core.interrupts.push_back(Interrupt::Kick);
    }));
    Scheduler::new(&mut core, vms, quiet()).schedule_once();
    assert_eq!(
        vm.vcpus[0].run_state(),
        RunState::Ready,
        "its wait is over, though it has no core"
    );
    assert!(vm.is_runnable(0));
}

#[test]
fn others_that_a_restore_brings_back_have_the_core_in_turn() {
    let vms = one(2);
    let vm = &vms[0];
    let mut core = core(0);
    core.script.push_back(Box::new(|registers| {
        registers.x[0] = CHECKPOINT;
        sync(0x16, 0)
    }));
    // vCPU 1 goes off, and vCPU 0 is alone.
    let off = |registers: &mut Registers| {
        registers.x[0] = CPU_OFF;
        sync(0x16, 0)
    };
    let mut scheduler = Scheduler::new(&mut core, vms, quiet());
    scheduler.schedule_once();
    core.script.push_back(Box::new(off));
    let mut scheduler = Scheduler::new(&mut core, vms, quiet());
    scheduler.schedule_once();
    // The new scheduler began with vCPU 0 again.
    assert_eq!(vm.vcpus[0].run_state(), RunState::Off);
    core.ran.clear();
    core.alarm = u64::MAX;
    core.script.push_back(Box::new(|registers| {
        registers.x[..3].copy_from_slice(&[RESTORE, LATEST, 1]);
        sync(0x16, 0)
    }));
    let ran = rounds(&mut core, vms, &Quiet::default(), 2);
    assert_eq!(ran, [(0, 1), (0, 0)], "it does not compute for ever");
}
