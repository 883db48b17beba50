//! A controller that means harm, or knows no better: calls with arguments that make sense or do not, while its target, which may be `hostile`, does what
//! it does. Whatever the calls answer, none of it may reach further than these two.

#![no_std]
#![no_main]

use avisor_guest::control::{self, State, Target};
use avisor_guest::random::Random;
use avisor_guest::smccc::{NOT_SUPPORTED, hvc_with_six};
use avisor_guest::{Id, entry, power_off, println};

const SEED: u64 = 0x6d65_6464_6c65;
const CALLS: u64 = 60_000;
/// RUN with a limit, in ns.
const SHORT: u64 = 100_000;
/// Bytes that a call may write.
const ROOM: usize = 1 << 13;
/// Calls between two lines on the console.
const REPORT: u64 = 10_000;

entry!(main);

/// What READ and REGISTERS write to, and WRITE and SET_REGISTERS read.
struct Room([u8; ROOM]);

fn address(random: &mut Random, room: &Room) -> u64 {
    let own = room.0.as_ptr() as u64;
    match random.below(8) {
        0 => random.next(),
        1 => 0x0900_0000 + random.below(0x1000),
        2 => 0x4000_0000 - random.below(0x1000),
        3 => u64::MAX - random.below(0x10_0000),
        _ => own + random.below(64),
    }
}

/// An address of the target's, whose RAM has 16 MiB.
fn its_address(random: &mut Random) -> u64 {
    match random.below(8) {
        0 => random.next(),
        1 => 0x4100_0000 - random.below(0x2000),
        _ => 0x4000_0000 + random.below(16 << 20),
    }
}

fn id(random: &mut Random) -> u64 {
    match random.below(8) {
        0 => random.next(),
        1 => u64::MAX,
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

fn one(random: &mut Random, room: &mut Room) -> u64 {
    let target = match random.below(16) {
        0 => random.next(),
        1 => 1,
        _ => 0,
    };
    let function = match random.below(24) {
        0 => 0xc600_0008 + random.below(32),
        1..=8 => control::RUN,
        9 => control::SET_REGISTERS,
        other => 0xc600_0010 + other % 14,
    };
    let x = match function {
        // Not for ever.
        control::RUN => [random.below(SHORT) + 1, random.next(), 0, 0],
        control::READ => [
            id(random),
            its_address(random),
            address(random, room),
            bytes(random),
        ],
        control::WRITE => [its_address(random), address(random, room), bytes(random), 0],
        control::REGISTERS => [id(random), random.below(3), address(random, room), 2048],
        control::SET_REGISTERS => {
            // Its own, a little changed, so that some are taken.
            let at = room.0.as_ptr() as u64;
            hvc_with_six([control::REGISTERS, 0, u64::MAX, 0, at, 2048, 0]);
            let place = random.below(1088) as usize;
            if place >= 16 {
                room.0[place] = random.next() as u8;
            }
            [0, at, 1088, 0]
        }
        control::DIFFERS => [id(random), id(random), random.below(5000), 0],
        _ => [id(random), random.below(16), random.next(), random.next()],
    };
    hvc_with_six([function, target, x[0], x[1], x[2], x[3], 0])[0]
}

fn main(_device_tree: usize) -> ! {
    println!("meddler: seed {SEED:#x}");
    let mut room = Room([0; ROOM]);
    let mut refused = 0_u64;
    for number in 0..CALLS {
        let mut random = Random::numbered(SEED, number);
        let result = one(&mut random, &mut room);
        if result == NOT_SUPPORTED {
            refused += 1;
        }
        // It ends itself, or is put where it never does anything: from the beginning, then.
        if matches!(
            Target(0).status().map(|status| status.state),
            Ok(State::Off)
        ) {
            let oldest = Target(0).next(Id(0));
            let restored = oldest.and_then(|id| Target(0).restore(id));
            if restored.is_err() {
                println!("meddler: the target is off for good");
                break;
            }
        }
        if (number + 1).is_multiple_of(REPORT) {
            println!("meddler: {} calls", number + 1);
        }
    }
    println!("meddler: done, {refused} were no calls");
    power_off()
}
