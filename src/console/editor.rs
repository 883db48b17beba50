//! The line that is typed at the prompt, and the lines typed before.

use super::keys::{Key, KeyDecoder};

/// Bytes of a line: with the prompt it fits on a terminal of 80 columns.
pub const LINE_MAX: usize = 70;
/// Lines that are remembered.
const HISTORY_MAX: usize = 16;

/// A line of printable ASCII.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    bytes: [u8; LINE_MAX],
    length: usize,
}

impl Line {
    /// Without characters.
    pub const EMPTY: Self = Self {
        bytes: [0; LINE_MAX],
        length: 0,
    };

    /// Its text.
    pub fn text(&self) -> &str {
        str::from_utf8(&self.bytes[..self.length]).unwrap_or("")
    }

    /// Whether it has no text.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Puts `text`, as much of it as there is room for, at byte `at`; gives how much that was.
    fn insert(&mut self, at: usize, text: &[u8]) -> usize {
        let count = text.len().min(LINE_MAX - self.length);
        self.bytes.copy_within(at..self.length, at + count);
        self.bytes[at..at + count].copy_from_slice(&text[..count]);
        self.length += count;
        count
    }

    fn remove(&mut self, range: core::ops::Range<usize>) {
        self.bytes.copy_within(range.end..self.length, range.start);
        self.length -= range.len();
    }
}

/// What became of a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing that shows.
    Nothing,
    /// The line's last character is new.
    Appended(u8),
    /// The line's last character is gone.
    Shortened,
    /// The line looks different, or the cursor is elsewhere.
    Changed,
    /// The line is done.
    Done,
    /// The line was forgotten.
    Cancelled,
    /// The operator typed the end of input (Ctrl-D).
    End,
    /// The word before the cursor should be completed.
    Complete,
}

/// The editor.
pub struct Editor {
    keys: KeyDecoder,
    line: Line,
    cursor: usize,
    history: [Line; HISTORY_MAX],
    /// Lines in it, the newest first.
    remembered: usize,
    /// The line that is shown: 0 is the one that is being typed, 1 the newest of the history.
    looks_at: usize,
    /// The line that is being typed, while another one is looked at.
    draft: Line,
    /// Some of what was typed is not in the line.
    torn: bool,
}

impl Editor {
    /// Nothing typed, nothing remembered.
    pub const NEW: Self = Self {
        keys: KeyDecoder::Ground,
        line: Line::EMPTY,
        cursor: 0,
        history: [Line::EMPTY; HISTORY_MAX],
        remembered: 0,
        looks_at: 0,
        draft: Line::EMPTY,
        torn: false,
    };

    /// The line as it stands.
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// The line in front of the cursor.
    pub fn before_cursor(&self) -> &str {
        &self.line.text()[..self.cursor]
    }

    /// How far the cursor stands before the end.
    pub fn cursor_from_end(&self) -> usize {
        self.line.length - self.cursor
    }

    /// Begins a new line; remembers the one that was done.
    pub fn begin(&mut self) {
        let done = self.line;
        if !done.is_empty() && self.history[0].text() != done.text() {
            self.history.rotate_right(1);
            self.history[0] = done;
            self.remembered = HISTORY_MAX.min(self.remembered + 1);
        }
        self.forget();
    }

    /// Begins a new line.
    pub fn forget(&mut self) {
        self.line = Line::EMPTY;
        self.cursor = 0;
        self.looks_at = 0;
        self.torn = false;
    }

    /// Some of what was typed is lost: what is left must not be carried out.
    pub fn tear(&mut self) {
        self.torn = true;
    }

    /// Whether some of what was typed is not in the line, as it was lost or there was no room.
    pub fn is_torn(&self) -> bool {
        self.torn
    }

    /// Puts `text` in at the cursor, as far as there is room. Where more than blanks at its end is missing, the line is torn.
    pub fn insert(&mut self, text: &str) {
        let count = self.line.insert(self.cursor, text.as_bytes());
        self.cursor += count;
        self.torn |= count < text.trim_end().len();
    }

    /// Takes a byte.
    pub fn push(&mut self, byte: u8) -> Outcome {
        self.keys
            .push(byte)
            .map_or(Outcome::Nothing, |key| self.key(key))
    }

    fn key(&mut self, key: Key) -> Outcome {
        let (cursor, end) = (self.cursor, self.line.length);
        match key {
            Key::Character(byte) => {
                let count = self.line.insert(cursor, &[byte]);
                self.cursor += count;
                self.torn |= count == 0;
                match (count, cursor == end) {
                    (0, _) => Outcome::Nothing,
                    (_, true) => Outcome::Appended(byte),
                    (_, false) => Outcome::Changed,
                }
            }
            Key::Enter => Outcome::Done,
            Key::Cancel => Outcome::Cancelled,
            Key::Tab => Outcome::Complete,
            Key::Redraw => Outcome::Changed,
            Key::EndOfInput if end == 0 => Outcome::End,
            Key::Backspace if cursor == end && end > 0 => {
                self.delete(end - 1..end);
                Outcome::Shortened
            }
            Key::Backspace => self.delete(cursor.saturating_sub(1)..cursor),
            Key::Delete | Key::EndOfInput => self.delete(cursor..end.min(cursor + 1)),
            Key::DeleteToStart => {
                self.torn &= cursor != end;
                self.delete(0..cursor)
            }
            Key::DeleteToEnd => self.delete(cursor..end),
            Key::DeleteWord => self.delete(self.word_start()..cursor),
            Key::Left => self.go(cursor.saturating_sub(1)),
            Key::Right => self.go(end.min(cursor + 1)),
            Key::Home => self.go(0),
            Key::End => self.go(end),
            Key::Up => self.look_at(self.looks_at + 1),
            Key::Down => self.look_at(self.looks_at.wrapping_sub(1)),
        }
    }

    fn go(&mut self, to: usize) -> Outcome {
        self.cursor = to;
        Outcome::Changed
    }

    fn delete(&mut self, range: core::ops::Range<usize>) -> Outcome {
        self.cursor = range.start;
        self.line.remove(range);
        Outcome::Changed
    }

    /// Where the word before the cursor starts.
    fn word_start(&self) -> usize {
        let before = self.before_cursor();
        before.trim_end().rfind(' ').map_or(0, |blank| blank + 1)
    }

    fn look_at(&mut self, which: usize) -> Outcome {
        if which > self.remembered {
            return Outcome::Nothing;
        }
        if self.looks_at == 0 {
            self.draft = self.line;
        }
        self.looks_at = which;
        self.line = match which {
            0 => self.draft,
            n => self.history[n - 1],
        };
        self.go(self.line.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::{String, ToString};

    fn typed(editor: &mut Editor, bytes: &[u8]) -> String {
        for byte in bytes {
            if editor.push(*byte) == Outcome::Done {
                editor.begin();
            }
        }
        editor.line().text().to_string()
    }

    #[test]
    fn edits() {
        for (bytes, text, before) in [
            (&b"vms"[..], "vms", "vms"),
            (b"vmx\x7fs", "vms", "vms"),
            (b"ms\x01v", "vms", "v"),
            (b"vxms\x1b[D\x1b[D\x7f", "vms", "v"),
            (b"vxms\x1b[H\x1b[C\x1b[3~", "vms", "v"),
            (b"pause linux\x17", "pause ", "pause "),
            (b"pause linux  \x17\x17", "", ""),
            (b"pause linux\x1b[D\x0b\x15", "", ""),
            (b"abc\x02\x15", "c", ""),
            (b"\x7f\x1b[D\x1b[C\x1b[3~\x15\x0b\x17a", "a", "a"),
            (b"a\xff\x00b", "ab", "ab"),
        ] {
            let mut editor = Editor::NEW;
            assert_eq!(typed(&mut editor, bytes), text, "{bytes:?}");
            assert_eq!(editor.before_cursor(), before, "{bytes:?}");
        }
    }

    #[test]
    fn says_what_shows() {
        let mut editor = Editor::NEW;
        for (byte, outcome) in [
            (0x04, Outcome::End),
            (0x7f, Outcome::Changed),
            (b'a', Outcome::Appended(b'a')),
            (b'b', Outcome::Appended(b'b')),
            (0x7f, Outcome::Shortened),
            (0x01, Outcome::Changed),
            (b'c', Outcome::Changed),
            (0x04, Outcome::Changed),
            (b'\t', Outcome::Complete),
            (0x03, Outcome::Cancelled),
            (b'\r', Outcome::Done),
            (b'\n', Outcome::Nothing),
        ] {
            assert_eq!(editor.push(byte), outcome, "{byte:#x}");
        }
        assert_eq!(editor.line().text(), "c");
    }

    #[test]
    fn remembers_lines() {
        let mut editor = Editor::NEW;
        assert_eq!(typed(&mut editor, b"one\rtwo\rtwo\r\rthree\rdra"), "dra");
        for (key, text) in [
            (b'A', "three"),
            (b'A', "two"),
            (b'A', "one"),
            (b'A', "one"),
            (b'B', "two"),
            (b'B', "three"),
            (b'B', "dra"),
            (b'B', "dra"),
        ] {
            assert_eq!(typed(&mut editor, &[0x1b, b'[', key]), text);
        }
        assert_eq!(typed(&mut editor, b"\x1b[A\x1b[A!\r\x1b[A"), "two!");
        assert_eq!(typed(&mut editor, b"\x1b[A\x1b[A"), "two", "as it was");
    }

    #[test]
    fn forgets_the_oldest_lines() {
        let mut editor = Editor::NEW;
        for n in 0..100 {
            typed(&mut editor, std::format!("{n}\r").as_bytes());
        }
        let oldest = (100 - HISTORY_MAX).to_string();
        assert_eq!(typed(&mut editor, &b"\x1b[A".repeat(100)), oldest);
    }

    #[test]
    fn a_full_line_takes_no_more() {
        let mut editor = Editor::NEW;
        let text = typed(&mut editor, &[b'x'; 2 * LINE_MAX]);
        assert_eq!(text.len(), LINE_MAX);
        assert_eq!(editor.push(b'y'), Outcome::Nothing);
        editor.forget();
        typed(&mut editor, &[b'x'; LINE_MAX - 1]);
        editor.insert("y ");
        assert!(!editor.is_torn());
        assert_eq!(editor.line().text(), text[1..].to_string() + "y");
        editor.push(0x7f);
        editor.insert("yz");
        assert!(editor.is_torn());
        assert_eq!(editor.line().text(), text[1..].to_string() + "y");
    }

    proptest! {
        #[test]
        fn no_byte_panics(bytes in prop::collection::vec(prop_oneof![
            any::<u8>(), Just(0x1b), Just(b'['), b'A'..b'I', 0..0x20_u8], 0..500)) {
            let mut editor = Editor::NEW;
            for byte in bytes {
                match editor.push(byte) {
                    Outcome::Done => editor.begin(),
                    Outcome::Cancelled => editor.forget(),
                    Outcome::Complete => editor.insert("completed "),
                    _ => {}
                }
                prop_assert_eq!(editor.before_cursor().len() + editor.cursor_from_end(), editor.line().text().len());
            }
        }
    }
}
