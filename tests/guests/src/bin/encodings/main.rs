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
mod restored;

use avisor_guest::{entry, power_off, print, println, snapshot};
use execute::{Answer, Level, execute};

entry!(main);

/// Encodings in a group.
const GROUP: usize = 8;

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

/// MRS or MSR (register) of x0: number is op0<0>, op1, CRn, CRm, op2.
fn mrs(number: u32, write: bool) -> u32 {
    0xd510_0000 | u32::from(!write) << 21 | number << 5
}

fn print_mrs(group: u32) {
    print!(
        "S{}_{}_C{}_C{}",
        2 + (group >> 11),
        group >> 8 & 7,
        group >> 4 & 15,
        group & 15
    );
}

/// MRC or MCR of r0: number is the coprocessor's lowest bit, opc1, CRn, CRm, opc2.
fn mrc(number: u32, write: bool) -> u32 {
    let (coprocessor, opc1) = (14 + (number >> 14), number >> 11 & 7);
    let (crn, crm, opc2) = (number >> 7 & 15, number >> 3 & 15, number & 7);
    0xee00_0010
        | opc1 << 21
        | u32::from(!write) << 20
        | crn << 16
        | coprocessor << 8
        | opc2 << 5
        | crm
}

fn print_mrc(group: u32) {
    print!(
        "p{} {} c{} c{}",
        14 + (group >> 11),
        group >> 8 & 7,
        group >> 4 & 15,
        group & 15
    );
}

/// MRRC or MCRR of r0 and r1: number is the coprocessor's lowest bit, CRm, opc1.
fn mrrc(number: u32, write: bool) -> u32 {
    let (coprocessor, crm, opc1) = (14 + (number >> 8), number >> 4 & 15, number & 15);
    0xec41_0000 | u32::from(!write) << 20 | coprocessor << 8 | opc1 << 4 | crm
}

fn print_mrrc(group: u32) {
    print!(
        "p{} c{} {}",
        14 + (group >> 5),
        group >> 1 & 15,
        8 * (group & 1)
    );
}

const MRS_GROUPS: u32 = 2 * 8 * 16 * 16;
const MRC_GROUPS: u32 = 2 * 8 * 16 * 16;
const MRRC_GROUPS: u32 = 2 * 16 * 2;

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
