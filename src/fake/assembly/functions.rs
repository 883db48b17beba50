//! What `arch::assembly` has in the image: the same text, run on the core that the thread stands for, if it stands for one.

use super::super::worst::errors::Exception;
use super::super::worst::{Board, Instruction, current, mutants};
use super::{Machine, Registers, Text};
use crate::arch::memory::mmu;
use crate::arch::vcpu::TrapKind;
use crate::arch::vcpu::control;
use std::sync::LazyLock;

static PAGE: LazyLock<Text> = LazyLock::new(|| {
    let source = include_str!("../../arch/memory/page.S");
    Text::new("src/arch/memory/page.S", source, &[])
});

static FIXUP: LazyLock<Text> = LazyLock::new(|| {
    let source = include_str!("../../arch/entry/fixup.S");
    let constants = [
        ("SYNC", TrapKind::Sync as u64),
        ("SERROR", TrapKind::SError as u64),
    ];
    Text::new("src/arch/entry/fixup.S", source, &constants)
});

static BOOT: LazyLock<Text> = LazyLock::new(|| {
    let source = include_str!("../../arch/boot/boot.S");
    let constants = [
        ("HCR_START", control::HCR_START),
        ("CPTR_RES1", control::CPTR_RES1),
        ("vectors", 0x8_4800),
        ("MAIR", mmu::MAIR),
        ("TCR", mmu::TCR),
        ("SCTLR", mmu::SCTLR),
    ];
    Text::new("src/arch/boot/boot.S", source, &constants)
});

/// ESR_EL2 of an SError: its class, and a syndrome.
const SERROR: u64 = 0x2f << 26 | 0x11;

/// A core of the worst board.
pub struct OnBoard<'a> {
    /// The board.
    pub board: &'a mut Board,
    /// The core's number.
    pub core: usize,
}

impl Machine for OnBoard<'_> {
    fn perform(&mut self, instruction: Instruction) {
        self.board.perform(self.core, instruction);
    }

    fn load(&mut self, at: u64) -> u64 {
        self.board.el2_load(self.core, at)
    }

    fn store(&mut self, at: u64, value: u64) {
        self.board.el2_store(self.core, at, value);
    }

    fn read(&mut self, name: &'static str) -> u64 {
        self.board.read_register(self.core, name)
    }

    fn write(&mut self, name: &'static str, value: u64) {
        self.board.write_register(self.core, name, value);
    }

    fn translate(&mut self, _operation: &'static str, va: u64) {
        self.board.address_translation(self.core, va);
    }

    fn exception(&mut self) -> Option<TrapKind> {
        Some(match self.board.exception(self.core)? {
            Exception::Synchronous => TrapKind::Sync,
            Exception::SError => {
                self.write("esr_el2", SERROR);
                TrapKind::SError
            }
        })
    }

    fn is_left_out(&self, file: &str, line: u32) -> bool {
        mutants::is_this_left_out(file, line)
    }
}

/// Runs a macro of `boot.S`.
pub fn boot(part: &str, registers: &mut Registers) {
    current(|board, core| BOOT.run(part, None, registers, &mut OnBoard { board, core }));
}

/// Calls `function`. The board is this core's alone until it returns.
fn call(text: &Text, function: &str, arguments: &[u64]) -> u64 {
    let run = |board: &mut Board, core| {
        let mut registers = Registers::new(arguments);
        let mut machine = OnBoard { board, core };
        text.run(function, None, &mut registers, &mut machine);
        registers.x(0)
    };
    current(run).unwrap_or(0)
}

macro_rules! fixups {
    ($($name:ident($($argument:ident)?))*) => {$(
        /// See `fixup.S`.
        ///
        /// # Safety
        /// None here: the memory is the board's, not the test's.
        pub unsafe fn $name($($argument: u64)?) -> u64 {
            call(&FIXUP, stringify!($name), &[$($argument)?])
        }
    )*};
}

fixups! {
    avisor_translate_s1e1r(va)
    avisor_translate_s1e1w(va)
    avisor_translate_s1e0r(va)
    avisor_translate_s1e0w(va)
    avisor_probe(address)
    avisor_take_serror()
}

/// See `page.S`.
///
/// # Safety
/// None here: the memory is the board's, not the test's.
pub unsafe fn avisor_copy_page(to: u64, from: u64) {
    call(&PAGE, "avisor_copy_page", &[to, from]);
}

/// See `page.S`.
///
/// # Safety
/// None here either.
pub unsafe fn avisor_copy_page_cached(to: u64, from: u64) {
    call(&PAGE, "avisor_copy_page_cached", &[to, from]);
}

/// See `page.S`.
///
/// # Safety
/// None here either.
pub unsafe fn avisor_zero_lines(start: u64, end: u64) {
    call(&PAGE, "avisor_zero_lines", &[start, end]);
}

/// See `fp.S`. Nobody on the worst board uses these registers: what was loaded is what is saved.
///
/// # Safety
/// None here either.
pub unsafe fn avisor_fp_save(_state: *mut u8) {}

/// See `fp.S`.
///
/// # Safety
/// None here either.
pub unsafe fn avisor_fp_load(_state: *const u8) {}
