//! PSCI: off, reset, and what there is not with one vCPU.

use super::guest::*;
use super::logged::logged;
use crate::arch::fake::System;
use crate::arch::vcpu::{Registers, Trap, TrapKind};
use crate::device::Devices;
use crate::vm::Next;
use std::boxed::Box;

const CPU_OFF: u64 = 0x8400_0002;
const SYSTEM_OFF: u64 = 0x8400_0008;
const SYSTEM_RESET: u64 = 0x8400_0009;
const SYSTEM_RESET2: u64 = 0xc400_0012;
const CPU_ON: u64 = 0xc400_0003;
const CPU_SUSPEND: u64 = 0xc400_0001;
const AFFINITY_INFO: u64 = 0xc400_0004;

fn call(guest: &mut Guest, function: u64) -> Next {
    guest.registers().x[..3].copy_from_slice(&[function, 0, 0]);
    guest.hvc(0)
}

#[test]
fn what_comes_after_each_call() {
    let mut guest = Guest::new();
    for (function, next) in [
        (SYSTEM_OFF, Next::Stop),
        (CPU_OFF, Next::Stop),
        (SYSTEM_RESET, Next::Reset),
        (SYSTEM_RESET2, Next::Reset),
        (0xffff_0000_0000_0000 | SYSTEM_OFF, Next::Stop),
    ] {
        assert_eq!(call(&mut guest, function), next, "{function:#x}");
    }
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
    assert_eq!(guest.smccc(CPU_SUSPEND, &[0])[0], 0, "it woke at once");
    assert_eq!(guest.smccc(CPU_SUSPEND, &[1 << 31])[0], -2i64 as u64);
    assert_eq!(guest.smccc(SYSTEM_RESET2, &[1 << 31])[0], -2i64 as u64);
}

/// Lets the guest call `functions` one after the other, and the VM run until it is off.
fn run(guest: &mut Guest, functions: &[u64]) {
    for &function in functions {
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
    guest.vm.run().unwrap();
    assert!(guest.core().script.is_empty(), "it stopped too early");
}

#[test]
fn a_vm_runs_until_it_is_off() {
    let mut guest = Guest::new();
    run(&mut guest, &[CHECKPOINT, STATS, SYSTEM_OFF]);
    run(&mut guest, &[CPU_OFF]);
}

#[test]
fn a_reset_vm_is_as_it_was_in_the_beginning() {
    let mut guest = Guest::new();
    let beginning = guest.state();
    let tree = guest.bytes(RAM, 0x400);
    guest.scramble(1);
    let system = guest.core().system();
    guest.core().set_system(System {
        serror: 1,
        ..system
    });
    guest.core().typed.extend(*b"kept");
    for at in [RAM, RAM + 0x8_0000, DATA, UNTOUCHED, RAM + RAM_SIZE - 1] {
        guest.store(at, 0xee);
    }
    let lines = logged(|| run(&mut guest, &[SYSTEM_RESET, SYSTEM_OFF]));
    assert!(lines.iter().any(|line| line == "INFO: test: reset"));
    let mut expected = beginning;
    // By its last call.
    expected.registers.pc += 4;
    expected.registers.x[..3].copy_from_slice(&[SYSTEM_OFF, 0, 0]);
    assert_eq!(guest.state(), expected);
    assert_eq!(guest.state().devices, Devices::default());
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
    run(&mut guest, &[SYSTEM_RESET, SYSTEM_OFF]);
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
        run(&mut guest, &[SYSTEM_RESET, SYSTEM_OFF]);
    }
    assert_eq!(guest.smccc(STATS, &[]), [0, 0, 0, free]);
}
