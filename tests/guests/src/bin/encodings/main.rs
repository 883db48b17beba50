//! Which system registers there are: executes every encoding of MRS and MSR with op0 2 and 3, at EL1 and at EL0, and from AArch32 code at
//! EL0 every MRC, MCR, MRRC and MCRR of coprocessors 14 and 15. Plain QEMU runs it too.
//!
//! Where there are snapshot calls, every register that EL1 can read and write is then filled, and must be so again after a restore.
//!
//! A line for each group of encodings that differ in op2 (of MRRC and MCRR: in bits 2:0 of opc1) and of which one is answered:
//!
//! ```text
//! el1 read S3_0_C1_C0: ++------
//! ```
//!
//! `+` is answered, `-` undefined, `t` an exception of another class. The values of the registers with op0 2 that EL1 reads follow, one a line.

#![no_std]
#![no_main]
// Instructions are made here, and executed at both exception levels.
#![allow(unsafe_code)]

mod execute;
mod instruction;
mod restored;

use avisor_guest::{entry, power_off, print, println, snapshot};
use execute::{Answer, Level, execute};
use instruction::{GROUP, MRC_GROUPS, MRRC_GROUPS, MRS_GROUPS};
use instruction::{mrc, mrrc, mrs, print_mrc, print_mrrc, print_mrs};

entry!(main);

/// A way to reach system registers.
struct Pass {
    /// The first words of its lines.
    name: &'static str,
    level: Level,
    write: bool,
    /// Groups that there are.
    groups: u32,
    /// The instruction with this number: 8 for each group.
    instruction: fn(u32, bool) -> u32,
    /// What the group is called, in numbers.
    print: fn(u32),
}

const fn aarch64(name: &'static str, level: Level, write: bool) -> Pass {
    Pass {
        name,
        level,
        write,
        groups: MRS_GROUPS,
        instruction: mrs,
        print: print_mrs,
    }
}

const fn aarch32(name: &'static str, write: bool, pair: bool) -> Pass {
    Pass {
        name,
        level: Level::El0Aarch32,
        write,
        groups: if pair { MRRC_GROUPS } else { MRC_GROUPS },
        instruction: if pair { mrrc } else { mrc },
        print: if pair { print_mrrc } else { print_mrc },
    }
}

/// A write follows the read of the same encodings at its level: it writes what was read.
static PASSES: &[Pass] = &[
    aarch64("el1 read", Level::El1, false),
    aarch64("el1 write", Level::El1, true),
    aarch64("el0 read", Level::El0, false),
    aarch64("el0 write", Level::El0, true),
    aarch32("aarch32 mrc", false, false),
    aarch32("aarch32 mcr", true, false),
    aarch32("aarch32 mrrc", false, true),
    aarch32("aarch32 mcrr", true, true),
];

fn main(_device_tree: usize) -> ! {
    execute::open_everything();
    values();
    for pass in PASSES.iter().filter(|pass| pass.level.exists()) {
        for group in 0..pass.groups {
            sweep(pass, group);
        }
    }
    if snapshot::available() {
        restored::check();
    }
    println!("encodings: done");
    power_off()
}

/// Executes a group, and prints it if one of it is answered in some way.
fn sweep(pass: &Pass, group: u32) {
    let numbers: [u32; GROUP] = core::array::from_fn(|n| group * GROUP as u32 + n as u32);
    let reads = numbers.map(|number| (pass.instruction)(number, false));
    let mut answers = execute(pass.level, &reads, &[0; GROUP]);
    if pass.write {
        // What cannot be read gets 0.
        let values = answers.map(|answer| match answer {
            Answer::Value(value) => value,
            Answer::Undefined | Answer::Exception => 0,
        });
        let writes = numbers.map(|number| (pass.instruction)(number, true));
        answers = execute(pass.level, &writes, &values);
    }
    if answers.iter().all(|answer| *answer == Answer::Undefined) {
        return;
    }
    print!("{} ", pass.name);
    (pass.print)(group);
    print!(": ");
    for answer in answers {
        print!(
            "{}",
            match answer {
                Answer::Value(_) => '+',
                Answer::Undefined => '-',
                Answer::Exception => 't',
            }
        );
    }
    println!();
}

/// The registers with op0 2, before any is written: debug and trace.
fn values() {
    for group in 0..MRS_GROUPS / 2 {
        let reads = core::array::from_fn(|n| mrs(group * GROUP as u32 + n as u32, false));
        for (op2, answer) in execute(Level::El1, &reads, &[0; GROUP]).iter().enumerate() {
            if let Answer::Value(value) = answer {
                print!("value ");
                print_mrs(group);
                println!("_{op2}: {value:#x}");
            }
        }
    }
}
