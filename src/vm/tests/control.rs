//! A VM that controls another one: what its calls do, on one core and on two.

use super::guest::*;
use super::interrupts::GICD;
use super::scheduling::{Quiet, vms};
use super::smp::{SYSTEM_OFF, WORD, sync};
use crate::arch::sync::Ordering;
use crate::arch::vcpu::{Registers, Trap};
use crate::config::{Start, VmConfig};
use crate::fake::abort::Abort;
use crate::fake::{FakeBoard, FakeCore, Patience, STEP, executed, set_count};
use crate::hvc::ids;
use crate::monitor::VmControl;
use crate::vm::budget::SLICE;
use crate::vm::control::has_ended;
use crate::vm::operator::Controls;
use crate::vm::schedule::Scheduler;
use crate::vm::{Core, Interrupt, Vm};
use std::boxed::Box;
use std::sync::{Arc, Mutex};
use std::vec::Vec;

pub const EVENT: u64 = ids::EVENT.0 as u64;
pub const TARGET: u64 = ids::TARGET.0 as u64;
pub const RUN: u64 = ids::RUN.0 as u64;
pub const STOP: u64 = ids::STOP.0 as u64;
pub const CHECKPOINT_OF: u64 = ids::CHECKPOINT_OF.0 as u64;
pub const RESTORE_OF: u64 = ids::RESTORE_OF.0 as u64;
pub const DELETE_OF: u64 = ids::DELETE_OF.0 as u64;
pub const INFO_OF: u64 = ids::INFO_OF.0 as u64;
pub const NEXT_OF: u64 = ids::NEXT_OF.0 as u64;
pub const STATS_OF: u64 = ids::STATS_OF.0 as u64;

pub const DENIED: u64 = -6i64 as u64;

pub const RESET: u64 = 1;
pub const OFF: u64 = 2;
pub const LIMIT: u64 = 3;
pub const STOPPED: u64 = 4;
pub const INTERRUPTED: u64 = 5;

pub const CONTROLLER: VmConfig = VmConfig {
    name: "controller",
    controls: &[1],
    ..PLAN
};

pub const CONTROLLED: VmConfig = VmConfig {
    name: "target",
    controlled_by: Some(0),
    start: Start::Stopped,
    ..PLAN
};

/// The controller, number 0, and its target, number 1, both on core 0.
pub fn pair() -> &'static [Vm<FakeBoard>] {
    vms([CONTROLLER, CONTROLLED].into(), |_, _| 0)
}

/// What a guest does next.
#[derive(Clone, Copy, Debug)]
pub enum Does {
    /// `hvc #0`.
    Calls(u64, [u64; 3]),
    /// The same, with more arguments.
    Reaches(u64, [u64; 5]),
    /// The same, with one more.
    ReachesBy(u64, [u64; 6]),
    /// RESTORE_OF, to the snapshot whose id was in x0 before that step.
    TakesBack(usize),
    /// WFI.
    Waits,
    /// It computes, and that many counts go by until an interrupt of the board.
    Computes(u64, Interrupt),
    /// It stores 32 bits to a device.
    Stores(u64, u64),
    /// An instruction has an exception of this class and syndrome that comes to EL2.
    Traps(u64, u64),
    /// It executes an instruction, and is being stepped.
    Steps,
    /// The same; the instruction leads there, with this PSTATE.
    StepsTo(u64, u64),
}

pub use Does::{Calls, Computes, Steps, Stores, TakesBack, Traps, Waits};

impl Does {
    pub fn done(self, registers: &mut Registers) -> Trap {
        match self {
            Calls(function, arguments) => {
                registers.x[0] = function;
                registers.x[1..4].copy_from_slice(&arguments);
                executed(registers);
                sync(0x16, 0)
            }
            Does::Reaches(function, arguments) => {
                registers.x[0] = function;
                registers.x[1..6].copy_from_slice(&arguments);
                executed(registers);
                sync(0x16, 0)
            }
            Does::ReachesBy(function, arguments) => {
                registers.x[0] = function;
                registers.x[1..7].copy_from_slice(&arguments);
                executed(registers);
                sync(0x16, 0)
            }
            Waits => sync(0x01, 0),
            Traps(class, iss) => Trap {
                far: 0xfa,
                ..sync(class, iss)
            },
            Steps => {
                executed(registers);
                STEP
            }
            Does::StepsTo(pc, pstate) => {
                (registers.pc, registers.pstate) = (pc, pstate);
                STEP
            }
            TakesBack(_) => panic!("it is made a call"),
            Computes(counts, _) => {
                set_count(FakeCore::physical_count() + counts);
                Trap {
                    kind: crate::arch::vcpu::TrapKind::Irq,
                    ..sync(0, 0)
                }
            }
            Stores(at, value) => {
                registers.x[9] = value;
                Abort {
                    access: Some(WORD),
                    ..Abort::store(at)
                }
                .trap()
            }
        }
    }
}

/// Who did each step, and what was in its x0 to x3 before.
pub type Played = Vec<(usize, [u64; 4])>;

/// One core, on which VMs do these things in this order, whoever is on. At the end somebody must have switched off.
pub fn play(vms: &[Vm<FakeBoard>], core: &mut FakeCore, steps: &[Does]) -> Played {
    play_and_look(vms, core, steps, || ())
}

/// The same; before the last step, `look` sees what has become of the VMs.
pub fn play_and_look(
    vms: &[Vm<FakeBoard>],
    core: &mut FakeCore,
    steps: &[Does],
    look: impl FnOnce() + Send + 'static,
) -> Played {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let mut look = Some(look);
    for (number, &step) in steps.iter().enumerate() {
        let seen = seen.clone();
        let look = look.take_if(|_| number + 1 == steps.len());
        if let Computes(_, interrupt) = step {
            core.interrupts.push_back(interrupt);
        }
        core.script.push_back(Box::new(move |registers| {
            let x: [u64; 4] = registers.x[..4].try_into().unwrap();
            if let Some(look) = look {
                look();
            }
            let mut seen = seen.lock().unwrap();
            seen.push(x);
            match step {
                TakesBack(at) => Calls(RESTORE_OF, [0, seen[at][0], 1]).done(registers),
                other => other.done(registers),
            }
        }));
    }
    core.ran.clear();
    let desk = Quiet::default();
    let mut scheduler = Scheduler::new(core, vms, &desk);
    let mut rounds = 0;
    while !scheduler.core.script.is_empty() {
        scheduler.schedule_once();
        rounds += 1;
        assert!(rounds < 100, "nobody goes on");
    }
    let who = std::mem::take(&mut core.ran).into_iter().map(|(vm, _)| vm);
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    who.zip(seen).collect()
}

pub fn core() -> FakeCore {
    let mut core = FakeCore::new(0);
    core.patience = Patience::Alarm;
    core
}

pub const RUN_IT: Does = Calls(RUN, [0, 0, 0]);
pub const END: Does = Calls(SYSTEM_OFF, [0; 3]);

#[test]
fn run_returns_what_the_target_says() {
    let vms = pair();
    let mut core = core();
    let steps = [
        RUN_IT,
        Calls(EVENT, [7, 8, 9]),
        RUN_IT,
        Calls(EVENT, [10, 11, 12]),
        END,
    ];
    let played = play(vms, &mut core, &steps);
    let who: Vec<_> = played.iter().map(|(vm, _)| *vm).collect();
    assert_eq!(who, [0, 1, 0, 1, 0]);
    assert_eq!(played[2].1, [0, 7, 8, 9]);
    assert_eq!(played[3].1, [0, 7, 8, 9], "x0 alone is EVENT's result");
    assert_eq!(played[4].1, [0, 10, 11, 12]);
    // Straight from one to the other: nobody set an alarm for it.
    assert!(core.slept.is_empty() && core.interrupts.is_empty() && core.kicked.is_empty());
}

#[test]
fn a_target_that_nobody_runs_does_not_run() {
    let vms = pair();
    let played = play(
        vms,
        &mut core(),
        &[Computes(3 * SLICE, Interrupt::Alarm), END],
    );
    assert!(played.iter().all(|(vm, _)| *vm == 0));
    assert!(!vms[1].is_runnable(0));
    assert!(has_ended(vms, &vms[1]), "and nobody is going to");
}

#[test]
fn who_controls_nobody_is_denied_and_who_has_no_controller_not_supported() {
    let vms = pair();
    let calls = [
        TARGET,
        RUN,
        STOP,
        CHECKPOINT_OF,
        RESTORE_OF,
        DELETE_OF,
        INFO_OF,
        NEXT_OF,
        STATS_OF,
    ];
    for function in calls {
        for place in [1, 2, 1 << 32, u64::MAX] {
            let steps = [Calls(function, [place, 0, 0]), END];
            let played = play(vms, &mut core(), &steps);
            assert_eq!(played[1], (0, [DENIED, place, 0, 0]));
            play_again(vms);
        }
        // The target controls nobody, either.
        let steps = [RUN_IT, Calls(function, [0; 3]), Calls(EVENT, [0; 3]), END];
        let played = play(vms, &mut core(), &steps);
        assert_eq!(played[2], (1, [DENIED, 0, 0, 0]));
        play_again(vms);
    }
    let played = play(vms, &mut core(), &[Calls(EVENT, [1, 2, 3]), END]);
    assert_eq!(played[1], (0, [NOT_SUPPORTED, 1, 2, 3]));
}

/// The operator resets both.
pub fn play_again(vms: &[Vm<FakeBoard>]) {
    let desk = Quiet::default();
    let mut core = core();
    let mut operator = Controls::of(vms, &mut core, &desk);
    operator.reset(0).unwrap();
    operator.reset(1).unwrap();
}

#[test]
fn target_says_how_it_does() {
    let vms = vms(
        [
            CONTROLLER,
            VmConfig {
                vcpus: 3,
                ..CONTROLLED
            },
        ]
        .into(),
        |_, _| 0,
    );
    let ask = Calls(TARGET, [0; 3]);
    let steps = [ask, RUN_IT, Calls(EVENT, [0; 3]), RUN_IT, END, ask, END];
    let played = play(vms, &mut core(), &steps);
    assert_eq!(played[1].1, [0, 1, 3, RAM_SIZE / 4096]);
    assert_eq!(played[5].1[0], OFF);
    assert_eq!(played[6].1, [0, 0, 3, RAM_SIZE / 4096]);
}

#[test]
fn a_controller_does_to_its_target_what_that_could_do_itself() {
    let vms = pair();
    let steps = [
        RUN_IT,
        Calls(EVENT, [1, 0, 0]),
        Calls(CHECKPOINT_OF, [0; 3]),
        RUN_IT,
        // It takes one itself, too.
        Calls(CHECKPOINT, [0; 3]),
        Calls(EVENT, [2, 0, 0]),
        Calls(NEXT_OF, [0, 0, 0]),
        Calls(STATS_OF, [0; 3]),
        // To the latest, its own: it returns there with the value.
        Calls(RESTORE_OF, [0, LATEST, 77]),
        RUN_IT,
        Calls(EVENT, [3, 0, 0]),
        END,
    ];
    let played = play(vms, &mut core(), &steps);
    let id = played[3].1[0];
    let own = played[5].1[0];
    assert_eq!((own, played[5].1[1]), (id + 1, 0));
    assert_eq!(played[6].1[..2], [0, 2]);
    assert_eq!(played[7].1[..2], [id, LATEST], "the first from 0 on");
    assert_eq!(played[8].1[0], 2);
    assert_eq!(played[9].1[0], own);
    assert_eq!(played[10], (1, [own, 77, 0, 0]));
    assert_eq!(played[11].1[..2], [0, 3]);
    play_again(vms);
    // Back to the controller's: behind the EVENT, whose x0 is 0.
    let steps = [
        Calls(RESTORE_OF, [0, id, 5]),
        RUN_IT,
        Calls(EVENT, [4, 0, 0]),
        Calls(DELETE_OF, [0, id, 0]),
        Calls(RESTORE_OF, [0, id, 5]),
        Calls(INFO_OF, [0, id, 0]),
        Calls(INFO_OF, [0, own, 0]),
        END,
    ];
    let played = play(vms, &mut core(), &steps);
    assert_eq!(played[1].1[0], id);
    assert_eq!(played[2], (1, [0, 1, 0, 0]));
    assert_eq!((played[4].1[0], played[5].1[0]), (0, NOT_FOUND));
    assert_eq!(played[6].1[0], NOT_FOUND);
    assert_eq!(played[7].1[..2], [0, id], "its parent, though that is gone");
}

#[test]
fn a_store_to_the_gic_needs_no_controller() {
    // What a target does besides is its own business.
    let vms = pair();
    let steps = [RUN_IT, Stores(GICD, 1), Calls(EVENT, [1, 1, 1]), END];
    let played = play(vms, &mut core(), &steps);
    assert_eq!(played.iter().map(|p| p.0).collect::<Vec<_>>(), [0, 1, 1, 0]);
}

/// The console is as it is now, and the UART as it was.
#[test]
fn a_target_that_went_back_looks_at_its_console() {
    let vms = pair();
    let imsc = 0x0900_0038;
    let asks = || vms[1].input.swap(false, Ordering::Relaxed);
    for (interrupts, looks) in [(0, false), (1 << 5, true)] {
        let steps = [
            RUN_IT,
            Stores(imsc, interrupts),
            Calls(EVENT, [1, 0, 0]),
            Calls(CHECKPOINT_OF, [0; 3]),
            END,
        ];
        play(vms, &mut core(), &steps);
        play_again(vms);
        asks();
        play(vms, &mut core(), &[Calls(RESTORE_OF, [0, LATEST, 1]), END]);
        assert_eq!(asks(), looks, "{interrupts:#x}");
        play_again(vms);
    }
}
