//! What snapshots cost: one line for each figure, `bench: <name>: <figure>`, or `bench: <name> [<k>]: <figure>`.
//!
//! `make bench` starts it and tells it on the console what to measure: a line with a part's name, the RAM in MiB, and how many times. Under
//! `-icount shift=0`, and on an image built with the `bench` feature, the figures are instructions, otherwise nanoseconds. It runs
//! on plain `-M virt` as well, without what is about snapshots.
//!
//! | part | what it measures |
//! | --- | --- |
//! | `counts` | the calls, and what each costs by the number of pages |
//! | `curves` | the same for the plots: more numbers of pages |
//! | `size` | what depends on the guest's RAM, or should not |
//! | `limits` | how many snapshots fit, and the longest that the guest is away |
//! | `pauses` | the longest that the guest is away, all of its pages having been dirtied |
//! | `interrupts` | interrupts, and what a second vCPU adds, if there is one |
//! | `running` | a guest that runs on with snapshots held |
//! | `wall-zero`, `wall-random` | checkpoint, restore and a full copy again and again, for medians; RAM is full of that |
//! | `idle` | nothing: QEMU's own snapshots are taken from outside |

#![no_std]
#![no_main]
#![allow(unsafe_code)]

mod counter;
mod interrupts;
mod limits;
mod line;
mod memory;
mod operations;
mod report;
mod running;

use avisor_guest::{entry, power_off, println};
use memory::Ram;
use report::{named, report};

entry!(main);

fn main(_device_tree: usize) -> ! {
    let started = counter::system_ticks();
    counter::enable();
    println!("bench: waiting");
    let mut line = [0; 32];
    let line = line::read(&mut line);
    let mut words = line.split(' ');
    let part = words.next().unwrap_or_default();
    let mut number = || words.next().and_then(|word| word.parse().ok());
    let ram = Ram::new(number().unwrap_or(128));
    let times = number().unwrap_or(1);
    if part == "counts" {
        // A tick of 16 ns is 16 instructions.
        report("start to the guest's first instruction", started * 16);
        limits::at_start(&ram);
    }
    match part {
        "counts" => operations::counts(&ram),
        "curves" => operations::curves(&ram),
        "size" => operations::size(&ram),
        "limits" => limits::all(&ram),
        "pauses" => limits::pauses(&ram),
        "interrupts" => interrupts::all(&ram),
        "running" => running::all(&ram, times),
        "wall-zero" => wall(&ram, false, times),
        "wall-random" => wall(&ram, true, times),
        "idle" => idle(&ram),
        _ => println!("bench: there is no part \"{part}\""),
    }
    println!("bench: done");
    power_off()
}

/// Each figure many times. The full copy comes last: QEMU's TLB grows by what the guest touches, and to flush a large one, as each
/// restore does, takes QEMU longer.
fn wall(ram: &Ram, random: bool, times: usize) {
    ram.fill(random);
    for k in [100, 10_000] {
        let of = ram.scattered(k);
        counter::checkpoint(of);
        for _ in 0..times {
            named("checkpoint", k, counter::checkpoint(of));
            named("restore", k, counter::restore(of));
            operations::forget();
        }
    }
    for _ in 0..times {
        report("full copy", ram.full_copy());
    }
}

fn idle(ram: &Ram) -> ! {
    let mut line = [0; 32];
    for contents in ["zero", "random"] {
        ram.fill(contents == "random");
        println!("bench: RAM {contents}");
        line::read(&mut line);
    }
    power_off()
}
