//! A bug of the kind that takes days: now and then something stores beyond the end of an array, and much later somebody wonders at a variable.
//! docs/who.md finds it.

#![no_std]
#![no_main]
// What follows is what a C program would do.
#![allow(unsafe_code)]

use core::ptr::{addr_of, addr_of_mut};

use avisor_guest::timer::{microseconds, pause};
use avisor_guest::{entry, mmu, println};

/// The last samples, and how large one may be.
#[repr(C)]
struct Sampler {
    samples: [u64; 8],
    limit: u64,
}

#[unsafe(no_mangle)]
static mut SAMPLER: Sampler = Sampler {
    samples: [0; 8],
    limit: 100,
};

entry!(main);

fn main(_device_tree: usize) -> ! {
    mmu::enable();
    println!("overwritten: samples are below 100");
    let mut round: u64 = 0;
    loop {
        round += 1;
        keep(round, round % 90);
        // Somebody looks now and then only.
        if round.is_multiple_of(4096) {
            check(round);
        }
        pause(microseconds(20));
    }
}

/// Keeps a sample.
#[inline(never)]
fn keep(round: u64, sample: u64) {
    // Meant is: the first place again. One round in 20,000 it is the place behind the last one.
    let place = if round.is_multiple_of(20_000) {
        8
    } else {
        round as usize % 8
    };
    // SAFETY: there is one core, and the place is in the array: so the author believed.
    unsafe {
        let samples = addr_of_mut!(SAMPLER.samples).cast::<u64>();
        *samples.add(place) = sample;
    }
}

fn check(round: u64) {
    // SAFETY: there is one core.
    let limit = unsafe { addr_of!(SAMPLER.limit).read_volatile() };
    if limit != 100 {
        println!("overwritten: in round {round} the limit is {limit}. Nobody sets it!");
        loop {
            pause(microseconds(1000));
        }
    }
}
