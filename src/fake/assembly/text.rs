//! A file's instructions, and how they run. What runs for each of them is inlined by attribute: tests are compiled with little optimization,
//! and copy hundreds of thousands of pages.

use super::super::worst::{Domain, Instruction};
use super::fixups::{Fixup, fixups};
use super::instruction::{Operation, decode};
use super::registers::{Machine, Registers};
use super::source::{Line, Source};
use crate::arch::vcpu::TrapKind;
use std::collections::HashMap;
use std::string::{String, ToString};
use std::sync::OnceLock;
use std::vec::Vec;

/// An instruction and where it is written.
struct Step {
    operation: Operation,
    line: u32,
    /// Asked once, as copying a page asks hundreds of times.
    is_left_out: OnceLock<bool>,
}

/// A file's instructions.
pub struct Text {
    file: &'static str,
    source: String,
    steps: Vec<Step>,
    labels: HashMap<String, usize>,
    fixups: Vec<Fixup>,
}

/// Whether it is a label; those of digits may be there several times.
fn label(line: &Line) -> Option<&str> {
    line.text.strip_suffix(':')
}

impl Text {
    /// Decodes the text of `file`, with the value of each `{NAME}` that is in `constants`. A macro without parameters becomes a function
    /// of its name.
    pub fn new(file: &'static str, source: &str, constants: &[(&str, u64)]) -> Self {
        let read = Source::read(source, constants);
        let mut text = Self {
            file,
            source: source.to_string(),
            steps: Vec::new(),
            labels: HashMap::new(),
            fixups: fixups(&read.expanded()),
        };
        text.append(&read.expanded());
        for (name, mut body) in read.macros() {
            text.labels.insert(name.clone(), text.steps.len());
            body.push(Line {
                number: 0,
                text: "ret".to_string(),
            });
            text.append(&body);
        }
        text
    }

    /// Decodes lines among which all their labels are.
    fn append(&mut self, lines: &[Line]) {
        let mut numeric = Vec::new();
        let mut code = Vec::new();
        for line in lines {
            let here = self.steps.len() + code.len();
            match label(line) {
                Some(label) if label.bytes().all(|byte| byte.is_ascii_digit()) => {
                    numeric.push((label, here));
                }
                Some(label) => _ = self.labels.insert(label.to_string(), here),
                None if line.text.starts_with('.') => {}
                None => code.push(line),
            }
        }
        for line in code {
            let here = self.steps.len();
            let (mnemonic, rest) = line.words();
            let place = |label: &str| {
                let (number, direction) = label.split_at(label.len() - 1);
                let all = numeric.iter().filter(|(found, _)| *found == number);
                let mut all = all.map(|(_, place)| *place);
                match direction {
                    "b" if number.parse::<u32>().is_ok() => all.rfind(|place| *place <= here),
                    "f" if number.parse::<u32>().is_ok() => all.find(|place| *place > here),
                    _ => self.labels.get(label).copied(),
                }
            };
            let operation = decode(mnemonic, rest, place).unwrap_or(Operation::Unknown);
            self.steps.push(Step {
                operation,
                line: line.number,
                is_left_out: OnceLock::new(),
            });
        }
    }

    fn label(&self, label: &str) -> usize {
        *self
            .labels
            .get(label)
            .unwrap_or_else(|| panic!("{} has no {label}", self.file))
    }

    /// Runs from the label `from` to a `ret`, or to the label `until`.
    pub fn run(
        &self,
        from: &str,
        until: Option<&str>,
        registers: &mut Registers,
        machine: &mut impl Machine,
    ) {
        let end = until.map(|label| self.label(label));
        let mut next = self.label(from);
        while Some(next) != end {
            let Some(step) = self.steps.get(next) else {
                panic!("{}: nothing follows {from}", self.file);
            };
            next += 1;
            match step.operation {
                Operation::Return => return,
                Operation::Branch(condition, to) => {
                    if registers.meets(condition) {
                        next = to;
                    }
                }
                Operation::BranchIfZero(register, not, to) => {
                    if (registers.get(register) == 0) != not {
                        next = to;
                    }
                }
                Operation::Unknown => self.refuse(step),
                _ => self.step(step, registers, machine),
            }
            if step.operation.may_end_in_an_exception()
                && let Some(kind) = machine.exception()
            {
                next = self.expected(kind, next);
                // What the vectors use.
                (0..4).for_each(|n| registers.set_x(n, !0));
            }
        }
    }

    /// Where it goes on after an exception that it expects, before the instruction `next` or, if it is synchronous, at the one before.
    fn expected(&self, kind: TrapKind, next: usize) -> usize {
        let at = match kind {
            TrapKind::Sync => next - 1,
            _ => next,
        };
        let is_it = |fixup: &&Fixup| fixup.kind == kind as u64 && self.label(&fixup.at) == at;
        match self.fixups.iter().find(is_it) {
            Some(fixup) => self.label(&fixup.then),
            None => panic!("{}: an exception that is EL2's own: {kind:?}", self.file),
        }
    }

    #[inline(always)]
    fn step(&self, step: &Step, registers: &mut Registers, machine: &mut impl Machine) {
        let field = |low: u8, width: u8| ((1 << width) - 1) << low;
        match step.operation {
            Operation::Move(to, from) => registers.set(to, registers.value(from)),
            Operation::Calculate(what, to, left, right) => {
                let (left, right) = (registers.get(left), registers.value(right));
                let result = registers.calculate(what, left, right);
                registers.set(to, result);
            }
            Operation::Extract(to, from, low, width) => {
                registers.set(to, registers.get(from) >> low & field(0, width));
            }
            Operation::Insert(to, from, low, width) => {
                let field: u64 = field(low, width);
                let inserted = registers.get(from) << low & field;
                registers.set(to, registers.get(to) & !field | inserted);
            }
            Operation::Select(to, yes, no, condition) => {
                let from = if registers.meets(condition) { yes } else { no };
                registers.set(to, registers.get(from));
            }
            Operation::Access(ref access) => registers.access(machine, access),
            // All of this runs at EL2.
            Operation::Read(to, "currentel") => registers.set(to, 2 << 2),
            Operation::Read(to, name) => registers.set(to, machine.read(name)),
            Operation::Write(name, from) => machine.write(name, registers.get(from)),
            Operation::Mask(bits) => {
                let daif = machine.read("daif");
                machine.write("daif", daif | bits);
            }
            Operation::Unmask(bits) => {
                let daif = machine.read("daif");
                machine.write("daif", daif & !bits);
            }
            Operation::Translate(operation, va) => {
                machine.translate(operation, registers.get(va));
            }
            Operation::Perform(instruction) => self.perform(step, machine, instruction),
            Operation::Dc(cache, at) => {
                let instruction = Instruction::Dc(cache, registers.get(at));
                self.perform(step, machine, instruction);
            }
            Operation::Ic(at) => {
                let at = Some(registers.get(at));
                let instruction = Instruction::Ic(Domain::Inner, at);
                self.perform(step, machine, instruction);
            }
            Operation::Nothing => {}
            Operation::Return
            | Operation::Branch(..)
            | Operation::BranchIfZero(..)
            | Operation::Unknown => unreachable!("`run` does these"),
        }
    }

    /// Does a barrier or maintenance, unless it is left out.
    #[inline(always)]
    fn perform(&self, step: &Step, machine: &mut impl Machine, instruction: Instruction) {
        let is_left_out = || machine.is_left_out(self.file, step.line);
        if !step.is_left_out.get_or_init(is_left_out) {
            machine.perform(instruction);
        }
    }

    #[cold]
    fn refuse(&self, step: &Step) -> ! {
        let line = self.source.lines().nth(step.line as usize - 1);
        let line = line.unwrap_or("").trim();
        panic!("{}:{}: not known here: {line}", self.file, step.line);
    }
}
