//! Bytes in, bytes out.

mod abandoned;
mod elsewhere;
#[cfg(loom)]
mod loom;
mod random;
mod slow;
mod typing;

use super::*;
use crate::monitor::AfterLine;
use std::string::{String, ToString};
use std::vec::Vec;

impl Screen for Vec<u8> {
    fn send(&mut self, byte: u8) {
        self.push(byte);
    }
}

/// A terminal, and what it showed since the test last looked.
struct Session {
    terminal: Terminal,
    screen: Vec<u8>,
}

impl Session {
    fn new(names: &'static [&'static str]) -> Self {
        let mut terminal = Terminal::new();
        terminal.set_names(names.iter().copied());
        Self {
            terminal,
            screen: Vec::new(),
        }
    }

    fn print(&mut self, vm: usize, text: &str) {
        for byte in text.bytes() {
            self.terminal.put(vm, byte, &mut self.screen);
        }
    }

    fn log(&mut self, text: &str) {
        self.terminal
            .lines(format_args!("{text}\n"), &mut self.screen);
    }

    fn reply(&mut self, text: &str) {
        self.terminal.reply(text, &mut self.screen);
    }

    fn type_in(&mut self, text: &str) -> Input {
        let bytes = text.bytes();
        bytes.fold(Input::default(), |_, byte| self.key(byte))
    }

    /// A character comes in, whether there is room or not.
    fn key(&mut self, byte: u8) -> Input {
        self.terminal.enqueue(byte);
        self.terminal.deliver(&mut self.screen)
    }

    /// As many of these as are taken, as the driver does it; how many those were.
    fn paste(&mut self, text: &str) -> usize {
        let mut bytes = text.bytes();
        let mut count = 0;
        while self.terminal.try_reserve()
            && let Some(byte) = bytes.next()
        {
            self.key(byte);
            count += 1;
        }
        count
    }

    fn take_command(&mut self) -> Option<String> {
        self.terminal
            .take_command()
            .map(|line| line.text().to_string())
    }

    fn finish(&mut self, next: AfterLine) -> Input {
        self.terminal.finish(next, &mut self.screen)
    }

    /// What a VM gets to read.
    fn read(&mut self, vm: usize) -> String {
        let bytes: Vec<u8> = std::iter::from_fn(|| self.terminal.get(vm)).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[track_caller]
    fn shows(&mut self, expected: &str) {
        let shown = std::mem::take(&mut self.screen);
        assert_eq!(String::from_utf8_lossy(&shown), expected);
    }
}

const TWO: &[&str] = &["linux", "echo"];
const OPEN: &str = "\x1d";

#[test]
fn one_vm_has_the_terminal_for_itself() {
    let mut t = Session::new(&["linux"]);
    t.print(0, "\0\u{1b}[6n/ # \r50%\rx\n");
    t.shows("\0\u{1b}[6n/ # \r50%\rx\n");
    t.print(0, "unfinished");
    t.log("AVISOR INFO: a\nAVISOR INFO: b");
    t.print(0, " business\n");
    t.log("AVISOR INFO: c");
    t.shows("unfinished\r\nAVISOR INFO: a\r\nAVISOR INFO: b\r\n business\nAVISOR INFO: c\r\n");
    let input = t.type_in("ls\r");
    assert_eq!((input.guest, input.command), (Some(0), false));
    assert_eq!(t.read(0), "ls\r");
    t.shows("");
}

#[test]
fn a_line_shows_which_vm_speaks() {
    let mut t = Session::new(TWO);
    t.print(0, "boot\r\nlog\n\r\n\nin: ");
    t.shows("linux| boot\r\nlinux| log\r\n\rlinux| \r\nlinux| \r\nlinux| in: ");
    t.print(1, "half a li");
    t.shows("");
    t.print(1, "ne\r\n");
    t.shows("\r\necho| half a line\r\n");
    t.print(0, "root\n");
    t.shows("linux| root\r\n");
    t.print(0, "10%\r");
    t.log("AVISOR INFO: x");
    t.print(0, "20%\r30%\r\r\n");
    t.shows("linux| 10%\r\r\nAVISOR INFO: x\r\nlinux| 20%\rlinux| 30%\r\r\n");
}

#[test]
fn a_vm_without_the_keyboard_cannot_play_with_the_terminal() {
    let mut t = Session::new(TWO);
    t.print(1, "\u{1b}[2J\u{1b}[6nhe\u{8}\u{8}she\x07\u{1b}]0;x\x07\r\n");
    t.shows("echo| she\r\n");
    t.print(1, &"x".repeat(500));
    let part = "echo| ".to_string() + &"x".repeat(row::ROW_MAX) + "\r\n";
    t.shows(&part.repeat(2));
}

#[test]
fn the_keyboard_goes_to_one_vm() {
    let mut t = Session::new(TWO);
    t.print(0, "/ # ");
    t.print(1, "boot\nlogin: ");
    t.type_in("ls");
    t.shows("linux| / # \r\necho| boot\r\n");
    t.terminal.attach(1, &mut t.screen);
    t.shows("echo| login: ");
    assert_eq!(t.type_in("root").guest, Some(1));
    assert_eq!([t.read(0), t.read(1)], ["ls", "root"]);
    t.print(1, "root\r\n");
    t.print(0, "ls\r\n");
    t.shows("root\r\nlinux| / # ls\r\n");
    t.terminal.attach(2, &mut t.screen);
    assert_eq!(t.terminal.attached(), 1);
    t.print(usize::MAX, "nobody\n");
    assert_eq!(t.terminal.get(usize::MAX), None);
    t.shows("");
}

#[test]
fn a_sequence_that_is_interrupted_does_not_show() {
    let mut t = Session::new(&["linux"]);
    t.print(0, "/ # \u{1b}");
    t.type_in(OPEN);
    t.shows("/ # \u{1b}\u{18}\u{1b}\\\r\navisor> ");
    t.type_in("\r");
    t.print(0, "[6nls \u{1b}[1m!");
    t.shows("\r\u{1b}[K/ # ls \u{1b}[1m!");
    t.print(0, "\u{1b}[3");
    t.log("AVISOR INFO: x");
    t.print(0, "1mred\u{1b}[m");
    t.shows("\u{1b}[3\u{18}\u{1b}\\\r\nAVISOR INFO: x\r\nred\u{1b}[m");
    t.type_in(OPEN);
    t.print(0, "\n# \u{1b}[");
    t.type_in("\r");
    t.screen.clear();
    t.print(0, "6nx");
    t.shows("x");

    let mut t = Session::new(TWO);
    t.print(0, "\u{1b}[");
    t.print(1, "\u{1b}[");
    t.terminal.attach(1, &mut t.screen);
    t.print(1, "1mx");
    t.print(0, "1my\n");
    t.shows("linux| \u{1b}[\u{18}\u{1b}\\\r\necho| x\r\nlinux| y\r\n");
}

/// Each of the strings of ECMA-48, begun and not ended: a terminal shows nothing that comes up to their end.
#[test]
fn an_unfinished_string_does_not_swallow_the_log() {
    for begin in [
        "\u{1b}P1$q",
        "\u{1b}X",
        "\u{1b}]0;",
        "\u{1b}^",
        "\u{1b}_",
        "\u{90}",
        "\u{9f}x",
    ] {
        let mut t = Session::new(&["linux"]);
        t.print(0, begin);
        t.log("AVISOR INFO: a");
        t.print(0, "rest\u{1b}\\text\n");
        let shown = "\u{18}\u{1b}\\\r\nAVISOR INFO: a\r\ntext\n";
        t.shows(&(begin.to_string() + shown));
        t.print(0, begin);
        t.print(0, "\r\n");
        t.screen.clear();
        t.log("AVISOR INFO: b");
        t.print(0, "text\n");
        t.shows("\u{18}\u{1b}\\AVISOR INFO: b\r\ntext\n");
        t.print(0, begin);
        t.type_in(OPEN);
        assert!(t.screen.ends_with(b"\x18\x1b\\\r\navisor> "), "{begin:?}");
    }
}

#[test]
fn the_monitor_is_carried_out_line_by_line() {
    let mut t = Session::new(&["linux"]);
    t.print(0, "/ # ");
    assert!(!t.type_in(OPEN).command);
    t.shows("/ # \r\navisor> ");
    let input = t.type_in("checkpoint\r");
    assert_eq!((input.guest, input.command), (None, true));
    t.shows("checkpoint\r\n");
    assert_eq!(t.take_command().as_deref(), Some("checkpoint"));
    assert_eq!(t.take_command(), None);
    t.log("AVISOR INFO: new snapshot pool size: 384MB");
    t.reply("linux ");
    t.print(0, "meanwhile\n");
    t.reply("is saved as snapshot #0\n");
    t.shows("AVISOR INFO: new snapshot pool size: 384MB\r\n/ # meanwhile\r\nlinux is saved as snapshot #0\r\n");
    assert_eq!(t.finish(AfterLine::Stay), Input::default());
    t.shows("avisor> ");
    t.print(0, "/ # l");
    t.shows("");
    t.type_in("\r");
    t.shows("\r\u{1b}[K/ # l");
    t.print(0, "s\n");
    t.shows("s\n");
    t.type_in("ls\r");
    assert_eq!(t.read(0), "ls\r");
}

#[test]
fn the_prompt_comes_back_below_what_is_printed() {
    let mut t = Session::new(TWO);
    t.type_in(OPEN);
    t.type_in("stts\u{1b}[D\u{1b}[D");
    t.screen.clear();
    t.log("AVISOR INFO: x");
    t.shows("\r\u{1b}[KAVISOR INFO: x\r\navisor> stts\u{8}\u{8}");
    t.print(1, "y\n");
    t.shows("\r\u{1b}[Kecho| y\r\navisor> stts\u{8}\u{8}");
    t.type_in("a");
    t.shows("\r\u{1b}[Kavisor> stats\u{8}\u{8}");
    t.type_in("\r");
    t.shows("\r\n");
    assert_eq!(t.take_command().as_deref(), Some("stats"));
}

#[test]
fn ways_out_of_the_monitor() {
    for keys in [
        "\r",
        "  \r",
        "\u{4}",
        "x\x1d",
        "vms\x03\r",
        "x\x7f\x1d",
        "\n",
    ] {
        let mut t = Session::new(&["linux"]);
        t.type_in(OPEN);
        let input = t.type_in(keys);
        assert_eq!((input.guest, input.command), (Some(0), false), "{keys:?}");
        t.type_in("back");
        assert_eq!(t.read(0), "back", "{keys:?}");
        assert_eq!(t.take_command(), None);
        t.print(0, "x");
        assert!(t.screen.ends_with(b"\r\x1b[Kx"), "{keys:?}");
    }
}

#[test]
fn the_escape_twice_goes_to_the_vm() {
    let mut t = Session::new(TWO);
    t.type_in("\x1d\x1d");
    t.shows("avisor> \r\u{1b}[K");
    assert_eq!(t.read(0), "\x1d");
    t.type_in("\x1dx\x7f\x1d");
    assert_eq!(t.read(0), "", "something was typed between them");
}

#[test]
fn an_abandoned_line_does_not_come_back() {
    let mut t = Session::new(&["linux"]);
    t.type_in("\x1dreset\x1d");
    t.screen.clear();
    t.type_in("\x1d");
    t.shows("avisor> ");
    t.type_in("vms\x03");
    t.shows("vms^C\r\navisor> ");
}

#[test]
fn lines_typed_ahead_wait_for_their_turn() {
    let mut t = Session::new(&["linux"]);
    let input = t.type_in("\x1dpause\rresume\rquit\rls\r");
    assert_eq!((input.guest, input.command), (None, true));
    assert_eq!(t.take_command().as_deref(), Some("pause"));
    assert!(t.finish(AfterLine::Stay).command);
    assert_eq!(t.take_command().as_deref(), Some("resume"));
    assert!(t.finish(AfterLine::Stay).command);
    assert_eq!(t.take_command().as_deref(), Some("quit"));
    let input = t.finish(AfterLine::Leave);
    assert_eq!((input.guest, input.command), (Some(0), false));
    assert_eq!(t.read(0), "ls\r");
    t.shows("avisor> pause\r\navisor> resume\r\navisor> quit\r\n");
    t.type_in("\x1dpause\r\rls\r\x1d");
    t.take_command();
    let input = t.finish(AfterLine::Stay);
    assert_eq!(
        (input.guest, input.command),
        (Some(0), false),
        "before the monitor was opened again"
    );
}

#[test]
fn words_are_completed() {
    const NAMES: &[&str] = &["linux", "linux-old", "echo"];
    for (typed, line) in [
        ("c\t", "checkpoint "),
        ("re\t", "res"),
        ("rest\t", "restore "),
        ("pause e\t", "pause echo "),
        ("p l\t", "p linux"),
        ("restore linux l\t3", "restore linux latest 3"),
        ("vms \t", "vms "),
        ("nothing \t", "nothing "),
        ("x\t", "x"),
        ("q\x01\tx", "xq"),
        (" sn\t", " snapshots "),
    ] {
        let mut t = Session::new(NAMES);
        t.type_in("\x1d");
        t.type_in(typed);
        t.type_in("\r");
        assert_eq!(t.take_command().as_deref(), Some(line), "{typed:?}");
    }
    let mut t = Session::new(NAMES);
    t.type_in("\x1d");
    t.screen.clear();
    t.type_in("res\t");
    t.shows("res\r\u{1b}[Krestore  resume  reset  \r\navisor> res");
    t.type_in("\x15stats l\t");
    t.screen.clear();
    t.type_in("\t");
    t.shows("\r\u{1b}[Klinux  linux-old  \r\navisor> stats linux");
}
