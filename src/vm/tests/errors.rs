//! SErrors, which come late: a vCPU that was loaded after the one that caused it must not get it.

use super::guest::*;
use crate::config::VmConfig;
use crate::fake::{FakeBoard, FakeCore};
use crate::vm::vcpu::RunState;
use crate::vm::{ExitAction, Vm};
use std::boxed::Box;

#[test]
fn an_serror_is_that_of_the_vcpu_that_stored_whoever_comes_next() {
    let share = [share(0, 32)];
    let plan: &'static VmConfig = Box::leak(Box::new(VmConfig { vcpus: 2, ..PLAN }));
    let vm = Vm::new(plan, 0, FakeBoard::new(&share), &share, |_| 0).unwrap();
    vm.vcpus[1].set_run_state(RunState::Ready);
    let mut core = FakeCore::new(0);
    let first = vm.load(&mut core, 0).unwrap();
    core.error = true;
    first.put(&mut core);
    assert_eq!(vm.vcpus[0].lock().system.serror, 1);
    let second = vm.load(&mut core, 1).unwrap();
    assert_eq!(core.system.serror, 0);
    second.put(&mut core);
    let first = vm.load(&mut core, 0).unwrap();
    assert_eq!(core.system.serror, 1, "it is still to be taken");
    first.put(&mut core);
}

#[test]
fn an_serror_does_not_outlive_the_store_that_is_taken_back() {
    let mut guest = Guest::new();
    let id = guest.checkpoint();
    guest.core().error = true;
    guest.restore(id, 1);
    assert_eq!((guest.core().error, guest.core().system.serror), (false, 0));
}

#[test]
fn an_serror_ends_a_wait() {
    const WFI: u64 = 0x1e0_0000;
    let mut guest = Guest::new();
    guest.core().error = true;
    assert_eq!(guest.exception(0x01, WFI), ExitAction::Resume);
    assert_eq!(guest.core().system.serror, 1);
    assert_eq!(guest.exception(0x01, WFI), ExitAction::Wait);
}

#[test]
fn an_serror_that_comes_late_ends_a_wait_too() {
    const WFI: u64 = 0x1e0_0000;
    let mut guest = Guest::new();
    assert_eq!(guest.exception(0x01, WFI), ExitAction::Wait);
    assert_eq!(guest.vm.vcpus[0].run_state(), RunState::Waiting);
    assert_eq!(
        guest.on_core(|vcpu, core| vcpu.wake(core)),
        ExitAction::Wait
    );
    guest.core().error = true;
    assert_eq!(
        guest.on_core(|vcpu, core| vcpu.wake(core)),
        ExitAction::Resume
    );
    assert_eq!((guest.core().error, guest.core().system.serror), (false, 1));
    assert_eq!(guest.vm.vcpus[0].run_state(), RunState::Ready);
}

#[test]
fn a_vcpu_that_waits_and_is_saved_with_an_serror_does_not_wait_any_more() {
    const WFI: u64 = 0x1e0_0000;
    let mut guest = Guest::new();
    assert_eq!(guest.exception(0x01, WFI), ExitAction::Wait);
    guest.core().error = true;
    guest.vm.loaded(0).put(&mut guest.core);
    assert_eq!(guest.vm.vcpus[0].lock().system.serror, 1);
    assert_eq!(guest.vm.vcpus[0].run_state(), RunState::Ready);
}
