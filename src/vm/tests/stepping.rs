//! RUN of one instruction: whatever becomes of that, it is told once, and the guest does not notice.

use super::control::*;
use super::debugging::*;
use super::guest::*;
use super::instructions::{SYSREG, iss};
use super::reach::{INVALID, NOW, REGISTERS, TEXT, registers_at};
use super::scheduling::Quiet;
use super::smp::{AFFINITY_INFO, CPU_OFF, CPU_ON, ENTRY, SYSTEM_OFF, SYSTEM_RESET};
use crate::fake::{FakeCore, STEP, System};
use crate::trap::sysreg::SysReg;
use crate::vm::schedule::Scheduler;
use crate::vm::vcpu::RunState;
use crate::vm::{ExitAction, Interrupt};
use std::boxed::Box;
use std::vec;
use std::vec::Vec;

/// What a step of vCPU 0 returns, and the target's registers then.
fn stepped(instruction: &[Does]) -> ([u64; 4], u64, u64) {
    let vms = pair();
    let played = results(vms, &[&[step(0)], instruction].concat());
    let (who, x) = *played.last().unwrap();
    assert_eq!(who, 0);
    assert_eq!(played.len(), 1 + instruction.len());
    let vcpu = vms[1].vcpus[0].lock();
    assert_eq!(vcpu.registers.pstate & SS, 0, "{instruction:x?}");
    assert_eq!(vcpu.system.spsr & SS, 0, "{instruction:x?}");
    (x, vcpu.registers.pc, vcpu.system.elr)
}

const STEPPED: [u64; 4] = [DEBUG, 0, STEP.esr, 0];

#[test]
fn one_instruction_is_executed_whatever_becomes_of_it() {
    let hole = Stores(HOLE, 0);
    let ttbr = SysReg::new(3, 0, 2, 0, 0);
    for (instruction, pc, elr) in [
        // By the CPU, by EL2 in its place, and with a fault that is none of its business.
        (vec![Steps], TEXT + 4, 0),
        (vec![Calls(0x8400_0000, [0; 3])], TEXT + 4, 0),
        (vec![Calls(NOT_SUPPORTED, [0; 3])], TEXT + 4, 0),
        (vec![Traps(SYSREG, iss(ttbr, 4, true))], TEXT + 4, 0),
        (vec![Stores(0x0900_0024, 1)], TEXT + 4, 0),
        (vec![Stores(DATA, 1), Steps], TEXT + 4, 0),
        (vec![Stores(UNTOUCHED, 1), Steps], TEXT + 4, 0),
        (
            vec![
                Computes(1, Interrupt::Alarm),
                Computes(1, Interrupt::Kick),
                Steps,
            ],
            TEXT + 4,
            0,
        ),
        // With an exception of its own.
        (vec![hole], 0x200, TEXT),
        (vec![Traps(0x0e, 0)], 0x200, TEXT),
        (vec![Traps(BRK, 1)], 0x200, TEXT),
        // It waits, and is not waited for.
        (vec![Waits], TEXT + 4, 0),
    ] {
        let (told, at, from) = stepped(&instruction);
        assert_eq!((told, at, from), (STEPPED, pc, elr), "{instruction:x?}");
    }
}

#[test]
fn what_else_stops_the_target_is_told_in_place_of_the_step() {
    let (told, pc, _) = stepped(&[Calls(EVENT, [4, 5, 6])]);
    assert_eq!((told, pc), ([0, 4, 5, 6], TEXT + 4));
    let vms = pair();
    let steps = [
        step(0),
        Calls(SYSTEM_RESET, [0; 3]),
        step(0),
        Steps,
        step(0),
        Calls(SYSTEM_OFF, [0; 3]),
        step(0),
        RUN_IT,
    ];
    let played = results(vms, &steps);
    let told: Vec<_> = [1, 3, 5, 6, 7].map(|i| played[i].1[0]).into();
    assert_eq!(told, [RESET, DEBUG, OFF, OFF, OFF]);
}

#[test]
fn the_others_stand_meanwhile() {
    let vms = three();
    let mut core = debugger();
    let sgi_to_all = Stores(super::interrupts::GICD + 0xf00, 1 << 24);
    let steps = [
        step(1),
        Steps,
        step(2),
        sgi_to_all,
        step(2),
        Computes(3 * crate::vm::budget::SLICE, Interrupt::Alarm),
        Steps,
        Calls(STOP, [0; 3]),
        END,
    ];
    let desk = Quiet::default();
    let played = {
        let mut all = Vec::new();
        for &step in &steps {
            core.script.push_back(Box::new(move |registers| match step {
                Computes(counts, _) => {
                    crate::fake::set_count(
                        <FakeCore as crate::vm::Core>::physical_count() + counts,
                    );
                    Computes(0, Interrupt::Alarm).done(registers)
                }
                other => other.done(registers),
            }));
        }
        core.interrupts.push_back(Interrupt::Alarm);
        core.ran.clear();
        let mut scheduler = Scheduler::new(&mut core, vms, &desk);
        while !scheduler.core.script.is_empty() {
            scheduler.schedule_once();
        }
        all.append(&mut core.ran);
        all
    };
    let of_target: Vec<_> = played.iter().filter(|(vm, _)| *vm == 1).collect();
    assert_eq!(
        of_target.iter().map(|(_, vcpu)| *vcpu).collect::<Vec<_>>(),
        [1, 2, 2, 2]
    );
}

#[test]
fn a_vcpu_that_goes_off_has_made_its_step() {
    let vms = three();
    let steps = [
        step(1),
        Calls(CPU_OFF, [0; 3]),
        step(1),
        step(0),
        Calls(AFFINITY_INFO, [1, 0, 0]),
        step(0),
        Calls(CPU_ON, [1, ENTRY, 0]),
        step(1),
        Steps,
    ];
    let played = results(vms, &steps);
    assert_eq!(played[1].1, [DEBUG, 1, STEP.esr, 0]);
    assert_eq!(played[2].1[0], INVALID, "it is off");
    assert_eq!(played[4].1, [DEBUG, 0, STEP.esr, 0]);
    assert_eq!(played[8].1, [DEBUG, 1, STEP.esr, 0]);
    assert_eq!(vms[1].vcpus[1].lock().registers.pc, ENTRY + 4);
    for vcpu in [3, 4, u64::MAX - 1] {
        let played = {
            play_again(vms);
            results(vms, &[step(vcpu)])
        };
        assert_eq!(played[0].1[0], INVALID, "{vcpu}");
    }
}

#[test]
fn one_in_a_wait_leaves_it_for_the_step() {
    let vm = &pair()[1];
    let mut core = debugger();
    let run = |core: &mut FakeCore, step| {
        let told = vm.run(&mut vm.shared.lock(), core, None, step);
        assert_eq!(told, None);
    };
    run(&mut core, None);
    core.script
        .push_back(Box::new(|registers| Waits.done(registers)));
    let mut loaded = vm.load(&mut core, 0).unwrap();
    assert_eq!(loaded.step(&mut core), ExitAction::Wait);
    loaded.put(&mut core);
    vm.stop(&mut vm.shared.lock(), &mut core, None, None);
    assert_eq!(vm.vcpus[0].run_state(), RunState::Waiting);
    run(&mut core, Some(0));
    assert_eq!(vm.vcpus[0].run_state(), RunState::Ready);
    assert!(vm.is_runnable(0));
}

/// A step that the limit ends before it is made leaves nothing behind.
#[test]
fn what_is_left_of_a_step_is_nothing_to_the_guest() {
    let vms = pair();
    let steps = [
        Calls(RUN, [0, 1, 1]),
        Computes(1 << 20, Interrupt::Alarm),
        Does::Reaches(REGISTERS, [0, NOW, 0, DATA, 2048]),
        Calls(CHECKPOINT_OF, [0; 3]),
        RUN_IT,
        // As it is not being stepped any more, no exception comes of it.
        Calls(EVENT, [1, 1, 1]),
        TakesBack(4),
        RUN_IT,
        Calls(EVENT, [2, 2, 2]),
    ];
    let played = results(vms, &steps);
    assert_eq!(played[1].1[0], LIMIT);
    assert_eq!(registers_at(&vms[0], DATA).registers.pstate & SS, 0);
    assert_eq!(played[5], (0, [0, 1, 1, 1]));
    assert_eq!(played.last().unwrap().1, [0, 2, 2, 2]);
    let vcpu = vms[1].vcpus[0].lock();
    assert_eq!(vcpu.registers.pstate & SS, 0, "nor in the snapshot");
    assert!(!vcpu.debug.is_caught());
}

/// An interrupt in place of the instruction: the CPU leaves PSTATE.SS in SPSR_EL1.
#[test]
fn a_step_into_a_handler_leaves_no_trace_in_spsr() {
    const VBAR: u64 = RAM + 0x800;
    for (elr, at, spsr) in [
        (TEXT, VBAR + 0x280, 0x3c5),
        (TEXT, VBAR + 0x780, 0x3c5),
        // Others: what the guest has in SPSR_EL1 is its own.
        (TEXT, VBAR + 0x284, 0x3c5 | SS),
        (TEXT, VBAR + 0x800, 0x3c5 | SS),
        (TEXT + 4, VBAR + 0x280, 0x3c5 | SS),
        (TEXT, TEXT + 4, 0x3c5 | SS),
    ] {
        let vms = pair();
        let mut core = debugger();
        let vm = &vms[1];
        let mut shared = vm.shared.lock();
        assert_eq!(vm.run(&mut shared, &mut core, None, Some(0)), None);
        drop(shared);
        let mut loaded = vm.load(&mut core, 0).unwrap();
        assert_ne!(loaded.vcpu.registers.pstate & SS, 0);
        core.system = System {
            vbar: VBAR,
            elr,
            spsr: 0x3c5 | SS,
            ..core.system
        };
        core.script.push_back(Box::new(move |registers| {
            registers.pc = at;
            registers.pstate &= !SS;
            STEP
        }));
        assert_eq!(loaded.step(&mut core), ExitAction::Put);
        assert_eq!(core.system.spsr, spsr, "{at:#x}");
        loaded.put(&mut core);
        assert!(vm.has_news());
    }
}
