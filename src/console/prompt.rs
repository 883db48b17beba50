//! The monitor's prompt, and the line that is typed there, on a terminal.

use super::ESCAPE;
use super::editor::{Editor, LINE_MAX, Line, Outcome};
use super::screen::{Screen, print, print_bytes};
use crate::monitor::each_completion;

const PROMPT: &str = "avisor> ";
/// What is said of a line that is not carried out because some of it is missing.
const TORN: &str = "this line was left out: it is longer than 70 characters, or some were lost\r\n";
const _: () = assert!(LINE_MAX == 70);
/// To the start of the line, and erase it (ECMA-48, EL).
pub const ERASE: &str = "\r\x1b[K";

/// What the terminal does after a byte that was typed at the prompt.
pub enum Step {
    /// Takes the next byte.
    Stay,
    /// Has this line carried out. The cursor stands on the next line.
    Command(Line),
    /// Says this on the next line: the line is not carried out, as some of what was typed is missing.
    Torn(&'static str),
    /// Closes the monitor.
    Leave,
    /// Closes the monitor, and gives the VM the byte that opens it.
    Literal,
    /// Shows the words that the last word may become.
    Choices,
}

/// The prompt.
pub struct Prompt {
    editor: Editor,
    /// Nothing was typed since it was opened.
    untouched: bool,
}

impl Prompt {
    /// Without history.
    pub const NEW: Self = Self {
        editor: Editor::NEW,
        untouched: true,
    };

    /// Begins the first line after the prompt was opened.
    pub fn open(&mut self) {
        self.editor.forget();
        self.untouched = true;
    }

    /// Notes that some of what was typed here is lost.
    pub fn tear(&mut self) {
        self.editor.tear();
    }

    /// Shows the prompt and its line, at the start of a line of the terminal.
    pub fn show(&self, screen: &mut impl Screen) {
        print(screen, PROMPT);
        print(screen, self.editor.line().text());
        let back = self.editor.cursor_from_end();
        (0..back).for_each(|_| screen.send(0x08));
    }

    /// Takes a byte, and shows what it does to the line.
    pub fn push(&mut self, byte: u8, names: &[&'static str], screen: &mut impl Screen) -> Step {
        let untouched = core::mem::replace(&mut self.untouched, false);
        if byte == ESCAPE {
            return if untouched {
                Step::Literal
            } else {
                Step::Leave
            };
        }
        match self.editor.push(byte) {
            Outcome::Nothing => {}
            Outcome::Appended(byte) => screen.send(byte),
            Outcome::Shortened => print(screen, "\x08 \x08"),
            Outcome::Changed => self.show_again(screen),
            Outcome::Complete => return self.complete(names, screen),
            Outcome::End => return Step::Leave,
            Outcome::Cancelled => {
                print(screen, "^C\r\n");
                self.editor.forget();
                self.show(screen);
            }
            Outcome::Done => {
                let line = *self.editor.line();
                if self.editor.is_torn() {
                    self.editor.forget();
                    print(screen, "\r\n");
                    return Step::Torn(TORN);
                }
                self.editor.begin();
                if line.text().trim().is_empty() {
                    return Step::Leave;
                }
                print(screen, "\r\n");
                return Step::Command(line);
            }
        }
        Step::Stay
    }

    fn show_again(&self, screen: &mut impl Screen) {
        print(screen, ERASE);
        self.show(screen);
    }

    /// Extends the last word as far as all that it may become agree.
    fn complete(&mut self, names: &[&'static str], screen: &mut impl Screen) -> Step {
        let before = self.editor.before_cursor();
        let typed = before.len() - before.rfind(' ').map_or(0, |blank| blank + 1);
        let (mut agreed, mut choices) = ("", 0);
        each_completion(before, names, &mut |word| {
            agreed = match choices {
                0 => word,
                _ => common(agreed, word),
            };
            choices += 1;
        });
        let more = agreed.get(typed..).unwrap_or("");
        if more.is_empty() && choices > 1 {
            return Step::Choices;
        }
        self.editor.insert(more);
        if choices == 1 {
            self.editor.insert(" ");
        }
        self.show_again(screen);
        Step::Stay
    }

    /// Shows on a line of its own what the last word may become.
    pub fn show_choices(&self, names: &[&'static str], screen: &mut impl Screen) {
        each_completion(self.editor.before_cursor(), names, &mut |word| {
            print_bytes(screen, word.as_bytes());
            print(screen, "  ");
        });
        print(screen, "\r\n");
    }
}

/// What two words begin with.
fn common(one: &'static str, other: &str) -> &'static str {
    let same = one.bytes().zip(other.bytes());
    let length = same.take_while(|(a, b)| a == b).count();
    one.get(..length).unwrap_or("")
}
