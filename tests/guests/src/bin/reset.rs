//! A guest that resets its machine: it starts again from its image, in RAM that is all zero, and its snapshots are still
//! there. The last of them leads back to before the reset, with counters that are not behind those of the checkpoint.

#![no_std]
#![no_main]
// RAM behind the image is read and written directly.
#![allow(unsafe_code)]

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use avisor_guest::memory::{self, PAGE, load};
use avisor_guest::psci::{self, SYSTEM_RESET};
use avisor_guest::timer::{Timer, frequency};
use avisor_guest::{Checkpoint, Id, checkpoint, entry, image_end, power_off, println};
use avisor_guest::{restore_with, snapshot};

/// Pages behind the image that are marked: more than one block of 2 MiB.
const PAGES: usize = 1024;

/// In the image with this value, so that a second start must find it again.
static MARK: AtomicU64 = AtomicU64::new(7);

entry!(main);

fn main(_device_tree: usize) -> ! {
    let mark = MARK.load(Relaxed);
    assert_eq!(mark, 7, "the image is not as it was built");
    match snapshot::next(Id(0)) {
        Err(_) => first_start(),
        Ok(id) => second_start(id),
    }
}

fn first_start() -> ! {
    println!("reset: first start");
    pages().for_each(|page| store(page, page as u64));
    MARK.store(8, Relaxed);
    // Far beyond what the second start needs to get back here.
    while counters()[0] < frequency() {}
    let before = counters();
    match checkpoint() {
        Ok(Checkpoint::Taken(_)) => {
            pages().for_each(|page| store(page, !0));
            let error = psci::call(SYSTEM_RESET, [0; 3]);
            println!("reset: SYSTEM_RESET returned {error}");
        }
        Ok(Checkpoint::Restored { value, .. }) => {
            let after = counters();
            let behind = (0..2).any(|i| after[i] < before[i]);
            let same = pages().all(|page| load(page) == page as u64);
            let mark = MARK.load(Relaxed);
            println!(
                "reset: back before the reset: value {value}, mark {mark}, RAM as it was: {same}, counters behind: {behind}"
            );
        }
        Err(error) => println!("reset: no checkpoint: {error}"),
    }
    power_off()
}

fn second_start(id: Id) -> ! {
    let zero = pages().all(|page| load(page) == 0);
    println!("reset: second start: RAM is zero: {zero}, snapshot {id} is there");
    let error = restore_with(id, 42);
    println!("reset: no way back: {error}");
    power_off()
}

fn counters() -> [u64; 2] {
    [Timer::Virtual, Timer::Physical].map(|timer| timer.count())
}

/// One word in each page.
fn pages() -> impl Iterator<Item = usize> {
    (0..PAGES).map(|n| image_end() + n * PAGE + n % 512 * 8)
}

fn store(address: usize, value: u64) {
    // SAFETY: RAM behind the image, far below the device tree, 8-byte aligned; nothing else uses it.
    unsafe { memory::store(address, value) }
}
