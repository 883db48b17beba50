//! Trapped instructions that touch no memory, and traps that are no instruction's.

use super::guest::*;
use crate::addr::{BLOCK_SIZE, Ipa, PAGE_SIZE};
use crate::arch::vcpu::{Trap, TrapKind};
use crate::fake::worst::Access;
use crate::fake::{Asked, written_sctlr};
use crate::trap::sysreg::{self, SysReg};
use crate::vm::{ExitAction, Interrupt};
use std::boxed::Box;
use std::vec::Vec;

const WFX: u64 = 0x01;
const ILLEGAL_STATE: u64 = 0x0e;
pub const SYSREG: u64 = 0x18;
const SERROR: u64 = 0x2f;

/// The syndrome of `mrs x<rt>, reg` or, if `write`, `msr reg, x<rt>`.
pub fn iss(reg: SysReg, rt: u64, write: bool) -> u64 {
    u64::from(reg.op0()) << 20
        | u64::from(reg.op2()) << 17
        | u64::from(reg.op1()) << 14
        | u64::from(reg.crn()) << 10
        | rt << 5
        | u64::from(reg.crm()) << 1
        | u64::from(!write)
}

/// The instruction is done; `register`, if any, has `value`.
pub fn done(class: u64, iss: u64, register: Option<(usize, u64)>) {
    let mut guest = Guest::new();
    guest.core().id_register = |_| 0x2222;
    guest.scramble(1);
    let mut expected = guest.state();
    assert_eq!(guest.exception(class, iss), ExitAction::Resume);
    expected.registers.pc += 4;
    if let Some((register, value)) = register {
        expected.registers.x[register] = value;
    }
    assert_eq!(guest.state(), expected, "{class:#x} {iss:#x}");
}

/// The guest takes a synchronous exception with this ESR_EL1, and no new FAR_EL1.
pub fn taken(class: u64, iss: u64, esr: u64) {
    for (pstate, offset) in [(0x3c5, 0x200), (0x3c4, 0), (0, 0x400), (0x10, 0x600)] {
        let mut guest = Guest::new();
        guest.core().id_register = |_| u64::MAX;
        guest.scramble(class);
        guest.registers().pstate = pstate;
        let mut expected = guest.state();
        assert_eq!(guest.exception(class, iss), ExitAction::Resume);
        expected.system.elr = expected.registers.pc;
        expected.system.spsr = pstate;
        expected.system.esr = esr;
        expected.registers.pc = expected.system.vbar + offset;
        expected.registers.pstate = 0x3c5;
        assert_eq!(guest.state(), expected, "{class:#x} {iss:#x}");
    }
}

pub const UNDEFINED: u64 = 1 << 25;

#[test]
fn waits_are_stepped_over() {
    for (ti, next) in [
        (0, ExitAction::Wait),
        (1, ExitAction::Yield),
        (2, ExitAction::Yield),
        (3, ExitAction::Yield),
    ] {
        let mut guest = Guest::new();
        guest.scramble(1);
        let mut expected = guest.state();
        assert_eq!(guest.exception(WFX, 0x1e0_0000 | ti), next);
        expected.registers.pc += 4;
        assert_eq!(guest.state(), expected);
    }
}

#[test]
fn identification_registers_are_sanitised() {
    let pfr0 = SysReg::id(4, 0);
    done(SYSREG, iss(pfr0, 3, false), Some((3, 0x12)));
    done(SYSREG, iss(pfr0, 31, false), None);
    let sve = SysReg::id(4, 4);
    done(SYSREG, iss(sve, 30, false), Some((30, 0)));
    taken(SYSREG, iss(pfr0, 3, true), UNDEFINED);
}

#[test]
fn actlr_reads_as_zero_and_ignores_writes() {
    let actlr = SysReg::new(3, 0, 1, 0, 1);
    done(SYSREG, iss(actlr, 0, false), Some((0, 0)));
    done(SYSREG, iss(actlr, 0, true), None);
    done(SYSREG, iss(actlr, 31, false), None);
}

const SCTLR: SysReg = SysReg::new(3, 0, 1, 0, 0);
const OFF: u64 = 0x30d5_0838;
const ON: u64 = OFF | 5;

/// The guest writes SCTLR_EL1, and that traps; or it does cache maintenance by set and way. Returns what was cleaned, each with the
/// SCTLR_EL1 that EL2 had written by then.
fn cleaned(guest: &mut Guest, reg: SysReg, value: u64) -> Vec<(Asked, u64)> {
    guest.registers().x[7] = value;
    guest.board().recorder.watch = Some(Box::new(written_sctlr));
    let mut expected = guest.state();
    assert_eq!(
        guest.exception(SYSREG, iss(reg, 7, true)),
        ExitAction::Resume
    );
    guest.board().recorder.watch = None;
    let asked = std::mem::take(&mut guest.board().recorder.asked);
    expected.registers.pc += 4;
    if reg == SCTLR {
        expected.system.sctlr = value;
    }
    expected.system.watched = guest.core().system.watched;
    assert_eq!(guest.state(), expected);
    asked
}

fn is_watched(guest: &mut Guest) -> bool {
    guest.core().system.watched != 0
}

/// A guest whose RAM is partly absent, partly in blocks, partly in pages; and that it was cleaned as a whole.
fn with_ram() -> Guest {
    let mut guest = Guest::new();
    guest.store(UNTOUCHED, 1);
    guest.checkpoint();
    // This page and the rest of its block, in pieces.
    guest.store(UNTOUCHED, 2);
    guest.board().recorder.asked.clear();
    guest
}

fn assert_all_cleaned(guest: &mut Guest, asked: &[(Asked, u64)]) {
    let (mut bytes, mut pages) = (0, 0);
    for (asked, _) in asked {
        let Asked::CleanAndInvalidate(_, size) = asked else {
            panic!("{asked:?}");
        };
        bytes += size;
        pages += u64::from(*size == PAGE_SIZE);
    }
    // Image, tree and this one: three blocks of the four are present, and this one is divided.
    assert_eq!((bytes, pages), (3 * BLOCK_SIZE, BLOCK_SIZE / PAGE_SIZE));
    let pa = guest.board().access(Ipa(UNTOUCHED), Access::Load).unwrap();
    let page = Asked::CleanAndInvalidate(pa, PAGE_SIZE);
    assert!(asked.iter().any(|(asked, _)| *asked == page));
}

#[test]
fn caches_are_switched_on_over_memory_that_they_agree_with() {
    let mut guest = with_ram();
    for value in [OFF | 1 << 12 | 1, OFF | 4] {
        assert!(cleaned(&mut guest, SCTLR, value).is_empty());
        assert!(is_watched(&mut guest));
    }
    let asked = cleaned(&mut guest, SCTLR, ON);
    assert_all_cleaned(&mut guest, &asked);
    // SCTLR_EL1 is written when that is done.
    assert!(asked.iter().all(|(_, sctlr)| *sctlr == OFF | 4));
    assert!(!is_watched(&mut guest));
}

#[test]
fn set_way_maintenance_is_done_by_address_once_and_watched_from_then_on() {
    for reg in sysreg::SET_WAY {
        let mut guest = with_ram();
        // With its caches off from the start there is nothing to clean, and it is watched already.
        assert!(cleaned(&mut guest, reg, 0).is_empty());
        cleaned(&mut guest, SCTLR, ON);
        let asked = cleaned(&mut guest, reg, 1 << 5);
        assert_all_cleaned(&mut guest, &asked);
        for _ in 0..1000 {
            assert!(cleaned(&mut guest, reg, 2 << 5).is_empty());
        }
        // Off: what it wrote since is cleaned. On: what was brought in meanwhile goes. Both before the switch: the vCPU does not run.
        let asked = cleaned(&mut guest, SCTLR, OFF);
        assert_all_cleaned(&mut guest, &asked);
        assert!(asked.iter().all(|(_, sctlr)| *sctlr == ON));
        assert!(is_watched(&mut guest));
        let asked = cleaned(&mut guest, SCTLR, ON);
        assert_all_cleaned(&mut guest, &asked);
        assert!(asked.iter().all(|(_, sctlr)| *sctlr == OFF));
        assert!(!is_watched(&mut guest));
    }
}

#[test]
fn caches_that_were_switched_off_unseen_are_watched_again() {
    let alarm = |guest: &mut Guest| {
        guest.core().interrupts.push_back(Interrupt::Alarm);
        guest.trap(trap(TrapKind::Irq));
    };
    let store = |guest: &mut Guest| {
        let fault = guest.board().access(Ipa(DATA), Access::Store);
        guest.trap(fault.expect_err("a snapshot holds it"));
    };
    let sees: [fn(&mut Guest); 2] = [alarm, store];
    for see in sees {
        let mut guest = with_ram();
        cleaned(&mut guest, SCTLR, ON);
        // Nothing is done for one whose caches are on.
        see(&mut guest);
        assert!(!is_watched(&mut guest));
        guest.checkpoint();
        guest.core().system.sctlr = OFF;
        guest.board().recorder.asked.clear();
        see(&mut guest);
        assert!(is_watched(&mut guest));
        let cleaned_bytes = |(asked, _): &(Asked, u64)| match asked {
            Asked::CleanAndInvalidate(_, bytes) => *bytes,
            _ => 0,
        };
        let asked = guest.board().recorder.asked.iter().map(cleaned_bytes);
        assert!(asked.sum::<u64>() >= BLOCK_SIZE);
        guest.board().recorder.asked.clear();
        // So the loop over its ways that a guest does after that has been done, and its caches come on over memory that they agree with.
        assert!(cleaned(&mut guest, sysreg::SET_WAY[2], 0).is_empty());
        assert!(!cleaned(&mut guest, SCTLR, ON).is_empty());
    }
}

#[test]
fn other_registers_of_the_vm_are_written_for_the_guest() {
    let far = SysReg::new(3, 0, 6, 0, 0);
    let mut guest = Guest::new();
    guest.scramble(1);
    let mut expected = guest.state();
    assert_eq!(
        guest.exception(SYSREG, iss(far, 9, true)),
        ExitAction::Resume
    );
    expected.registers.pc += 4;
    expected.system.far = expected.registers.x[9];
    assert_eq!(guest.state(), expected);
}

#[test]
fn registers_that_the_machine_does_not_have_are_undefined() {
    let pmccntr = SysReg::new(3, 3, 9, 13, 0);
    let pmcr = SysReg::new(3, 3, 9, 12, 0);
    let icc_iar1 = SysReg::new(3, 0, 12, 12, 0);
    for reg in [pmccntr, pmcr, icc_iar1] {
        for write in [false, true] {
            taken(SYSREG, iss(reg, 4, write), UNDEFINED);
        }
    }
}

#[test]
fn classes_that_nobody_knows_are_undefined() {
    for class in 0..64 {
        let known = [0x01, 0x0e, 0x16, 0x17, 0x18, 0x20, 0x24, 0x2f];
        if !known.contains(&class) {
            taken(class, 0x1ff_ffff, UNDEFINED);
        }
    }
}

#[test]
fn an_illegal_state_is_told_to_the_guest() {
    taken(ILLEGAL_STATE, 0, 0x3a00_0000);
}

fn trap(kind: TrapKind) -> Trap {
    Trap {
        kind,
        // What was left from the trap before: an HVC.
        esr: 0x16 << 26 | 1 << 25 | 1,
        far: 0,
        hpfar: 0,
    }
}

#[test]
fn an_serror_is_the_guests() {
    let mut guest = Guest::new();
    guest.scramble(1);
    let mut expected = guest.state();
    assert_eq!(guest.trap(trap(TrapKind::SError)), ExitAction::Resume);
    expected.system.serror = 1;
    assert_eq!(guest.state(), expected);

    let mut guest = Guest::new();
    guest.scramble(1);
    assert_eq!(guest.exception(SERROR, 0x11), ExitAction::Resume);
    assert_eq!(guest.state(), expected);
}

#[test]
fn a_pending_serror_belongs_to_a_snapshot() {
    let mut guest = Guest::new();
    guest.checkpoint();
    guest.trap(trap(TrapKind::SError));
    guest.restore(LATEST, 1);
    assert_eq!(guest.core().system.serror, 0);
    guest.trap(trap(TrapKind::SError));
    let with_error = guest.checkpoint();
    guest.scramble(1);
    guest.restore(with_error, 1);
    assert_eq!(guest.core().system.serror, 1);
}

#[test]
fn an_interrupt_that_is_gone_already_changes_nothing() {
    for kind in [TrapKind::Irq, TrapKind::Fiq] {
        let mut guest = Guest::new();
        guest.scramble(1);
        let before = guest.state();
        for _ in 0..3 {
            assert_eq!(guest.trap(trap(kind)), ExitAction::Resume);
        }
        assert_eq!(guest.state(), before);
        assert_eq!(guest.smccc(STATS, &[])[0], 0, "and no checkpoint");
    }
}
