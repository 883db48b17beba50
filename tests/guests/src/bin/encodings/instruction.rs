//! Instructions that reach system registers, by number, and what a group of them is called.

use avisor_guest::print;

/// Encodings in a group.
pub const GROUP: usize = 8;

/// MRS or MSR (register) of x0: number is op0<0>, op1, CRn, CRm, op2.
pub fn mrs(number: u32, write: bool) -> u32 {
    0xd510_0000 | u32::from(!write) << 21 | number << 5
}

pub fn print_mrs(group: u32) {
    print!(
        "S{}_{}_C{}_C{}",
        2 + (group >> 11),
        group >> 8 & 7,
        group >> 4 & 15,
        group & 15
    );
}

/// MRC or MCR of r0: number is the coprocessor's lowest bit, opc1, CRn, CRm, opc2.
pub fn mrc(number: u32, write: bool) -> u32 {
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

pub fn print_mrc(group: u32) {
    print!(
        "p{} {} c{} c{}",
        14 + (group >> 11),
        group >> 8 & 7,
        group >> 4 & 15,
        group & 15
    );
}

/// MRRC or MCRR of r0 and r1: number is the coprocessor's lowest bit, CRm, opc1.
pub fn mrrc(number: u32, write: bool) -> u32 {
    let (coprocessor, crm, opc1) = (14 + (number >> 8), number >> 4 & 15, number & 15);
    0xec41_0000 | u32::from(!write) << 20 | coprocessor << 8 | opc1 << 4 | crm
}

pub fn print_mrrc(group: u32) {
    print!(
        "p{} c{} {}",
        14 + (group >> 5),
        group >> 1 & 15,
        8 * (group & 1)
    );
}

pub const MRS_GROUPS: u32 = 2 * 8 * 16 * 16;
pub const MRC_GROUPS: u32 = 2 * 8 * 16 * 16;
pub const MRRC_GROUPS: u32 = 2 * 16 * 2;
