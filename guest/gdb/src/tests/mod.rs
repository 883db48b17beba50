//! The stub with a machine that is none, and a client of few words.
//!
//! | module | what it covers |
//! | --- | --- |
//! | [`attach`] | clients come, go and die; garbage |
//! | [`look`] | registers, memory, threads, several VMs |
//! | [`go`] | breakpoints, watchpoints, steps, and what a guest does of itself |
//! | [`back`] | backwards |
//! | [`when`] | when memory changed |
//! | [`past`] | gdb's commands about the past |
//! | [`real`] | gdb and lldb themselves |

mod attach;
mod back;
mod client;
mod fake;
mod go;
mod look;
mod past;
mod real;
mod when;

/// nop
const NOP: u32 = 0xd503_201f;
/// add x0, x0, #1
const ADD: u32 = 0x9100_0400;
/// str x0, [x1]
const STR: u32 = 0xf900_0020;
/// hvc #0
const HVC: u32 = 0xd400_0002;

/// b, by so many instructions
const fn b(by: i32) -> u32 {
    0x1400_0000 | by as u32 & 0x3ff_ffff
}

/// Counts in x0 and stores that to where x1 points: four instructions, for ever.
const COUNTS: [u32; 4] = [ADD, STR, NOP, b(-3)];

/// A machine that counts, with x1 at the data.
fn counting(cpus: usize) -> fake::Fake {
    let fake = fake::Fake::new(cpus, &COUNTS);
    for cpu in &mut fake.0.borrow_mut().cpus {
        cpu.x[1] = fake::DATA;
    }
    fake
}
