//! The line of a terminal that a VM writes on, remembered.

/// Bytes of it.
pub const ROW_MAX: usize = 240;

/// What a terminal's line would show: printable characters as they were left by backspaces, carriage returns and the sequences that
/// shells edit their lines with. Colours and everything else is left out, so that it can be shown at any time without side effects: a
/// query in it would be answered into somebody's keyboard.
pub struct Row {
    text: [u8; ROW_MAX],
    length: usize,
    column: usize,
    state: State,
}

/// What the next byte belongs to (ECMA-48).
#[derive(Clone, Copy)]
enum State {
    Text,
    /// Behind ESC.
    Escape,
    /// Behind ESC and a byte that announces one more.
    OneMore,
    /// Behind ESC [, with the number read so far.
    Control(usize),
    /// Behind ESC ], up to BEL or ESC \.
    Command,
}

const ESC: u8 = 0x1b;
const BEL: u8 = 0x07;

impl Row {
    /// An empty line.
    pub const EMPTY: Self = Self {
        text: [0; ROW_MAX],
        length: 0,
        column: 0,
        state: State::Text,
    };

    /// What it shows.
    pub fn text(&self) -> &[u8] {
        &self.text[..self.length]
    }

    /// How far the cursor stands before the end.
    pub fn cursor_from_end(&self) -> usize {
        self.length - self.column
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

    /// Takes a byte. True when the line is complete: at its newline, or because it is full.
    pub fn push(&mut self, byte: u8) -> bool {
        if byte == b'\n' {
            // No sequence is so long: this one is no sequence.
            self.state = State::Text;
            return true;
        }
        match self.state {
            State::Text => return self.plain(byte),
            State::Escape => {
                self.state = match byte {
                    b'[' => State::Control(0),
                    b']' => State::Command,
                    b'(' | b')' | b'#' => State::OneMore,
                    _ => State::Text,
                }
            }
            State::OneMore => self.state = State::Text,
            State::Control(number) => self.control(number, byte),
            State::Command => match byte {
                ESC => self.state = State::Escape,
                BEL => self.state = State::Text,
                _ => {}
            },
        }
        false
    }

    fn plain(&mut self, byte: u8) -> bool {
        match byte {
            b'\r' => self.column = 0,
            0x08 => self.column = self.column.saturating_sub(1),
            ESC => self.state = State::Escape,
            b'\t' | b' '..=b'~' | 0x80.. => {
                self.text[self.column] = byte;
                self.column += 1;
                self.length = self.length.max(self.column);
                return self.column == ROW_MAX;
            }
            _ => {}
        }
        false
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
    use std::vec::Vec;

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
            ("größe".as_bytes(), "größe".as_bytes(), 0),
            (b"\x1b[99999999999999999999999Cx", b"x", 0),
        ] {
            let row = row(bytes);
            assert_eq!(row.text(), text, "{bytes:?}");
            assert_eq!(row.cursor_from_end(), from_end, "{bytes:?}");
        }
    }

    #[test]
    fn is_complete_at_a_newline_or_when_full() {
        let mut row = row(b"done\r\x1b]never done");
        assert!(row.push(b'\n'));
        assert_eq!(row.text(), b"done");
        row.clear();
        let until_full = (1..).find(|_| row.push(b'x'));
        assert_eq!(until_full, Some(ROW_MAX));
        assert_eq!(row.text(), [b'x'; ROW_MAX]);
    }

    proptest! {
        #[test]
        fn nothing_but_text_comes_out(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let mut row = Row::EMPTY;
            for byte in bytes {
                if row.push(byte) {
                    row.clear();
                }
                let strange: Vec<_> = row.text().iter().filter(|byte| (**byte < 0x20 && **byte != b'\t') || **byte == 0x7f).collect();
                prop_assert!(strange.is_empty());
                prop_assert!(row.cursor_from_end() <= row.text().len());
            }
        }
    }
}
