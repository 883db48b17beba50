//! PSCI: off, reset, and what there is not with one vCPU.

use super::guest::*;
use super::logged::logged;
use crate::arch::vcpu::{Registers, Trap, TrapKind};
use crate::fake::System;
use crate::hvc::ids;
use crate::vm::ExitAction;
use std::boxed::Box;

const CPU_OFF: u64 = ids::PSCI_CPU_OFF.0 as u64;
const SYSTEM_OFF: u64 = ids::PSCI_SYSTEM_OFF.0 as u64;
const SYSTEM_RESET: u64 = ids::PSCI_SYSTEM_RESET.0 as u64;
const SYSTEM_RESET2: u64 = ids::PSCI_SYSTEM_RESET2_64.0 as u64;
const CPU_ON: u64 = ids::PSCI_CPU_ON_64.0 as u64;
const CPU_SUSPEND: u64 = ids::PSCI_CPU_SUSPEND_64.0 as u64;
const AFFINITY_INFO: u64 = ids::PSCI_AFFINITY_INFO_64.0 as u64;

fn call(guest: &mut Guest, function: u64) -> ExitAction {
    guest.registers().x[..3].copy_from_slice(&[function, 0, 0]);
    guest.hvc(0)
}

#[test]
fn what_comes_after_each_call() {
    for (function, off) in [
        (SYSTEM_OFF, true),
        (CPU_OFF, true),
        (SYSTEM_RESET, false),
        (SYSTEM_RESET2, false),
        (0xffff_0000_0000_0000 | SYSTEM_OFF, true),
    ] {
        let mut guest = Guest::new();
        let next = if off {
            ExitAction::Put
        } else {
            ExitAction::Resume
        };
        assert_eq!(call(&mut guest, function), next, "{function:#x}");
        assert_eq!(guest.vm.is_off(), off);
    }
}

#[test]
fn a_suspended_cpu_waits_and_has_success() {
    let mut guest = Guest::new();
    guest.scramble(1);
    let mut expected = guest.state();
    assert_eq!(call(&mut guest, CPU_SUSPEND), ExitAction::Wait);
    expected.registers.pc += 4;
    expected.registers.x[..3].copy_from_slice(&[0, 0, 0]);
    assert_eq!(guest.state(), expected);
}

#[test]
fn there_is_one_cpu_and_it_is_on() {
    let mut guest = Guest::new();
    guest.scramble(1);
    let x3 = guest.registers().x[3];
    let entry = RAM + 0x8_0000;
    let refused = |code: i64, x1| [code as u64, x1, entry, x3];
    assert_eq!(guest.smccc(CPU_ON, &[0, entry]), refused(-4, 0));
    for nobody in [1, 0x100, 1 << 32, u64::MAX] {
        assert_eq!(guest.smccc(CPU_ON, &[nobody, entry]), refused(-2, nobody));
    }
    assert_eq!(guest.smccc(AFFINITY_INFO, &[0, 0])[0], 0, "on");
    assert_eq!(guest.smccc(AFFINITY_INFO, &[1, 0])[0], -2i64 as u64);
    assert_eq!(guest.smccc(CPU_SUSPEND, &[1 << 31])[0], -2i64 as u64);
    assert_eq!(guest.smccc(SYSTEM_RESET2, &[1 << 31])[0], -2i64 as u64);
}

#[test]
fn a_vm_runs_until_it_is_off() {
    for last in [SYSTEM_OFF, CPU_OFF] {
        let mut guest = Guest::new();
        for function in [CHECKPOINT, STATS, last] {
            let step = move |registers: &mut Registers| {
                registers.x[..3].copy_from_slice(&[function, 0, 0]);
                registers.pc += 4;
                Trap {
                    kind: TrapKind::Sync,
                    esr: 0x16 << 26 | 1 << 25,
                    far: 0,
                    hpfar: 0,
                }
            };
            guest.core().script.push_back(Box::new(step));
        }
        let next = guest.on_core(|running, core| running.run(&[], core));
        assert_eq!(next, ExitAction::Put);
        assert!(guest.core().script.is_empty(), "it stopped too early");
        assert!(guest.vm.is_off());
    }
}

#[test]
fn a_reset_vm_is_as_it_was_in_the_beginning() {
    let mut guest = Guest::new();
    let beginning = guest.state();
    let tree = guest.bytes(RAM, 0x400);
    guest.scramble(1);
    let system = guest.core().system;
    guest.core().system = System {
        serror: 1,
        ..system
    };
    guest.board().typed.extend(*b"kept");
    for at in [RAM, RAM + 0x8_0000, DATA, UNTOUCHED, RAM + RAM_SIZE - 1] {
        guest.store(at, 0xee);
    }
    let lines = logged(|| {
        call(&mut guest, SYSTEM_RESET);
    });
    assert!(lines.iter().any(|line| line == "INFO: test: reset"));
    assert_eq!(guest.state(), beginning);
    // What was typed is not taken back.
    assert_eq!(guest.board().typed, b"kept");
    assert_eq!(guest.bytes(RAM + 0x8_0000, IMAGE.len()), IMAGE);
    assert_eq!(guest.bytes(RAM, 0x400), tree);
    for at in [DATA, UNTOUCHED, RAM + RAM_SIZE - 1] {
        assert_eq!(guest.load(at), 0, "{at:#x}");
    }
}

#[test]
fn snapshots_outlive_a_reset() {
    let mut guest = Guest::new();
    guest.scramble(1);
    guest.store(DATA, 10);
    guest.store(RAM + 0x8_0000, 0xee);
    let before = guest.checkpoint();
    let state = guest.state();
    guest.scramble(2);
    guest.store(DATA, 20);
    call(&mut guest, SYSTEM_RESET);
    assert_eq!(guest.load(DATA), 0);
    guest.store(DATA, 30);
    let after = guest.checkpoint();
    assert_eq!(
        guest.smccc(INFO, &[after])[..2],
        [0, LATEST],
        "a new beginning has no parent"
    );
    assert_eq!(guest.smccc(NEXT, &[0])[0], before);

    guest.restore(before, 5);
    let mut expected = state;
    expected.registers.x[1] = 5;
    assert_eq!(guest.state(), expected);
    assert_eq!((guest.load(DATA), guest.load(RAM + 0x8_0000)), (10, 0xee));
    guest.restore(after, 1);
    assert_eq!(guest.load(DATA), 30);
    assert_eq!(guest.bytes(RAM + 0x8_0000, IMAGE.len()), IMAGE);
}

#[test]
fn a_reset_gives_back_what_no_snapshot_holds() {
    let mut guest = Guest::new();
    let [.., free] = guest.smccc(STATS, &[]);
    for _ in 0..30 {
        for at in [DATA, UNTOUCHED, RAM + RAM_SIZE - 1] {
            guest.store(at, 0xee);
        }
        call(&mut guest, SYSTEM_RESET);
    }
    assert_eq!(guest.smccc(STATS, &[]), [0, 0, 0, free]);
}
