//! What is typed, on its way from the UART to who gets it.
//!
//! Characters come into a queue, and leave it for the attached VM or for the line at the prompt. While a line of the monitor is
//! carried out, they stay. A VM has [`TYPED_MAX`] characters of its own that it has not read yet. Where there is no room, nothing more is taken: the
//! driver leaves characters in the UART, and the sender waits.
//!
//! A VM that does not read for long would so keep [`ESCAPE`] in the UART for good. So the driver [presses on](Terminal::start_discarding) after a
//! while: then what the VM has no room for is left out, as whole lines. What the UART itself loses is a [gap](Terminal::note_gap): the line
//! that it is in is left out too, because its rest could mean something else. Both are said, by a [`Notice`].

use core::fmt;

use super::editor::Line;
use super::prompt::Step;
use super::{Cursor, ESCAPE, Input, Keyboard, Screen, Terminal, print};
use crate::monitor::AfterLine;

/// Characters that wait for a VM to read them.
pub const TYPED_MAX: usize = 8192;
/// Characters that wait until it is known who gets them, gaps among them. There is a place more for a gap behind them.
pub const AHEAD_MAX: usize = 512;
/// In the queue: here the UART lost something.
const GAP: u16 = 1 << 8;

/// What the operator should know of characters that do not arrive. To be written into the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// This VM does not read what is typed for it.
    NotRead(&'static str),
    /// So many characters did not reach this VM.
    LeftOut(&'static str, usize),
    /// The UART lost characters.
    Overrun,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::NotRead(name) => write!(
                f,
                "{name} does not read: lines typed for it from here on are left out"
            ),
            Self::LeftOut(name, count) => {
                write!(f, "{name}: {count} characters typed for it were left out")
            }
            Self::Overrun => f.write_str(
                "characters came faster than the UART keeps them: the line that was typed is left out",
            ),
        }
    }
}

fn ends_line(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

impl Terminal {
    /// Makes room for one character more, if it can, and returns whether [`enqueue`](Self::enqueue) may be called.
    pub fn try_reserve(&mut self) -> bool {
        self.ahead.len() < AHEAD_MAX && self.ahead.try_reserve()
    }

    /// Takes a character that was typed, to be [delivered](Self::deliver).
    pub fn enqueue(&mut self, byte: u8) {
        if !self.try_reserve() || !self.ahead.push(byte.into()) {
            self.note_gap();
        }
    }

    /// Notes that the UART lost characters at this point.
    pub fn note_gap(&mut self) {
        // Two gaps in a row are one.
        if self.ahead.newest() != Some(GAP) && !self.ahead.push(GAP) {
            // There is no memory for it. A gap somewhere before it keeps what is left of its line from being taken for a whole one.
            self.ahead.take_back(|_| false);
            let _ = self.ahead.push(GAP);
        }
    }

    /// Whether characters wait that the attached VM has no room for.
    pub fn is_held_up(&self) -> bool {
        matches!(self.keyboard, Keyboard::Guest) && self.ahead.peek().is_some()
    }

    /// Whether characters wait, and the VM or the prompt that gets them has room for them again.
    pub fn is_worth_delivering(&self) -> bool {
        let room = || self.speakers[self.attached].typed.is_half_empty();
        self.ahead.peek().is_some() && (!matches!(self.keyboard, Keyboard::Guest) || room())
    }

    /// Has what the attached VM has no room for left out, until that VM reads again.
    pub fn start_discarding(&mut self) {
        self.discarding = true;
    }

    /// Takes something that the operator should be told. There may be two at a time.
    pub fn take_notice(&mut self) -> Option<Notice> {
        self.notice
            .take()
            .or_else(|| core::mem::take(&mut self.overrun).then_some(Notice::Overrun))
    }

    /// Takes the next character that was typed for a VM.
    pub fn get(&mut self, vm: usize) -> Option<u8> {
        let name = *self.names.get(vm)?;
        let speaker = self.speakers.get_mut(vm)?;
        let byte = speaker.typed.pop()?;
        self.discarding &= vm != self.attached;
        if speaker.left_out > 0 && !speaker.skips && self.notice.is_none() {
            let count = core::mem::take(&mut speaker.left_out);
            self.notice = Some(Notice::LeftOut(name, count));
        }
        Some(byte)
    }

    /// Delivers the characters that wait to the VM or the prompt, as far as there is room. Returns who has to look.
    pub fn deliver(&mut self, screen: &mut impl Screen) -> Input {
        let mut input = Input::default();
        while let Some(next) = self.ahead.peek() {
            let delivered = match (u8::try_from(next), &self.keyboard) {
                (_, Keyboard::Busy(_)) => false,
                (Err(_), _) => self.close_gap(),
                (Ok(byte), Keyboard::Prompt) => {
                    self.at_prompt(byte, screen);
                    true
                }
                (Ok(ESCAPE), Keyboard::Guest) => {
                    self.open(screen);
                    true
                }
                (Ok(byte), Keyboard::Guest) => self.for_guest(byte),
            };
            if !delivered {
                break;
            }
            self.ahead.pop();
            input = input.then(self.wants_look());
        }
        input.then(Input {
            guest: None,
            ..self.wants_look()
        })
    }

    fn wants_look(&self) -> Input {
        Input {
            guest: matches!(self.keyboard, Keyboard::Guest).then_some(self.attached),
            room: 0,
            command: matches!(self.keyboard, Keyboard::Busy(_)),
        }
    }

    /// Gives a character to the attached VM. Returns false if the character has to wait.
    fn for_guest(&mut self, byte: u8) -> bool {
        let speaker = &mut self.speakers[self.attached];
        // Nobody here reads.
        if speaker.elsewhere || !speaker.skips && speaker.typed.push(byte) {
            return true;
        }
        if !speaker.skips {
            if !self.discarding {
                return false;
            }
            if speaker.left_out == 0 && self.notice.is_none() {
                self.notice = Some(Notice::NotRead(self.names[self.attached]));
            }
            speaker.left_out += speaker.typed.take_back(ends_line);
        }
        speaker.left_out += 1;
        speaker.skips = !ends_line(byte);
        true
    }

    /// Drops the line that is being typed, as some of it was lost. Returns true, as nothing has to wait.
    fn close_gap(&mut self) -> bool {
        self.overrun = true;
        if matches!(self.keyboard, Keyboard::Prompt) {
            self.prompt.tear();
        } else {
            let speaker = &mut self.speakers[self.attached];
            speaker.left_out += speaker.typed.take_back(ends_line);
            speaker.skips = true;
        }
        true
    }

    fn open(&mut self, screen: &mut impl Screen) {
        self.speakers[self.attached].skips = false;
        self.fresh_line(screen);
        self.prompt.open();
        self.keyboard = Keyboard::Prompt;
        self.show_prompt(screen);
    }

    /// Takes the line that waits for the monitor. The caller carries it out, then calls [`finish`](Self::finish).
    pub fn take_command(&mut self) -> Option<Line> {
        match &mut self.keyboard {
            Keyboard::Busy(line) => line.take(),
            _ => None,
        }
    }

    /// Ends a line that the monitor has carried out, and delivers what was typed meanwhile.
    pub fn finish(&mut self, next: AfterLine, screen: &mut impl Screen) -> Input {
        match next {
            AfterLine::Stay => {
                self.keyboard = Keyboard::Prompt;
                self.show_prompt(screen);
            }
            AfterLine::Leave => self.leave(screen),
        }
        self.deliver(screen)
    }

    fn at_prompt(&mut self, byte: u8, screen: &mut impl Screen) {
        match self.prompt.push(byte, &self.names[..self.vms], screen) {
            Step::Stay => {}
            Step::Leave => self.leave(screen),
            Step::Literal => {
                // A VM that has no room for it does not read: it would not have helped.
                let _ = self.speakers[self.attached].typed.push(ESCAPE);
                self.leave(screen);
            }
            Step::Command(line) => {
                self.keyboard = Keyboard::Busy(Some(line));
                self.cursor = Cursor::Start;
            }
            Step::Torn(why) => {
                self.cursor = Cursor::Start;
                print(screen, why);
                self.show_prompt(screen);
            }
            Step::Choices => self.aside(screen, |terminal, screen| {
                terminal.prompt.show_choices(terminal.names(), screen);
            }),
        }
    }

    /// Closes the monitor.
    fn leave(&mut self, screen: &mut impl Screen) {
        self.keyboard = Keyboard::Guest;
        self.fresh_line(screen);
        self.show_attached(screen);
    }
}
