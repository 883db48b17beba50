//! What snapshots cost, counted in instructions: one line for each figure, `bench: <name> <instructions>`.
//!
//! Runs under `-icount shift=0`, where the cycle counter counts instructions, on an image built with the `bench` feature,
//! which lets the counter count at EL2 too. `tools/bench` starts it and reads the lines. The counter is no part of a
//! snapshot: it goes on across a restore. What the guest must remember across one travels as the restore's value.

#![no_std]
#![no_main]
#![allow(unsafe_code)]

use avisor_guest::{
    Checkpoint, RAM_START, checkpoint, entry, power_off, println, restore_with, smccc,
    snapshot::delete,
};
use core::arch::asm;

const PAGE: usize = 4096;
const BLOCK: usize = 2 << 20;
/// Pages that the measurements write to: from here on, nothing else is in RAM.
const FIELD: usize = RAM_START + (16 << 20);
/// Bytes of it: with what lies before, less than the smallest guest that is measured.
const FIELD_SIZE: usize = 96 << 20;

entry!(main);

fn main(_device_tree: usize) -> ! {
    enable_counter();
    let empty = measure(|| {});
    report("empty interval", empty);
    calls();
    device();
    // Every block is present and in use, as in a guest that has run for a while.
    for page in (FIELD..FIELD + FIELD_SIZE).step_by(PAGE) {
        store(page);
    }
    whole_block();
    checkpoints();
    first_stores();
    restores();
    fuzzer();
    distance();
    deletion();
    power_off()
}

fn calls() {
    report(
        "hvc call",
        measure(|| {
            smccc::hvc([smccc::VERSION, 0, 0, 0]);
        }),
    );
}

fn device() {
    report(
        "device read",
        measure(|| {
            avisor_guest::mmio::read32(0x0900_0018);
        }),
    );
}

/// The first store to a block that is still mapped as a whole.
fn whole_block() {
    let _ = checkpoint();
    report(
        "first store in a block",
        measure(|| store(FIELD + 5 * PAGE)),
    );
    for block in (FIELD..FIELD + FIELD_SIZE).step_by(BLOCK) {
        store(block);
    }
    let _ = checkpoint();
}

fn checkpoints() {
    report("checkpoint, nothing dirtied", two_checkpoints());
    for k in [1, 10, 100, 1000] {
        // Pages that are dirtied for the first time since their block was divided, then the same again.
        for name in ["checkpoint, scattered, first time", "checkpoint, scattered"] {
            scattered(k).for_each(store);
            named(name, k, checkpoint_cost());
        }
    }
    for k in [1, 10, 100, 1000] {
        for name in ["checkpoint, adjacent, first time", "checkpoint, adjacent"] {
            adjacent(k).for_each(store);
            named(name, k, checkpoint_cost());
        }
    }
}

/// What the second of two checkpoints takes, between which the guest does not store anything, not even to its stack.
fn two_checkpoints() -> u64 {
    let (start, end): (u64, u64);
    // SAFETY: `hvc #1` changes no register and no memory.
    unsafe {
        asm!(
            "hvc #1", "isb", "mrs {start}, pmccntr_el0", "hvc #1", "isb", "mrs {end}, pmccntr_el0",
            start = out(reg) start, end = out(reg) end, options(nostack)
        );
    }
    end - start
}

fn checkpoint_cost() -> u64 {
    measure(|| {
        let _ = checkpoint();
    })
}

fn first_stores() {
    let _ = checkpoint();
    let at = FIELD + 7 * PAGE;
    report("first store", measure(|| store(at)));
    report("second store", measure(|| store(at)));
}

/// Back to the snapshot that the guest runs on.
fn restores() {
    for k in [0, 1, 10, 100, 1000] {
        match checkpoint() {
            Ok(Checkpoint::Taken(id)) => {
                scattered(k).for_each(store);
                restore_with(id, counter());
            }
            Ok(Checkpoint::Restored { value, .. }) => {
                named("restore of the base", k, counter() - value);
            }
            Err(_) => println!("bench: no memory"),
        }
    }
}

/// The same snapshot again and again, the same pages dirtied in between: rounds until it is steady, then one that counts.
fn fuzzer() {
    const ROUNDS: u64 = 8;
    for k in [1, 10, 100, 1000] {
        // What travels: the round, and the counter at the end of the round before, for which 56 bits are enough.
        let Ok(taken) = checkpoint() else { return };
        let (id, round, before) = match taken {
            Checkpoint::Taken(id) => (id, 0, 0),
            Checkpoint::Restored { id, value } => (id, value >> 56, value & (u64::MAX >> 8)),
        };
        let now = counter();
        if round == ROUNDS {
            named("fuzzer's round", k, now - before - own_stores(k));
            continue;
        }
        scattered(k).for_each(store);
        restore_with(id, (round + 1) << 56 | now);
    }
}

/// What the guest itself executes to store to `k` scattered pages that need no fault.
fn own_stores(k: usize) -> u64 {
    scattered(k).for_each(store);
    measure(|| scattered(k).for_each(store))
}

/// Back over many checkpoints that all dirtied the same pages.
fn distance() {
    const BETWEEN: usize = 1000;
    const PAGES: usize = 100;
    match checkpoint() {
        Ok(Checkpoint::Taken(id)) => {
            for _ in 0..BETWEEN {
                scattered(PAGES).for_each(store);
                let _ = checkpoint();
            }
            restore_with(id, counter());
        }
        Ok(Checkpoint::Restored { value, .. }) => {
            named("restore across 1000 checkpoints", PAGES, counter() - value);
        }
        Err(_) => println!("bench: no memory"),
    }
}

fn deletion() {
    for k in [1, 100, 1000] {
        scattered(k).for_each(store);
        let Ok(Checkpoint::Taken(id)) = checkpoint() else {
            return;
        };
        scattered(k).for_each(store);
        let _ = checkpoint();
        named(
            "delete",
            k,
            measure(|| {
                let _ = delete(id);
            }),
        );
    }
}

fn scattered(k: usize) -> impl Iterator<Item = usize> {
    // 241 is prime to the pages of the field: all different, and no two in a node of the map.
    (0..k).map(|i| FIELD + (i * 241 % (FIELD_SIZE / PAGE)) * PAGE)
}

fn adjacent(k: usize) -> impl Iterator<Item = usize> {
    (0..k).map(|i| FIELD + i * PAGE)
}

fn store(address: usize) {
    // SAFETY: in the field, where nothing else is; its contents do not matter.
    unsafe { (address as *mut u64).write_volatile(address as u64) };
}

fn named(name: &str, k: usize, instructions: u64) {
    println!("bench: {name} {k}: {instructions}");
}

fn report(name: &str, instructions: u64) {
    println!("bench: {name}: {instructions}");
}

/// Instructions that `f` takes, the reading of the counter (see "empty interval") included.
fn measure(f: impl FnOnce()) -> u64 {
    let start = counter();
    f();
    counter() - start
}

fn enable_counter() {
    // SAFETY: the performance monitors are this guest's: PMCCFILTR_EL0.NSH, PMCNTENSET_EL0.C, PMCR_EL0.{E, C, LC}.
    unsafe {
        asm!(
            "msr pmccfiltr_el0, {filter}",
            "msr pmcntenset_el0, {enable}",
            "msr pmcr_el0, {control}",
            "isb",
            filter = in(reg) 1_u64 << 27,
            enable = in(reg) 1_u64 << 31,
            control = in(reg) 1_u64 << 6 | 1 << 2 | 1,
            options(nostack)
        );
    }
}

fn counter() -> u64 {
    let count;
    // SAFETY: reads a register; what is counted must stay on its side of it.
    unsafe { asm!("isb", "mrs {}, pmccntr_el0", out(reg) count, options(nostack)) };
    count
}
