//! As `loom`, of an errand: whatever the order of the cores' steps, it is done, and its VM goes on.

use super::loom::{Scene, again, explore, sends_an_sgi};
use crate::vm::errand::{Asked, Errand, Outcome};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// It is begun by one core and done by the other one, before, while and after a vCPU there falls asleep, and one here.
#[test]
fn an_errand_is_done_and_the_vm_goes_on() {
    explore(2, || {
        let begun = Arc::new(AtomicBool::new(false));
        let seen = begun.clone();
        let mut scene = Scene::new(
            2,
            |vcpu| 1 - vcpu,
            move |vcpu, step, registers| match (vcpu, step) {
                // Its core is there for the errand.
                (0, 1) if !seen.load(Ordering::Relaxed) => Some(again()),
                _ => sends_an_sgi(vcpu, step, registers),
            },
        );
        let vm = &scene.vms[0];
        vm.shared.lock().begin_loading(vm.config).unwrap();
        let doer = scene.serve(1);
        let operator = scene.serve_behind(0, move |vm, core| {
            let outcome = vm.with_locked(core, |shared, initiator| {
                vm.begin_errand(shared, initiator, Errand::Settle, Asked::ByOperator)
            });
            assert!(outcome.is_none());
            begun.store(true, Ordering::Relaxed);
        });
        doer.join().unwrap();
        operator.join().unwrap();
        let outcome = scene.vms[0].lock_from_outside().take_outcome();
        assert!(matches!(outcome, Some(Outcome::Settled)));
    });
}
