//! Whatever a CPU could report, and more: nothing panics, and the VM stays what it was.

use super::guest::*;
use super::history::Random;
use crate::addr::Ipa;
use crate::arch::vcpu::{Trap, TrapKind};
use crate::fake::{performed, seeds};
use crate::vm::ExitAction;

/// Registers as calls take them: names, ids, addresses, anything.
fn argument(random: &mut Random) -> u64 {
    let anything = random.next();
    random.of(&[
        0,
        1,
        LATEST,
        anything,
        anything & 0xff,
        0xc600_0000 + anything % 9,
        0x8400_0000 + anything % 0x14,
        0x8600_ff00 + anything % 4,
        RAM + anything % RAM_SIZE,
    ])
}

fn address(random: &mut Random) -> u64 {
    let anything = random.next();
    let near = anything & 0x1fff;
    random.of(&[
        anything,
        RAM + anything % RAM_SIZE,
        RAM + RAM_SIZE - 0x1000 + near,
        0x0900_0000 + near,
        HOLE + near,
        near,
    ])
}

fn trap(random: &mut Random) -> Trap {
    let anything = random.next();
    let class = random.of(&[anything >> 58, 0x16, 0x16, 0x17, 0x18, 0x20, 0x24, 0x24]);
    let iss = match class {
        // Half of the calls are ones that exist.
        0x16 | 0x17 if anything & 1 == 0 => anything >> 8 & 3,
        _ => anything & 0x3ff_ffff,
    };
    let at = address(random);
    Trap {
        kind: random.of(&[
            TrapKind::Sync,
            TrapKind::Sync,
            TrapKind::Sync,
            TrapKind::Sync,
            TrapKind::Irq,
            TrapKind::Fiq,
            TrapKind::SError,
        ]),
        // Bits above ESR's 32 are ISS2.
        esr: class << 26 | iss | random.of(&[0, anything & 0xff_0000_0000]),
        far: address(random),
        hpfar: random.of(&[anything, at >> 12 << 4]),
    }
}

/// Something to be decoded where the pc is, if there is RAM: half of the time a load or store, and near a device.
fn instruction(guest: &mut Guest, random: &mut Random) {
    let anything = random.next();
    let word = random.of(&[
        anything as u32,
        anything as u32 & !(1 << 26 | 1 << 28) | 1 << 27,
    ]);
    let pc = Ipa(guest.registers().pc & !3);
    let memory = &mut guest.vm.shared.get_mut().memory;
    if let Some(at) = memory.stage2.translate(pc) {
        memory.backend.memory.write(at, &word.to_le_bytes());
    }
    let base = anything as usize >> 5 & 31;
    if base < 31 {
        guest.registers().x[base] = 0x0900_0000 + (random.next() & 0xff8);
    }
}

/// What always holds.
fn check(guest: &mut Guest) {
    let registers = *guest.registers();
    let [snapshots, pools, ..] = guest.smccc(STATS, &[]);
    assert!(
        pools <= snapshots && snapshots <= pools * 3,
        "{snapshots} in {pools}"
    );
    let mut found = 0;
    let mut from = 0;
    loop {
        let [id, ..] = guest.smccc(NEXT, &[from]);
        if id == NOT_FOUND {
            break;
        }
        assert_eq!(guest.smccc(INFO, &[id])[0], 0);
        found += 1;
        from = id + 1;
    }
    assert_eq!(found, snapshots);
    *guest.registers() = registers;
}

fn play(seed: u64, blocks: u64) {
    const STEPS: usize = 20_000;
    performed("vm::tests::random_traps", STEPS);
    let mut random = Random(seed);
    let mut guest = Guest::start(PLAN, share(0, blocks)).unwrap();
    let untouched = (DATA + 0x777, 0x5a);
    guest.store(untouched.0, untouched.1);
    guest.checkpoint();
    for step in 0..STEPS {
        for _ in 0..3 {
            let register = random.below(4) as usize;
            guest.registers().x[register] = argument(&mut random);
        }
        guest.registers().pstate = random.of(&[0x3c5, 0x3c4, 0, 0x10, 0x30, 0x3c5 | 3 << 10]);
        instruction(&mut guest, &mut random);
        let trap = trap(&mut random);
        if guest.trap(trap) == ExitAction::Put {
            guest.reset();
        }
        // It was reset, by itself or by us.
        if guest.snapshots().current().is_none() {
            guest.store(untouched.0, untouched.1);
        }
        if step % 50 == 0 {
            check(&mut guest);
            // It may have gone back to where something else was to be read, but nobody else writes there.
            assert_eq!(
                guest.load(untouched.0),
                untouched.1,
                "seed {seed}, {trap:x?}"
            );
        }
    }
}

#[test]
fn nothing_panics_and_memory_stays() {
    for seed in seeds(0..6) {
        play(seed, 32);
    }
}

#[test]
fn nothing_panics_when_memory_is_short() {
    for seed in seeds(10..16) {
        play(seed, 5);
    }
}
