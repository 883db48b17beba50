//! Measures what it costs to drive another VM: `bench: <name> [<k>]: <figure>`, in instructions of both VMs and the hypervisor.

#![no_std]
#![no_main]
#![allow(unsafe_code)]

mod when;

use avisor_guest::control::{Stop, Target};
use avisor_guest::{Id, entry, power_off, println};
use core::arch::asm;

const TARGET: Target = Target(0);
/// Rounds of each measurement: the last half counts, when whatever may be learnt of the pages is.
const ROUNDS: u64 = 64;

entry!(main);

/// The cycle counter, which under `-icount shift=0` counts instructions at all levels.
fn count() -> u64 {
    let count;
    // SAFETY: reads a register.
    unsafe { asm!("isb", "mrs {}, pmccntr_el0", out(reg) count, options(nostack)) };
    count
}

/// As `bench` does.
fn enable_counter() {
    // SAFETY: the performance monitors are this guest's: PMCNTENSET_EL0.C, PMCR_EL0.{E, C, LC}, PMCCFILTR_EL0.NSH.
    unsafe {
        asm!(
            "msr pmcntenset_el0, {enable}",
            "msr pmcr_el0, {control}",
            "msr pmccfiltr_el0, {filter}",
            "isb",
            enable = in(reg) 1_u64 << 31,
            control = in(reg) 1_u64 << 6 | 1 << 2 | 1,
            filter = in(reg) 1_u64 << 27,
            options(nostack)
        );
    }
}

fn event() -> (u64, u64) {
    match TARGET.run(None) {
        Ok(Stop::Event { code, a, .. }) => (code, a),
        other => panic!("{other:?}"),
    }
}

fn restore(start: Id, pages: u64) {
    if let Err(error) = TARGET.restore_with(start, pages + 1) {
        panic!("{error}");
    }
}

/// What so many rounds take in which the target stores to so many pages.
fn rounds(start: Id, pages: u64, rounds: u64) -> u64 {
    let before = count();
    for _ in 0..rounds {
        event();
        restore(start, pages);
    }
    count() - before
}

/// A page of this VM's.
#[repr(align(4096))]
struct Page([u8; 4096]);

/// What it takes to read a page of the target's image.
fn read(page: &mut Page) -> u64 {
    const IMAGE: u64 = 0x4008_0000;
    let before = count();
    let done = TARGET.read(None, IMAGE, &mut page.0);
    let took = count() - before;
    assert!(done.is_ok() && page.0 != [0; 4096], "there is an image");
    took
}

/// What a debugger's step back takes: the target stopped behind stores to so many pages, each stop is a snapshot, and it goes back to the one before,
/// whose registers are read.
fn back(start: Id, pages: u64) -> u64 {
    restore(start, pages);
    event();
    let Ok(stop) = TARGET.checkpoint() else {
        panic!("there is memory for a snapshot")
    };
    let before = count();
    restore(start, 0);
    let registers = TARGET.registers(None, 0);
    let took = count() - before;
    assert!(registers.is_ok(), "it is on");
    if let Err(error) = TARGET.delete(stop) {
        panic!("{error}");
    }
    took
}

fn main(_device_tree: usize) -> ! {
    enable_counter();
    println!("bench: waiting");
    let (_, start) = event();
    let start = Id(start);
    for pages in [0, 1, 20, 100] {
        restore(start, pages);
        rounds(start, pages, ROUNDS / 2);
        let took = rounds(start, pages, ROUNDS / 2);
        println!(
            "bench: round of a controller [{pages}]: {}",
            took / (ROUNDS / 2)
        );
    }
    for pages in [0, 100] {
        // The first time, pages of this VM become its own.
        let [_, took] = [(); 2].map(|()| back(start, pages));
        println!("bench: back to the stop before [{pages}]: {took}");
    }
    let page = &mut Page([0; 4096]);
    // The first time, the page becomes this VM's own.
    let [_, took] = [(); 2].map(|()| read(page));
    println!("bench: reading 4 KiB of a target: {took}");
    println!(
        "bench: when did a variable change [{}]: {}",
        when::SNAPSHOTS,
        when::measure()
    );
    println!("bench: done");
    power_off()
}
