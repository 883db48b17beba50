//! What `controller` drives: it says that it is ready, and does what the restorer's value says, each time from the same snapshot.

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use avisor_guest::control::event;
use avisor_guest::psci::{self, SYSTEM_RESET};
use avisor_guest::timer::Timer;
use avisor_guest::{Checkpoint, checkpoint, entry, exception, power_off, println};

/// Taken back by each restore.
static ROUNDS: AtomicU64 = AtomicU64::new(7);

entry!(main);

/// What cannot be refused.
fn say(code: u64, a: u64, b: u64) {
    if let Err(error) = event(code, a, b) {
        println!("controlled: event {code}: {error}");
        power_off();
    }
}

fn main(_device_tree: usize) -> ! {
    say(100, ROUNDS.load(Relaxed), 0);
    let command = match checkpoint() {
        Ok(Checkpoint::Taken(id)) => {
            say(101, id.0, 0);
            0
        }
        Ok(Checkpoint::Restored { value, .. }) => value,
        Err(error) => panic!("no checkpoint: {error}"),
    };
    match command {
        // What it was, and that it counts.
        2 => {
            let rounds = ROUNDS.load(Relaxed);
            ROUNDS.store(rounds + 1, Relaxed);
            say(102, rounds, ROUNDS.load(Relaxed));
        }
        // For ever.
        3 => loop {
            core::hint::spin_loop();
        },
        4 => {
            psci::call(SYSTEM_RESET, [0; 3]);
        }
        5 => power_off(),
        // Nothing ever comes.
        6 => loop {
            exception::wait_for_interrupt();
        },
        // What the clock says, twice.
        7 => {
            say(107, Timer::Virtual.count(), 0);
            say(107, Timer::Virtual.count(), 0);
        }
        _ => {}
    }
    loop {
        say(command, ROUNDS.load(Relaxed), 0);
    }
}
