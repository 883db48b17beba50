//! Its calls.

use avisor_guest::Id;
use avisor_guest::control::{self, HARDWARE, Registers, Target, brk};
use avisor_guest::psci;
use avisor_guest::random::Random;
use avisor_guest::smccc::hvc_with_six;
use avisor_guest::snapshot;
use core::mem::offset_of;

use crate::running;

/// RUN with a limit, in ns: of the whole target, and of one instruction.
const SHORT: u64 = 200_000;
const LONG: u64 = 4_000_000;
/// Bytes that a call may write.
const ROOM: usize = 1 << 13;
/// x0 of RUN, by what happened.
const EVENT: u64 = 0;
const RESET: u64 = 1;
const OFF: u64 = 2;
const LIMIT: u64 = 3;
const INTERRUPTED: u64 = 5;
const DEBUG: u64 = 6;
/// ESR_EL2.EC of a software step.
const STEP: u64 = 0x32;
/// The number of the first watchpoint.
const WATCHPOINTS: u64 = 16;

/// How often RUN returned what.
#[derive(Default)]
pub struct Answers {
    pub events: u64,
    pub resets: u64,
    pub offs: u64,
    /// But for steps.
    pub debugs: u64,
    pub steps: u64,
    pub limits: u64,
    /// It runs on.
    pub interrupts: u64,
}

pub struct Meddler {
    /// What READ and REGISTERS write to, and WRITE and SET_REGISTERS read.
    room: [u8; ROOM],
    /// RUN returned at once, unless there was something to be told.
    runs_on: bool,
    pub answers: Answers,
}

/// Instructions that a target is made to execute, with what is in its x0: a call, or what it writes to a debug register.
const INSTRUCTIONS: [u32; 14] = [
    // HVC, thrice as often; SMC; SVC.
    0xd400_0002,
    0xd400_0002,
    0xd400_0002,
    0xd400_0003,
    0xd400_0001,
    // BRK #1, WFI, B to itself, ERET.
    0xd420_0020,
    0xd503_207f,
    0x1400_0000,
    0xd69f_03e0,
    // MSR of MDSCR_EL1, OSLAR_EL1, DBGBCR0_EL1 and DBGWCR0_EL1 from x0; MSR DAIFSet, #15.
    0xd510_0240,
    0xd510_1080,
    0xd510_00a0,
    0xd510_00e0,
    0xd503_4fdf,
];

/// x0 of such an instruction.
const FIRST: [u64; 8] = [
    psci::SYSTEM_RESET,
    psci::SYSTEM_OFF,
    psci::CPU_OFF,
    control::EVENT,
    snapshot::CHECKPOINT,
    snapshot::RESTORE,
    u64::MAX,
    0x0000_a001,
];

/// An address of the target's, whose RAM has 32 MiB.
fn its_address(random: &mut Random) -> u64 {
    match random.below(8) {
        0 => random.next(),
        1 => 0x4200_0000 - random.below(0x2000),
        _ => 0x4000_0000 + random.below(32 << 20),
    }
}

fn id(random: &mut Random) -> u64 {
    match random.below(8) {
        0 => random.next(),
        1..=3 => u64::MAX,
        // One that it has, most likely.
        _ => Target(0)
            .next(Id(random.below(64)))
            .map_or(random.below(64), |id| id.0),
    }
}

fn bytes(random: &mut Random) -> u64 {
    match random.below(8) {
        0 => random.next(),
        1 => 1088,
        _ => random.below(ROOM as u64 - 64),
    }
}

/// Where its vCPU is, or near there.
fn near(random: &mut Random) -> u64 {
    let pc = Target(0).registers(None, 0).map_or(0, |now| now.pc);
    match random.below(4) {
        0 => its_address(random),
        1 => pc,
        _ => pc.wrapping_add(random.below(16) * 4),
    }
}

/// 0, which is none; or a vCPU and 1.
fn vcpu(random: &mut Random) -> u64 {
    match random.below(8) {
        0 => random.next(),
        1 => 2,
        2..=4 => 0,
        _ => 1,
    }
}

/// CATCH's argument.
fn what(random: &mut Random) -> u64 {
    match random.below(8) {
        0 => 0,
        1 => random.next(),
        2 => brk(random.below(3) as u16),
        3 => HARDWARE | brk(1),
        _ => HARDWARE,
    }
}

/// BREAKPOINT's arguments.
fn comparator(random: &mut Random) -> [u64; 4] {
    match random.below(8) {
        0 => [
            random.below(32),
            random.below(6),
            random.next(),
            random.next(),
        ],
        1 | 2 => [random.below(2) * WATCHPOINTS + random.below(4), 0, 0, 0],
        3 | 4 => {
            let bytes = 1 << random.below(32);
            let address = its_address(random) & !(bytes - 1);
            let kind = 2 + random.below(3);
            [WATCHPOINTS + random.below(4), kind, address, bytes]
        }
        _ => [random.below(6), 1, near(random), 4],
    }
}

impl Meddler {
    pub fn new() -> Self {
        Self {
            room: [0; ROOM],
            runs_on: false,
            answers: Answers::default(),
        }
    }

    fn address(&self, random: &mut Random) -> u64 {
        match random.below(8) {
            0 => random.next(),
            1 => 0x0900_0000 + random.below(0x1000),
            2 => 0x4000_0000 - random.below(0x1000),
            3 => u64::MAX - random.below(0x10_0000),
            _ => self.room.as_ptr() as u64 + random.below(64),
        }
    }

    /// Its target is about to execute that, with `x0`: where it is; or with its MMU off where it is nobody's, from where it may do anything.
    fn instruct(random: &mut Random, instruction: u32, x0: u64, elsewhere: bool) {
        /// RAM that it does not use, and SCTLR_EL1 without MMU and caches.
        const PLACE: u64 = 0x41f0_0000;
        const MMU_OFF: u64 = 0x30d0_0800;
        let target = Target(0);
        let Ok(mut registers) = target.registers(None, 0) else {
            return;
        };
        (registers.x[0], registers.x[1]) = (x0, u64::MAX);
        if elsewhere {
            registers.pc = PLACE;
            registers.sctlr = MMU_OFF;
            registers.pstate = 0x3c5;
        }
        // It may step itself, too.
        registers.pstate ^= random.choose(&[0, 1 << 21, 1 << 9]);
        if target.set_registers(0, &registers).is_ok() {
            let _ = target.write_virtual(0, registers.pc, &instruction.to_le_bytes());
        }
    }

    /// Some call; returns its x0.
    pub fn one(&mut self, random: &mut Random) -> u64 {
        let target = match random.below(16) {
            0 => random.next(),
            1 => 1,
            _ => 0,
        };
        let function = match random.below(32) {
            0 => 0xc600_0008 + random.below(32),
            1..=8 => control::RUN,
            9 => control::SET_REGISTERS,
            10 | 11 => control::CATCH,
            12 | 13 => control::BREAKPOINT,
            14 => control::TRANSLATE,
            15 | 16 => {
                let instruction = random.choose(&INSTRUCTIONS);
                let (x0, elsewhere) = (random.choose(&FIRST), random.once_in(2));
                Self::instruct(random, instruction, x0, elsewhere);
                control::RUN
            }
            // It begins anew, so that it lives.
            17 if random.once_in(2) => {
                Self::instruct(random, INSTRUCTIONS[0], psci::SYSTEM_RESET, true);
                control::RUN
            }
            other => 0xc600_0010 + other % 17,
        };
        let mut x6 = 0;
        let x = match function {
            // Not for ever.
            control::RUN => {
                let runs_on = random.once_in(8);
                if runs_on || self.runs_on {
                    running::set(runs_on);
                }
                self.runs_on = runs_on;
                match vcpu(random) {
                    0 if !runs_on => [random.below(SHORT) + 1, 0, 0, 0],
                    0 => [random.below(LONG) + 1, 0, 0, 0],
                    vcpu => [random.below(LONG) + 1, vcpu, 0, 0],
                }
            }
            control::READ => {
                x6 = vcpu(random);
                let from = if x6 == 1 {
                    near(random)
                } else {
                    its_address(random)
                };
                [id(random), from, self.address(random), bytes(random)]
            }
            control::WRITE => {
                let by = vcpu(random);
                let to = if by == 1 {
                    near(random)
                } else {
                    its_address(random)
                };
                // A little of where it is: it is to live on.
                let bytes = if by == 1 {
                    random.below(5)
                } else {
                    bytes(random)
                };
                [to, self.address(random), bytes, by]
            }
            control::REGISTERS => [id(random), random.below(3), self.address(random), 2048],
            control::SET_REGISTERS => {
                self.change_registers(random);
                [0, self.room.as_ptr() as u64, 1088, 0]
            }
            control::DIFFERS => [id(random), id(random), random.below(9000), 0],
            control::CATCH => [what(random), 0, 0, 0],
            control::BREAKPOINT => comparator(random),
            control::TRANSLATE if random.once_in(2) => {
                Self::translate_by_other_tables(random);
                [u64::MAX, 0, near(random), 0]
            }
            control::TRANSLATE => [id(random), random.below(2), near(random), 0],
            _ => [id(random), random.below(16), random.next(), random.next()],
        };
        let answer = hvc_with_six([function, target, x[0], x[1], x[2], x[3], x6]);
        if function == control::RUN {
            self.count(answer);
        }
        answer[0]
    }

    /// TRANSLATE, with tables that lie anywhere; the target has its own afterwards.
    fn translate_by_other_tables(random: &mut Random) {
        /// TTBR0_EL1 and TTBR1_EL1 in [`Registers::el1`].
        const TABLES: [usize; 2] = [11, 12];
        let target = Target(0);
        let Ok(own) = target.registers(None, 0) else {
            return;
        };
        let mut other = own;
        for place in TABLES {
            other.el1[place] = its_address(random);
        }
        if random.once_in(2) {
            other.tcr = random.next();
        }
        // M; nor are its caches switched, if it runs.
        other.sctlr |= 1;
        if target.set_registers(0, &other).is_ok() {
            for _ in 0..8 {
                let va = if random.once_in(2) {
                    near(random)
                } else {
                    random.next()
                };
                hvc_with_six([control::TRANSLATE, 0, u64::MAX, 0, va, 0, 0]);
            }
            let _ = target.set_registers(0, &own);
        }
    }

    /// The target's registers are in the room, a little changed, so that some are taken.
    fn change_registers(&mut self, random: &mut Random) {
        let at = self.room.as_ptr() as u64;
        hvc_with_six([control::REGISTERS, 0, u64::MAX, 0, at, 2048, 0]);
        // SCTLR_EL1.C: all of its memory is cleaned first, unless it runs.
        if random.once_in(4) {
            self.room[offset_of!(Registers, sctlr)] ^= 4;
        }
        let place = random.below(size_of::<Registers>() as u64) as usize;
        if place >= 16 {
            self.room[place] = random.next() as u8;
        }
    }

    fn count(&mut self, [why, _, esr, _]: [u64; 4]) {
        let counter = match why {
            EVENT => &mut self.answers.events,
            RESET => &mut self.answers.resets,
            OFF => &mut self.answers.offs,
            LIMIT => &mut self.answers.limits,
            INTERRUPTED => &mut self.answers.interrupts,
            DEBUG if esr >> 26 == STEP => &mut self.answers.steps,
            DEBUG => &mut self.answers.debugs,
            _ => return,
        };
        *counter += 1;
    }
}
