//! What each CPU tries.

use core::arch::asm;

use avisor_guest::exception::{mask_interrupts, unmask_interrupts, wait_for_interrupt};
use avisor_guest::gic::{self, CPU_INTERFACE, DISTRIBUTOR, distributor};
use avisor_guest::snapshot::{self, Id};
use avisor_guest::timer::{ENABLE, Timer, microseconds};
use avisor_guest::{image_end, psci, smp};

use avisor_guest::random::Random;

/// One try of `cpu`, of which the first must come back from each.
pub fn one(random: &mut Random, cpu: usize) {
    match random.below(32) {
        0..=11 => access(random),
        12..=15 => floods(random),
        16..=19 => timers(random),
        20..=22 => power(random),
        23 if cpu > 0 && random.once_in(64) => psci::cpu_off(),
        24 if cpu > 0 => wait(random),
        25 | 26 => {
            unmask_interrupts();
            mask_interrupts();
        }
        27 if cpu > 0 && random.once_in(8) => snapshots(random),
        28 => drop(snapshot::info(Id(random.number()))),
        _ => access(random),
    }
}

/// A register of the interrupt controller, or what lies beside, by any instruction.
fn access(random: &mut Random) {
    let block = random.choose(&[DISTRIBUTOR, DISTRIBUTOR, CPU_INTERFACE]);
    let offset = match random.below(4) {
        0 => random.below(0x1_0000),
        1 => random.below(0x1100),
        // Where there are registers for all interrupts.
        _ => random.below(0x40) * 0x40 + random.below(0x20),
    };
    let aligned = !random.below(8);
    let address = block + (offset & aligned) as usize;
    let value = random.number();
    // SAFETY: a device, no memory. What faults is skipped; the registers that loads and stores with write-back change are
    // outputs.
    unsafe {
        match random.below(14) {
            0 => asm!("ldrb {:w}, [{}]", out(reg) _, in(reg) address, options(nostack)),
            1 => asm!("ldrh {:w}, [{}]", out(reg) _, in(reg) address, options(nostack)),
            2..=4 => asm!("ldr {:w}, [{}]", out(reg) _, in(reg) address, options(nostack)),
            5 => asm!("ldr {}, [{}]", out(reg) _, in(reg) address, options(nostack)),
            6 => asm!("strb {:w}, [{}]", in(reg) value, in(reg) address, options(nostack)),
            7 => asm!("strh {:w}, [{}]", in(reg) value, in(reg) address, options(nostack)),
            8..=10 => asm!("str {:w}, [{}]", in(reg) value, in(reg) address, options(nostack)),
            11 => asm!("str {}, [{}]", in(reg) value, in(reg) address, options(nostack)),
            12 => asm!("stp {0}, {0}, [{1}]", in(reg) value, in(reg) address, options(nostack)),
            _ => asm!("ldr {:w}, [{}], #4", out(reg) _, inout(reg) address => _, options(nostack)),
        }
    }
}

/// All interrupts at once, in one way or another.
fn floods(random: &mut Random) {
    let some = random.next() as u32;
    let bits = random.choose(&[u32::MAX, 0xffff, some]);
    let word = 4 * random.below(3) as usize;
    match random.below(8) {
        0 => gic::write(distributor::ISENABLER + word, bits),
        1 => gic::write(distributor::ISPENDR + word, bits),
        2 => gic::write(distributor::ISACTIVER + word, bits),
        3 => gic::write(distributor::ICACTIVER + word, bits),
        4 => (0..64).for_each(|intid| gic::set_priority(intid, random.next() as u8)),
        5 => gic::write(distributor::SPENDSGIR + 4 * random.below(4) as usize, bits),
        6 => {
            gic::enable();
            gic::enable_cpu();
        }
        _ => (0..16).for_each(|sgi| {
            let to = random.next() as u32 & 0xff_0000 | (random.below(4) as u32) << 24;
            gic::write(distributor::SGIR, to | sgi);
        }),
    }
    // Some of them are taken, and not all are ended.
    for _ in 0..random.below(6) {
        let acknowledged = gic::acknowledge();
        if random.once_in(2) {
            gic::end(acknowledged);
        }
        if random.once_in(2) {
            gic::end(random.below(1024) as u32);
        }
    }
}

fn timers(random: &mut Random) {
    let timer = random.choose(&[Timer::Virtual, Timer::Physical]);
    match random.below(5) {
        0 => timer.set_compare(random.number()),
        1 => timer.set_left(random.number() as i32),
        2 => timer.set_control(random.number()),
        3 => timer.start(timer.count() + random.below(microseconds(50))),
        _ => {
            timer.control();
            timer.left();
        }
    }
}

/// Other CPUs, that are there or not, started where there is code or not.
fn power(random: &mut Random) {
    let target = match random.below(4) {
        0 => random.number(),
        _ => random.below(9),
    };
    let entry = match random.below(4) {
        // Zeros, which are no instructions.
        0 => (image_end() as u64 + random.below(1 << 20)) & !3,
        1 => random.number() | 1 << 40,
        2 => random.below(0x4000_0000),
        _ => image_end() as u64 + 2,
    };
    match random.below(8) {
        // Nothing good comes of it, and it is off until the next restore.
        0 => drop(psci::call(psci::CPU_ON, [target, entry, random.next()])),
        1 => drop(psci::call(psci::CPU_ON, [0, entry, 0])),
        2 => drop(psci::call(psci::FEATURES, [random.next(), 0, 0])),
        _ => drop(psci::call(
            psci::AFFINITY_INFO,
            [target, random.below(5), 0],
        )),
    }
}

/// WFI, with a timer that is to end it, if nobody switches off what it needs.
fn wait(random: &mut Random) {
    let timer = random.choose(&[Timer::Virtual, Timer::Physical]);
    gic::enable_cpu();
    gic::enable();
    gic::enable_interrupt(timer.intid());
    timer.set_left(random.below(microseconds(100)) as i32);
    timer.set_control(ENABLE);
    wait_for_interrupt();
}

/// Takes one, goes back to any, or frees any.
fn snapshots(random: &mut Random) {
    let any = |random: &mut Random| {
        let newest = snapshot::generation().unwrap_or_default() * 2 + 10;
        snapshot::next(Id(random.below(newest))).unwrap_or(Id::LATEST)
    };
    match random.below(4) {
        0 | 1 => drop(snapshot::checkpoint()),
        2 => {
            let id = any(random);
            let _ = snapshot::restore_with(id, 1 + smp::this_cpu() as u64);
        }
        _ => drop(snapshot::delete(any(random))),
    }
}
