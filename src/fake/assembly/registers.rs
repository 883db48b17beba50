//! What instructions act on: a core's registers, and the machine around them.

use super::super::worst::Instruction;
use super::instruction::{Access, Calculation, Condition, Mode, Register, SP, Size, Value, ZERO};
use crate::arch::vcpu::TrapKind;

/// What instructions act on, besides the registers of [`Registers`].
pub trait Machine {
    /// A barrier or maintenance.
    fn perform(&mut self, instruction: Instruction);
    /// Loads a doubleword. `at` is a multiple of 8.
    fn load(&mut self, at: u64) -> u64;
    /// Stores one.
    fn store(&mut self, at: u64, value: u64);
    /// MRS; the name is in lower case.
    fn read(&mut self, name: &'static str) -> u64;
    /// MSR.
    fn write(&mut self, name: &'static str, value: u64);
    /// AT, `operation` being `s1e1r` and the like: PAR_EL1 gets the result.
    fn translate(&mut self, operation: &'static str, va: u64);
    /// The exception, a `TrapKind`, that was taken after the instruction before or, if it is synchronous, by it.
    fn exception(&mut self) -> Option<TrapKind> {
        None
    }
    /// Whether the barrier or maintenance in that line of that file is left out.
    fn is_left_out(&self, file: &str, line: u32) -> bool;
}

/// Bytes of stack that a function may use.
const STACK: u64 = 256;

/// A core's own registers, and the stack, which nobody else looks at.
#[derive(Clone, Debug)]
pub struct Registers {
    /// X0 to X30, then XZR and SP.
    x: [u64; 33],
    /// Q0 to Q31, the low half first.
    q: [[u64; 2]; 32],
    is_zero: bool,
    /// C: no borrow.
    carry: bool,
    stack: [u64; STACK as usize / 8],
}

impl Registers {
    /// All zero but the arguments, from X0 on.
    pub fn new(arguments: &[u64]) -> Self {
        let mut x = [0; 33];
        x[..arguments.len()].copy_from_slice(arguments);
        x[usize::from(SP)] = STACK;
        Self {
            x,
            q: [[0; 2]; 32],
            is_zero: false,
            carry: false,
            stack: [0; STACK as usize / 8],
        }
    }

    /// X0 to X30.
    pub fn x(&self, number: usize) -> u64 {
        assert!(number <= 30);
        self.x[number]
    }

    /// Writes it.
    pub fn set_x(&mut self, number: usize, value: u64) {
        assert!(number <= 30);
        self.x[number] = value;
    }

    /// Q0 to Q31, the low half first.
    pub fn q(&mut self, number: usize) -> &mut [u64; 2] {
        &mut self.q[number]
    }

    #[inline(always)]
    pub(super) fn get(&self, register: Register) -> u64 {
        self.x[usize::from(register)]
    }

    #[inline(always)]
    pub(super) fn set(&mut self, register: Register, value: u64) {
        if register != ZERO {
            self.x[usize::from(register)] = value;
        }
    }

    #[inline(always)]
    pub(super) fn value(&self, value: Value) -> u64 {
        match value {
            Value::Register(register) => self.get(register),
            Value::Immediate(value) => value,
        }
    }

    #[inline(always)]
    pub(super) fn meets(&self, condition: Condition) -> bool {
        match condition {
            Condition::Always => true,
            Condition::Equal => self.is_zero,
            Condition::NotEqual => !self.is_zero,
            Condition::Lower => !self.carry,
            Condition::HigherOrSame => self.carry,
        }
    }

    #[inline(always)]
    pub(super) fn calculate(&mut self, what: Calculation, left: u64, right: u64) -> u64 {
        match what {
            Calculation::Add => left.wrapping_add(right),
            Calculation::Sub => left.wrapping_sub(right),
            Calculation::Compare => {
                self.is_zero = left == right;
                self.carry = left >= right;
                left.wrapping_sub(right)
            }
            Calculation::And => left & right,
            Calculation::Or => left | right,
            Calculation::ShiftLeft => left << (right % 64),
        }
    }

    /// A doubleword, of the stack or of the machine's memory.
    #[inline(always)]
    fn load(&self, machine: &mut impl Machine, base: Register, at: u64) -> u64 {
        match base {
            SP => self.stack[at as usize / 8],
            _ => machine.load(at),
        }
    }

    #[inline(always)]
    fn store(&mut self, machine: &mut impl Machine, base: Register, at: u64, value: u64) {
        match base {
            SP => self.stack[at as usize / 8] = value,
            _ => machine.store(at, value),
        }
    }

    #[inline(always)]
    pub(super) fn access(&mut self, machine: &mut impl Machine, access: &Access) {
        let base = self.get(access.base);
        let moved = base.wrapping_add_signed(access.offset.into());
        let at = match access.mode {
            Mode::Post => base,
            Mode::Offset | Mode::Pre => moved,
        };
        if access.mode != Mode::Offset {
            self.set(access.base, moved);
        }
        if access.size == Size::FourQuads {
            for i in 0..4 {
                let one = Access {
                    size: Size::Quad,
                    ..*access
                };
                self.access_one(machine, &one, access.first + i, at + 16 * u64::from(i));
            }
            return;
        }
        let after = match access.size {
            Size::Quad | Size::FourQuads => at.wrapping_add(16),
            Size::Word | Size::Double => at.wrapping_add(8),
        };
        self.access_one(machine, access, access.first, at);
        if let Some(second) = access.second {
            self.access_one(machine, access, second, after);
        }
    }

    #[inline(always)]
    fn access_one(
        &mut self,
        machine: &mut impl Machine,
        access: &Access,
        register: Register,
        at: u64,
    ) {
        let base = access.base;
        let number = usize::from(register);
        match (access.size, access.is_store) {
            (Size::Quad, true) => {
                let [low, high] = self.q[number];
                self.store(machine, base, at, low);
                self.store(machine, base, at + 8, high);
            }
            (Size::Quad, false) => {
                let low = self.load(machine, base, at);
                self.q[number] = [low, self.load(machine, base, at + 8)];
            }
            (Size::FourQuads, _) => unreachable!("it is done one by one"),
            (_, true) => self.store(machine, base, at, self.get(register)),
            (Size::Double, false) => {
                let value = self.load(machine, base, at);
                self.set(register, value);
            }
            (Size::Word, false) => {
                let value = self.load(machine, base, at & !7) >> (at % 8 * 8);
                self.set(register, value & 0xffff_ffff);
            }
        }
    }
}
