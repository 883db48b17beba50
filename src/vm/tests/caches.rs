//! Who reaches memory around the caches decides how EL2 copies: what is cleaned, when, and what is seen.

use super::guest::*;
use super::hardware::{LINES, cost, guest, switch_on};
use super::smp::{CPU_ON, ENTRY, Smp, sync};
use crate::addr::{PAGE_SIZE, Va};
use crate::fake::worst::{Access, Counts};
use crate::fake::{Asked, System, trap};
use crate::vm::ExitAction;
use std::vec::Vec;

/// SCTLR_EL1 with M, C and I.
const ON: u64 = System::RESET.sctlr | 1 << 12 | 5;
/// TCR_EL1 with Write-Back walks of the lower half only.
const WRITE_BACK: u64 = 1 << 23 | 1 << 10 | 1 << 8;
/// The same without the attributes of the walks: Non-cacheable.
const NON_CACHEABLE: u64 = 1 << 23;

/// MSR of SCTLR_EL1 and TCR_EL1 from x9, as syndromes have them.
const MSR_SCTLR: u64 = 3 << 20 | 1 << 10 | 9 << 5;
const MSR_TCR: u64 = 3 << 20 | 2 << 17 | 2 << 10 | 9 << 5;

fn msr(guest: &mut Guest, register: u64, value: u64) {
    guest.registers().x[9] = value;
    assert_eq!(guest.exception(0x18, register), ExitAction::Resume);
}

/// DC by what `action` does.
fn dc(guest: &mut Guest, action: impl FnOnce(&mut Guest)) -> u32 {
    cost(guest, action).0.dc
}

/// A guest with its caches on that went back to a snapshot whose copy of `DATA` is in the caches only.
fn ahead() -> Guest {
    let mut vm = guest(true);
    vm.store(DATA, 20);
    assert_eq!(dc(&mut vm, |vm| vm.restore(LATEST, 1)), 0);
    vm
}

/// What is mapped of the guest's RAM, in pages.
fn mapped(guest: &mut Guest) -> u32 {
    let mut bytes = 0;
    let memory = &guest.vm.shared.get_mut().memory;
    memory.stage2.each_present(|_, more| bytes += more);
    (bytes / PAGE_SIZE) as u32
}

/// Only if all that the guest does goes through the caches: they are on, walks and mapping are Write-Back.
#[test]
fn a_copy_is_cleaned_unless_all_go_through_the_caches() {
    let cases = [
        (ON, WRITE_BACK, true),
        (ON, WRITE_BACK, false),
        (ON, NON_CACHEABLE, true),
        (ON & !1, WRITE_BACK, true),
        (ON & !4, WRITE_BACK, true),
        (ON & !(1 << 12), WRITE_BACK, true),
    ];
    for (sctlr, tcr, write_back) in cases {
        let mut vm = guest(true);
        vm.core().system.sctlr = sctlr;
        vm.core().system.tcr = tcr;
        vm.core().write_back = write_back;
        let (Counts { dc, .. }, bytes) = cost(&mut vm, |vm| vm.store(DATA, 20));
        let cached = (sctlr, tcr, write_back) == cases[0];
        assert_eq!(
            dc,
            if cached { 0 } else { 3 * LINES },
            "{sctlr:#x} {tcr:#x}"
        );
        assert_eq!(bytes, PAGE_SIZE);
        // Whose MMU is surely on, has one address flushed.
        let flushed = |asked: &(Asked, u64)| match asked.0 {
            Asked::InvalidateIpaHere(_, va) => Some(va),
            _ => None,
        };
        let flushed: Vec<_> = vm
            .board()
            .recorder
            .asked
            .iter()
            .filter_map(flushed)
            .collect();
        assert_eq!(flushed, [cached.then_some(Va(DATA))]);
    }
}

/// Where several maps hold the frame, the VM gets the copy: others may read that otherwise.
#[test]
fn a_copy_that_the_vm_gets_is_cleaned() {
    let mut vm = guest(true);
    vm.store(DATA + PAGE_SIZE, 1);
    vm.checkpoint();
    let counts = cost(&mut vm, |vm| vm.store(DATA, 20)).0;
    assert_eq!((counts.dc, counts.tlbi_broadcast), (3 * LINES, 2));
}

/// A first store by vCPU 0, whose caches are on: whether its copy went through them.
fn is_copied_cached(smp: &mut Smp, at: u64) -> bool {
    let core = &mut smp.cores[0];
    (core.system.sctlr, core.system.tcr) = (ON, WRITE_BACK);
    let asked = |smp: &Smp| {
        let mut shared = smp.vm.shared.lock();
        std::mem::take(&mut shared.memory.backend.recorder.asked)
    };
    asked(smp);
    for _ in 0..2 {
        let worst = smp.cores[0].worst.clone().unwrap();
        if let Err(fault) = worst.translate(0, at, Access::Store) {
            smp.trap(0, trap(fault, at, Access::Store));
        }
    }
    let asked: Vec<Asked> = asked(smp).into_iter().map(|(asked, _)| asked).collect();
    let cached = |asked: &Asked| matches!(asked, Asked::CopyCached { .. });
    let around = |asked: &Asked| matches!(asked, Asked::Copy { .. });
    assert_ne!(
        asked.iter().any(cached),
        asked.iter().any(around),
        "{asked:?}"
    );
    asked.iter().any(cached)
}

/// vCPU 0 is on, on its core, with a snapshot of pages that are divided.
fn with_pages(smp: &mut Smp) {
    let pages = [
        DATA,
        DATA + PAGE_SIZE,
        DATA + 2 * PAGE_SIZE,
        DATA + 8 * PAGE_SIZE,
    ];
    for at in pages {
        for _ in 0..2 {
            let worst = smp.cores[0].worst.clone().unwrap();
            if let Err(fault) = worst.translate(0, at, Access::Store) {
                smp.trap(0, trap(fault, at, Access::Store));
            }
        }
    }
    smp.ask(0, CHECKPOINT, &[]);
    assert!(is_copied_cached(smp, DATA + 8 * PAGE_SIZE));
}

#[test]
fn a_vcpu_that_is_on_elsewhere_with_its_caches_off_has_all_go_around() {
    let mut smp = Smp::new(2);
    with_pages(&mut smp);
    assert_eq!(smp.ask(0, CPU_ON, &[1, ENTRY, 0]), 0);
    assert!(!is_copied_cached(&mut smp, DATA));
    // It switches them on, and does not count any more.
    assert!(smp.load(1));
    for (register, value) in [(MSR_TCR, WRITE_BACK), (MSR_SCTLR, ON)] {
        smp.registers(1).x[9] = value;
        assert_eq!(smp.trap(1, sync(0x18, register)), ExitAction::Resume);
    }
    smp.save(1);
    assert!(is_copied_cached(&mut smp, DATA + PAGE_SIZE));
    // Nor one that is off. It was seen with its caches off at the checkpoint.
    smp.vm.vcpus[1].lock().system.sctlr = ON & !4;
    smp.ask(0, CHECKPOINT, &[]);
    assert!(!is_copied_cached(&mut smp, DATA + 2 * PAGE_SIZE));
}

/// One whose walks are Non-cacheable, likewise.
#[test]
fn a_vcpu_that_is_on_elsewhere_with_non_cacheable_walks_has_all_go_around() {
    let mut smp = Smp::new(2);
    with_pages(&mut smp);
    assert_eq!(smp.ask(0, CPU_ON, &[1, ENTRY, 0]), 0);
    assert!(smp.load(1));
    smp.registers(1).x[9] = ON;
    assert_eq!(smp.trap(1, sync(0x18, MSR_SCTLR)), ExitAction::Resume);
    smp.save(1);
    assert!(!is_copied_cached(&mut smp, DATA));
}

/// A restore that leaves what memory does not have watches who goes around the caches, and that one finds memory complete. Then all goes
/// around, so that no guest can have this again and again.
#[test]
fn who_goes_around_behind_a_restore_is_seen() {
    let ways = [
        (MSR_SCTLR, ON & !1, ON),
        (MSR_SCTLR, ON & !4, ON),
        (MSR_SCTLR, ON & !(1 << 12), ON),
        (MSR_TCR, NON_CACHEABLE, WRITE_BACK),
    ];
    for (register, off, on) in ways {
        let mut vm = ahead();
        assert_eq!(vm.core().system.watched, 1);
        // What changes nothing of that stays watched.
        msr(&mut vm, MSR_SCTLR, ON);
        assert_eq!(vm.core().system.watched, 1);
        let all = mapped(&mut vm) * LINES;
        assert_eq!(dc(&mut vm, |vm| msr(vm, register, off)), all);
        msr(&mut vm, register, on);
        msr(&mut vm, MSR_SCTLR, ON);
        assert_eq!(vm.core().system.watched, 0);
    }
}

#[test]
fn memory_is_cleaned_once_for_a_guest_that_mixes() {
    let mut vm = ahead();
    let all = mapped(&mut vm) * LINES;
    assert_eq!(dc(&mut vm, |vm| msr(vm, MSR_TCR, NON_CACHEABLE)), all);
    msr(&mut vm, MSR_TCR, WRITE_BACK);
    // From here on it is dearer to store, and no more than what a restore brings back is cleaned.
    for _ in 0..3 {
        assert_eq!(dc(&mut vm, |vm| vm.store(DATA, 20)), 3 * LINES);
        let pages = cost(&mut vm, |vm| vm.restore(LATEST, 1)).0.dc / LINES;
        assert!(pages <= 2, "{pages}");
        assert_eq!(dc(&mut vm, |vm| msr(vm, MSR_TCR, NON_CACHEABLE)), 0);
        msr(&mut vm, MSR_TCR, WRITE_BACK);
    }
    // Until it starts again.
    vm.reset();
    switch_on(&mut vm);
    vm.store(DATA, 1);
    vm.checkpoint();
    vm.store(DATA + 8 * PAGE_SIZE, 1);
    assert_eq!(dc(&mut vm, |vm| vm.store(DATA, 2)), 0);
}

/// A vCPU that goes on has its caches off.
#[test]
fn who_goes_on_behind_a_restore_finds_memory_clean() {
    let mut smp = Smp::new(2);
    with_pages(&mut smp);
    let cleaned = |smp: &mut Smp, function, arguments: &[u64]| {
        smp.vm.shared.lock().memory.backend.recorder.asked.clear();
        let _ = smp.ask(0, function, arguments);
        let asked = &smp.vm.shared.lock().memory.backend.recorder.asked;
        let cleans = |asked: &&(Asked, u64)| matches!(asked.0, Asked::CleanAndInvalidate(..));
        asked.iter().filter(cleans).count()
    };
    // Nothing was brought back yet.
    assert_eq!(cleaned(&mut smp, CPU_ON, &[1, ENTRY, 0]), 0);
    let mut smp = Smp::new(2);
    with_pages(&mut smp);
    smp.ask(0, CHECKPOINT, &[]);
    assert!(is_copied_cached(&mut smp, DATA));
    for round in 0..3 {
        cleaned(&mut smp, RESTORE, &[LATEST, 1]);
        let count = cleaned(&mut smp, CPU_ON, &[1, ENTRY, 0]);
        assert_eq!(count != 0, round == 0);
    }
}

/// A snapshot that was taken with the caches off, whose pages were copied with the caches on: what comes back is cleaned, and nothing else.
#[test]
fn a_guest_that_goes_back_to_where_its_caches_were_off_finds_memory_clean() {
    let mut vm = guest(false);
    let id = vm.checkpoint();
    switch_on(&mut vm);
    vm.store(DATA, 20);
    assert_eq!(dc(&mut vm, |vm| vm.restore(id, 1)), LINES);
    // Without any such copy there is nothing to clean.
    let mut vm = guest(false);
    let id = vm.checkpoint();
    vm.store(DATA, 20);
    assert_eq!(dc(&mut vm, |vm| vm.restore(id, 1)), 0);
}

/// What must be cleaned is clean before a walk of the restored vCPU can begin: before the tables of RAM are attached again.
#[test]
fn memory_is_clean_before_the_restored_vcpu_can_walk() {
    let mut vm = guest(false);
    let id = vm.checkpoint();
    switch_on(&mut vm);
    vm.store(DATA, 20);
    let asked = vm.watched(DATA, |vm| vm.restore(id, 1));
    let cleans: Vec<usize> = (0..asked.len())
        .filter(|&i| matches!(asked[i].0, Asked::CleanAndInvalidate(..)))
        .collect();
    let attached = asked
        .iter()
        .rposition(|(asked, _)| *asked == Asked::StoresComplete);
    assert_eq!(cleans.len(), 1, "{asked:?}");
    assert!(cleans[0] + 1 < attached.unwrap(), "{asked:?}");
}

/// With several vCPUs, all cores forget translations when memory was written back in place.
#[test]
fn two_vcpus_forget_translations_when_memory_was_written_back() {
    let mut smp = Smp::new(2);
    with_pages(&mut smp);
    smp.ask(0, CHECKPOINT, &[]);
    let mut asked = Vec::new();
    for round in 0..4 {
        let worst = smp.cores[0].worst.clone().unwrap();
        if let Err(fault) = worst.translate(0, DATA, Access::Store) {
            assert!(round < 3, "it stays writable");
            smp.trap(0, trap(fault, DATA, Access::Store));
        }
        smp.vm.shared.lock().memory.backend.recorder.asked.clear();
        smp.ask(0, RESTORE, &[LATEST, 1]);
        let taken = std::mem::take(&mut smp.vm.shared.lock().memory.backend.recorder.asked);
        asked = taken.into_iter().map(|(asked, _)| asked).collect();
    }
    assert!(
        matches!(asked[..2], [Asked::StopWalks, Asked::CopyCached { .. }]),
        "{asked:?}"
    );
    assert_eq!(
        asked[2..],
        [
            Asked::StoresComplete,
            Asked::InvalidateStage1,
            Asked::InvalidationsComplete
        ]
    );
}

/// DATA's frame, once the guest has switched its caches on while a restore had left DATA for later, and what was asked since; snapshots #a: DATA
/// before, #s2: DATA with the caches on.
fn switched_on_while_deferred() -> (Guest, u64, u64, u64) {
    use crate::addr::Ipa;
    let mut vm = guest(false);
    let a = vm.first_id().unwrap();
    vm.store(DATA, 20);
    let s1 = vm.checkpoint();
    let frame = vm
        .vm
        .shared
        .get_mut()
        .memory
        .stage2
        .translate(Ipa(DATA))
        .unwrap()
        .0;
    vm.snapshots().defer_beyond(0);
    vm.store(DATA + 8 * PAGE_SIZE, 2);
    vm.restore(s1, 1);
    vm.smccc(STATS, &[]);
    vm.snapshots().defer_beyond(1300);
    assert!(
        vm.vm
            .shared
            .get_mut()
            .memory
            .stage2
            .translate(Ipa(DATA))
            .is_none()
    );
    vm.board().recorder.asked.clear();
    msr(&mut vm, MSR_TCR, WRITE_BACK);
    msr(&mut vm, MSR_SCTLR, ON);
    let s2 = vm.checkpoint();
    (vm, frame, a, s2)
}

fn is_cleaned(vm: &mut Guest, frame: u64) -> bool {
    use crate::addr::Ipa;
    assert_eq!(vm.load(DATA), 20);
    let at = vm
        .vm
        .shared
        .get_mut()
        .memory
        .stage2
        .translate(Ipa(DATA))
        .unwrap()
        .0;
    assert_eq!(at, frame);
    vm.board()
        .recorder
        .asked
        .iter()
        .any(|(asked, _)| match asked {
            Asked::CleanAndInvalidate(at, bytes) => (at.0..at.0 + bytes).contains(&frame),
            _ => false,
        })
}

#[test]
fn rv_accessed() {
    let (mut vm, frame, ..) = switched_on_while_deferred();
    assert!(is_cleaned(&mut vm, frame));
}

#[test]
fn rv_remapped() {
    let (mut vm, frame, a, s2) = switched_on_while_deferred();
    vm.restore(a, 1);
    assert_eq!(vm.load(DATA), 10);
    vm.restore(s2, 1);
    assert!(is_cleaned(&mut vm, frame));
}

#[test]
fn rv_reset() {
    let (mut vm, frame, _, s2) = switched_on_while_deferred();
    vm.reset();
    vm.restore(s2, 1);
    assert!(is_cleaned(&mut vm, frame));
}
