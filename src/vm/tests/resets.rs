//! What becomes of a VM that resets itself, and how memory is divided among VMs.

use super::guest::*;
use super::logged::logged;
use super::smp::*;
use crate::addr::{BLOCK_SIZE, Pa};
use crate::arch::vcpu::Stage1Register;
use crate::config::{OnReset, VmConfig};
use crate::fake::{Asked, FakeBoard, FakeCore, System, written_sctlr};
use crate::vm::vcpu::RunState::{Off, Ready};
use crate::vm::{Core, ExitAction, StartError, carve_memory};
use std::boxed::Box;
use std::ops::Range;
use std::vec::Vec;

fn with_tries(vcpus: u32, tries: u32) -> Smp {
    let on_reset = OnReset::Restore { tries };
    Smp::with(VmConfig {
        vcpus,
        on_reset,
        ..PLAN
    })
}

#[test]
fn a_vm_goes_back_so_many_times_and_then_starts_again() {
    let mut smp = with_tries(1, 2);
    smp.registers(0).x[20] = 77;
    let id = smp.ask(0, CHECKPOINT, &[]);
    for number in [1, 2] {
        smp.registers(0).x[20] = 0;
        let lines = logged(|| assert_eq!(smp.call(0, SYSTEM_RESET, &[]), ExitAction::Resume));
        let expected = std::format!("WARN: test: reset; back to snapshot {id}, try {number} of 2");
        assert_eq!(lines, [expected]);
        assert_eq!(
            smp.registers(0).x[..2],
            [id, 1],
            "the checkpoint returns again"
        );
        assert_eq!(smp.registers(0).x[20], 77);
    }
    for _ in 0..2 {
        let lines = logged(|| assert_eq!(smp.call(0, SYSTEM_RESET, &[]), ExitAction::Resume));
        assert_eq!(lines[0], "INFO: test: reset");
        assert_eq!(smp.registers(0).x[20], 0);
    }
    // A new snapshot has its own tries.
    smp.registers(0).x[20] = 88;
    smp.ask(0, CHECKPOINT, &[]);
    smp.registers(0).x[20] = 0;
    assert_eq!(smp.call(0, SYSTEM_RESET, &[]), ExitAction::Resume);
    assert_eq!(smp.registers(0).x[20], 88);
}

#[test]
fn without_a_snapshot_it_starts_again() {
    let mut smp = with_tries(1, 3);
    smp.registers(0).x[20] = 1;
    assert_eq!(smp.call(0, SYSTEM_RESET, &[]), ExitAction::Resume);
    assert_eq!(smp.registers(0).x[20], 0);
}

#[test]
fn any_vcpu_that_resets_the_vm_takes_all_of_them_back() {
    let mut smp = with_tries(3, 2);
    assert_eq!(smp.ask(0, CPU_ON, &[1, ENTRY, 0]), 0);
    smp.registers(0).x[20] = 77;
    smp.ask(0, CHECKPOINT, &[]);
    assert_eq!(smp.ask(0, CPU_ON, &[2, ENTRY, 0]), 0);
    smp.registers(0).x[20] = 0;
    smp.save(0);
    assert!(smp.load(2));
    let next = smp.beside(&[0, 1], |smp| smp.call(2, SYSTEM_RESET, &[]));
    assert_eq!(next, ExitAction::Put, "it was off");
    smp.save(2);
    assert_eq!(smp.phases(), [Ready, Ready, Off]);
    assert_eq!(smp.saved(0).registers.x[20], 77);
}

const MMU_ON: u64 = System::RESET.sctlr | 1;

/// SCTLR_EL1 at each step of the maintenance, from the first flush of the TLBs on.
fn from_the_flush(board: &mut FakeBoard) -> Vec<u64> {
    board.recorder.watch = None;
    let asked = std::mem::take(&mut board.recorder.asked).into_iter();
    let is_flush = |asked: &Asked| matches!(asked, Asked::InvalidateVm | Asked::InvalidateStage1);
    let later = asked.skip_while(|(asked, _)| !is_flush(asked));
    later.map(|(_, sctlr)| sctlr).collect()
}

#[test]
fn no_walk_can_begin_behind_the_flush_of_a_reset() {
    let mut guest = Guest::new();
    guest
        .core()
        .write_stage1_register(Stage1Register::Sctlr, MMU_ON);
    guest.board().recorder.asked.clear();
    guest.board().recorder.watch = Some(Box::new(written_sctlr));
    guest.reset();
    let seen = from_the_flush(guest.board());
    assert!(!seen.is_empty());
    assert!(seen.iter().all(|&sctlr| sctlr == System::RESET.sctlr));
}

#[test]
fn nothing_of_a_vcpu_that_a_restore_switches_off_stays_live() {
    let mut smp = Smp::new(2);
    smp.ask(0, CHECKPOINT, &[]);
    assert_eq!(smp.ask(0, CPU_ON, &[1, ENTRY, 0]), 0);
    // Stage 2 changes at the restore.
    smp.store(0, DATA, 1);
    smp.save(0);
    assert!(smp.load(1));
    let core = &mut smp.cores[1];
    core.write_stage1_register(Stage1Register::Sctlr, MMU_ON);
    core.error = true;
    let recorder = |board: &mut FakeBoard| {
        board.recorder.asked.clear();
        board.recorder.watch = Some(Box::new(written_sctlr));
    };
    recorder(&mut smp.vm.shared.lock().memory.backend);
    assert_eq!(smp.call(1, RESTORE, &[LATEST, 1]), ExitAction::Put);
    let seen = from_the_flush(&mut smp.vm.shared.lock().memory.backend);
    // The path is whole again at the end.
    assert_eq!(seen.last(), Some(&System::RESET.sctlr));
    assert_eq!(smp.cores[1].system, System::RESET);
    assert!(!smp.cores[1].error);
    smp.save(1);
    assert_eq!(smp.phases(), [Ready, Off]);
}

fn blocks(start: u64, count: u64) -> Range<Pa> {
    Pa(start * BLOCK_SIZE)..Pa((start + count) * BLOCK_SIZE)
}

fn count(share: &[Range<Pa>]) -> u64 {
    let blocks = |range: &Range<Pa>| (range.end.0 - range.start.0) / BLOCK_SIZE;
    share.iter().map(blocks).sum()
}

/// Nothing is given twice, and nothing that was not there.
fn disjoint(shares: &[Vec<Range<Pa>>], memory: &[Range<Pa>]) {
    let mut all = shares.concat();
    all.sort_by_key(|range| range.start);
    for range in &all {
        assert!(range.start < range.end);
        let holds = |whole: &Range<Pa>| whole.start <= range.start && range.end <= whole.end;
        assert!(memory.iter().any(holds), "{range:?}");
    }
    for pair in all.windows(2) {
        assert!(pair[0].end <= pair[1].start, "{pair:?}");
    }
}

/// The least that a VM with this plan can be started in: blocks.
fn least(plan: VmConfig) -> u64 {
    let enough = |&blocks: &u64| Guest::start(VmConfig { ..plan }, share(0, blocks)).is_ok();
    (1..64).find(enough).unwrap()
}

fn with_ram(blocks: u64) -> VmConfig {
    VmConfig {
        memory: blocks * BLOCK_SIZE,
        ..PLAN
    }
}

#[test]
fn all_memory_is_given_and_what_nobody_needs_by_the_size_of_ram() {
    let plans = [with_ram(4), with_ram(12), with_ram(8)];
    let memory = [blocks(512, 20), blocks(600, 300), blocks(2000, 480)];
    let shares = carve_memory::<FakeCore>(&plans, &memory);
    disjoint(&shares, &memory);
    let given: Vec<u64> = shares.iter().map(|share| count(share)).collect();
    assert_eq!(given.iter().sum::<u64>(), 800);
    let needed = plans.map(least);
    let spare = 800 - needed.iter().sum::<u64>();
    for (i, ram) in [4, 12, 8].into_iter().enumerate() {
        let part = spare * ram / 24;
        let extra = given[i] - needed[i];
        assert!(
            (part..part + 3).contains(&extra),
            "{i}: {given:?} {needed:?}"
        );
    }
}

#[test]
fn each_gets_what_it_needs_when_that_is_all_there_is() {
    let plans = [with_ram(4), with_ram(12), with_ram(8)];
    let needed = [4, 12, 8].map(|blocks| least(with_ram(blocks)));
    let memory = [blocks(512, needed.iter().sum())];
    let exact = carve_memory::<FakeCore>(&plans, &memory);
    disjoint(&exact, &memory);
    assert_eq!(
        exact.iter().map(|share| count(share)).collect::<Vec<_>>(),
        needed
    );
    for (plan, share) in plans.into_iter().zip(&exact) {
        assert!(Guest::start_in(plan, share).is_ok());
    }

    // One block less: the last one cannot be started, and says so.
    let plans = [with_ram(4), with_ram(12), with_ram(8)];
    let memory = [blocks(512, needed.iter().sum::<u64>() - 1)];
    let short = carve_memory::<FakeCore>(&plans, &memory);
    disjoint(&short, &memory);
    let [first, second, last] = plans;
    assert!(Guest::start_in(first, &short[0]).is_ok());
    assert!(Guest::start_in(second, &short[1]).is_ok());
    let error = Guest::start_in(last, &short[2]).err();
    assert!(matches!(error, Some(StartError::Memory { .. })));

    let nothing = carve_memory::<FakeCore>(&[with_ram(4), with_ram(4)], &[]);
    assert!(nothing.iter().all(|share| share.is_empty()) && nothing.len() == 2);
}
