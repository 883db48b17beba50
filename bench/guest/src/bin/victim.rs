//! Spins, and sees by its clock when it did not have the core: `bench: waited [<k>]: <n>` for each window of time, where `n` is the longest
//! that it waited at a time, in instructions, and `k` what it had of the core, in thousandths. Before that line `bench: rounds [<cpu>]: <n>`: how many
//! rounds a CPU of an `attacker` went meanwhile, which counts them in the window `rounds`. `avisor-bench --neighbours` reads both.
//!
//! Under `-icount shift=0` a tick of the counter is 16 instructions.

#![no_std]
#![no_main]

use core::sync::atomic::Ordering;

use avisor_guest::timer::Timer;
use avisor_guest::window::Window;
use avisor_guest::{entry, mmu, println};

/// Ticks of a window: 32 slices of the scheduler's.
const WINDOW: u64 = 32 << 18;
/// A look at the clock and the next are not so many ticks apart if nothing comes between.
const GAP: u64 = 16;
const INSTRUCTIONS: u64 = 16;

entry!(main);

fn main(device_tree: usize) -> ! {
    mmu::enable();
    let Some(window) = Window::find(device_tree, "rounds") else {
        panic!("there is no window \"rounds\"");
    };
    let rounds = || [0, 1].map(|cpu| window.words()[cpu].load(Ordering::Relaxed));
    loop {
        let before = rounds();
        let start = Timer::Physical.count();
        let (mut last, mut longest, mut waited) = (start, 0, 0);
        while last - start < WINDOW {
            let now = Timer::Physical.count();
            let gap = now - last;
            if gap > GAP {
                waited += gap;
                longest = longest.max(gap);
            }
            last = now;
        }
        let had = 1000 - waited * 1000 / (last - start);
        for (cpu, (now, before)) in rounds().into_iter().zip(before).enumerate() {
            println!("bench: rounds [{cpu}]: {}", now - before);
        }
        println!("bench: waited [{had}]: {}", longest * INSTRUCTIONS);
    }
}
