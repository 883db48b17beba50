//! Several CPUs that mean harm, all at once: to the interrupt controller, the timers, each other's power, and the snapshots.
//!
//! The first CPU takes a snapshot, joins in for a while, and goes back, again and again; the others take snapshots and go back
//! to any of them whenever they like, too. So nobody can count tries. It is over when the machine has been restored often
//! enough, which is the only thing that no restore takes back. What the others have become by then does not matter: they wait
//! for what never comes, run where there is no code, or are off, until the next restore. That the first one comes to the end is
//! the test.

#![no_std]
#![no_main]
// Everything that is tried here is assembly.
#![allow(unsafe_code)]

mod tries;

use avisor_guest::exception::{self, Frame};
use avisor_guest::snapshot::{self, Checkpoint, Error};
use avisor_guest::timer::Timer;
use avisor_guest::{entry, gic, mmu, power_off, println, psci, smp};

use avisor_guest::random::Random;

/// Restores in all.
const RESTORES: u64 = 200;
/// Restores between two lines on the console.
const REPORT: u64 = 10;
/// The first CPU's tries between its checkpoint and its restore.
const BATCH: u64 = 100;
/// The same where there are no snapshots: how many batches.
const BATCHES_WITHOUT: u64 = 300;

entry!(main);

fn main(_device_tree: usize) -> ! {
    mmu::enable();
    exception::set_handler(recover);
    let cpus = smp::count();
    println!("hostile-smp: {cpus} CPUs");
    let mut random = Random::numbered(1, Timer::Physical.count());
    let mut batches = 0;
    while !is_over(batches) {
        batches += 1;
        start_others(cpus);
        match snapshot::checkpoint() {
            Ok(Checkpoint::Taken(id)) => {
                (0..BATCH).for_each(|_| tries::one(&mut random, 0));
                match snapshot::restore_with(id, 1) {
                    // Another CPU has deleted it, or memory is full of younger ones.
                    Error::NotFound => {}
                    error => panic!("a restore was refused: {error}"),
                }
            }
            Ok(Checkpoint::Restored { .. }) => {
                if restored().is_multiple_of(REPORT) {
                    println!("hostile-smp: {} restores", restored());
                }
                // The same again would be tried otherwise.
                random = Random::numbered(restored(), 0);
            }
            Err(Error::NotSupported) => (0..BATCH).for_each(|_| tries::one(&mut random, 0)),
            Err(error) => panic!("no checkpoint: {error}"),
        }
    }
    // Another CPU may be in the midst of a line that is taken back and begun again.
    println!("\nhostile-smp: all answered");
    power_off()
}

fn restored() -> u64 {
    snapshot::generation().unwrap_or_default()
}

fn is_over(batches: u64) -> bool {
    if snapshot::available() {
        restored() >= RESTORES
    } else {
        batches >= BATCHES_WITHOUT
    }
}

/// Those that are off.
fn start_others(cpus: usize) {
    for cpu in 1..cpus {
        if smp::state(cpu) == psci::OFF {
            // Another CPU may have been faster.
            let _ = smp::start(cpu, other);
        }
    }
}

fn other(cpu: usize) -> ! {
    let mut random = Random::numbered(cpu as u64, Timer::Physical.count() ^ restored());
    gic::enable_cpu();
    loop {
        tries::one(&mut random, cpu);
    }
}

/// Goes on behind what faulted. Interrupts are ended, and masked again.
fn recover(frame: &mut Frame) {
    match frame.vector & 3 {
        0 => frame.skip(),
        1 => {
            let acknowledged = gic::acknowledge();
            gic::end(acknowledged);
            gic::deactivate(acknowledged);
        }
        _ => {}
    }
    frame.spsr |= 0x3c0;
}
