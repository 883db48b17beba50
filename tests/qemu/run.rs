//! Boots images in QEMU, with a limit of time, and collects what the console shows.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::board::Board;
use crate::image::ROOT;
use crate::process::{Place, read_all, read_lines};
use crate::session::Session;
use crate::transcript::{End, Transcript};

/// A run that prints more has gone wild.
const MOST_LINES: usize = 50_000;

impl Board {
    /// This board, with `image` in it.
    pub fn boots(self, image: PathBuf) -> Run {
        Run::of(self, "tools/qemu")
            .argument(image)
            .set("BOARD", self.name())
    }

    /// The same, started by another command, whose last arguments are a command.
    pub fn boots_by(self, command: &str, arguments: &[&str], image: PathBuf) -> Run {
        let mut run = Run::of(self, command);
        run.command.args(arguments).arg("tools/qemu");
        run.argument(image).set("BOARD", self.name())
    }
}

/// QEMU with arguments of the test's own, on `virt`.
pub fn plain_qemu() -> Run {
    qemu().arguments("-nographic -nic none")
}

/// The same with no arguments at all.
pub fn qemu() -> Run {
    Run::of(Board::Virt, "qemu-system-aarch64")
}

/// A run to be: what is started, and for how long.
pub struct Run {
    board: Board,
    command: Command,
    limit: Duration,
    alone: bool,
}

impl Run {
    fn of(board: Board, program: &str) -> Self {
        require_qemu();
        let mut command = Command::new(program);
        command.current_dir(ROOT);
        for setting in ["MEM", "SMP", "SECOND", "QEMU_ARGS"] {
            command.env_remove(setting);
        }
        Self {
            board,
            command,
            // A run takes seconds at most, on a machine that has nothing else to do.
            limit: Duration::from_secs(120),
            alone: false,
        }
    }

    /// Sets a variable of `tools/qemu`.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Adds a word to the command line.
    pub fn argument(mut self, word: impl AsRef<Path>) -> Self {
        self.command.arg(word.as_ref());
        self
    }

    /// Adds words to the command line.
    pub fn arguments(mut self, words: &str) -> Self {
        self.command.args(words.split_whitespace());
        self
    }

    /// Allows it more time.
    pub fn limit(mut self, seconds: u64) -> Self {
        self.limit = Duration::from_secs(seconds);
        self
    }

    /// Emulates the board's cores, so many, in a thread for each where this machine has a CPU for each, alone; where it has fewer, in one
    /// thread, in turns. Cores in threads would wait most of the time there: for a lock whose holder waits for a CPU. In turns, a core that
    /// waits says so (YIELD, WFI, WFE), and the next one goes on.
    pub fn cores(self, cores: usize) -> Self {
        if thread::available_parallelism().is_ok_and(|cpus| cpus.get() >= cores) {
            self.alone()
        } else {
            self.set("QEMU_ARGS", "-accel tcg,thread=single")
        }
    }

    /// Has it run while no other does: several CPUs that are busy need several of this machine's, or they wait for each other most of the time.
    pub fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    /// Starts it with somebody at the keyboard, who may take as long as the run may.
    pub fn session(self) -> Session {
        let place = Place::take(self.alone);
        Session::start(self.board, self.command, self.limit, place)
    }

    /// Runs until QEMU ends.
    pub fn until_it_ends(self) -> Transcript {
        self.run(MOST_LINES, None)
    }

    /// Runs until there is this line, and then ends QEMU: for a board that nothing can switch off.
    pub fn until_line(self, last: &str) -> Transcript {
        self.run(MOST_LINES, Some(last))
    }

    /// Runs until there are so many lines, and then ends QEMU: for what goes on for ever.
    pub fn until_lines(self, lines: usize) -> Transcript {
        self.run(lines, None)
    }

    fn run(mut self, most_lines: usize, last: Option<&str>) -> Transcript {
        let _place = Place::take(self.alone);
        let mut child = self
            .command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("tools/qemu starts");
        let errors = read_all(child.stderr.take().expect("it is a pipe"));
        let output = read_lines(child.stdout.take().expect("it is a pipe"));
        let deadline = Instant::now() + self.limit;
        let (mut lines, stopped) = collect(&output, deadline, most_lines, last);
        let end = end(&mut child, stopped);
        if !matches!(end, End::Stopped) {
            lines.extend(output);
        }
        Transcript {
            board: self.board,
            command: format!("{:?}", self.command),
            lines,
            errors: errors.join().expect("reading does not panic"),
            end,
        }
    }
}

/// Ends QEMU, if it has not ended by itself. `tools/qemu` becomes QEMU: there is this one process.
fn end(child: &mut Child, stopped: Option<End>) -> End {
    if stopped.is_some() {
        child.kill().expect("it is our child");
    }
    let status = child.wait().expect("it is our child");
    stopped.unwrap_or(End::Exited(status.code()))
}

/// Lines until the output ends, the deadline comes, or there are enough or the `last` one; and which it was, if not the first.
fn collect(
    output: &Receiver<String>,
    deadline: Instant,
    most: usize,
    last: Option<&str>,
) -> (Vec<String>, Option<End>) {
    let mut lines: Vec<String> = Vec::new();
    while lines.len() < most && (last.is_none() || lines.last().map(String::as_str) != last) {
        match output.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => lines.push(line),
            Err(RecvTimeoutError::Disconnected) => return (lines, None),
            Err(RecvTimeoutError::Timeout) => return (lines, Some(End::TimedOut)),
        }
    }
    (lines, Some(End::Stopped))
}

fn require_qemu() {
    static FOUND: OnceLock<bool> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let boards = Command::new("qemu-system-aarch64")
            .args(["-M", "help"])
            .output();
        boards.is_ok_and(|boards| String::from_utf8_lossy(&boards.stdout).contains("\nraspi4b "))
    });
    assert!(
        *found,
        "there is no QEMU with a Raspberry Pi 4: run tools/setup qemu dtb"
    );
}
