//! A guest that means harm: a million things that a guest must not do, or as many as `tries=` on its command line says, and the machine
//! must answer each.
//!
//! Between them it goes back in time: every few hundred tries are surrounded by a checkpoint and a restore, and what the
//! tries have left behind must be gone. That also lets the program recover from what it did to itself.
//!
//! The number of tries done is what the restore passes on, as it cannot be remembered otherwise. Each try depends on its
//! number and the seed alone, so that one that fails can be tried again.

#![no_std]
#![no_main]
// Everything that is tried here is assembly.
#![allow(unsafe_code)]

mod attempt;
mod tables;
mod tries;

use avisor_guest::{
    Checkpoint, Error, Id, RAM_START, checkpoint, entry, image_end, power_off, println,
    restore_with, snapshot,
};

use attempt::peek;
use avisor_guest::random::Random;

const SEED: u64 = 0x4156_4953_4f52;
/// Where the command line says nothing else.
const TRIES: u64 = 1_000_000;
/// Tries between a checkpoint and its restore.
const BATCH: u64 = 500;
/// Tries between two lines on the console.
const REPORT: u64 = 50_000;

entry!(main);

fn main(device_tree: usize) -> ! {
    let tries = tries(device_tree);
    println!("hostile: seed {SEED:#x}");
    attempt::prepare();
    let machine = tries::Machine {
        ram: RAM_START as u64..ram_end(),
        has_snapshots: snapshot::available(),
    };
    let mut done = 0;
    while done < tries {
        done = round(&machine, done);
        if done.is_multiple_of(REPORT) {
            println!("hostile: {done} tries");
        }
    }
    if let Ok(Id(oldest)) = snapshot::next(Id(0)) {
        println!("hostile: the oldest snapshot is #{oldest}");
    }
    println!("hostile: {done} tries, all answered");
    power_off()
}

/// What stands behind `tries=` in the tree, whose one property with such text is the command line.
fn tries(device_tree: usize) -> u64 {
    let header = device_tree as *const u32;
    // SAFETY: x0 has the address of the tree, whose second word is its size, big-endian (Devicetree Specification, 5.2).
    let tree = unsafe {
        let size = u32::from_be(header.add(1).read()) as usize;
        core::slice::from_raw_parts(header.cast::<u8>(), size)
    };
    let name = b"tries=";
    let Some(at) = tree.windows(name.len()).position(|text| text == name) else {
        return TRIES;
    };
    let digits = tree[at + name.len()..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
}

/// A batch of tries, and back. Returns the number of tries done then.
fn round(machine: &tries::Machine, done: u64) -> u64 {
    let pages = Pages::fill(machine, done);
    match checkpoint() {
        Ok(Checkpoint::Taken(id)) => {
            batch(machine, done, id);
            pages.scramble();
            let error = restore_with(id, done + BATCH);
            panic!(
                "after try {}: the restore of {id} was refused: {error}",
                done + BATCH
            );
        }
        Ok(Checkpoint::Restored { id, value }) => {
            pages.check(value);
            // Leaves pools with gaps for the next checkpoints.
            if (value / BATCH).is_multiple_of(3) && snapshot::delete(id).is_err() {
                panic!("after try {value}: cannot delete {id}");
            }
            value
        }
        // Not Avisor: the tries are still worth something.
        Err(Error::NotSupported) => {
            batch(machine, done, Id(0));
            done + BATCH
        }
        Err(error) => panic!("after try {done}: no checkpoint: {error}"),
    }
}

fn batch(machine: &tries::Machine, done: u64, ours: Id) {
    let mut budget = tries::Budget {
        ours,
        checkpoints: 1,
    };
    for number in done..done + BATCH {
        tries::one(
            machine,
            &mut budget,
            number,
            &mut Random::numbered(SEED, number),
        );
    }
}

/// Pages all over RAM, whose contents a restore must bring back.
struct Pages {
    start: usize,
    step: usize,
    seed: u64,
}

impl Pages {
    const COUNT: usize = 32;

    fn fill(machine: &tries::Machine, seed: u64) -> Pages {
        let start = image_end();
        let step = ((machine.ram.end as usize - start) / Pages::COUNT) & !7;
        let pages = Pages { start, step, seed };
        pages.write(seed);
        pages
    }

    fn words(&self) -> impl Iterator<Item = *mut u64> {
        (0..Pages::COUNT).map(|n| (self.start + n * self.step) as *mut u64)
    }

    fn write(&self, seed: u64) {
        let mut random = Random::numbered(seed, 0);
        for word in self.words() {
            // SAFETY: RAM behind the image, 8-byte aligned, which nothing else uses.
            unsafe { word.write_volatile(random.next()) }
        }
    }

    fn scramble(&self) {
        self.write(!self.seed);
    }

    fn check(&self, done: u64) {
        let mut random = Random::numbered(self.seed, 0);
        for word in self.words() {
            // SAFETY: as above.
            let (want, got) = (random.next(), unsafe { word.read_volatile() });
            if want != got {
                panic!("after try {done}: at {word:p}: want {want:#x}, got {got:#x}");
            }
        }
    }
}

/// The end of RAM: the first MiB from which nothing can be read.
fn ram_end() -> u64 {
    let mut address = (image_end() as u64).next_multiple_of(1 << 20);
    while peek(address) {
        address += 1 << 20;
    }
    address
}
