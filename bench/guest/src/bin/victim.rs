//! Spins, and sees by its clock when it did not have the core: `bench: waited [<k>]: <n>` for each window of time, where `n` is the longest
//! that it waited at a time, in instructions, and `k` what it had of the core, in thousandths. `avisor-bench --neighbours` reads it.
//!
//! Under `-icount shift=0` a tick of the counter is 16 instructions.

#![no_std]
#![no_main]

use avisor_guest::timer::Timer;
use avisor_guest::{entry, println};

/// Ticks of a window: 32 slices of the scheduler's.
const WINDOW: u64 = 32 << 18;
/// A look at the clock and the next are not so many ticks apart if nothing comes between.
const GAP: u64 = 16;
const INSTRUCTIONS: u64 = 16;

entry!(main);

fn main(_device_tree: usize) -> ! {
    loop {
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
        println!("bench: waited [{had}]: {}", longest * INSTRUCTIONS);
    }
}
