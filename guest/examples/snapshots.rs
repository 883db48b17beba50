//! Five snapshots in pools of three, and what becomes of them when memory gets short.
//!
//! On a 1 GiB machine with a 128 MiB guest two pools of three fit, and the story goes:
//!
//! | the guest | the hypervisor's ids | pools |
//! | --- | --- | --- |
//! | checkpoints #0 to #4 | 0 1 2 3 4 | {0 1 2} {3 4} |
//! | restores 1, goes on with #2 | 5 | {0 1 2} {3 4 5} |
//! | #3: a third pool does not fit, the oldest is freed | 6 | {3 4 5} {6} |
//! | #4 | 7 | {3 4 5} {6 7} |
//! | restores 1: refused, it is gone | | |

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use avisor_guest::{Id, checkpoint_here, entry, power_off, println, restore};

/// Memory that each snapshot holds with another value.
static I: AtomicU64 = AtomicU64::new(0);

entry!(main);

fn main(_device_tree: usize) -> ! {
    for n in 0..5 {
        I.store(I.load(Relaxed) + 10, Relaxed);
        println!("ckpt #{n}, i={}", I.load(Relaxed));
        checkpoint_here();
    }

    // Continues in the loop, where n was 1 and i was 20, as if nothing had happened since. The guest
    // cannot know that it is here for the second time; but then 1 is gone, and the restore returns.
    restore(Id(1));

    println!("restore of #1 was refused: it is gone");
    power_off()
}
