//! The line, with a clock, and all that use it.

use super::super::output::Output;
use super::*;
use crate::board::uart::Driver;
use crate::device::pl011::Pl011;
use crate::device::{Console, Emulated};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::format;

/// Microseconds that a character takes: ten bits.
pub(super) const CHARACTER: u64 = 87;
/// What a core takes until it comes and sends more.
pub(super) const PERIOD: u64 = 488;
/// Until a UART is given up.
pub(super) const PATIENCE: u64 = 1_000_000;

pub(super) const DR: u64 = 0x000;
pub(super) const FR: u64 = 0x018;
pub(super) const LCR_H: u64 = 0x02c;
pub(super) const IMSC: u64 = 0x038;
pub(super) const TXFF: u32 = 1 << 5;
pub(super) const TX: u32 = 1 << 5;
pub(super) const FEN: u32 = 1 << 4;

/// A transmitter with a FIFO of 16 characters.
#[derive(Default)]
pub(super) struct Line {
    pub(super) now: Cell<u64>,
    pub(super) fifo: RefCell<VecDeque<u8>>,
    /// When the first of the FIFO has left.
    pub(super) leaves: Cell<u64>,
    /// Each character with the time at which it had left.
    pub(super) sent: RefCell<Vec<(u64, u8)>>,
    /// How long somebody waited for it.
    pub(super) waited: Cell<u64>,
    /// Nothing leaves.
    pub(super) dead: Cell<bool>,
}

impl Line {
    pub(super) fn catch_up(&self) {
        let mut fifo = self.fifo.borrow_mut();
        while !self.dead.get() && !fifo.is_empty() && self.leaves.get() <= self.now.get() {
            let byte = fifo.pop_front().unwrap();
            self.sent.borrow_mut().push((self.leaves.get(), byte));
            self.leaves.set(self.leaves.get() + CHARACTER);
        }
    }

    pub(super) fn text(&self) -> String {
        let sent = self.sent.borrow();
        sent.iter().map(|(_, byte)| char::from(*byte)).collect()
    }
}

impl Driver for Line {
    fn send_some(&self, bytes: &[u8]) -> usize {
        self.catch_up();
        let mut fifo = self.fifo.borrow_mut();
        if fifo.is_empty() {
            self.leaves.set(self.now.get() + CHARACTER);
        }
        let count = bytes.len().min(16 - fifo.len());
        fifo.extend(&bytes[..count]);
        count
    }

    fn send(&self, byte: u8) {
        let begun = self.now.get();
        while self.send_some(&[byte]) == 0 {
            self.now.set(self.now.get() + 1);
            if self.now.get() - begun > PATIENCE {
                break;
            }
        }
        self.waited.set(self.waited.get() + self.now.get() - begun);
    }

    fn receive(&self) -> Option<u8> {
        None
    }

    fn take_overrun(&self) -> bool {
        false
    }

    fn set_interrupts(&self, _: bool, _: bool) {}

    fn end_stale_interrupt(&self) {}
}

/// All that use the line.
pub(super) struct World {
    pub(super) line: Line,
    pub(super) terminal: Terminal,
    pub(super) output: Output,
    pub(super) uarts: Vec<Pl011>,
    /// When a core comes next.
    pub(super) due: u64,
}

/// A VM's end of it.
pub(super) struct End<'a> {
    vm: usize,
    line: &'a Line,
    terminal: &'a mut Terminal,
    /// A look at what waits sends what there is room for.
    output: RefCell<&'a mut Output>,
}

impl Console for End<'_> {
    fn put(&mut self, byte: u8) {
        let output = self.output.get_mut();
        output.put(self.vm, byte, self.terminal, self.line);
    }

    fn unsent(&self) -> u32 {
        self.output.borrow().unsent(self.vm) as u32
    }

    fn abandon_sequence(&mut self) {}

    fn get(&mut self) -> Option<u8> {
        None
    }
}

pub(super) const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

impl World {
    pub(super) fn new(vms: usize) -> Self {
        let mut terminal = Terminal::new();
        terminal.set_names(NAMES[..vms].iter().copied());
        let mut output = Output::new();
        output.reserve();
        let mut world = Self {
            line: Line::default(),
            terminal,
            output,
            uarts: std::vec![Pl011::default(); vms],
            due: PERIOD,
        };
        for vm in 0..vms {
            world.write(vm, LCR_H, FEN);
        }
        world
    }

    pub(super) fn with<R>(
        &mut self,
        vm: usize,
        action: impl FnOnce(&mut Pl011, &mut End) -> R,
    ) -> R {
        let mut end = End {
            vm,
            line: &self.line,
            terminal: &mut self.terminal,
            output: RefCell::new(&mut self.output),
        };
        action(&mut self.uarts[vm], &mut end)
    }

    pub(super) fn read(&mut self, vm: usize, register: u64) -> u32 {
        self.with(vm, |uart, end| uart.read(register, end))
    }

    pub(super) fn write(&mut self, vm: usize, register: u64, value: u32) {
        self.with(vm, |uart, end| uart.write(register, value, end));
    }

    /// A driver that polls: sends the next character of its text, if its UART is not full.
    pub(super) fn poll(&mut self, vm: usize, text: &mut impl Iterator<Item = u8>) {
        if self.read(vm, FR) & TXFF == 0
            && let Some(byte) = text.next()
        {
            self.write(vm, DR, byte.into());
        }
    }

    /// A driver that waits for the TX interrupt, as Linux': half a FIFO of its text then, without a look.
    pub(super) fn serve(&mut self, vm: usize, text: &mut impl Iterator<Item = u8>) {
        if !self.uarts[vm].irq_line() {
            return;
        }
        for byte in text.take(8) {
            self.write(vm, DR, byte.into());
        }
    }

    /// A microsecond passes.
    pub(super) fn tick(&mut self) {
        let now = self.line.now.get() + 1;
        self.line.now.set(now);
        if now < self.due {
            return;
        }
        self.due = now + PERIOD;
        let (terminal, line) = (&mut self.terminal, &self.line);
        self.output.serve(terminal, line, now, PATIENCE);
        let news = self.output.take_news();
        for vm in (0..self.uarts.len()).filter(|vm| news >> vm & 1 != 0) {
            self.with(vm, |uart, end| uart.pull_input(end));
        }
    }

    pub(super) fn key(&mut self, byte: u8) {
        let mut screen = self.output.screen(&self.line);
        self.terminal.enqueue(byte);
        self.terminal.deliver(&mut screen);
    }

    pub(super) fn log(&mut self, text: &str) {
        let mut screen = self.output.screen(&self.line);
        self.terminal.lines(format_args!("{text}\n"), &mut screen);
    }

    pub(super) fn rest(&mut self) {
        while !self.output.is_empty() || !self.line.fifo.borrow().is_empty() {
            self.tick();
            self.line.catch_up();
        }
    }
}

/// What VM number `vm` says: lines of 60 characters.
pub(super) fn chatter(vm: usize) -> impl Iterator<Item = u8> {
    let line = move |n| format!("{vm} says line {n:05}, which is as long as a line may well be\n");
    (0..).flat_map(move |n| line(n).into_bytes())
}
