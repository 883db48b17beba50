//! A run with somebody at the keyboard: waits for what the console shows, and types.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::board::Board;
use crate::process::{Place, read_all};
use crate::transcript::{End, Transcript};

/// Ctrl-], which opens the monitor and leaves it.
const CTRL_BRACKET: char = '\x1d';

/// A machine that runs, with its console.
pub struct Session {
    board: Board,
    command: String,
    child: Child,
    stdin: Option<ChildStdin>,
    output: Receiver<String>,
    errors: Option<JoinHandle<String>>,
    /// All that was on the console, as text.
    text: String,
    /// How much of it was waited for already.
    seen: usize,
    deadline: Instant,
    /// Gives each command of a shell its own marks.
    commands: u32,
    _place: Place,
}

impl Session {
    pub fn start(board: Board, mut command: Command, limit: Duration, place: Place) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("tools/qemu starts");
        let errors = read_all(child.stderr.take().expect("it is a pipe"));
        let output = read_text(child.stdout.take().expect("it is a pipe"));
        Self {
            board,
            command: format!("{command:?}"),
            stdin: child.stdin.take(),
            child,
            output,
            errors: Some(errors),
            text: String::new(),
            seen: 0,
            deadline: Instant::now() + limit,
            commands: 0,
            _place: place,
        }
    }

    /// Types this.
    #[track_caller]
    pub fn send(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("it is there until the end");
        if let Err(error) = stdin
            .write_all(text.as_bytes())
            .and_then(|()| stdin.flush())
        {
            self.fail(&format!("{text:?} could not be typed: {error}"));
        }
    }

    /// Waits until the console shows this, behind all that was waited for before; what came in between.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> String {
        self.expect_one_of(&[text]).1
    }

    /// The same with several texts: which of them came first, too.
    #[track_caller]
    pub fn expect_one_of(&mut self, texts: &[&str]) -> (usize, String) {
        loop {
            let new = &self.text[self.seen..];
            let found = texts
                .iter()
                .enumerate()
                .filter_map(|(which, text)| Some((new.find(text)?, which)))
                .min();
            if let Some((at, which)) = found {
                let between = new[..at].to_owned();
                self.seen += at + texts[which].len();
                return (which, between);
            }
            if let Err(why) = self.receive(self.deadline) {
                self.fail(&format!("it never showed {texts:?}: {why:?}"));
            }
        }
    }

    /// The next line, behind all that was waited for before, without its end.
    #[track_caller]
    pub fn line(&mut self) -> String {
        self.expect("\n")
    }

    /// Lets the machine run for a while.
    pub fn pause(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while self.receive(until).is_ok() {}
        thread::sleep(until.saturating_duration_since(Instant::now()));
    }

    /// Has the guest's shell run a command; what it printed, less the VM's name in front of lines where there are several. The
    /// shell echoes what is typed, so the marks around the output are typed in another form than they are printed in.
    #[track_caller]
    pub fn shell(&mut self, command: &str) -> String {
        self.commands += 1;
        let number = self.commands;
        self.send(&format!(
            "echo be''gin-{number}; {command}; echo e''nd-{number}\n"
        ));
        self.expect(&format!("begin-{number}\n"));
        let output = self.expect(&format!("end-{number}\n"));
        output.replace("linux| ", "")
    }

    /// Has the operator's monitor save a VM; the snapshot's id.
    #[track_caller]
    pub fn checkpoint(&mut self, vm: &str) -> u64 {
        self.monitor(&format!("checkpoint {vm}"));
        self.expect(&format!("{vm} is saved as snapshot #"));
        let id = self.expect("\n");
        id.parse()
            .unwrap_or_else(|_| self.fail("an id is a number"))
    }

    /// Has it take a VM back to a snapshot.
    #[track_caller]
    pub fn restore(&mut self, vm: &str, id: u64) {
        self.monitor(&format!("restore {vm} {id}"));
        self.expect(&format!("{vm} is back at snapshot #{id}\n"));
    }

    /// Opens the operator's monitor for one line.
    #[track_caller]
    pub fn monitor(&mut self, command: &str) {
        self.send(&format!("{CTRL_BRACKET}{command}\r{CTRL_BRACKET}"));
    }

    /// Fails the test unless it is `good`.
    #[track_caller]
    pub fn require(&mut self, good: bool, what: &str) {
        if !good {
            self.fail(what);
        }
    }

    /// Waits until QEMU ends.
    pub fn until_it_ends(mut self) -> Transcript {
        let end = loop {
            match self.receive(self.deadline) {
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout) => break End::TimedOut,
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.child.wait().expect("it is our child");
                    break End::Exited(status.code());
                }
            }
        };
        self.transcript(end)
    }

    /// Ends QEMU, as it was seen enough.
    pub fn stop(mut self) -> Transcript {
        self.transcript(End::Stopped)
    }

    #[track_caller]
    fn fail(&mut self, why: &str) -> ! {
        panic!("{why}\n{}", self.transcript(End::Stopped));
    }

    fn transcript(&mut self, end: End) -> Transcript {
        self.end();
        let errors = self.errors.take().map(JoinHandle::join);
        Transcript {
            board: self.board,
            command: self.command.clone(),
            lines: self.text.lines().map(str::to_owned).collect(),
            errors: errors.map_or(String::new(), |errors| {
                errors.expect("reading does not panic")
            }),
            end,
        }
    }

    /// What comes next.
    fn receive(&mut self, deadline: Instant) -> Result<(), RecvTimeoutError> {
        let left = deadline.saturating_duration_since(Instant::now());
        self.text += &self.output.recv_timeout(left)?;
        Ok(())
    }

    fn end(&mut self) {
        // It may have ended by itself; if not, nobody needs it any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end();
    }
}

/// Text as it comes, without carriage returns and what a terminal would act on.
fn read_text(mut from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut plain = Plain::default();
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let bytes = buffer[..length].iter();
            let text = bytes.filter_map(|&byte| plain.next(byte)).map(char::from);
            if sender.send(text.collect()).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Leaves out escape sequences (ECMA-48, 5.4): a shell asks its terminal where the cursor is, the monitor takes its prompt back. A line
/// that is erased so ends there.
#[derive(Default)]
struct Plain {
    state: State,
    /// The cursor is at the start of its line.
    returned: bool,
}

#[derive(Default)]
enum State {
    #[default]
    Text,
    Escape,
    Sequence,
}

impl Plain {
    fn next(&mut self, byte: u8) -> Option<u8> {
        match (&self.state, byte) {
            (State::Text, 0x1b) => self.state = State::Escape,
            (State::Text, b'\r') => self.returned = true,
            (State::Text, _) => {
                self.returned = false;
                return Some(byte);
            }
            (State::Escape, b'[') => self.state = State::Sequence,
            (State::Sequence, b'K') => {
                self.state = State::Text;
                return self.returned.then_some(b'\n');
            }
            (State::Escape, _) | (State::Sequence, 0x40..=0x7e) => self.state = State::Text,
            (State::Sequence, _) => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A "machine" that is `sh`.
    fn sh(script: &str) -> Session {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Session::start(
            Board::Virt,
            command,
            Duration::from_secs(20),
            Place::take(false),
        )
    }

    #[test]
    fn escape_sequences_are_left_out() {
        let mut plain = Plain::default();
        let text = b"a\x1b[6nb\r\n\x1b[1;31mc\x1bMd\r\x1b[Ke\x1b[Kf";
        let left: Vec<u8> = text.iter().filter_map(|&byte| plain.next(byte)).collect();
        assert_eq!(left, b"ab\ncd\nef");
    }

    #[test]
    fn what_is_expected_comes_in_order() {
        let mut session = sh("echo one two; read line; echo \"got $line\"; exit 3");
        assert_eq!(session.expect("two"), "one ");
        session.send("three\n");
        assert_eq!(
            session.expect_one_of(&["nothing", "three"]),
            (1, "\ngot ".into())
        );
        assert_eq!(session.until_it_ends().end, End::Exited(Some(3)));
    }

    #[test]
    fn a_shell_runs_commands() {
        let mut session = sh("exec sh -i");
        assert_eq!(session.shell("echo a; echo b"), "a\nb\n");
        assert_eq!(session.shell("true"), "");
    }

    #[test]
    fn what_never_comes_fails_with_the_transcript() {
        let failure = std::panic::catch_unwind(|| sh("echo something else").expect("nothing"));
        let message = *failure
            .unwrap_err()
            .downcast::<String>()
            .expect("it is a String");
        assert!(
            message.contains("never showed [\"nothing\"]: Disconnected"),
            "{message}"
        );
        assert!(message.contains("something else"), "{message}");
    }
}
