//! What takes EL2 long is done in pieces: between them others have the core, and in the midst nothing has happened yet.

use super::guest::*;
use super::scheduling::{Quiet, core, turn_on, vms};
use super::smp::sync;
use crate::addr::{BLOCK_SIZE, PAGE_SIZE};
use crate::arch::vcpu::Registers;
use crate::fake::{Asked, FakeBoard, FakeCore, set_count};
use crate::snapshot::Which;
use crate::vm::budget::SLICE;
use crate::vm::quiesce::Initiator;
use crate::vm::schedule::Scheduler;
use crate::vm::{Core, ExitAction, Interrupt, Vm};
use std::boxed::Box;

/// MSR of SCTLR_EL1 from x9, as a syndrome has it; and DC CISW of XZR.
const MSR_SCTLR: u64 = 3 << 20 | 1 << 10 | 9 << 5;
const DC_CISW: u64 = 1 << 20 | 2 << 17 | 31 << 5 | 7 << 10 | 14 << 1;
/// M and C.
const ON: u64 = 5;

/// A trap whose first piece is done. It is not over.
fn begin(guest: &mut Guest, class: u64, iss: u64) {
    guest
        .core()
        .script
        .push_back(Box::new(move |_: &mut Registers| sync(class, iss)));
    let next = guest.on_core(|running, core| running.step(core));
    assert_eq!(next, ExitAction::Unfinished);
}

/// The guest begins to switch its caches on.
fn begin_to_switch_on(guest: &mut Guest) -> u64 {
    let on = guest.core().system.sctlr | ON;
    guest.registers().x[9] = on;
    begin(guest, 0x18, MSR_SCTLR);
    on
}

/// EL2 does the rest, until the guest runs: it finds the vCPU so.
fn runs_again(guest: &mut Guest) -> State {
    let before = guest.core().ran.len();
    guest
        .core()
        .script
        .push_back(Box::new(|_: &mut Registers| sync(0x01, 1)));
    loop {
        match guest.on_core(|running, core| running.run(&[], core)) {
            ExitAction::Unfinished => assert_eq!(guest.core().ran.len(), before, "it ran"),
            ExitAction::Yield => break,
            other => panic!("{other:?}"),
        }
    }
    guest.registers().pc -= 4;
    guest.state()
}

fn cleaned_bytes(board: &FakeBoard) -> u64 {
    let bytes = |(asked, _): &(Asked, u64)| match asked {
        Asked::CleanAndInvalidate(_, bytes) => *bytes,
        _ => 0,
    };
    board.recorder.asked.iter().map(bytes).sum()
}

fn with_operator<R>(
    guest: &mut Guest,
    action: impl FnOnce(&Vm<FakeBoard>, Initiator<'_, FakeBoard>) -> R,
) -> R {
    guest.leaves();
    action(
        &guest.vm,
        Initiator {
            core: &mut FakeCore::new(1),
            vcpu: None,
        },
    )
}

#[test]
fn the_vcpu_does_not_run_before_the_last_piece() {
    let mut guest = Guest::new();
    let before = guest.state();
    guest.board().recorder.asked.clear();
    let on = begin_to_switch_on(&mut guest);
    let first = cleaned_bytes(guest.board());
    let mut now = guest.state();
    now.registers.x[9] = before.registers.x[9];
    assert_eq!(now, before, "nothing has happened");
    let after = runs_again(&mut guest);
    assert_eq!(after.system.sctlr, on);
    assert_eq!(after.registers.pc, before.registers.pc + 4);
    let all = cleaned_bytes(guest.board());
    assert!(first * 4 < all, "{first} of {all}");
    // It is done once.
    guest.board().recorder.asked.clear();
    runs_again(&mut guest);
    assert_eq!(cleaned_bytes(guest.board()), 0);
}

#[test]
fn what_is_in_the_midst_goes_with_the_vcpu_from_load_to_load() {
    let mut guest = Guest::new();
    let on = begin_to_switch_on(&mut guest);
    guest.leaves();
    let mut loads = 1;
    while guest.on_core(|running, core| running.go_on(core)) == ExitAction::Unfinished {
        assert_eq!(guest.core().system.sctlr, on & !ON);
        guest.leaves();
        loads += 1;
    }
    assert_eq!(guest.core().system.sctlr, on);
    assert!(loads > 4, "{loads}");
}

#[test]
fn a_snapshot_that_is_taken_in_the_midst_has_the_instruction_run_again() {
    for (instruction, caches) in [(MSR_SCTLR, 0), (DC_CISW, ON)] {
        let mut guest = Guest::new();
        if caches != 0 {
            begin_to_switch_on(&mut guest);
            runs_again(&mut guest);
        }
        guest.registers().x[9] = guest.core.system.sctlr | ON;
        begin(&mut guest, 0x18, instruction);
        let begun = guest.state();
        let id = with_operator(&mut guest, |vm, initiator| {
            let mut shared = vm.shared.lock();
            vm.checkpoint(&mut shared, initiator, false).unwrap()
        });
        runs_again(&mut guest);
        with_operator(&mut guest, |vm, initiator| {
            let mut shared = vm.shared.lock();
            vm.restore(&mut shared, initiator, Which::Id(id), 1)
                .unwrap();
        });
        // The guest runs at once, at that instruction; and all of it is done.
        guest.board().recorder.asked.clear();
        let before = guest.core.ran.len();
        let again = runs_again(&mut guest);
        assert_eq!(guest.core.ran.len(), before + 1);
        assert_eq!(again.registers.pc, begun.registers.pc);
        assert_eq!(
            again.system.sctlr & ON,
            caches,
            "it has not switched them yet"
        );
        begin(&mut guest, 0x18, instruction);
        runs_again(&mut guest);
        assert!(cleaned_bytes(guest.board()) > 4 << 18);
        assert_eq!(guest.core().system.sctlr & ON, ON);
    }
}

#[test]
fn a_reset_in_the_midst_ends_it() {
    let mut guest = Guest::new();
    begin_to_switch_on(&mut guest);
    with_operator(&mut guest, |vm, initiator| {
        vm.reset(&mut vm.shared.lock(), initiator);
    });
    guest.board().recorder.asked.clear();
    let state = runs_again(&mut guest);
    assert_eq!(state.system.sctlr & ON, 0);
    assert_eq!(cleaned_bytes(guest.board()), 0);
}

/// An interrupt for the vCPU, or the look at its caches that comes with one, changes nothing of it.
#[test]
fn what_interrupts_a_vcpu_in_the_midst_is_seen_to() {
    let mut guest = Guest::new();
    guest.core().system.watched = 0;
    guest.board().recorder.asked.clear();
    // Its caches are off, and unwatched. That is seen at the alarm, and cleaned in pieces.
    guest.core().interrupts.push_back(Interrupt::Alarm);
    let next = guest.on_core(|running, core| running.handle_interrupt(core));
    assert_eq!(next, ExitAction::Interrupt(Interrupt::Alarm));
    assert_eq!(guest.core().system.watched, 0, "not before all is clean");
    for interrupt in [Interrupt::Alarm, Interrupt::Kick, Interrupt::VirtualTimer] {
        assert_eq!(
            guest.on_core(|running, core| running.go_on(core)),
            ExitAction::Unfinished
        );
        guest.core().interrupts.push_back(interrupt);
        guest.on_core(|running, core| running.handle_interrupt(core));
    }
    runs_again(&mut guest);
    assert_eq!(guest.core().system.watched, 1);
    let (all, mut mapped) = (cleaned_bytes(guest.board()), 0);
    guest
        .vm
        .shared
        .get_mut()
        .memory
        .stage2
        .each_present(|_, bytes| mapped += bytes);
    assert_eq!(all, mapped, "and that once");
}

#[test]
fn a_neighbour_has_its_slices_while_a_vcpu_is_in_the_midst() {
    let vms = vms([PLAN, PLAN].into(), |_, _| 0);
    vms.iter().for_each(turn_on);
    let mut core = core(0);
    core.script.push_back(Box::new(|registers: &mut Registers| {
        registers.x[9] = crate::fake::System::RESET.sctlr | ON;
        sync(0x18, MSR_SCTLR)
    }));
    // A piece takes a third of a slice.
    vms[0].shared.lock().memory.backend.recorder.watch = Some(Box::new(|| {
        set_count(FakeCore::physical_count() + SLICE / 3);
        0
    }));
    let quiet = Quiet::default();
    let mut scheduler = Scheduler::new(&mut core, vms, &quiet);
    let (mut slices, mut waited) = (0, 0);
    for _ in 0..100 {
        if vms[0].shared.lock().caches_agree {
            break;
        }
        scheduler.core.ran.clear();
        let before = FakeCore::physical_count();
        scheduler.schedule_once();
        let took = FakeCore::physical_count() - before;
        // EL2 for the first VM, of which nothing ran but the instruction itself; or the other.
        match scheduler.core.ran.contains(&(1, 0)) {
            true => slices += 1,
            false => waited = waited.max(took),
        }
    }
    assert!(slices >= 2, "{slices}");
    assert!(waited < 2 * SLICE, "{waited} of {SLICE}");
    assert!(vms[0].shared.lock().caches_agree);
}

/// More pages than are folded at once, each in a leaf of its own.
fn dirty_many(guest: &mut Guest) {
    guest.checkpoint();
    for page in 0..250 {
        guest.store(UNTOUCHED + page * 8 * PAGE_SIZE % BLOCK_SIZE, 1);
        guest.store(RAM + page * 8 * PAGE_SIZE, 1);
    }
}

#[test]
fn a_checkpoint_of_many_pages_has_not_happened_before_its_last_piece() {
    let calls = [(0, CHECKPOINT), (1, 77)];
    for (immediate, x0) in calls {
        let mut guest = Guest::new();
        dirty_many(&mut guest);
        let snapshots = guest.snapshots().stats().snapshots;
        guest.registers().x[0] = x0;
        let before = guest.state();
        guest.registers().pc += 4;
        begin(&mut guest, 0x16, immediate);
        assert_eq!(guest.registers().pc, before.registers.pc);
        assert_eq!(guest.registers().x, before.registers.x);
        // The operator takes one in the midst, in which the call is made again.
        let id = with_operator(&mut guest, |vm, initiator| {
            let mut shared = vm.shared.lock();
            vm.checkpoint(&mut shared, initiator, false).unwrap()
        });
        let after = runs_again(&mut guest);
        assert_eq!(after.registers.pc, before.registers.pc + 4);
        assert_eq!(guest.snapshots().stats().snapshots, snapshots + 2);
        with_operator(&mut guest, |vm, initiator| {
            let mut shared = vm.shared.lock();
            vm.restore(&mut shared, initiator, Which::Id(id), 1)
                .unwrap();
        });
        let again = runs_again(&mut guest);
        assert_eq!(again.registers.pc, before.registers.pc);
        assert_eq!(again.registers.x, before.registers.x);
    }
}
