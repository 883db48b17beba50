//! The interpreter: short texts of its own, then the project's, on a machine that takes note.

use super::super::worst::{Barrier, Cache, Domain, Instruction, Tlbi};
use super::{Machine, Registers, Text};
use crate::addr::PAGE_SIZE;
use crate::arch::memory::mmu;
use crate::arch::vcpu::control;
use std::collections::HashMap;
use std::vec::Vec;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Perform(Instruction),
    Load(u64),
    Store(u64, u64),
    Write(&'static str, u64),
    Translate(&'static str, u64),
}
use Asked::*;

#[derive(Default)]
struct Note {
    asked: Vec<Asked>,
    memory: HashMap<u64, u64>,
    registers: HashMap<&'static str, u64>,
    left_out: Vec<u32>,
}

impl Note {
    /// The barriers and maintenance among what was asked for.
    fn performed(&self) -> Vec<Instruction> {
        let performed = self.asked.iter().filter_map(|asked| match asked {
            Perform(instruction) => Some(*instruction),
            _ => None,
        });
        performed.collect()
    }
}

impl Machine for Note {
    fn perform(&mut self, instruction: Instruction) {
        self.asked.push(Perform(instruction));
    }

    fn load(&mut self, at: u64) -> u64 {
        self.asked.push(Load(at));
        *self.memory.get(&at).unwrap_or(&0)
    }

    fn store(&mut self, at: u64, value: u64) {
        self.asked.push(Store(at, value));
        self.memory.insert(at, value);
    }

    fn read(&mut self, name: &'static str) -> u64 {
        self.registers[name]
    }

    fn write(&mut self, name: &'static str, value: u64) {
        self.asked.push(Write(name, value));
        self.registers.insert(name, value);
    }

    fn translate(&mut self, operation: &'static str, va: u64) {
        self.asked.push(Translate(operation, va));
        self.registers.insert("par_el1", va | 0xb00);
    }

    fn is_left_out(&self, file: &str, line: u32) -> bool {
        assert!(file.ends_with(".S"));
        self.left_out.contains(&line)
    }
}

/// What `text` leaves in X0 to X2, and asks for, from `start` on.
fn run(text: &str, arguments: &[u64]) -> ([u64; 3], Vec<Asked>) {
    let text = Text::new("test.S", text, &[("TEN", 10)]);
    let mut registers = Registers::new(arguments);
    let mut note = Note::default();
    text.run("start", None, &mut registers, &mut note);
    ([0, 1, 2].map(|n| registers.x(n)), note.asked)
}

const DC: fn(u64) -> Asked = |at| Perform(Instruction::Dc(Cache::CleanAndInvalidate, at));

#[test]
fn a_loop_runs_as_often_as_it_says() {
    let text = "
        start:
            mov x0, xzr
            mov x1, #{TEN}
        1:  add x0, x0, x1      // 10 + 9 + ... + 1
            subs x1, x1, #1
            b.ne 1b
            cmp x0, #55
            b.eq 1f
            mov x0, #-1
        1:  csel x2, x0, x1, hs
            ret";
    assert_eq!(run(text, &[]).0, [55, 0, 55]);
}

#[test]
fn a_repetition_is_written_out() {
    let text = "
        start:
            .rept 3
            dc civac, x0
            add x0, x0, #64
            .endr
            ret";
    let (registers, asked) = run(text, &[128]);
    assert_eq!(registers[0], 320);
    assert_eq!(asked, [128, 192, 256].map(DC));
}

#[test]
fn a_macro_has_the_lines_of_its_body() {
    let source = ".macro twice operation, register
            dc \\operation, \\register
            dsb sy
        .endm
        .macro both
            twice civac, x0
            twice civac, x1
        .endm
        start: both
            isb
            ret";
    let text = Text::new("test.S", source, &[]);
    let dsb = Instruction::Dsb(Domain::System, Barrier::All);
    let dc = |at| Instruction::Dc(Cache::CleanAndInvalidate, at);
    for (left_out, left) in [
        (2, [dsb, dsb, Instruction::Isb].to_vec()),
        (3, [dc(0), dc(64), Instruction::Isb].to_vec()),
        (10, [dc(0), dsb, dc(64), dsb].to_vec()),
    ] {
        let text = Text::new("test.S", source, &[]);
        let mut note = Note {
            left_out: [left_out].to_vec(),
            ..Note::default()
        };
        text.run("start", None, &mut Registers::new(&[0, 64]), &mut note);
        assert_eq!(note.performed(), left, "without line {left_out}");
    }
    let mut note = Note::default();
    text.run("both", None, &mut Registers::new(&[0, 64]), &mut note);
    assert_eq!(note.performed(), [dc(0), dsb, dc(64), dsb]);
}

#[test]
fn pairs_move_by_their_size() {
    let text = "
        start:
            ldp x3, x4, [x0], #16
            stp x4, x3, [x1, #32]
            ldp q0, q1, [x0]
            stp q0, q1, [sp, #-64]!
            stp q1, q0, [sp, #32]
            ldp q2, q3, [sp, #32]
            ldp q0, q1, [sp], #64
            stp q2, q3, [x1, #64]!
            str x3, [x1]
            ldr w2, [x1, #68]
            ret";
    let text = Text::new("test.S", text, &[]);
    let mut registers = Registers::new(&[0x1000, 0x2000]);
    let mut note = Note {
        memory: (0..8).map(|n| (0x1000 + n * 8, n << 32 | n)).collect(),
        ..Note::default()
    };
    note.memory.insert(0x2080, 7 << 32);
    text.run("start", None, &mut registers, &mut note);
    let both = |n: u64| n << 32 | n;
    let expected = [
        Load(0x1000),
        Load(0x1008),
        Store(0x2020, both(1)),
        Store(0x2028, both(0)),
        Load(0x1010),
        Load(0x1018),
        Load(0x1020),
        Load(0x1028),
        Store(0x2040, both(4)),
        Store(0x2048, both(5)),
        Store(0x2050, both(2)),
        Store(0x2058, both(3)),
        Store(0x2040, both(0)),
        Load(0x2080),
    ];
    assert_eq!(note.asked, expected);
    assert_eq!([0, 1, 2].map(|n| registers.x(n)), [0x1010, 0x2040, 7]);
    assert_eq!(*registers.q(0), [both(2), both(3)]);
}

#[test]
fn four_registers_move_at_once() {
    let text = "start:
            ld1 {v1.2d-v4.2d}, [x0], #64
            st1 {v1.2d-v4.2d}, [x1]
            ret";
    let text = Text::new("test.S", text, &[]);
    let mut registers = Registers::new(&[0x1000, 0x2000]);
    let mut note = Note {
        memory: (0..8).map(|n| (0x1000 + n * 8, n + 1)).collect(),
        ..Note::default()
    };
    text.run("start", None, &mut registers, &mut note);
    let loads = (0..8).map(|n| Load(0x1000 + n * 8));
    let stores = (0..8).map(|n| Store(0x2000 + n * 8, n + 1));
    assert_eq!(note.asked, loads.chain(stores).collect::<Vec<_>>());
    assert_eq!([0, 1].map(|n| registers.x(n)), [0x1040, 0x2000]);
    assert_eq!([*registers.q(1), *registers.q(4)], [[1, 2], [7, 8]]);
}

#[test]
#[should_panic(expected = "test.S:3: not known here: frobnicate x0, x1")]
fn what_is_not_known_is_named() {
    run("start:\n    isb\n    frobnicate x0, x1\n    ret", &[]);
}

#[test]
fn it_runs_to_a_label_too() {
    let text = Text::new("test.S", "start: isb\nend: dsb sy\nret", &[]);
    let mut note = Note::default();
    text.run("start", Some("end"), &mut Registers::new(&[]), &mut note);
    assert_eq!(note.performed(), [Instruction::Isb]);
}

fn page() -> Text {
    let source = include_str!("../../arch/memory/page.S");
    Text::new("src/arch/memory/page.S", source, &[])
}

#[test]
fn a_page_is_copied_line_by_line() {
    let mut registers = Registers::new(&[0x20_0000, 0x10_0000]);
    *registers.q(0) = [1, 2];
    *registers.q(3) = [3, 4];
    let words = PAGE_SIZE / 8;
    let mut note = Note {
        memory: (0..words).map(|n| (0x10_0000 + n * 8, n + 1)).collect(),
        ..Note::default()
    };
    page().run("avisor_copy_page", None, &mut registers, &mut note);
    for n in 0..words {
        assert_eq!(note.memory[&(0x20_0000 + n * 8)], n + 1);
    }
    assert_eq!(note.memory.len() as u64, 2 * words);
    assert_eq!([*registers.q(0), *registers.q(3)], [[1, 2], [3, 4]]);
    let dsb = Instruction::Dsb(Domain::System, Barrier::All);
    let lines = (0..PAGE_SIZE / 64).map(|n| n * 64);
    let maintained = lines.flat_map(|n| [0x10_0000 + n, 0x10_0000 + n, 0x20_0000 + n]);
    let maintained = maintained.map(|at| Instruction::Dc(Cache::CleanAndInvalidate, at));
    let expected: Vec<_> = [dsb].into_iter().chain(maintained).chain([dsb]).collect();
    assert_eq!(note.performed(), expected);
}

#[test]
fn lines_are_zeroed_and_cleaned() {
    let mut note = Note::default();
    let mut registers = Registers::new(&[0x1000, 0x1800]);
    page().run("avisor_zero_lines", None, &mut registers, &mut note);
    let dsb = Instruction::Dsb(Domain::System, Barrier::All);
    let maintained = (0x1000..0x1800).step_by(64).flat_map(|at| {
        [Cache::Zero, Cache::CleanAndInvalidate].map(|what| Instruction::Dc(what, at))
    });
    let expected: Vec<_> = [dsb].into_iter().chain(maintained).chain([dsb]).collect();
    assert_eq!(note.performed(), expected);
}

fn boot() -> Text {
    let constants = [
        ("HCR_START", 1 << 31),
        ("CPTR_RES1", control::CPTR_RES1),
        ("vectors", 0x8_4800),
        ("MAIR", mmu::MAIR),
        ("TCR", mmu::TCR),
        ("SCTLR", mmu::SCTLR),
    ];
    let source = include_str!("../../arch/boot/boot.S");
    Text::new("src/arch/boot/boot.S", source, &constants)
}

#[test]
fn the_entry_invalidates_what_it_stored_with_the_mmu_off() {
    let mut note = Note::default();
    note.registers.insert("ctr_el0", 4 << 16);
    let mut registers = Registers::new(&[0x1000, 0x1100]);
    boot().run("invalidate_x0_to_x1", None, &mut registers, &mut note);
    let dsb = Instruction::Dsb(Domain::System, Barrier::All);
    let lines = [0x1000, 0x1040, 0x1080, 0x10c0].map(|at| Instruction::Dc(Cache::Invalidate, at));
    let expected: Vec<_> = [dsb].into_iter().chain(lines).chain([dsb]).collect();
    assert_eq!(note.performed(), expected);
}

#[test]
fn the_entry_sets_el2_up() {
    let mut note = Note::default();
    let mut registers = Registers::new(&[]);
    registers.set_x(20, 0x9_0000);
    boot().run("set_up_el2", None, &mut registers, &mut note);
    let expected = [
        Write("hcr_el2", 1 << 31),
        Write("tpidr_el2", 0x9_0000),
        Write("vbar_el2", 0x8_4800),
        Write("cptr_el2", control::CPTR_RES1),
        Perform(Instruction::Isb),
    ];
    assert_eq!(note.asked, expected);
}

#[test]
fn the_entry_switches_translation_on() {
    let mut note = Note::default();
    note.registers.insert("id_aa64mmfr0_el1", 0x1126);
    let mut registers = Registers::new(&[]);
    registers.set_x(4, 0x7000);
    boot().run("switch_translation_on", None, &mut registers, &mut note);
    let expected = [
        Write("mair_el2", mmu::MAIR),
        Write("tcr_el2", mmu::TCR | 5 << 16),
        Write("ttbr0_el2", 0x7000),
        Perform(Instruction::Isb),
        Perform(Instruction::Tlbi(Domain::Core, Tlbi::AllEl2)),
        Perform(Instruction::Ic(Domain::Core, None)),
        Perform(Instruction::Dsb(Domain::Core, Barrier::All)),
        Write("sctlr_el2", mmu::SCTLR),
        Perform(Instruction::Isb),
    ];
    assert_eq!(note.asked, expected);
}

#[test]
fn a_translation_is_read_once_it_is_there() {
    let source = include_str!("../../arch/entry/fixup.S");
    let text = Text::new("src/arch/entry/fixup.S", source, &[]);
    for (function, operation) in [
        ("avisor_translate_s1e1r", "s1e1r"),
        ("avisor_translate_s1e1w", "s1e1w"),
        ("avisor_translate_s1e0r", "s1e0r"),
        ("avisor_translate_s1e0w", "s1e0w"),
    ] {
        let mut note = Note::default();
        let mut registers = Registers::new(&[0x5000]);
        text.run(function, None, &mut registers, &mut note);
        let expected = [Translate(operation, 0x5000), Perform(Instruction::Isb)];
        assert_eq!(note.asked, expected);
        assert_eq!(registers.x(0), 0x5b00);
    }
    let mut note = Note::default();
    let mut registers = Registers::new(&[0x5000]);
    text.run("translation_aborted", None, &mut registers, &mut note);
    let expected = [
        Instruction::Tlbi(Domain::Core, Tlbi::Stage1),
        Instruction::Dsb(Domain::Core, Barrier::All),
    ];
    assert_eq!((note.performed(), registers.x(0)), (expected.to_vec(), 1));
}

#[test]
fn a_probe_reads_the_word() {
    let source = include_str!("../../arch/entry/fixup.S");
    let text = Text::new("src/arch/entry/fixup.S", source, &[]);
    let mut note = Note::default();
    note.registers.insert("daif", 0xc0);
    note.memory.insert(0x1000, 0x1234_5678 << 32);
    let mut registers = Registers::new(&[0x1004]);
    text.run("avisor_probe", None, &mut registers, &mut note);
    assert_eq!(registers.x(0), 0x1234_5678);
    assert!(note.asked.contains(&Load(0x1000)), "{:?}", note.asked);
}
