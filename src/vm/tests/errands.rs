//! What the operator and `checkpoint_every` ask of a large VM is done in pieces, while that VM stands and its neighbours run.

use super::control::{CHECKPOINT_OF, CONTROLLED, CONTROLLER, Calls, RESTORE_OF, TARGET};
use super::control_pieces::{PAGES, store_to_all};
use super::guest::*;
use super::scheduling::*;
use super::smp::{SYSTEM_OFF, sync};
use crate::addr::{Ipa, PAGE_SIZE};
use crate::arch::vcpu::{Registers, Trap, TrapKind};
use crate::config::VmConfig;
use crate::fake::{FakeBoard, FakeCore, set_count};
use crate::monitor::{Refusal, VmControl, VmState};
use crate::snapshot::{Info, Reach, Which};
use crate::vm::budget::SLICE;
use crate::vm::controller::AfterCall;
use crate::vm::errand::{Asked, Errand};
use crate::vm::operator::Controls;
use crate::vm::schedule::Scheduler;
use crate::vm::{Core, ExitAction, Interrupt, Vm};
use std::boxed::Box;
use std::vec::Vec;

/// Two VMs, both on `core`. All pages of the first are dirty, each by itself, and it has a snapshot, whose id is returned too.
fn two_on(core: usize, plan: VmConfig) -> (&'static [Vm<FakeBoard>], u64) {
    let core_of = match core {
        0 => |_, _| 0,
        _ => |_, _| 1,
    };
    let vms = vms([plan, PLAN].into(), core_of);
    vms.iter().for_each(turn_on);
    store_to_all(&vms[0], 1);
    let desk = Quiet::default();
    let mut other = FakeCore::new(2);
    let id = Controls::of(vms, &mut other, &desk).checkpoint(0).unwrap();
    store_to_all(&vms[0], 2);
    (vms, id)
}

/// A core on which a piece takes a slice.
fn slow_core(number: usize) -> FakeCore {
    let mut core = core(number);
    core.latency = SLICE;
    core
}

/// The core goes on until this is true of the first VM.
fn run_until(
    scheduler: &mut Scheduler<'_, FakeBoard, Quiet>,
    is_it: impl Fn(&Vm<FakeBoard>) -> bool,
) {
    while !is_it(&scheduler.vms[0]) {
        scheduler.schedule_once();
    }
}

/// Two VMs that compute, each on a core of its own; the second has this plan.
fn one_each(plan: VmConfig) -> &'static [Vm<FakeBoard>] {
    let plan = VmConfig {
        name: "other",
        ..plan
    };
    let vms = vms([PLAN, plan].into(), |vm, _| vm);
    vms.iter().for_each(turn_on);
    vms
}

/// A command of so many steps, on core 0: how long others had the core meanwhile.
fn lent_by(vms: &[Vm<FakeBoard>], core: &mut FakeCore, steps: u64) -> u64 {
    const STEP: u64 = SLICE / 64;
    let desk = Quiet::default();
    let start = FakeCore::physical_count();
    let mut operator = Controls::of(vms, core, &desk);
    for _ in 0..steps {
        set_count(FakeCore::physical_count() + STEP);
        operator.status(1);
    }
    FakeCore::physical_count() - start - steps * STEP
}

/// What the core's vCPUs did, without repetitions: VM by VM.
fn ran(core: &FakeCore) -> Vec<usize> {
    core.ran.iter().map(|(vm, _)| *vm).collect()
}

fn info(vm: &Vm<FakeBoard>, id: u64) -> Info {
    let shared = &mut *vm.shared.lock();
    shared.snapshots.info(&mut shared.memory, id).unwrap()
}

fn saved(vm: &Vm<FakeBoard>) -> u32 {
    vm.shared.lock().snapshots.stats().snapshots
}

fn byte(vm: &Vm<FakeBoard>) -> u8 {
    let mut shared = vm.shared.lock();
    let mut byte = [0];
    shared.get(RAM + (PAGES - 1) * PAGE_SIZE + 1, &mut byte);
    byte[0]
}

#[test]
fn a_neighbour_runs_and_the_vm_stands_while_the_operator_has_it_saved() {
    let (vms, _) = two_on(0, PLAN);
    let mut core = slow_core(0);
    let desk = Quiet::default();
    let start = FakeCore::physical_count();
    let id = Controls::of(vms, &mut core, &desk).checkpoint(0).unwrap();
    let took = FakeCore::physical_count() - start;
    let ran = ran(&core);
    assert!(ran.iter().all(|&vm| vm == 1), "{ran:?}");
    // The pieces are done in the other's turns. A turn is two slices long here, as the look at the alarm takes one, too.
    let slices = ran.len() as u64;
    assert!(
        slices >= 2 && took <= 4 * slices * SLICE,
        "{slices} in {took}"
    );
    assert!(!vms[0].has_errand() && vms[0].is_runnable(0));
    assert_eq!(saved(&vms[0]), 2);
    store_to_all(&vms[0], 3);
    let mut operator = Controls::of(vms, &mut core, &desk);
    assert_eq!(operator.restore(0, Which::Latest), Ok(id));
    assert_eq!(byte(&vms[0]), 2);
}

#[test]
fn a_neighbour_runs_while_the_operator_asks_what_there_is() {
    let (vms, id) = two_on(0, PLAN);
    let mut core = slow_core(0);
    let desk = Quiet::default();
    let mut operator = Controls::of(vms, &mut core, &desk);
    let seen = operator.snapshot_info(0, id).unwrap();
    assert_eq!(u64::from(seen.pages), PAGES);
    assert!(seen.is_current);
    assert_eq!(operator.snapshot_info(0, id + (1 << 40)), None);
    let slices = ran(&core).len();
    assert!(slices >= 1, "{slices}");
    assert_eq!(seen.pages, info(&vms[0], id).pages);
    // With its only snapshot gone, pages that were replaced wait to be folded and freed.
    core.ran.clear();
    let mut operator = Controls::of(vms, &mut core, &desk);
    operator.delete(0, id).unwrap();
    let stats = operator.stats(0);
    assert_eq!(
        (stats.snapshots.snapshots, stats.snapshots.kept_pages),
        (0, 0)
    );
    assert!(!vms[0].has_errand());
    assert!(!ran(&core).contains(&0));
}

#[test]
fn on_another_core_it_is_done_there_and_the_operator_sleeps() {
    let (vms, _) = two_on(1, PLAN);
    let mut core = core(0);
    let start = FakeCore::physical_count();
    core.dreams.push_back(Box::new(move |core: &mut FakeCore| {
        assert!(core.kicked.contains(&1));
        let (mut other, desk) = (slow_core(1), Quiet::default());
        other.interrupts.push_back(Interrupt::Kick);
        let mut scheduler = Scheduler::new(&mut other, vms, &desk);
        run_until(&mut scheduler, |vm| !vm.has_errand());
        assert!(ran(&other).iter().all(|&vm| vm == 1));
    }));
    let desk = Quiet::default();
    Controls::of(vms, &mut core, &desk).checkpoint(0).unwrap();
    assert_eq!(core.slept, [start + SLICE]);
    assert_eq!(saved(&vms[0]), 2);
}

#[test]
fn a_paused_vm_is_saved_and_stays_paused() {
    let (vms, _) = two_on(0, PLAN);
    let mut core = slow_core(0);
    let desk = Quiet::default();
    let mut operator = Controls::of(vms, &mut core, &desk);
    operator.pause(0).unwrap();
    operator.checkpoint(0).unwrap();
    assert_eq!(operator.status(0).state, VmState::Paused);
    assert!(!vms[0].is_runnable(0));
    assert_eq!(saved(&vms[0]), 2);
}

fn every_20_ms() -> VmConfig {
    VmConfig {
        checkpoint_every: Some(20),
        ..PLAN
    }
}

#[test]
fn periodic_ones_are_taken_in_the_vms_own_turns() {
    let (vms, _) = two_on(0, every_20_ms());
    let mut core = slow_core(0);
    let desk = Quiet::default();
    let mut scheduler = Scheduler::new(&mut core, vms, &desk);
    run_until(&mut scheduler, |vm| vm.has_errand());
    assert_eq!(saved(&vms[0]), 1);
    scheduler.core.ran.clear();
    run_until(&mut scheduler, |vm| !vm.has_errand());
    let slices = ran(scheduler.core);
    assert!(slices.len() >= 2 && !slices.contains(&0), "{slices:?}");
    assert_eq!(saved(&vms[0]), 2);
    while !ran(scheduler.core).contains(&0) {
        scheduler.schedule_once();
    }
}

#[test]
fn the_operators_comes_behind_a_periodic_one() {
    let (vms, first) = two_on(0, every_20_ms());
    let mut core = slow_core(0);
    let desk = Quiet::default();
    let mut scheduler = Scheduler::new(&mut core, vms, &desk);
    run_until(&mut scheduler, |vm| vm.has_errand());
    let mut operator = Controls::new(&mut scheduler);
    let last = operator.checkpoint(0).unwrap();
    assert!(saved(&vms[0]) >= 3);
    let between = operator.last_snapshot_to(0, last - 1).unwrap();
    assert!(first < between && between < last);
}

/// What a reset, or a restore, left to load comes first, in pieces.
#[test]
fn what_is_deleted_right_behind_a_reset_waits_until_all_is_loaded() {
    let (vms, id) = two_on(0, PLAN);
    let mut core = slow_core(0);
    let desk = Quiet::default();
    let mut operator = Controls::of(vms, &mut core, &desk);
    operator.reset(0).unwrap();
    assert!(!vms[0].shared.lock().is_loaded());
    assert_eq!(operator.delete(0, id), Ok(()));
    assert!(vms[0].shared.lock().is_loaded() && !vms[0].has_errand());
    assert_eq!(saved(&vms[0]), 0);
    assert!(!ran(&core).contains(&0));
}

/// What reaches the VM in the midst: its controller, as far as it is not the VM itself.
#[test]
fn one_that_goes_back_or_starts_again_in_the_midst_is_saved_as_it_is_then() {
    for starts_again in [false, true] {
        let (vms, id) = two_on(0, every_20_ms());
        let mut core = slow_core(0);
        let desk = Quiet::default();
        let mut scheduler = Scheduler::new(&mut core, vms, &desk);
        run_until(&mut scheduler, |vm| vm.has_errand());
        let vm = &vms[0];
        vm.with_locked(
            &mut *scheduler.core,
            |shared, initiator| match starts_again {
                true => vm.reset(shared, initiator),
                false => _ = vm.restore(shared, initiator, Which::Id(id), 1).unwrap(),
            },
        );
        run_until(&mut scheduler, |vm| !vm.has_errand());
        assert_eq!(saved(vm), 2);
        store_to_all(vm, 7);
        let mut operator = Controls::new(&mut scheduler);
        let newest = operator.last_snapshot_to(0, u64::MAX).unwrap();
        assert_eq!(operator.restore(0, Which::Latest), Ok(newest));
        assert_eq!(byte(vm), if starts_again { 0 } else { 1 });
    }
}

/// Nobody else wants the core of a VM that computes, but for the operator.
#[test]
fn a_command_has_the_core_again_after_a_slice() {
    let vms = one_each(PLAN);
    let (mut core, desk) = (core(0), Quiet::default());
    assert_eq!(lent_by(vms, &mut core, 10), 10 * SLICE);
    assert_eq!(ran(&core), [0; 10]);
    // One that waits for a VM of another core.
    store_to_all(&vms[1], 1);
    Controls::of(vms, &mut core, &desk).checkpoint(1).unwrap();
    store_to_all(&vms[1], 2);
    for _ in 0..10 {
        core.script.push_back(Box::new(move |_: &mut Registers| {
            // That core, meanwhile.
            vms[1].go_on_errand(&mut FakeCore::new(1));
            Trap {
                kind: TrapKind::Irq,
                ..sync(0, 0)
            }
        }));
    }
    core.ran.clear();
    let start = FakeCore::physical_count();
    Controls::of(vms, &mut core, &desk).checkpoint(1).unwrap();
    assert_eq!(FakeCore::physical_count(), start + SLICE);
    assert!(ran(&core).iter().all(|&vm| vm == 0));
    assert_eq!(saved(&vms[1]), 2);
}

/// What is due in a command of many steps: as long as it is not done, nobody would have a turn that lasts.
#[test]
fn others_run_beside_a_command_though_a_checkpoint_is_due() {
    let vms = one_each(VmConfig {
        checkpoint_every: Some(1000),
        ..PLAN
    });
    let lent = lent_by(vms, &mut core(0), 10);
    // A turn ends early when one is due.
    assert!(lent >= 8 * SLICE, "{lent}");
    assert_eq!(saved(&vms[1]), 2);
}

#[test]
fn one_that_ends_before_its_errand_begins_is_not_saved() {
    let vms = vms([PLAN].into(), |_, _| 0);
    let (mut core, desk) = (core(0), Quiet::default());
    core.script.push_back(Box::new(|registers| {
        Calls(SYSTEM_OFF, [0; 3]).done(registers)
    }));
    let mut operator = Controls::of(vms, &mut core, &desk);
    set_count(FakeCore::physical_count() + SLICE);
    assert_eq!(operator.checkpoint(0), Err(Refusal::Off));
    assert_eq!(saved(&vms[0]), 0);
}

/// Its controller, on a core of its own, takes it back again and again: each time there would be more to be written back than in a piece.
#[test]
fn a_controller_does_not_put_off_an_errand_of_its_target() {
    let vms = vms([CONTROLLER, CONTROLLED].into(), |vm, _| vm);
    let (mut core, mut other) = (core(0), slow_core(1));
    let target = &vms[1];
    target.shared.lock().snapshots.defer_beyond(100);
    // Its caches are on, and its tables are in them: only such pages are written back.
    let mut vcpu = target.vcpus[0].lock();
    vcpu.system.sctlr |= 1 << 12 | 5;
    vcpu.system.tcr = 0x0500_0500;
    drop(vcpu);
    let mut running = vms[0].load(&mut core, 0).unwrap();
    let mut call = |function, core: &mut FakeCore| {
        let registers = &mut running.vcpu.registers;
        registers.x[..3].copy_from_slice(&[function, 0, u64::MAX]);
        registers.pc += 4;
        // A piece of it.
        let after = running.control_call(vms, core);
        if after == AfterCall::Unfinished {
            assert_eq!(running.go_on(core), ExitAction::Control);
            running.vcpu.registers.pc -= 4;
        }
        after
    };
    call(CHECKPOINT_OF, &mut core);
    for _ in 0..4 {
        for page in 0..60 {
            let mut shared = target.shared.lock();
            let page = shared.memory.stage2.page_at(Ipa(DATA)).unwrap() + page;
            while !shared.fault_in(page, true, Reach::Cached) {}
        }
        call(RESTORE_OF, &mut core);
    }
    assert!(!target.shared.lock().is_loaded());
    let begun = target.with_locked(&mut other, |shared, initiator| {
        target.begin_errand(shared, initiator, Errand::Checkpoint, Asked::ByOperator)
    });
    assert!(begun.is_none());
    assert_eq!(call(TARGET, &mut core), AfterCall::Resume, "it only looks");
    for _ in 0..12 {
        call(RESTORE_OF, &mut core);
        target.go_on_errand(&mut other);
    }
    assert!(!target.has_errand() && saved(target) == 2);
    assert_eq!(call(RESTORE_OF, &mut core), AfterCall::Resume);
}
