//! Random histories of a controller that debugs its target. The target's instructions are executed by a CPU with a state machine of software step
//! and breakpoints; whatever its controller does between them, each instruction and each exception of its own comes as if there were none.

mod target;

use super::control::*;
use super::debugging::*;
use super::guest::*;
use super::reach::{NOW, READ, REGISTERS, TEXT, WRITE, contents, put};
use super::scheduling::Quiet;
use super::smp::{WORD, sync};
use crate::arch::vcpu::{Registers, Trap, TrapKind};
use crate::device::UART_BASE;
use crate::fake::abort::Abort;
use crate::fake::{FakeBoard, FakeCore, cases, performed, set_count};
use crate::hvc::ids;
use crate::trap::sysreg::DebugRegister;
use crate::vm::schedule::Scheduler;
use crate::vm::{Core, Interrupt, Vm};
use proptest::prelude::*;
use std::boxed::Box;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::vec;
use std::vec::Vec;
use target::*;

const SET_REGISTERS: u64 = ids::SET_REGISTERS.0 as u64;
const TRANSLATE: u64 = ids::TRANSLATE.0 as u64;
const VBAR: u64 = RAM + 0x800;
/// MDSCR_EL1: SS, KDE and MDE.
const MDSCR_SS: u64 = 1;
const KDE: u64 = 1 << 13;
const MDE: u64 = 1 << 15;
const EL0: u64 = 0;
/// EL1 without PSTATE.D; and a handler.
const EL1: u64 = 0x1c5;
const HANDLER: u64 = 0x3c5;
/// The register in which the target counts what it executed without a trap to EL2: its place in [`Alone`].
const COUNT: usize = 27;
/// How much of it is known.
const KNOWN: usize = 2000;
const INSTRUCTIONS: u64 = 12;
/// Where the controller has what it writes, and reads to.
const OWN: u64 = DATA + 0x2000;
const BACK: u64 = DATA + 0x3000;
const FOREVER: u64 = 1 << 40;

/// What the controller does.
#[derive(Clone, Copy, Debug)]
enum Op {
    /// RUN of one instruction. An interrupt of the board may come before that.
    Step {
        interrupted: bool,
    },
    /// The same; its limit is over before the instruction was executed.
    CutStep,
    /// RUN, until so many instructions were executed.
    Run(u64),
    Checkpoint,
    Restore(usize),
    /// REGISTERS, and SET_REGISTERS of the same.
    Set,
    Catch(bool),
    /// A breakpoint of that number at an instruction, or none.
    Break(usize, Option<u64>),
    /// WRITE by virtual address.
    Write(u64),
    /// READ by virtual address, and TRANSLATE.
    Read,
    Translate(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => any::<bool>().prop_map(|interrupted| Op::Step { interrupted }),
        2 => Just(Op::CutStep),
        6 => (1..9_u64).prop_map(Op::Run),
        2 => Just(Op::Checkpoint),
        2 => any::<usize>().prop_map(Op::Restore),
        2 => Just(Op::Set),
        2 => any::<bool>().prop_map(Op::Catch),
        3 => (0..6_usize, prop::option::of(0..INSTRUCTIONS)).prop_map(|(n, at)| Op::Break(n, at)),
        1 => (0..8_u64).prop_map(Op::Write),
        1 => Just(Op::Read),
        1 => (0..RAM_SIZE).prop_map(Op::Translate),
    ]
}

/// What the target does with nobody's interference: its pc at each count, and at the traps to EL2 before that.
#[derive(Default)]
struct Alone {
    executed: Vec<u64>,
    trapped: Vec<Option<u64>>,
}

impl Alone {
    /// The target executes this; it is as it was alone, or it is alone now.
    fn executes(&mut self, count: usize, pc: u64, traps: bool) {
        self.trapped.resize(self.trapped.len().max(count + 1), None);
        let known = match traps {
            false if count == self.executed.len() => {
                self.executed.push(pc);
                return;
            }
            false => self.executed[count],
            true => *self.trapped[count].get_or_insert(pc),
        };
        assert_eq!(pc, known, "after {count} instructions");
    }
}

/// The target, and what its controller has in mind.
struct World {
    vms: &'static [Vm<FakeBoard>],
    alone: Alone,
    ops: VecDeque<Op>,
    /// What is being done, and for which calls its results have been seen.
    doing: Option<(Op, usize)>,
    /// Instructions until the next interrupt of the board.
    burst: u64,
    /// Instructions that the target executed since the last call.
    executed: u64,
    /// The controller's snapshots, each with the target's word then.
    kept: Vec<(u64, u64)>,
    word: u64,
    catches: bool,
    breakpoints: [Option<u64>; 6],
    is_stepping: bool,
}

fn irq() -> Trap {
    Trap {
        kind: TrapKind::Irq,
        ..sync(0, 0)
    }
}

impl World {
    /// The target executes an instruction.
    fn target(&mut self, core: &mut FakeCore, registers: &mut Registers) -> Option<Trap> {
        if self.burst == 0 {
            self.burst = FOREVER;
            set_count(FakeCore::physical_count() + (1 << 20));
            core.interrupts.push_back(Interrupt::Alarm);
            return Some(irq());
        }
        let pc = registers.pc;
        let hit = (0..6).any(|n| {
            let (value, control) = core.debug.breakpoint(n);
            core.debug.is_caught()
                && core.debug.mdscr() & MDE != 0
                && control & 1 != 0
                && value == pc
        });
        let wanted = self.catches && !self.is_stepping && self.breakpoints.contains(&Some(pc));
        assert_eq!(hit, wanted, "a breakpoint at {pc:#x}");
        if hit {
            return Some(sync(0x30, 0x22));
        }
        self.burst -= 1;
        self.executed += 1;
        assert!(self.executed < KNOWN as u64 * 4, "nothing stops it");
        let count = registers.x[COUNT] as usize;
        let (trap, may_trap) = execute(core, registers);
        self.alone.executes(count, pc, may_trap);
        registers.x[COUNT] += u64::from(!may_trap);
        trap
    }

    /// The call that is the `n`th of this operation, if it has as many.
    fn call(&mut self, op: Op, n: usize) -> Option<Does> {
        const ROOM: u64 = DATA + 0x4000;
        if n == 1 && matches!(op, Op::Set) {
            return Some(Does::Reaches(SET_REGISTERS, [0, 0, ROOM, 2048, 0]));
        } else if n > 0 {
            return None;
        }
        self.executed = 0;
        self.burst = FOREVER;
        Some(match op {
            Op::Step { interrupted } => {
                self.is_stepping = true;
                self.burst = if interrupted { 0 } else { FOREVER };
                step(0)
            }
            Op::CutStep => {
                self.is_stepping = true;
                self.burst = 0;
                Calls(RUN, [0, 1, 1])
            }
            Op::Run(instructions) => {
                self.burst = instructions;
                Calls(RUN, [0, 1, 0])
            }
            Op::Checkpoint => Calls(CHECKPOINT_OF, [0; 3]),
            Op::Restore(choice) => {
                let (id, _) = self.kept.get(choice % self.kept.len().max(1))?;
                Calls(RESTORE_OF, [0, *id, 1])
            }
            Op::Set => Does::Reaches(REGISTERS, [0, NOW, 0, ROOM, 2048]),
            Op::Catch(catches) => Calls(CATCH, [0, catches.into(), 0]),
            Op::Break(n, None) => Does::Reaches(BREAKPOINT, [0, n as u64, 0, 0, 0]),
            Op::Break(n, Some(at)) => Does::Reaches(BREAKPOINT, [0, n as u64, 1, TEXT + 4 * at, 4]),
            Op::Write(n) => Does::Reaches(WRITE, [0, DATA, OWN + 8 * n, 8, 1]),
            Op::Read => Does::ReachesBy(READ, [0, NOW, DATA, BACK, 8, 1]),
            Op::Translate(offset) => Does::Reaches(TRANSLATE, [0, NOW, 0, RAM + offset, 0]),
        })
    }

    /// What that call returned.
    fn check(&mut self, op: Op, n: usize, x: [u64; 4]) {
        let is_step = |x: [u64; 4]| (x[0], x[1], x[2] >> 26) == (DEBUG, 0, 0x32);
        self.is_stepping = false;
        match op {
            Op::Step { .. } => {
                assert!(is_step(x) && self.executed <= 1, "{x:x?} {}", self.executed)
            }
            // The exception of its own step may come before the interrupt.
            Op::CutStep if x[0] == LIMIT => assert_eq!(self.executed, 0),
            Op::CutStep => assert!(is_step(x) && self.executed == 0, "{x:x?}"),
            Op::Run(instructions) if x[0] == LIMIT => assert_eq!(self.executed, instructions),
            Op::Run(_) => {
                let pc = self.vms[1].vcpus[0].lock().registers.pc;
                assert_eq!((x[0], x[2] >> 26), (DEBUG, 0x30), "{x:x?}");
                assert!(self.catches && self.breakpoints.contains(&Some(pc)));
            }
            Op::Checkpoint => self.kept.push((x[0], self.word)),
            Op::Restore(choice) => {
                let (id, word) = self.kept[choice % self.kept.len()];
                assert_eq!(x[0], id);
                self.word = word;
            }
            Op::Set if n == 0 => assert_eq!(x[0], 1088),
            Op::Catch(catches) => {
                assert_eq!(x[..3], [0, 6, 4]);
                self.catches = catches;
            }
            Op::Break(n, at) => {
                assert_eq!(x[0], 0);
                self.breakpoints[n] = at.map(|at| TEXT + 4 * at);
            }
            Op::Write(n) => {
                assert_eq!(x[0], 0);
                self.word = pattern(n);
            }
            Op::Read => {
                let read = contents(&self.vms[0], BACK, 8);
                assert_eq!(
                    (x[0], read.as_slice()),
                    (0, self.word.to_le_bytes().as_slice())
                );
            }
            Op::Translate(offset) => {
                assert_eq!(x[..2], [0, RAM + offset]);
                assert!(x[2] > 0);
            }
            Op::Set => assert_eq!(x[0], 0),
        }
    }

    /// The controller makes its next call.
    fn controller(&mut self, registers: &mut Registers) -> Trap {
        if let Some((op, n)) = self.doing {
            self.check(op, n, registers.x[..4].try_into().unwrap());
            self.doing = Some((op, n + 1));
        }
        loop {
            let (op, n) = match self.doing.take() {
                Some(doing) => doing,
                None => match self.ops.pop_front() {
                    Some(op) => (op, 0),
                    None => return END.done(registers),
                },
            };
            if let Some(call) = self.call(op, n) {
                self.doing = Some((op, n));
                return call.done(registers);
            }
        }
    }
}

fn pattern(n: u64) -> u64 {
    (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// A target at EL0 or EL1 that steps itself or not, and what its controller does. First it is seen alone, from its beginning.
fn plays(el0: bool, steps_itself: bool, ops: &[Op]) {
    let vms = pair();
    let mut vcpu = vms[1].vcpus[0].lock();
    let [mdscr, ss] = match steps_itself {
        true => [MDSCR_SS | if el0 { 0 } else { KDE }, SS],
        false => [0, 0],
    };
    vcpu.debug.write(DebugRegister::OsLockAccess, 0);
    vcpu.debug.write(DebugRegister::Mdscr, mdscr);
    vcpu.registers.pc = TEXT;
    vcpu.registers.pstate = ss | if el0 { EL0 } else { EL1 };
    vcpu.registers.x[COUNT] = 0;
    vcpu.system.vbar = VBAR;
    drop(vcpu);
    for n in 0..8 {
        put(&vms[0], OWN + 8 * n, &pattern(n).to_le_bytes());
    }
    // While anything is caught its own steps do not act.
    let is_allowed = |op: &Op| !(steps_itself && matches!(op, Op::Catch(_) | Op::Break(..)));
    let ops = ops.iter().copied().filter(is_allowed);
    let alone = [Op::Checkpoint, Op::Run(KNOWN as u64), Op::Restore(0)];
    let world = Arc::new(Mutex::new(World {
        vms,
        alone: Alone::default(),
        ops: alone.into_iter().chain(ops.clone()).collect(),
        doing: None,
        burst: FOREVER,
        executed: 0,
        kept: Vec::new(),
        word: 0,
        catches: false,
        breakpoints: [None; 6],
        is_stepping: false,
    }));
    let mut core = debugger();
    let theirs = world.clone();
    core.executes = Some(Box::new(move |core, registers| {
        let mut world = theirs.lock().unwrap();
        match core.vcpu.expect("it is loaded").vm {
            0 => Some(world.controller(registers)),
            _ => world.target(core, registers),
        }
    }));
    performed("vm::tests::stepped_history", ops.count());
    let desk = Quiet::default();
    let mut scheduler = Scheduler::new(&mut core, vms, &desk);
    while !vms[0].is_off() {
        scheduler.schedule_once();
    }
    let world = world.lock().unwrap();
    assert!(world.ops.is_empty() && world.doing.is_none());
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn a_target_that_steps_itself_is_stepped(
        el0 in any::<bool>(),
        ops in prop::collection::vec(op(), 1..40),
    ) {
        plays(el0, true, &ops);
    }

    #[test]
    fn a_target_stops_where_its_controller_wants_it(
        el0 in any::<bool>(),
        ops in prop::collection::vec(op(), 1..40),
    ) {
        plays(el0, false, &ops);
    }
}
