//! KeyDecoder, out of the bytes that terminals send for them.

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A printable ASCII character.
    Character(u8),
    /// The line is done.
    Enter,
    /// Delete before the cursor.
    Backspace,
    /// Delete at the cursor.
    Delete,
    /// Ctrl-D: as `Delete`; the end where there is nothing.
    EndOfInput,
    /// One to the left.
    Left,
    /// One to the right.
    Right,
    /// To the start of the line.
    Home,
    /// To its end.
    End,
    /// The line before.
    Up,
    /// The line after.
    Down,
    /// Complete the word.
    Tab,
    /// Ctrl-U: delete to the start.
    DeleteToStart,
    /// Ctrl-K: delete to the end.
    DeleteToEnd,
    /// Ctrl-W: delete the word before the cursor.
    DeleteWord,
    /// Ctrl-C: forget the line.
    Cancel,
    /// Ctrl-L: show the line again.
    Redraw,
}

/// What the next byte belongs to. Terminals send a key as ESC [ ... (ECMA-48, CSI) or, after some programs, as ESC O x (SS3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyDecoder {
    /// Nothing.
    #[default]
    Ground,
    /// Behind a carriage return: a line feed belongs to it.
    Returned,
    /// Behind ESC.
    Escape,
    /// Behind ESC O.
    Single,
    /// Behind ESC [, with the number read so far, modulo 256.
    Control(u8),
    /// The same behind that number: what comes on top of it, as shift, changes nothing.
    Modified(u8),
}

const fn control(letter: u8) -> u8 {
    letter & 0x1f
}

impl KeyDecoder {
    /// Takes a byte, and gives the key that it completes.
    pub fn push(&mut self, byte: u8) -> Option<Key> {
        let before = core::mem::take(self);
        match (before, byte) {
            (Self::Escape, b'[') => *self = Self::Control(0),
            (Self::Escape, b'O') => *self = Self::Single,
            (Self::Control(number), b'0'..=b'9') => {
                *self = Self::Control(number.wrapping_mul(10).wrapping_add(byte - b'0'));
            }
            (Self::Control(number) | Self::Modified(number), b' '..=b'?') => {
                *self = Self::Modified(number);
            }
            (Self::Control(number) | Self::Modified(number), b'@'..=b'~') => {
                return Self::of_sequence(number, byte);
            }
            (Self::Single, b'@'..=b'~') => return Self::of_sequence(0, byte),
            // Alt and a character.
            (Self::Escape, b' '..=b'~') => {}
            (Self::Returned, b'\n') => {}
            _ => return self.plain(byte),
        }
        None
    }

    /// The key of a sequence that ends in `last`.
    fn of_sequence(number: u8, last: u8) -> Option<Key> {
        Some(match (number, last) {
            (_, b'A') => Key::Up,
            (_, b'B') => Key::Down,
            (_, b'C') => Key::Right,
            (_, b'D') => Key::Left,
            (_, b'H') | (1 | 7, b'~') => Key::Home,
            (_, b'F') | (4 | 8, b'~') => Key::End,
            (3, b'~') => Key::Delete,
            _ => return None,
        })
    }

    fn plain(&mut self, byte: u8) -> Option<Key> {
        const A: u8 = control(b'a');
        const B: u8 = control(b'b');
        const C: u8 = control(b'c');
        const D: u8 = control(b'd');
        const E: u8 = control(b'e');
        const F: u8 = control(b'f');
        const K: u8 = control(b'k');
        const L: u8 = control(b'l');
        const N: u8 = control(b'n');
        const P: u8 = control(b'p');
        const U: u8 = control(b'u');
        const W: u8 = control(b'w');
        Some(match byte {
            0x1b => {
                *self = Self::Escape;
                return None;
            }
            b'\r' => {
                *self = Self::Returned;
                Key::Enter
            }
            b'\n' => Key::Enter,
            b'\t' => Key::Tab,
            0x08 | 0x7f => Key::Backspace,
            A => Key::Home,
            B => Key::Left,
            C => Key::Cancel,
            D => Key::EndOfInput,
            E => Key::End,
            F => Key::Right,
            K => Key::DeleteToEnd,
            L => Key::Redraw,
            N => Key::Down,
            P => Key::Up,
            U => Key::DeleteToStart,
            W => Key::DeleteWord,
            b' '..=b'~' => Key::Character(byte),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut keys = KeyDecoder::default();
        bytes.iter().filter_map(|byte| keys.push(*byte)).collect()
    }

    #[test]
    fn of_the_terminals_about() {
        for (bytes, expected) in [
            (&b"\x1b[A\x1bOA\x10"[..], [Key::Up; 3]),
            (b"\x1b[B\x1bOB\x0e", [Key::Down; 3]),
            (b"\x1b[C\x1b[1;5C\x06", [Key::Right; 3]),
            (b"\x1b[D\x1bOD\x02", [Key::Left; 3]),
            (b"\x1b[H\x1b[1~\x01", [Key::Home; 3]),
            (b"\x1b[F\x1b[4~\x05", [Key::End; 3]),
            (b"\x1b[3~\x1b[3;2~\x1b[3~", [Key::Delete; 3]),
            (b"\x7f\x08\x7f", [Key::Backspace; 3]),
            (b"\r\n\n\r", [Key::Enter; 3]),
        ] {
            assert_eq!(keys(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn what_no_key_is_leaves_no_trace() {
        // Page up, F5, a colour, an answer to a query, a lone ESC and a byte that is no ASCII.
        let bytes = b"\x1b[5~\x1b[15~\x1b[1;31m\x1b[24;80R\x1bxa\xc3\xa4b";
        assert_eq!(keys(bytes), b"ab".map(Key::Character));
        assert_eq!(keys(b"\x1b\x1b[Aq"), [Key::Up, Key::Character(b'q')]);
    }
}
