//! SErrors, which come late: a vCPU that was loaded after the one that caused it must not get it.

use super::guest::*;
use crate::arch::fake::{FakeBoard, FakeCore};
use crate::config::VmPlan;
use crate::vm::Vm;
use crate::vm::vcpu::Phase;
use std::boxed::Box;

#[test]
fn an_serror_is_that_of_the_vcpu_that_stored_whoever_comes_next() {
    let share = [share(0, 32)];
    let plan: &'static VmPlan = Box::leak(Box::new(VmPlan { vcpus: 2, ..PLAN }));
    let vm = Vm::new(plan, 0, FakeBoard::new(&share), &share, |_| 0).unwrap();
    vm.vcpus[1].set_phase(Phase::Ready);
    let mut core = FakeCore::new(0);
    let first = vm.load_vcpu(&mut core, 0).unwrap();
    core.error = true;
    first.save(&mut core);
    assert_eq!(vm.vcpus[0].lock().system.serror, 1);
    let second = vm.load_vcpu(&mut core, 1).unwrap();
    assert_eq!(core.system.serror, 0);
    second.save(&mut core);
    let first = vm.load_vcpu(&mut core, 0).unwrap();
    assert_eq!(core.system.serror, 1, "it is still to be taken");
    first.save(&mut core);
}
