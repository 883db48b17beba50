//! A guest that steps itself, under a controller that has its instructions executed one by one: neither loses a step, and no step of the guest's comes
//! without its instruction.

use super::control::*;
use super::debugging::*;
use super::guest::*;
use super::reach::{NOW, REGISTERS, TEXT, registers_at};
use crate::fake::{FakeBoard, STEP};
use crate::hvc::ids;
use crate::trap::sysreg::DebugRegister;
use crate::vm::vcpu::{RunState, Vcpu};
use crate::vm::{Interrupt, Vm};
use std::vec::Vec;

const VBAR: u64 = RAM + 0x800;
/// PSTATE of EL0, and of a handler of EL1.
const EL0: u64 = 0;
const HANDLER: u64 = 0x3c5;
/// MDSCR_EL1.SS.
const STEPS_ITSELF: u64 = 1;
/// ESR_EL1 of a software step from EL0, without ISV.
const OWN_STEP: u64 = 0x32 << 26 | 1 << 25 | 0x22;
const SET_REGISTERS: u64 = ids::SET_REGISTERS.0 as u64;

type Target = Vcpu<crate::fake::System>;

/// A controller, and a target that steps itself, about to execute this.
fn stepping(pc: u64, pstate: u64, change: impl FnOnce(&mut Target)) -> &'static [Vm<FakeBoard>] {
    let vms = pair();
    let vcpu = &mut *vms[1].vcpus[0].lock();
    vcpu.debug.write(DebugRegister::OsLockAccess, 0);
    vcpu.debug.write(DebugRegister::Mdscr, STEPS_ITSELF);
    (vcpu.registers.pc, vcpu.registers.pstate) = (pc, pstate);
    vcpu.system.vbar = VBAR;
    change(vcpu);
    vms
}

/// The target's pc, PSTATE.SS, ESR_EL1, ELR_EL1 and SPSR_EL1.SS.
fn state(vms: &[Vm<FakeBoard>]) -> (u64, bool, u64, u64, bool) {
    let vcpu = vms[1].vcpus[0].lock();
    (
        vcpu.registers.pc,
        vcpu.registers.pstate & SS != 0,
        vcpu.system.esr,
        vcpu.system.elr,
        vcpu.system.spsr & SS != 0,
    )
}

const STEPPED: (usize, [u64; 4]) = (0, [DEBUG, 0, STEP.esr, 0]);

#[test]
fn its_step_comes_behind_the_instruction_that_its_controller_stepped() {
    // The controller goes on by another step, or lets it run: an EVENT in the handler.
    let vms = stepping(TEXT, EL0 | SS, |_| ());
    let played = results(vms, &[step(0), Steps, step(0)]);
    assert_eq!([played[0].0, played[1].0], [1, 0]);
    assert_eq!([played[1], played[2]], [STEPPED; 2]);
    let taken = (VBAR + 0x400, false, OWN_STEP, TEXT + 4, false);
    assert_eq!(state(vms), taken, "in place of the instruction");

    let vms = stepping(TEXT, EL0 | SS, |_| ());
    let steps = [step(0), Steps, RUN_IT, Calls(EVENT, [1, 2, 3])];
    let played = results(vms, &steps);
    assert_eq!(played.last().unwrap().1, [0, 1, 2, 3]);
    let taken = (VBAR + 0x404, false, OWN_STEP, TEXT + 4, false);
    assert_eq!(state(vms), taken);
}

#[test]
fn what_comes_in_place_of_the_instruction_saves_its_step() {
    for (instruction, vector) in [
        (Stores(HOLE, 0), 0x400),
        (Traps(0x0e, 0), 0x400),
        (Traps(BRK, 1), 0x400),
    ] {
        for ss in [0, SS] {
            let vms = stepping(TEXT, EL0 | ss, |vcpu| {
                if ss == 0 {
                    vcpu.debug.write(DebugRegister::Mdscr, 0);
                }
            });
            let played = results(vms, &[step(0), instruction]);
            assert_eq!(played.len(), 2);
            let (pc, own, _, elr, spsr) = state(vms);
            assert_eq!((pc, own, elr), (VBAR + vector, false, TEXT));
            assert_eq!(spsr, ss != 0, "{instruction:x?}");
        }
    }
}

/// With the controller's step EL1 is stepped, too, so that the CPU has 0 behind the ERET (`DebugExceptionReturnSS`).
#[test]
fn an_eret_that_the_controller_steps_takes_its_step_along() {
    for ss in [0, SS] {
        let vms = stepping(TEXT, HANDLER, |vcpu| {
            (vcpu.system.elr, vcpu.system.spsr) = (TEXT + 0x100, EL0 | ss);
        });
        let eret = Does::StepsTo(TEXT + 0x100, EL0);
        assert_eq!(results(vms, &[step(0), eret])[1], STEPPED);
        assert_eq!(
            state(vms),
            (TEXT + 0x100, ss != 0, 0, TEXT + 0x100, ss != 0)
        );
    }
}

/// A step that is over before its instruction was executed, or whose instruction was executed and nothing told yet.
#[test]
fn what_else_meets_its_step_leaves_it_as_it_is() {
    let limit = Calls(RUN, [0, 1, 1]);
    for ss in [0, SS] {
        let vms = stepping(TEXT, EL0 | ss, |_| ());
        // With its own exception pending nothing is executed before that: the limit is over at once.
        let mut steps = Vec::from([Calls(RUN, [0, 1, 0]), Computes(1 << 20, Interrupt::Alarm)]);
        if ss != 0 {
            steps.extend([
                limit,
                Computes(1 << 20, Interrupt::Alarm),
                Does::Reaches(REGISTERS, [0, NOW, 0, DATA, 2048]),
                Calls(CHECKPOINT_OF, [0; 3]),
                Does::Reaches(SET_REGISTERS, [0, 0, DATA, 2048, 0]),
                TakesBack(6),
                step(0),
                Steps,
                TakesBack(6),
                RUN_IT,
                Calls(EVENT, [7, 7, 7]),
            ]);
        }
        let played = results(vms, &steps);
        if ss == 0 {
            assert_eq!(state(vms).0, VBAR + 0x400);
            continue;
        }
        assert_eq!(played[3].1[0], LIMIT);
        assert_eq!(registers_at(&vms[0], DATA).registers.pstate & SS, SS);
        assert_eq!(played[9].1, STEPPED.1);
        assert_eq!(played.last().unwrap().1, [0, 7, 7, 7]);
        // An HVC is an instruction: it was executed, and the exception is pending behind it.
        assert_eq!(state(vms), (TEXT + 4, false, 0, 0, false));
    }
}

/// While anything is caught its step does not act; then it begins anew.
#[test]
fn a_step_that_did_not_act_comes_behind_an_instruction() {
    let vms = stepping(TEXT, EL0 | SS, |_| ());
    let steps = [
        Calls(CATCH, [0, HARDWARE, 0]),
        Calls(RUN, [0, 1, 0]),
        Computes(1 << 20, Interrupt::Alarm),
        Calls(CATCH, [0, 0, 0]),
        step(0),
        Steps,
        step(0),
    ];
    let played = results(vms, &steps);
    assert_eq!(played[2].1[0], LIMIT);
    assert_eq!((played[4].0, played[6]), (1, STEPPED));
    assert_eq!(state(vms), (VBAR + 0x400, false, OWN_STEP, TEXT + 4, false));
}

/// The step of another vCPU that was not made is over when the next one begins.
#[test]
fn a_step_that_was_not_made_is_none_of_the_next_ones() {
    let vms = three();
    let steps = [
        Calls(RUN, [0, 1, 2]),
        Computes(1 << 20, Interrupt::Alarm),
        step(2),
        Steps,
    ];
    results(vms, &steps);
    let vcpu = vms[1].vcpus[1].lock();
    assert_eq!(vcpu.registers.pstate & SS, 0);
    assert!(!vcpu.debug.is_caught());
}

/// A target that waits in a RUN of its own: RUN is interrupted, as an interrupt would do.
#[test]
fn a_step_ends_a_run_of_the_targets_own() {
    let middle = crate::config::VmConfig {
        controls: &[2],
        ..CONTROLLED
    };
    let last = crate::config::VmConfig {
        name: "last",
        controlled_by: Some(1),
        ..CONTROLLED
    };
    let vms = super::scheduling::vms([CONTROLLER, middle, last].into(), |vm, _| vm / 2);
    let steps = [
        step(0),
        RUN_IT,
        // It waits, and has executed nothing yet.
        Does::Reaches(REGISTERS, [0, NOW, 0, DATA, 2048]),
        step(0),
        Does::Reaches(REGISTERS, [0, NOW, 0, DATA + 0x1000, 2048]),
        step(0),
        Steps,
    ];
    let played = results(vms, &steps);
    let who: Vec<_> = played.iter().map(|(vm, _)| *vm).collect();
    assert_eq!(who, [1, 0, 0, 0, 0, 1, 0]);
    for told in [1, 3, 6] {
        assert_eq!(played[told], STEPPED, "{told}");
    }
    let [first, second] = [DATA, DATA + 0x1000].map(|at| registers_at(&vms[0], at).registers);
    assert_eq!(first.pc, TEXT);
    assert_eq!((second.pc, second.x[0]), (TEXT + 4, INTERRUPTED));
    assert_eq!(vms[1].vcpus[0].run_state(), RunState::Ready);
    assert!(!vms[1].vcpus[0].awaits(2));
    assert!(vms[2].is_runnable(0), "its target runs on");
}
