//! What is tried.

use core::ops::Range;

use avisor_guest::exception;
use avisor_guest::snapshot::{CHECKPOINT, DELETE, RESTORE};
use avisor_guest::{Id, console, psci, smccc};

use crate::attempt::{Registers, restore_system, run};
use crate::tables;
use avisor_guest::random::Random;

/// What the machine is like.
pub struct Machine {
    pub ram: Range<u64>,
    /// Whether `hvc #1` and `hvc #2` are snapshot calls, or as unknown as the others.
    pub has_snapshots: bool,
}

/// What a batch may do to the snapshots without losing its own.
pub struct Budget {
    /// The one to go back to.
    pub ours: Id,
    /// How many more it may take: with too many, the hypervisor frees ours.
    pub checkpoints: u64,
}

/// Try `number`.
pub fn one(machine: &Machine, budget: &mut Budget, number: u64, random: &mut Random) {
    if number.is_multiple_of(4) {
        // In turn, so that none is left out.
        return hypercall(machine, budget, (number / 4) as u16, number, random);
    }
    match random.below(12) {
        0..=3 => access(machine, random),
        4 => emulated_access(random),
        5 => tables::attempt(random),
        6 => execute(machine, random),
        7 => hypercall(machine, budget, 0, number, random),
        8 => smc(budget, number, random),
        9 | 10 => system_register(random),
        _ => odd_instruction(random),
    }
}

fn registers(random: &mut Random) -> Registers {
    core::array::from_fn(|_| random.next())
}

/// From x`first` on, registers must be as before. (x30 is the way back.)
fn unchanged(number: u64, first: usize, before: &Registers, after: &Registers) {
    for n in first..30 {
        if before[n] != after[n] {
            panic!(
                "try {number}: x{n} was {:#x} and is {:#x}",
                before[n], after[n]
            );
        }
    }
}

/// `hvc` with any number.
fn hypercall(
    machine: &Machine,
    budget: &mut Budget,
    immediate: u16,
    number: u64,
    random: &mut Random,
) {
    let mut x = registers(random);
    match immediate {
        0 => smccc_call(budget, &mut x, random),
        1 if budget.checkpoints == 0 => return,
        1 => budget.checkpoints -= 1,
        2 => x[0] = bad_id(random),
        _ => {}
    }
    let before = x;
    run(&[0xd400_0002 | u32::from(immediate) << 5], &mut x);
    let first_kept = match immediate {
        0 => 4,
        1 | 2 if machine.has_snapshots => 0,
        _ => 1,
    };
    unchanged(number, first_kept, &before, &x);
    if immediate > 2 && x[0] != smccc::NOT_SUPPORTED {
        panic!("try {number}: hvc #{immediate} answers {:#x}", x[0]);
    }
}

/// `smc` with any number: answered like `hvc #0`, refused, or undefined.
fn smc(budget: &mut Budget, number: u64, random: &mut Random) {
    let mut x = registers(random);
    smccc_call(budget, &mut x, random);
    let before = x;
    let immediate = if random.once_in(2) {
        0
    } else {
        random.below(1 << 16) as u32
    };
    run(&[0xd400_0003 | immediate << 5], &mut x);
    unchanged(number, 4, &before, &x);
}

/// An id that no snapshot has.
fn bad_id(random: &mut Random) -> u64 {
    (random.number() | 1 << 40) & !(1 << 63)
}

/// Puts a call into x0 to x3 that does not end this run.
fn smccc_call(budget: &mut Budget, x: &mut Registers, random: &mut Random) {
    /// These switch off, start again, or wait for an interrupt that does not come: besides those with a name,
    /// SYSTEM_RESET2, CPU_SUSPEND, CPU_FREEZE, CPU_DEFAULT_SUSPEND and SYSTEM_SUSPEND.
    const DEADLY: [u64; 8] = [
        psci::SYSTEM_OFF,
        psci::SYSTEM_RESET,
        psci::CPU_OFF,
        0x8400_0012,
        0x8400_0001,
        0x8400_000b,
        0x8400_000c,
        0x8400_000e,
    ];
    const SMC64: u64 = 1 << 30;
    let range = random.choose(&[0x8000_0000, 0x8400_0000, 0x8600_0000, 0x8600_ff00]);
    let function = match random.below(3) {
        0 => random.next() & 0xffff_ffff,
        _ => range | random.choose(&[0, SMC64]) | random.below(32),
    };
    for argument in &mut x[1..4] {
        *argument = random.number();
    }
    x[0] = function;
    if DEADLY.contains(&(function & !SMC64)) {
        x[0] = function ^ 1 << 31;
    }
    match function {
        CHECKPOINT if budget.checkpoints == 0 => x[0] = smccc::VENDOR_UID,
        CHECKPOINT => budget.checkpoints -= 1,
        RESTORE => x[1] = bad_id(random),
        DELETE if x[1] == budget.ours.0 => x[1] = bad_id(random),
        _ => {}
    }
    // The upper half of x0 is no part of a function id.
    if random.once_in(8) {
        x[0] |= random.next() << 32;
    }
}

/// Where the first window of a configuration is.
const WINDOW: u64 = 0x4_0000_0000;

/// An address that is not in RAM, and where nothing is printed.
fn address_outside(machine: &Machine, random: &mut Random) -> u64 {
    let address = match random.below(8) {
        // The UART, but not its data register.
        0..=2 => console::PL011 as u64 + 8 + random.below(0xff0),
        // Where other machines have devices, and the interrupt controller may be.
        3 => random.below(machine.ram.start),
        4 => machine.ram.end + random.below(1 << 20),
        5 => machine.ram.end + (random.next() >> (20 + random.below(24))),
        // Over the edges of a window of two pages and its doorbell, if there is one.
        6 => WINDOW - 128 + random.below(0x3100),
        _ => random.number(),
    };
    let near_uart_data = (address & !0xfff) == console::PL011 as u64 && address & 0xfff < 8;
    // Some way off at both ends: accesses are up to 64 bytes long, and some step back.
    let near_ram = machine.ram.start - 128 <= address && address < machine.ram.end;
    if near_uart_data || near_ram {
        machine.ram.end + 64
    } else {
        address
    }
}

/// dc zva, x0
const DC_ZVA: u32 = 0xd50b_7420;

/// Loads, stores, exclusives, atomics, pairs, SIMD, and maintenance; x0: address, x1 to x4: data, so that nothing
/// else is overwritten.
const ACCESSES: [u32; 42] = [
    0x3940_0001, // ldrb w1, [x0]
    0x7940_0001, // ldrh w1, [x0]
    0xb940_0001, // ldr w1, [x0]
    0xf940_0001, // ldr x1, [x0]
    0x39c0_0001, // ldrsb w1, [x0]
    0x3980_0001, // ldrsb x1, [x0]
    0xb980_0001, // ldrsw x1, [x0]
    0x3900_0001, // strb w1, [x0]
    0x7900_0001, // strh w1, [x0]
    0xb900_0001, // str w1, [x0]
    0xf900_0001, // str x1, [x0]
    0xf900_001f, // str xzr, [x0]
    0xb940_001f, // ldr wzr, [x0]
    0xb840_4401, // ldr w1, [x0], #4
    0xb81f_cc01, // str w1, [x0, #-4]!
    0xf800_8401, // str x1, [x0], #8
    0xb840_3001, // ldur w1, [x0, #3]
    0xb800_8801, // sttr w1, [x0, #8]
    0xa940_0801, // ldp x1, x2, [x0]
    0xa900_0801, // stp x1, x2, [x0]
    0x2940_0801, // ldp w1, w2, [x0]
    0x6940_0801, // ldpsw x1, x2, [x0]
    0xa8c1_0801, // ldp x1, x2, [x0], #16
    0xc85f_7c01, // ldxr x1, [x0]
    0xc803_7c01, // stxr w3, x1, [x0]
    0x887f_0801, // ldxp w1, w2, [x0]
    0x8823_0801, // stxp w3, w1, w2, [x0]
    0xc8df_fc01, // ldar x1, [x0]
    0xc89f_fc01, // stlr x1, [x0]
    0xf823_0001, // ldadd x3, x1, [x0]
    0xf823_8001, // swp x3, x1, [x0]
    0xc8a3_7c01, // cas x3, x1, [x0]
    0x3dc0_0000, // ldr q0, [x0]
    0x3d80_0000, // str q0, [x0]
    0x0c40_2000, // ld1 {v0-v3.8b}, [x0]
    0x0c00_2000, // st1 {v0-v3.8b}, [x0]
    0xf980_0000, // prfm pldl1keep, [x0]
    0xd508_7620, // dc ivac, x0
    0xd50b_7a20, // dc cvac, x0
    0xd50b_7e20, // dc civac, x0
    DC_ZVA,
    0xd50b_7520, // ic ivau, x0
];

/// An access outside RAM.
fn access(machine: &Machine, random: &mut Random) {
    let mut x = registers(random);
    x[0] = address_outside(machine, random);
    if random.once_in(2) {
        // Aligned ones are those that reach a device.
        x[0] &= !7;
    }
    let instruction = random.choose(&ACCESSES);
    if instruction == DC_ZVA && x[0] & !0xfff == console::PL011 as u64 {
        // A whole block: not the one with the data register.
        x[0] |= 64;
    }
    run(&[instruction], &mut x);
}

/// A load or store with random fields: x0 is the base, x1 to x4 or XZR the data. None of them reaches 2 KiB.
fn load_store(random: &mut Random) -> u32 {
    let registers = |random: &mut Random| match random.below(5) {
        0 => 31,
        register => register as u32,
    };
    let (rt, rt2) = (registers(random), registers(random));
    let fields = random.next() as u32;
    let simd = if random.once_in(8) { 1 << 26 } else { 0 };
    match random.below(3) {
        // Unscaled, post-index, unprivileged, pre-index.
        0 => 0x3800_0000 | simd | fields & 0xc0df_fc00 | rt,
        // Pairs.
        1 => 0x2800_0000 | simd | fields & 0xc1ff_8000 | rt2 << 10 | rt,
        // Ordered, unscaled.
        _ => 0x1900_0000 | fields & 0xc0df_f000 | rt,
    }
}

/// One of them on what the machine emulates.
fn emulated_access(random: &mut Random) {
    /// Interrupt priorities, flash, virtio slots, PCIe, and the UART where it prints nothing.
    const DEVICES: [u64; 5] = [
        0x0800_0400,
        0x0400_0000,
        0x0a00_0000,
        0x1000_0000,
        0x0900_0800,
    ];
    let mut x = registers(random);
    x[0] = random.choose(&DEVICES) + (random.below(0x400) & !(random.below(16)));
    run(&[load_store(random)], &mut x);
}

/// A jump outside RAM: `br x0`.
fn execute(machine: &Machine, random: &mut Random) {
    let mut x = registers(random);
    x[0] = address_outside(machine, random);
    if !random.once_in(8) {
        x[0] &= !3;
    }
    run(&[0xd61f_0000], &mut x);
}

/// MRS, MSR, SYS, SYSL, PSTATE and hints with random encodings.
fn system_register(random: &mut Random) {
    const VBAR_EL1_FROM_X28: u32 = 0xd518_c01c;
    let encoding = random.below(1 << 21) as u32 & !0x1f;
    let op0 = encoding >> 19 & 3;
    let crn = encoding >> 12 & 15;
    let wait = op0 == 0 && (crn == 1 || crn == 2 && matches!(encoding >> 5 & 0x7f, 2 | 3));
    let mut x = registers(random);
    for value in &mut x {
        if random.once_in(2) {
            *value = random.number();
        }
    }
    if op0 == 0 && wait {
        return;
    }
    // PSTATE and hints have no register; the others must leave x0, x28 to x30 alone.
    let register = if op0 == 0 {
        31
    } else {
        1 + random.below(27) as u32
    };
    // Bit 21 says read; PSTATE and hints cannot be read.
    let read = if op0 == 0 { 0 } else { random.below(2) as u32 };
    const SCTLR_EL1: u32 = 3 << 19 | 1 << 12;
    if encoding == SCTLR_EL1 {
        // Not the MMU, nor the byte order: nothing would be left to recover with.
        const HARMLESS: u64 =
            1 << 26 | 1 << 18 | 1 << 16 | 1 << 15 | 1 << 14 | 1 << 12 | 1 << 4 | 1 << 3;
        x[register as usize] = 0x30d0_0800 ^ random.next() & HARMLESS;
    }
    x[28] = exception::vectors() as u64;
    let instruction = 0xd500_0000 | read << 21 | encoding | register;
    run(&[instruction, VBAR_EL1_FROM_X28], &mut x);
    restore_system();
}

/// Breakpoints, halts, undefined and unallocated encodings, returns to states that do not exist.
fn odd_instruction(random: &mut Random) {
    let mut x = registers(random);
    let immediate = (random.below(1 << 16) as u32) << 5;
    /// QEMU's own semihosting call, which is not the hypervisor's to answer.
    const SEMIHOSTING: u32 = 0xf000 << 5;
    match random.below(8) {
        0 => run(&[0xd420_0000 | immediate], &mut x),
        1 if immediate != SEMIHOSTING => run(&[0xd440_0000 | immediate], &mut x),
        2 => run(&[0xd400_0001 | immediate], &mut x),
        3 => run(&[0xd4a0_0001 | immediate | random.below(4) as u32], &mut x),
        4 => run(&[immediate >> 5], &mut x),
        // Bits 28:25 = 0000, 0001, 0010 or 0011: unallocated, or vector extensions that are not enabled.
        5 => run(&[random.next() as u32 & !0x1800_0000], &mut x),
        6 => run(&[0xd6bf_03e0], &mut x),
        _ => exception_return(random, &mut x),
    };
    restore_system();
}

/// ERET with a random PSTATE, to an instruction that no state can execute.
fn exception_return(random: &mut Random, x: &mut Registers) -> bool {
    /// Undefined in A64 and A32.
    static UNDEFINED: [u32; 4] = [0xe7f0_00f0; 4];
    const AARCH32: u64 = 1 << 4;
    const THUMB: u64 = 1 << 5;
    x[1] = random.next() & 0xffff_ffff;
    if x[1] & AARCH32 != 0 {
        // T32 would read the word as two other instructions.
        x[1] &= !THUMB;
    }
    x[2] = UNDEFINED.as_ptr() as u64;
    // msr spsr_el1, x1; msr elr_el1, x2; eret
    run(&[0xd518_4001, 0xd518_4022, 0xd69f_03e0], x)
}
