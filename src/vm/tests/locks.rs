//! Who waits for the lock of a VM's shared part that another core has: not for ever, where others want the core.

use super::guest::*;
use super::scheduling::{Quiet, core, turn_on, vms};
use super::smp::{SYSTEM_OFF, sync};
use crate::arch::MutexGuard;
use crate::arch::vcpu::{Registers, Trap, TrapKind};
use crate::config::VmConfig;
use crate::fake::{FakeBoard, FakeCore, Step};
use crate::vm::budget::SLICE;
use crate::vm::schedule::Scheduler;
use crate::vm::vcpu::RunState;
use crate::vm::{Core, Interrupt, Vm, VmShared};
use std::boxed::Box;
use std::cell::RefCell;
use std::sync::atomic::Ordering;
use std::thread;

/// PSCI_VERSION.
const VERSION: u64 = 0x8400_0000;

std::thread_local! {
    /// The lock, in the hands of another core.
    static HELD: RefCell<Option<MutexGuard<'static, VmShared<FakeBoard>>>> = const { RefCell::new(None) };
}

fn hold(vm: &'static Vm<FakeBoard>) {
    HELD.set(Some(vm.shared.lock()));
}

fn let_go() {
    HELD.set(None);
}

/// HVC: PSCI_VERSION, while another core has the lock.
fn calls_while_it_is_held(vm: &'static Vm<FakeBoard>) -> Step {
    Box::new(move |registers: &mut Registers| {
        hold(vm);
        registers.x[0] = VERSION;
        registers.pc += 4;
        sync(0x16, 0)
    })
}

/// Two VMs on core 0, and one VM with two vCPUs.
fn two_vms() -> &'static [Vm<FakeBoard>] {
    let vms = vms([VmConfig { vcpus: 2, ..PLAN }, PLAN].into(), |_, vcpu| vcpu);
    vms.iter().for_each(turn_on);
    vms
}

#[test]
fn a_vcpu_that_waits_for_long_leaves_its_core_and_tries_again() {
    let vms = two_vms();
    let desk = Quiet::default();
    let mut core = core(0);
    let pc = vms[0].vcpus[0].lock().registers.pc;
    core.script.push_back(calls_while_it_is_held(&vms[0]));
    let start = FakeCore::physical_count();
    let mut scheduler = Scheduler::new(&mut core, vms, &desk);
    scheduler.schedule_once();
    assert_eq!(
        vms[0].vcpus[0].lock().registers.pc,
        pc,
        "it has not happened"
    );
    scheduler.schedule_once();
    let neighbour = FakeCore::physical_count();
    assert_eq!(neighbour, start + SLICE, "the other one computed");
    // Its turn again, and it cannot even be loaded: the other one has the core.
    scheduler.schedule_once();
    scheduler.schedule_once();
    assert_eq!(FakeCore::physical_count(), neighbour + SLICE);
    assert_eq!(scheduler.core.ran, [(0, 0), (1, 0), (1, 0)]);
    let_go();
    scheduler.core.script.push_back(Box::new(|registers| {
        registers.pc += 4;
        sync(0x16, 0)
    }));
    scheduler.schedule_once();
    let slot = vms[0].vcpus[0].lock();
    assert_eq!((slot.registers.x[0], slot.registers.pc), (0x1_0001, pc + 4));
}

/// Nobody else is pinned to its core: its instruction runs again at once, and the board's interrupts come through meanwhile.
#[test]
fn a_vcpu_that_has_its_core_to_itself_tries_again_and_is_interrupted() {
    let vms = vms([PLAN].into(), |_, _| 0);
    let mut core = core(0);
    let pc = vms[0].vcpus[0].lock().registers.pc;
    core.script.push_back(calls_while_it_is_held(&vms[0]));
    for _ in 0..2 {
        core.script.push_back(Box::new(move |registers| {
            assert_eq!(registers.pc, pc, "it has not happened");
            registers.pc += 4;
            sync(0x16, 0)
        }));
    }
    core.script.push_back(Box::new(move |registers| {
        assert_eq!(registers.pc, pc);
        Trap {
            kind: TrapKind::Irq,
            ..sync(0, 0)
        }
    }));
    core.interrupts.push_back(Interrupt::Console);
    core.script.push_back(Box::new(move |registers| {
        assert_eq!(registers.pc, pc);
        let_go();
        registers.pc += 4;
        sync(0x16, 0)
    }));
    core.script.push_back(Box::new(move |registers| {
        assert_eq!((registers.x[0], registers.pc), (0x1_0001, pc + 4));
        registers.x[0] = SYSTEM_OFF;
        registers.pc += 4;
        sync(0x16, 0)
    }));
    let desk = Quiet::default();
    let mut scheduler = Scheduler::new(&mut core, vms, &desk);
    scheduler.schedule_once();
    assert!(scheduler.core.script.is_empty() && scheduler.core.interrupts.is_empty());
    assert!(vms[0].is_off());
}

/// It waits in WFI, and what it was interrupted for needs the lock.
#[test]
fn a_vcpu_in_wfi_that_leaves_comes_back_to_look() {
    let vms = two_vms();
    let slot = &vms[0].vcpus[0];
    let mut core = core(0);
    core.set_multiplexed(true);
    let mut loaded = vms[0].load(&mut core, 0).unwrap();
    slot.set_run_state(RunState::Waiting);
    for interrupt in [
        Interrupt::VirtualTimer,
        Interrupt::Maintenance,
        Interrupt::Alarm,
    ] {
        hold(&vms[0]);
        slot.take_request();
        core.interrupts.push_back(interrupt);
        assert_eq!(
            loaded.handle_interrupt(&mut core),
            crate::vm::ExitAction::Put
        );
        assert!(slot.has_request(), "{interrupt:?}");
        let_go();
    }
}

/// From outside, as for the operator: vCPUs that wait let it have the lock first.
#[test]
fn who_comes_from_outside_is_before_vcpus_that_wait() {
    let vms = two_vms();
    let vm = &vms[0];
    hold(vm);
    let outside = thread::spawn(move || drop(vm.lock_from_outside()));
    while !vm.wanted.load(Ordering::Relaxed) {
        thread::yield_now();
    }
    let_go();
    outside.join().unwrap();
    assert!(!vm.wanted.load(Ordering::Relaxed));
    // It is free, but somebody outside is about to take it.
    vm.wanted.store(true, Ordering::Relaxed);
    assert!(vm.wait_for_shared(100).is_none());
    drop(vm.lock_from_outside());
    assert!(vm.wait_for_shared(100).is_some());
}
