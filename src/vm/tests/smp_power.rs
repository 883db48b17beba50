//! PSCI with several vCPUs.

use super::guest::*;
use super::logged::logged;
use super::smp::*;
use crate::addr::Ipa;
use crate::arch::vcpu::Registers;
use crate::fake::System;
use crate::snapshot::{Backend, Reach};
use crate::vm::ExitAction;
use crate::vm::vcpu::RunState::{Off, Ready};

const ALREADY_ON: u64 = -4i64 as u64;
const INVALID_PARAMETERS: u64 = -2i64 as u64;
const INVALID_ADDRESS: u64 = -9i64 as u64;

#[test]
fn one_that_is_turned_on_starts_where_it_was_told() {
    let mut smp = Smp::new(3);
    assert_eq!(smp.phases(), [Ready, Off, Off]);
    assert!(!smp.load(2), "it is off");
    smp.scramble(2, 1);
    assert_eq!(smp.ask(0, CPU_ON, &[2, ENTRY, 77]), 0);
    assert_eq!(smp.phases(), [Ready, Off, Ready]);
    assert_eq!(smp.cores[0].kicked, [2]);
    let on = smp.saved(2);
    assert_eq!(on.registers, Registers::reset(ENTRY, 77));
    assert_eq!((on.system, on.interface), (System::RESET, [0; 2]));
    assert_eq!((on.timer, on.run_state), (Default::default(), Ready));
    assert!(smp.load(2));
    let vcpu = smp.cores[2].vcpu.unwrap();
    assert_eq!((vcpu.vm, vcpu.vcpu), (0, 2));
    assert_eq!(vcpu.root, smp.vm.shared.lock().memory.stage2.root());
}

#[test]
fn refusals_change_nothing() {
    let mut smp = Smp::new(3);
    smp.ask(0, CPU_ON, &[1, ENTRY, 0]);
    smp.cores[0].kicked.clear();
    let before = (smp.saved(1), smp.saved(2));
    for (target, entry, refusal) in [
        (0, ENTRY, ALREADY_ON),
        (1, ENTRY, ALREADY_ON),
        (3, ENTRY, INVALID_PARAMETERS),
        (1 << 8, ENTRY, INVALID_PARAMETERS),
        (1 << 32 | 1, ENTRY, INVALID_PARAMETERS),
        (2, RAM - 4, INVALID_ADDRESS),
        (2, RAM + RAM_SIZE, INVALID_ADDRESS),
        (2, ENTRY + 2, INVALID_ADDRESS),
        (2, 0x0900_0000, INVALID_ADDRESS),
    ] {
        assert_eq!(
            smp.ask(0, CPU_ON, &[target, entry, 5]),
            refusal,
            "{target:#x} {entry:#x}"
        );
    }
    assert_eq!((smp.saved(1), smp.saved(2)), before);
    assert!(smp.cores[0].kicked.is_empty());
}

#[test]
fn affinity_info_says_who_is_on() {
    let mut smp = Smp::new(3);
    smp.ask(0, CPU_ON, &[1, ENTRY, 0]);
    let info = |smp: &mut Smp| [0, 1, 2, 3].map(|vcpu| smp.ask(0, AFFINITY_INFO, &[vcpu, 0]));
    assert_eq!(info(&mut smp), [0, 0, 1, INVALID_PARAMETERS]);
    assert!(smp.load(1));
    assert_eq!(smp.wfi(1), ExitAction::Wait);
    assert_eq!(info(&mut smp)[1], 0, "one that waits is on");
    assert_eq!(smp.call(1, CPU_OFF, &[]), ExitAction::Put);
    assert_eq!(info(&mut smp)[1], 1, "before it is saved, too");
}

#[test]
fn one_that_is_off_can_be_turned_on_again() {
    let mut smp = Smp::all_on(2);
    assert!(smp.load(0) && smp.load(1));
    assert_eq!(smp.call(1, CPU_OFF, &[]), ExitAction::Put);
    assert!(!smp.vm.is_off(), "the other one runs");
    smp.save(1);
    assert_eq!(smp.phases(), [Ready, Off]);
    assert!(!smp.load(1));
    assert_eq!(smp.ask(0, CPU_ON, &[1, ENTRY + 8, 9]), 0);
    assert!(smp.load(1));
    assert_eq!(*smp.registers(1), Registers::reset(ENTRY + 8, 9));
}

#[test]
fn the_last_one_off_ends_the_vm() {
    for last in [0, 1] {
        let mut smp = Smp::all_on(3);
        for vcpu in [2, 1 - last] {
            assert!(smp.load(vcpu));
            assert_eq!(smp.call(vcpu, CPU_OFF, &[]), ExitAction::Put);
            smp.save(vcpu);
            assert!(!smp.vm.is_off());
        }
        assert!(smp.load(last));
        let lines = logged(|| assert_eq!(smp.call(last, CPU_OFF, &[]), ExitAction::Put));
        assert_eq!(
            lines,
            ["INFO: test: its last vCPU is off", "INFO: test: off"]
        );
        smp.save(last);
        assert!(smp.vm.is_off());
        assert_eq!(smp.phases(), [Off; 3]);
        assert!((0..3).all(|vcpu| !smp.load(vcpu)));
    }
}

#[test]
fn anyone_may_switch_the_vm_off() {
    for (who, others) in [(0, [1, 2]), (2, [0, 1])] {
        let mut smp = Smp::all_on(3);
        smp.beside(&others, |smp| {
            assert!(smp.load(who));
            assert_eq!(smp.call(who, SYSTEM_OFF, &[]), ExitAction::Put);
            smp.save(who);
        });
        assert!(smp.vm.is_off());
        assert_eq!(smp.phases(), [Off; 3]);
    }
}

#[test]
fn anyone_may_reset_the_vm_and_then_vcpu_0_starts_again_alone() {
    for who in [0, 1, 2] {
        let mut smp = Smp::new(3);
        smp.save(0);
        let beginning = smp.saved(0);
        assert!(smp.load(0));
        for vcpu in [1, 2] {
            smp.ask(0, CPU_ON, &[vcpu, ENTRY, 0]);
        }
        smp.save(0);
        smp.scramble_all(1);
        let others: std::vec::Vec<usize> = (0..3).filter(|&vcpu| vcpu != who).collect();
        smp.beside(&others, |smp| {
            assert!(smp.load(who));
            let next = if who == 0 {
                ExitAction::Resume
            } else {
                ExitAction::Put
            };
            assert_eq!(smp.call(who, SYSTEM_RESET, &[]), next);
            smp.save(who);
        });
        assert!(!smp.vm.is_off());
        assert_eq!(smp.phases(), [Ready, Off, Off], "{who}");
        assert_eq!(smp.saved(0), beginning, "{who}");
        assert!(smp.load(0) && !smp.load(1) && !smp.load(2));
        assert_eq!(smp.vm.virtual_count(), 0);
    }
}

#[test]
fn memory_is_the_images_after_a_reset() {
    let mut smp = Smp::all_on(2);
    let state = |smp: &Smp| {
        let shared = smp.vm.shared.lock();
        let page = shared.memory.stage2.page_at(Ipa(UNTOUCHED)).unwrap();
        (page, shared.memory.mapping(page))
    };
    let (page, before) = state(&smp);
    while !smp.vm.shared.lock().fault_in(page, true, Reach::Around) {}
    assert_ne!(state(&smp).1, before);
    assert!(smp.load(1));
    assert_eq!(smp.call(1, SYSTEM_RESET, &[]), ExitAction::Put);
    assert_eq!(state(&smp).1, before);
}
