//! One terminal for several VMs, the log and the monitor: bytes in, bytes out.
//!
//! | what | on the terminal |
//! | --- | --- |
//! | the only VM | its characters as they are |
//! | the attached VM, which has the keyboard | its characters as they come, `name| ` in front of each line |
//! | another VM | whole lines, `name| ` in front |
//! | a VM on a [serial line](SerialLine) of its own | nothing: the others are here as if it were not |
//! | the log, and what the monitor answers | whole lines |
//! | the monitor | its prompt and the line being typed, below all that; while it is open, the attached VM is like the others |
//!
//! A whole line that comes while a VM's line is unfinished starts on a fresh line, and that VM's next character on another one.
//!
//! What is typed goes to the attached VM, but for [`ESCAPE`], which opens the monitor. There it is edited as a line
//! ([`editor`]) up to Enter; then the line waits for a core that takes it ([`Terminal::take_command`]), carries it out, prints with
//! [`Terminal::reply`], and [finishes](Terminal::finish) it. What is typed meanwhile is kept for later. What there is no room for stays
//! where it is: see `typed.rs`.

pub mod editor;
mod keys;
mod line;
mod output;
mod prompt;
mod readable;
mod ring;
mod row;
mod screen;
#[cfg(test)]
mod tests;
mod typed;

use core::fmt;

use crate::limits::VMS_MAX;
use editor::Line;
use prompt::Prompt;
use ring::Ring;
use row::Row;
use screen::{CANCEL, print};

pub use line::{SerialLine, Served};
pub use output::{Outlet, Output};
pub use readable::Readable;
pub use screen::{Screen, write_lines};
pub use typed::Notice;
use typed::{AHEAD_MAX, TYPED_MAX};

/// Ctrl-]: opens the monitor, and leaves it. Twice in a row, it goes to the VM.
pub const ESCAPE: u8 = 0x1d;

/// Who has to look after bytes have come in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Input {
    /// A VM has something to read.
    pub guest: Option<usize>,
    /// VMs whose UARTs have room for output again, a bit for each.
    pub room: u8,
    /// A line waits for the monitor.
    pub command: bool,
}

impl Input {
    /// This, and then `later`.
    pub fn then(self, later: Self) -> Self {
        Self {
            guest: later.guest.or(self.guest),
            room: self.room | later.room,
            command: self.command | later.command,
        }
    }
}

/// Where the terminal's cursor stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cursor {
    /// At the start of a line.
    Start,
    /// Behind a carriage return of the attached VM, on a line that shows something.
    Returned,
    /// In an unfinished line of the attached VM.
    Guest,
    /// Behind the prompt.
    Prompt,
}

/// Who gets what is typed.
enum Keyboard {
    /// The attached VM.
    Guest,
    /// The line at the prompt.
    Prompt,
    /// Nobody for now: a line of the monitor is being carried out. The line is here until a core takes it.
    Busy(Option<Line>),
}

/// A VM at the terminal.
struct Speaker {
    /// The line that it writes on.
    row: Row,
    /// It is at no terminal, but has a line of its own.
    elsewhere: bool,
    /// What was typed for it.
    typed: Ring<u8>,
    /// What comes up to the end of its line is left out.
    skips: bool,
    /// Characters that were left out, and not counted in the log yet.
    left_out: usize,
}

/// The state of the terminal and of all who use it.
pub struct Terminal {
    names: [&'static str; VMS_MAX],
    /// VMs, as far as it is known.
    vms: usize,
    /// Those of them that are not elsewhere.
    here: usize,
    speakers: [Speaker; VMS_MAX],
    attached: usize,
    cursor: Cursor,
    /// The terminal did not see, or has forgotten, how the sequence begins that the attached VM is sending: the rest would show as text.
    torn: bool,
    /// The attached VM ended a line in the middle of a sequence: the terminal may still be in it.
    unfinished: bool,
    keyboard: Keyboard,
    prompt: Prompt,
    /// What was typed, and is not delivered yet: at most [`AHEAD_MAX`] characters and gaps, and one more gap.
    ahead: Ring<u16>,
    /// What the attached VM has no room for is left out.
    discarding: bool,
    /// Something to be said of a VM.
    notice: Option<Notice>,
    /// [`Notice::Overrun`] is to be said.
    overrun: bool,
    /// What the monitor answers, up to a whole line.
    answer: Row,
}

impl Default for Terminal {
    fn default() -> Self {
        Self::new()
    }
}

impl Terminal {
    /// For one VM without a name: VM 0, which is attached.
    pub const fn new() -> Self {
        const SILENT: Speaker = Speaker {
            row: Row::EMPTY,
            elsewhere: false,
            typed: Ring::new(TYPED_MAX),
            skips: false,
            left_out: 0,
        };
        Self {
            names: [""; VMS_MAX],
            vms: 1,
            here: 1,
            speakers: [SILENT; VMS_MAX],
            attached: 0,
            cursor: Cursor::Start,
            torn: false,
            unfinished: false,
            keyboard: Keyboard::Guest,
            prompt: Prompt::NEW,
            ahead: Ring::new(AHEAD_MAX + 1),
            discarding: false,
            notice: None,
            overrun: false,
            answer: Row::EMPTY,
        }
    }

    /// Sets the VMs, by their names. A single VM has no name in front of its lines.
    pub fn set_names(&mut self, names: impl Iterator<Item = &'static str>) {
        self.vms = 0;
        for (to, name) in self.names.iter_mut().zip(names) {
            *to = name;
            self.vms += 1;
        }
        self.here = self.vms;
    }

    /// Notes that a VM has a line of its own: it gets no keyboard. The first that has none has it at the start.
    pub fn set_elsewhere(&mut self, vm: usize) {
        self.speakers[vm].elsewhere = true;
        let here = |vm: &usize| !self.speakers[*vm].elsewhere;
        self.here = (0..self.vms).filter(here).count();
        self.attached = (0..self.vms).find(here).unwrap_or(0);
    }

    fn names(&self) -> &[&'static str] {
        &self.names[..self.vms]
    }

    /// What is in front of a VM's lines, if there are several.
    pub fn log_name(&self, vm: usize) -> Option<&'static str> {
        let named = self.names().get(vm).copied();
        named.filter(|_| self.vms > 1)
    }

    /// The VM that has the keyboard.
    pub fn attached(&self) -> usize {
        self.attached
    }

    /// Gives the keyboard to a VM. One that is not there, or elsewhere, does not get it.
    pub fn attach(&mut self, vm: usize, screen: &mut impl Screen) {
        if vm == self.attached || vm >= self.vms || self.speakers[vm].elsewhere {
            return;
        }
        if matches!(self.keyboard, Keyboard::Guest) {
            self.fresh_line(screen);
            self.attached = vm;
            self.show_attached(screen);
        } else {
            self.attached = vm;
        }
        // The other one may read.
        self.discarding = false;
    }

    /// A VM prints a character.
    #[inline]
    pub fn put(&mut self, vm: usize, byte: u8, screen: &mut impl Screen) {
        let Some(speaker) = self.speakers.get_mut(vm) else {
            return;
        };
        let in_sequence = speaker.row.in_sequence();
        let complete = speaker.row.push(byte);
        if vm == self.attached && matches!(self.keyboard, Keyboard::Guest) {
            self.torn &= in_sequence && byte != b'\n';
            if !self.torn {
                self.unfinished |= in_sequence && byte == b'\n';
                self.pass(byte, screen);
            }
        } else if complete {
            self.aside(screen, |terminal, screen| {
                terminal.show_row(vm, screen);
                print(screen, "\r\n");
            });
        }
        if complete {
            self.speakers[vm].row.clear();
        }
    }

    /// A VM goes on from elsewhere, as after a restore: the rest of the sequence that it was sending does not come. What it sends next is text, also
    /// for the terminal, if that saw how the sequence begins.
    pub fn abandon_sequence(&mut self, vm: usize, screen: &mut impl Screen) {
        let is_attached = vm == self.attached;
        let Some(speaker) = self.speakers.get_mut(vm) else {
            return;
        };
        let in_sequence = speaker.row.in_sequence();
        speaker.row.abandon_sequence();
        if is_attached {
            let torn = core::mem::take(&mut self.torn);
            if in_sequence && !torn && matches!(self.keyboard, Keyboard::Guest) {
                print(screen, CANCEL);
            }
        }
    }

    /// Prints `message` in whole lines, which it must consist of.
    pub fn lines(&mut self, message: fmt::Arguments, screen: &mut impl Screen) {
        self.aside(screen, |_, screen| write_lines(message, screen));
    }

    /// Prints a piece of what the monitor answers. It shows when its line is whole.
    pub fn reply(&mut self, text: &str, screen: &mut impl Screen) {
        for byte in text.bytes() {
            if self.answer.push(byte) {
                self.aside(screen, |terminal, screen| {
                    terminal.answer.text().for_each(|text| print(screen, text));
                    print(screen, "\r\n");
                });
                self.answer.clear();
            }
        }
    }

    /// Shows the line that the attached VM writes on, if there is something on it.
    fn show_attached(&mut self, screen: &mut impl Screen) {
        self.torn = self.speakers[self.attached].row.in_sequence();
        if !self.speakers[self.attached].row.is_empty() {
            self.show_row(self.attached, screen);
            let back = self.speakers[self.attached].row.cursor_from_end();
            (0..back).for_each(|_| screen.send(0x08));
            self.cursor = Cursor::Guest;
        }
    }

    fn show_row(&self, vm: usize, screen: &mut impl Screen) {
        self.show_name(vm, screen);
        let row = &self.speakers[vm].row;
        row.text().for_each(|text| print(screen, text));
    }

    /// In front of a line of a VM.
    fn show_name(&self, vm: usize, screen: &mut impl Screen) {
        if self.here > 1 {
            print(screen, self.names[vm]);
            print(screen, "| ");
        }
    }

    fn show_prompt(&mut self, screen: &mut impl Screen) {
        self.prompt.show(screen);
        self.cursor = Cursor::Prompt;
    }

    /// Brings the cursor to the start of a line that shows nothing.
    fn fresh_line(&mut self, screen: &mut impl Screen) {
        let in_sequence = self.speakers[self.attached].row.in_sequence();
        let is_shown = matches!(self.cursor, Cursor::Returned | Cursor::Guest);
        if core::mem::take(&mut self.unfinished) || (is_shown && in_sequence) {
            self.torn = in_sequence;
            print(screen, CANCEL);
        }
        match self.cursor {
            Cursor::Start => {}
            Cursor::Returned | Cursor::Guest => print(screen, "\r\n"),
            Cursor::Prompt => print(screen, prompt::ERASE),
        }
        self.cursor = Cursor::Start;
    }

    /// Whole lines, between what else is there.
    fn aside<S: Screen>(&mut self, screen: &mut S, show: impl FnOnce(&Self, &mut S)) {
        self.fresh_line(screen);
        show(self, screen);
        if matches!(self.keyboard, Keyboard::Prompt) {
            self.show_prompt(screen);
        }
    }

    /// A character of the attached VM.
    #[inline]
    fn pass(&mut self, byte: u8, screen: &mut impl Screen) {
        if self.here > 1 {
            self.pass_named(byte, screen);
        } else {
            screen.send(byte);
            self.cursor = match byte {
                b'\n' => Cursor::Start,
                _ => Cursor::Guest,
            };
        }
    }

    /// The same with the VM's name in front of the line. A carriage return leads to the name, which thus is written again.
    fn pass_named(&mut self, byte: u8, screen: &mut impl Screen) {
        let at_name = self.cursor != Cursor::Guest;
        match byte {
            b'\n' => {
                match self.cursor {
                    Cursor::Returned => {}
                    Cursor::Start => {
                        self.show_name(self.attached, screen);
                        screen.send(b'\r');
                    }
                    _ => screen.send(b'\r'),
                }
                screen.send(b'\n');
                self.cursor = Cursor::Start;
            }
            b'\r' => {
                screen.send(b'\r');
                if !at_name {
                    self.cursor = Cursor::Returned;
                }
            }
            _ => {
                if at_name {
                    self.show_name(self.attached, screen);
                }
                screen.send(byte);
                self.cursor = Cursor::Guest;
            }
        }
    }
}
