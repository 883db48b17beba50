//! What a run showed, and the comparison with what it should have shown.

use std::fmt;

use crate::board::Board;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, with this exit code; `None` after a signal.
    Exited(Option<i32>),
    /// The test had seen enough.
    Stopped,
    /// The test had waited long enough.
    TimedOut,
}

/// A run that is over.
pub struct Transcript {
    pub board: Board,
    pub command: String,
    pub lines: Vec<String>,
    pub errors: String,
    pub end: End,
}

impl Transcript {
    /// It powered off, and these were all of its lines. `{n}` in them is any number, `{banner}` what the hypervisor says
    /// first on this board; indentation does not count.
    #[track_caller]
    pub fn succeeds(&self, lines: &str) {
        self.powers_off();
        self.shows(lines);
    }

    /// It failed, and these were all of its lines.
    #[track_caller]
    pub fn fails(&self, lines: &str) {
        self.stops_with_failure();
        self.shows(lines);
    }

    /// It went on until the test ended it, and these were all of its lines.
    #[track_caller]
    pub fn goes_on(&self, lines: &str) {
        self.require(self.end == End::Stopped, "it should have gone on");
        self.shows(lines);
    }

    /// It ended by itself, and well.
    #[track_caller]
    pub fn powers_off(&self) {
        let good = self.end == End::Exited(Some(0));
        self.require(good, "it should have ended with exit code 0");
    }

    /// It ended by itself, and not well.
    #[track_caller]
    pub fn stops_with_failure(&self) {
        let bad = matches!(self.end, End::Exited(Some(1..)));
        self.require(bad, "it should have ended with a failing exit code");
    }

    /// The lines that the guest printed, not the hypervisor.
    pub fn guest_lines(&self) -> impl Iterator<Item = &str> {
        let lines = self.lines.iter().map(String::as_str);
        lines.filter(|line| !line.starts_with("AVISOR "))
    }

    /// Lines that begin so.
    pub fn count(&self, begin: &str) -> usize {
        let lines = self.lines.iter();
        lines.filter(|line| line.starts_with(begin)).count()
    }

    /// Fails the test with everything that is known of the run.
    #[track_caller]
    pub fn require(&self, good: bool, what: &str) {
        assert!(good, "{what}\n{self}");
    }

    #[track_caller]
    fn shows(&self, expected: &str) {
        let banner = format!(
            "Avisor {} on {}; Ctrl-] opens the monitor",
            env!("CARGO_PKG_VERSION"),
            self.board.model()
        );
        let expected = expected.replace("{banner}", &banner);
        if let Some(difference) = difference(&expected, &self.lines) {
            panic!("{difference}\n{self}");
        }
    }
}

impl fmt::Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self {
            command,
            lines,
            errors,
            end,
            ..
        } = self;
        writeln!(f, "---- {command}: {end:?}; the console:")?;
        for line in lines {
            writeln!(f, "{line}")?;
        }
        writeln!(f, "---- QEMU itself:\n{errors}----")
    }
}

/// The first line that is not as it should be.
fn difference(expected: &str, lines: &[String]) -> Option<String> {
    let expected: Vec<&str> = expected.trim().lines().map(str::trim).collect();
    let length = expected.len().max(lines.len());
    (0..length).find_map(|n| {
        let (want, got) = (expected.get(n), lines.get(n));
        let same = want
            .zip(got)
            .is_some_and(|(want, got)| matches(want, got.trim_start()));
        let shown =
            |line: Option<&str>| line.map_or("(the end)".to_owned(), |line| format!("{line:?}"));
        let [want, got] = [want.copied(), got.map(String::as_str)].map(shown);
        (!same).then(|| {
            format!(
                "line {}: expected {want}\n{:width$}got {got}",
                n + 1,
                "",
                width = 8
            )
        })
    })
}

/// Whether a line is as it should be: the same, with a number for each `{n}`.
fn matches(pattern: &str, line: &str) -> bool {
    let Some((before, after)) = pattern.split_once("{n}") else {
        return pattern == line;
    };
    let Some(rest) = line.strip_prefix(before) else {
        return false;
    };
    let behind = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    behind.len() < rest.len() && matches(after, behind)
}

/// The comparison itself: were it to let everything pass, no test would be worth anything.
#[cfg(test)]
mod tests {
    use super::*;

    fn run(lines: &[&str], end: End) -> Transcript {
        Transcript {
            board: Board::Virt,
            command: String::new(),
            lines: lines.iter().map(|&line| line.to_owned()).collect(),
            errors: String::new(),
            end,
        }
    }

    fn panics(test: impl FnOnce() + std::panic::UnwindSafe) -> bool {
        std::panic::catch_unwind(test).is_err()
    }

    #[test]
    fn numbers_stand_for_numbers_only() {
        assert!(matches("freed {n} pages of {n}", "freed 17 pages of 4"));
        assert!(!matches("freed {n} pages", "freed no pages"));
        assert!(!matches("freed {n} pages", "freed  pages"));
        assert!(!matches("freed {n} pages", "freed 3 pages "));
        assert!(!matches("freed {n}", "freed -1"));
    }

    #[test]
    fn every_line_counts() {
        let lines = ["a", "b 1", "c"].map(str::to_owned);
        assert_eq!(difference("a\nb {n}\nc\n", &lines), None);
        for wrong in [
            "a\nb {n}",
            "a\nb {n}\nc\nd",
            "b {n}\nc",
            "a\nc\nb {n}",
            "a\nb {n}\nC",
            "",
        ] {
            assert!(difference(wrong, &lines).is_some(), "{wrong:?}");
        }
        let missing = difference("a\nb 1\nc\nd", &lines);
        assert_eq!(
            missing.unwrap(),
            "line 4: expected \"d\"\n        got (the end)"
        );
    }

    #[test]
    fn the_end_counts() {
        let good = || run(&["a"], End::Exited(Some(0)));
        good().succeeds("a");
        run(&["a"], End::Exited(Some(1))).fails("a");
        assert!(panics(|| good().fails("a")));
        assert!(panics(|| good().goes_on("a")));
        assert!(panics(|| good().succeeds("b")));
        for end in [
            End::Exited(Some(1)),
            End::Exited(None),
            End::Stopped,
            End::TimedOut,
        ] {
            assert!(panics(move || run(&["a"], end).succeeds("a")), "{end:?}");
        }
        for end in [End::Exited(None), End::Stopped, End::TimedOut] {
            assert!(panics(move || run(&["a"], end).fails("a")), "{end:?}");
        }
    }
}
