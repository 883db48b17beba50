//! The architecture as gdbstub wants it. What `g` has, in gdb's order, is all but the system registers: those are read one by one, when the user asks.

use core::num::NonZeroUsize;

use gdbstub::arch::{Arch, RegId};

use crate::machine::Registers;
use crate::registers::{number, size};

/// AArch64 with the system registers of EL1.
pub enum AArch64 {}

impl Arch for AArch64 {
    type Usize = u64;
    type Registers = Registers;
    type BreakpointKind = usize;
    type RegId = Number;
}

/// A register's number.
#[derive(Clone, Copy, Debug)]
pub struct Number(pub usize);

impl RegId for Number {
    fn from_raw_id(id: usize) -> Option<(Self, Option<NonZeroUsize>)> {
        Some((Self(id), NonZeroUsize::new(size(id)?)))
    }

    fn to_raw_id(&self) -> Option<usize> {
        Some(self.0)
    }
}

impl gdbstub::arch::Registers for Registers {
    type ProgramCounter = u64;

    fn pc(&self) -> u64 {
        self.pc
    }

    fn gdb_serialize(&self, mut write_byte: impl FnMut(Option<u8>)) {
        for number in 0..number::SYSTEM {
            let value = self.get(number).unwrap_or_default().to_le_bytes();
            for &byte in &value[..size(number).unwrap_or_default()] {
                write_byte(Some(byte));
            }
        }
    }

    fn gdb_deserialize(&mut self, mut bytes: &[u8]) -> Result<(), ()> {
        // PSTATE comes behind sp, and says which sp it is.
        let all = bytes;
        for pass in 0..2 {
            bytes = all;
            for number in 0..number::SYSTEM {
                let (value, rest) = bytes.split_at_checked(size(number).ok_or(())?).ok_or(())?;
                bytes = rest;
                if pass == 1 || number == number::CPSR {
                    self.set(number, number_of(value)).ok_or(())?;
                }
            }
        }
        Ok(())
    }
}

/// A number, its lowest byte first.
pub fn number_of(bytes: &[u8]) -> u128 {
    let bytes = bytes.iter().rev();
    bytes.fold(0, |number, &byte| number << 8 | u128::from(byte))
}
