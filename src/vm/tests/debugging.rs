//! A controller that debugs its target: what CATCH and BREAKPOINT do, and what the guest sees of it.

use super::control::*;
use super::guest::*;
use super::instructions::{SYSREG, iss};
use super::reach::{INVALID, TEXT};
use super::scheduling::{turn_on, vms};
use super::smp::{CPU_ON, ENTRY, SYSTEM_RESET};
use crate::config::VmConfig;
use crate::fake::{FakeBoard, FakeCore, System};
use crate::hvc::ids;
use crate::trap::sysreg::SysReg;
use crate::vm::{Interrupt, Vm};
use std::vec::Vec;

pub const CATCH: u64 = ids::CATCH.0 as u64;
pub const BREAKPOINT: u64 = ids::BREAKPOINT.0 as u64;

/// RUN's reason.
pub const DEBUG: u64 = 6;
/// CATCH's argument: hardware, and BRK with an immediate.
pub const HARDWARE: u64 = 1;
const BRK_7: u64 = 7 << 16 | 2;
pub const SS: u64 = 1 << 21;

const BREAKPOINT_AT: u64 = 0x30;
const WATCHPOINT_AT: u64 = 0x34;
pub const BRK: u64 = 0x3c;

/// RUN of one instruction of a vCPU.
pub const fn step(vcpu: u64) -> Does {
    Calls(RUN, [0, 0, vcpu + 1])
}

/// The syndrome of an exception.
const fn esr(class: u64, iss: u64) -> u64 {
    class << 26 | 1 << 25 | iss
}

/// A core of which each CPU has six breakpoints and four watchpoints.
pub fn debugger() -> FakeCore {
    let mut core = core();
    core.id_register = |_| 0x30_5006;
    core
}

/// Who did something after each of these steps, and its x0 to x3: the results of a controller's calls.
pub fn results(vms: &[Vm<FakeBoard>], steps: &[Does]) -> Played {
    results_and_look(vms, steps, || ())
}

/// The same; `look` sees what has become of the VMs then.
fn results_and_look(
    vms: &[Vm<FakeBoard>],
    steps: &[Does],
    look: impl FnOnce() + Send + 'static,
) -> Played {
    let steps = [steps, &[END]].concat();
    play_and_look(vms, &mut debugger(), &steps, look)[1..].into()
}

#[test]
fn catch_and_breakpoint_take_what_the_cpu_has_and_refuse_the_rest() {
    let vms = pair();
    let set =
        |number, kind, address, bytes| Does::Reaches(BREAKPOINT, [0, number, kind, address, bytes]);
    let steps = [
        Calls(CATCH, [0, 0, 0]),
        Calls(CATCH, [0, HARDWARE | BRK_7, 0]),
        Calls(CATCH, [0, 4, 0]),
        Calls(CATCH, [0, 1 << 32, 0]),
        Calls(CATCH, [1, 0, 0]),
        set(5, 1, TEXT, 4),
        set(6, 1, TEXT, 4),
        set(19, 2, DATA, 8),
        set(20, 2, DATA, 8),
        set(0, 1, TEXT, 2),
        set(0, 9, TEXT, 4),
        set(5, 0, 0, 0),
    ];
    let played = results_and_look(vms, &steps, || {
        let debug = vms[1].vcpus[0].lock().debug;
        assert!(debug.is_caught());
        assert_eq!(debug.breakpoint(5), (0, 0), "removed");
        assert_eq!(debug.watchpoint(3), (DATA, 0x1fef));
    });
    let x0: Vec<_> = played.iter().map(|(_, x)| x[0]).collect();
    assert_eq!(played[0].1[..3], [0, 6, 4]);
    assert_eq!(played[1].1[..3], [0, 6, 4]);
    assert_eq!(x0[2..5], [INVALID, INVALID, DENIED]);
    assert_eq!(x0[5..9], [0, INVALID, 0, INVALID]);
    assert_eq!(x0[9..], [INVALID, INVALID, 0]);
}

#[test]
fn what_is_caught_stops_the_target_where_it_is() {
    let vms = pair();
    let steps = [
        Calls(CATCH, [0, HARDWARE | BRK_7, 0]),
        RUN_IT,
        Traps(BREAKPOINT_AT, 0x22),
        RUN_IT,
        Traps(WATCHPOINT_AT, 0x62),
        RUN_IT,
        Traps(BRK, 7),
    ];
    let played = results(vms, &steps);
    let told: Vec<_> = [2, 4, 6].map(|i| played[i]).into();
    assert_eq!(
        told,
        [
            (0, [DEBUG, 0, esr(BREAKPOINT_AT, 0x22), 0]),
            (0, [DEBUG, 0, esr(WATCHPOINT_AT, 0x62), 0xfa]),
            (0, [DEBUG, 0, esr(BRK, 7), 0]),
        ]
    );
    let vcpu = vms[1].vcpus[0].lock();
    assert_eq!((vcpu.registers.pc, vcpu.system.elr), (TEXT, 0));
}

#[test]
fn a_brk_of_the_guests_is_the_guests() {
    let bkpt = 0x38;
    for (class, immediate, what) in [
        (BRK, 8, BRK_7),
        (BRK, 7, HARDWARE),
        (BRK, 0, BRK_7),
        (bkpt, 7, BRK_7),
    ] {
        let vms = pair();
        let steps = [
            Calls(CATCH, [0, what, 0]),
            RUN_IT,
            Traps(class, immediate),
            Calls(EVENT, [1, 2, 3]),
        ];
        let played = results(vms, &steps);
        assert_eq!(played[3], (0, [0, 1, 2, 3]));
        let vcpu = vms[1].vcpus[0].lock();
        assert_eq!(vcpu.system.elr, TEXT, "{class:#x}");
        assert_eq!(vcpu.system.esr, esr(class, immediate));
        assert_eq!(vcpu.system.spsr, 0x3c5);
        // Behind the EVENT that its vector makes.
        assert_eq!(vcpu.registers.pc, 0x200 + 4);
    }
}

#[test]
fn a_guest_that_nobody_debugs_has_no_such_exception() {
    for class in [BREAKPOINT_AT, 0x32, WATCHPOINT_AT, 0x38, BRK] {
        super::instructions::taken(class, 0x22, super::instructions::UNDEFINED);
    }
}

/// Three vCPUs on one core with the controller, all on.
pub fn three() -> &'static [Vm<FakeBoard>] {
    let plan = VmConfig {
        vcpus: 3,
        ..CONTROLLED
    };
    let vms = vms([CONTROLLER, plan].into(), |_, _| 0);
    turn_on(&vms[1]);
    vms
}

#[test]
fn what_is_caught_stays_with_the_target_and_ends_with_the_controller() {
    let vms = three();
    let set = Does::Reaches(BREAKPOINT, [0, 0, 1, TEXT, 4]);
    let steps = [
        Calls(CATCH, [0, HARDWARE, 0]),
        set,
        Calls(CHECKPOINT_OF, [0; 3]),
        step(0),
        Calls(SYSTEM_RESET, [0; 3]),
        step(0),
        Calls(CPU_ON, [1, ENTRY, 0]),
        TakesBack(3),
    ];
    let is_caught = |vm: &Vm<FakeBoard>| -> Vec<bool> {
        let caught = |slot: &crate::vm::slot::VcpuSlot<System>| {
            let debug = slot.lock().debug;
            debug.is_caught() && debug.breakpoint(0) == (TEXT, 0x1e7)
        };
        vm.vcpus.iter().map(caught).collect()
    };
    let played = results_and_look(vms, &steps, move || {
        assert_eq!(is_caught(&vms[1]), [true; 3]);
    });
    assert_eq!(played[4].1[0], RESET);
    assert_eq!(played[6].1[0], DEBUG);
    // Its next life: it controls the target again once that is done.
    play_again(vms);
    results(vms, &[Calls(TARGET, [0; 3])]);
    assert_eq!(is_caught(&vms[1]), [false; 3]);
    for slot in &vms[1].vcpus {
        assert_eq!(slot.lock().debug.breakpoint(0), (0, 0));
    }
}

#[test]
fn a_target_that_fights_loses_nothing_and_wins_nothing() {
    let mdscr = SysReg::new(2, 0, 0, 2, 2);
    let oslar = SysReg::new(2, 0, 1, 0, 4);
    let bcr = SysReg::new(2, 0, 0, 0, 5);
    let write = |reg| Traps(SYSREG, iss(reg, 4, true));
    let vms = pair();
    vms[1].vcpus[0].lock().registers.x[4] = u64::MAX;
    let set = Does::Reaches(BREAKPOINT, [0, 0, 1, TEXT + 64, 4]);
    let steps = [
        Calls(CATCH, [0, HARDWARE, 0]),
        set,
        RUN_IT,
        write(mdscr),
        write(bcr),
        write(oslar),
        Traps(BREAKPOINT_AT, 0x22),
        Calls(CATCH, [0, 0, 0]),
        RUN_IT,
        Computes(0, Interrupt::None),
        Calls(EVENT, [0; 3]),
    ];
    let played = results(vms, &steps);
    assert_eq!(played[6].1[0], DEBUG);
    let debug = vms[1].vcpus[0].lock().debug;
    // All that it wrote is there again. Its OS Lock is locked.
    assert_eq!(
        (debug.mdscr(), debug.breakpoint(0).1),
        (0x3000, 0x00ff_e1e7)
    );
}
