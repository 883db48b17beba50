//! The line that a VM writes on, as a terminal would show it.

/// Bytes of a line.
pub const ROW_MAX: usize = 240;

/// A character that begins within them may end behind them.
const TEXT_MAX: usize = ROW_MAX + 3;

/// What a terminal's line would show: printable characters as they were left by backspaces, carriage returns and the sequences that
/// shells edit their lines with. Colours and everything else is left out, so that it can be shown at any time without side effects: a
/// query in it would be answered as if the operator had typed the answer.
///
/// Control functions are known in all forms (ECMA-48, 5.3; ECMA-35): ESC and a letter, the bytes 0x80 to 0x9f, and these as characters of
/// UTF-8, 0xc2 0x80 to 0xc2 0x9f. In the middle of a character of UTF-8 such bytes are text.
pub struct Row {
    text: [u8; TEXT_MAX],
    length: usize,
    column: usize,
    state: State,
    /// Bytes that are to come of a character.
    more: u8,
    /// The last byte was 0xc2, and is not in the text yet.
    held: bool,
}

/// What the next byte belongs to (ECMA-48).
#[derive(Clone, Copy)]
enum State {
    Text,
    /// Behind ESC.
    Escape,
    /// Behind ESC and bytes that announce another one.
    OneMore,
    /// Behind CSI, with the number read so far.
    Control(usize),
    /// In a string: behind DCS, SOS, OSC, PM or APC, up to ST, BEL or what cancels it.
    String,
}

const ESC: u8 = 0x1b;
const BEL: u8 = 0x07;
const CAN: u8 = 0x18;
const SUB: u8 = 0x1a;
/// The character of UTF-8 that begins so may be a control function.
const C1_LEAD: u8 = 0xc2;
// The control functions of the set C1 that begin something; behind ESC they are 0x40 less.
const DCS: u8 = 0x90;
const SOS: u8 = 0x98;
const CSI: u8 = 0x9b;
const ST: u8 = 0x9c;
const OSC: u8 = 0x9d;
const PM: u8 = 0x9e;
const APC: u8 = 0x9f;

impl Row {
    /// An empty line.
    pub const EMPTY: Self = Self {
        text: [0; TEXT_MAX],
        length: 0,
        column: 0,
        state: State::Text,
        more: 0,
        held: false,
    };

    /// What it shows, in pieces; characters that were cut in two are left out.
    pub fn text(&self) -> impl Iterator<Item = &str> {
        let chunks = self.text[..self.length].utf8_chunks();
        chunks.map(|chunk| chunk.valid())
    }

    /// Whether it shows nothing.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// How many characters the cursor stands before the end.
    pub fn cursor_from_end(&self) -> usize {
        let behind = self.text[self.column..self.length].iter();
        behind.filter(|byte| **byte & 0xc0 != 0x80).count()
    }

    /// Whether it is in the middle of a sequence.
    #[inline]
    pub fn in_sequence(&self) -> bool {
        !matches!(self.state, State::Text)
    }

    /// Forgets it. A sequence that has begun goes on.
    pub fn clear(&mut self) {
        self.length = 0;
        self.column = 0;
    }

    /// Who writes does not finish the sequence that has begun, nor the character: what comes next is text.
    pub fn abandon_sequence(&mut self) {
        self.state = State::Text;
        (self.more, self.held) = (0, false);
    }

    /// Takes a byte. True when the line is complete: at its newline, or because it is full.
    pub fn push(&mut self, byte: u8) -> bool {
        if byte == b'\n' {
            // No sequence is so long: this one is no sequence.
            self.abandon_sequence();
            return true;
        }
        if self.more > 0 || byte >= 0x80 {
            return self.encoded(byte);
        }
        match self.state {
            State::Text => return self.plain(byte),
            _ if matches!(byte, CAN | SUB) => self.state = State::Text,
            _ if byte == ESC => self.state = State::Escape,
            State::Escape => match byte {
                0x40..0x60 => self.function(byte + 0x40),
                b' '..=b'/' => self.state = State::OneMore,
                0x60..0x7f | b'0'..=b'?' => self.state = State::Text,
                // Terminals obey these within a sequence; here they change nothing.
                _ => {}
            },
            State::OneMore => {
                if byte > b'/' {
                    self.state = State::Text;
                }
            }
            State::Control(number) => self.control(number, byte),
            State::String => {
                if byte == BEL {
                    self.state = State::Text;
                }
            }
        }
        false
    }

    /// A byte that is no ASCII, or stands where another one of a character should: UTF-8.
    fn encoded(&mut self, byte: u8) -> bool {
        let held = core::mem::take(&mut self.held);
        if self.more == 0 || byte & 0xc0 != 0x80 {
            self.more = match byte {
                0xc2..=0xdf => 1,
                0xe0..=0xef => 2,
                0xf0..=0xf4 => 3,
                _ => 0,
            };
            self.held = byte == C1_LEAD;
            return match byte {
                0..0x80 => self.push(byte),
                0x80..0xa0 => {
                    self.function(byte);
                    false
                }
                C1_LEAD | 0xa0..0xc2 | 0xf5.. => false,
                _ => self.keep(byte),
            };
        }
        self.more -= 1;
        if held && byte < 0xa0 {
            self.function(byte);
            return false;
        }
        if held {
            self.keep(C1_LEAD);
        }
        self.keep(byte)
    }

    /// A control function of the set C1.
    fn function(&mut self, code: u8) {
        self.state = match (code, self.state) {
            (DCS | SOS | OSC | PM | APC, _) => State::String,
            (CSI, _) => State::Control(0),
            (ST, _) => State::Text,
            (_, State::String) => State::String,
            _ => State::Text,
        };
    }

    fn plain(&mut self, byte: u8) -> bool {
        match byte {
            b'\r' => self.column = 0,
            0x08 => {
                // A character of several bytes is one step.
                self.column = self.column.saturating_sub(1);
                while self.column > 0 && self.text[self.column] & 0xc0 == 0x80 {
                    self.column -= 1;
                }
            }
            ESC => self.state = State::Escape,
            b'\t' | b' '..=b'~' => return self.keep(byte),
            _ => {}
        }
        false
    }

    /// A byte of a character that shows. True if the line is full.
    fn keep(&mut self, byte: u8) -> bool {
        if self.in_sequence() {
            return false;
        }
        // What was held comes with the byte behind it: of the two, the last place may take only the first.
        if let Some(place) = self.text.get_mut(self.column) {
            *place = byte;
            self.column += 1;
        }
        self.length = self.length.max(self.column);
        self.column == TEXT_MAX || self.column >= ROW_MAX && self.more == 0
    }

    fn control(&mut self, number: usize, byte: u8) {
        self.state = State::Text;
        match byte {
            b'0'..=b'9' => {
                let number = number.saturating_mul(10) + usize::from(byte - b'0');
                self.state = State::Control(number.min(ROW_MAX));
            }
            // Erase to the end of the line, or of the screen.
            b'K' | b'J' if number == 0 => self.length = self.column,
            b'C' => self.column = self.length.min(self.column + number.max(1)),
            b'D' => self.column = self.column.saturating_sub(number.max(1)),
            // Parameters that mean nothing here.
            0x20..0x40 => self.state = State::Control(0),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::String;

    fn shown(row: &Row) -> String {
        row.text().collect()
    }

    fn row(bytes: &[u8]) -> Row {
        let mut row = Row::EMPTY;
        for byte in bytes {
            assert!(!row.push(*byte));
        }
        row
    }

    #[test]
    fn shows_what_a_terminal_would() {
        for (bytes, text, from_end) in [
            (&b"login: "[..], &b"login: "[..], 0),
            (b"10%\r20%\r3", b"30%", 2),
            (b"lss\x08 \x08", b"ls ", 1),
            (b"lss\x08\x1b[J", b"ls", 0),
            (b"a long one\rshort\x1b[K", b"short", 0),
            (b"\x1b[6n/ # ", b"/ # ", 0),
            (b"\x1b[1;32mok\x1b[0m", b"ok", 0),
            (b"\x1b]0;title\x07x\x1b]2;t\x1b\\y", b"xy", 0),
            (b"\x1b(Bx\x1bMy", b"xy", 0),
            (b"abc\x1b[2Dx", b"axc", 1),
            (b"abc\x1b[99D\x1b[Cx\x1b[999C!", b"axc!", 0),
            (b"\x08\x08a\x07\x00\x7f\tb", b"a\tb", 0),
            ("größe\x08".as_bytes(), "größe".as_bytes(), 1),
            ("größe – ‘x’ 𝄞".as_bytes(), "größe – ‘x’ 𝄞".as_bytes(), 0),
            ("gr\u{a9}ß\x08s".as_bytes(), "gr\u{a9}s".as_bytes(), 0),
            ("ß\rx".as_bytes(), b"x", 0),
            // A query in each form, and strings in each.
            (b"a\x9b6nb\xc2\x9b6nc\x1b[6nd", b"abcd", 0),
            (b"a\x1bPq$\x1b\\b\x90q$\x9cc\xc2\x90q$\xc2\x9cd", b"abcd", 0),
            (b"a\x1bXs\x1b\\b\x1b^s\x9cc\x1b_s\xc2\x9cd\x9fs\x1b\\e\x9es\x1b\\f\x98s\x1b\\g\x9ds\x07h", b"abcdefgh", 0),
            (b"a\x1bPq\x18b\x1b]0;t\x1ac\x1b[1\x18d\x1b\x18e", b"abcde", 0),
            (b"a\x1bPq\x1b[1mb\x1b[1\x1b[2mc", b"abc", 0),
            (b"a\x85\x8e\xc2\x85b\xff\xa9\xc0\x80c\xe0\x82\x9bd", b"abcd", 0),
            (b"\x1b[99999999999999999999999Cx", b"x", 0),
        ] {
            let row = row(bytes);
            assert_eq!(shown(&row).as_bytes(), text, "{bytes:?}");
            assert_eq!(row.cursor_from_end(), from_end, "{bytes:?}");
        }
    }

    #[test]
    fn is_complete_at_a_newline_or_when_full() {
        let mut row = row(b"done\r\x1b]never done");
        assert!(row.push(b'\n'));
        assert_eq!(shown(&row), "done");
        row.clear();
        let until_full = (1..).find(|_| row.push(b'x'));
        assert_eq!(until_full, Some(ROW_MAX));
        assert_eq!(shown(&row), "x".repeat(ROW_MAX));
    }

    #[test]
    fn a_held_byte_at_the_last_place_takes_no_second_one() {
        let mut row = row(&[b'x'; ROW_MAX - 1]);
        for byte in [0xf0, 0x90, 0x80, 0xc2] {
            assert!(!row.push(byte));
        }
        assert!(row.push(0xa0));
        assert_eq!(shown(&row), "x".repeat(ROW_MAX - 1));
    }

    proptest! {
        #[test]
        fn nothing_but_text_comes_out(bytes in prop::collection::vec(prop_oneof![
            any::<u8>(), 0x80..0xa0_u8, prop::sample::select(&b"\x08\r\x1b[]P^_X\\\x9c\xc2\xc3\xe2\xf0"[..])], 0..2000), column in 230..TEXT_MAX) {
            let mut row = Row::EMPTY;
            row.text[..column].fill(b'x');
            (row.length, row.column) = (column, column);
            for byte in bytes {
                if row.push(byte) {
                    row.clear();
                }
                let text = shown(&row);
                prop_assert!(!text.contains(|c: char| c.is_control() && c != '\t'), "{text:?}");
                prop_assert!(row.cursor_from_end() <= ROW_MAX + 3);
            }
        }
    }
}
