//! The debugger with clients: gdb and lldb, on a guest of our own and on [`linux`].

mod linux;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::board::Board;
use crate::image::{ROOT, TRIPLE, folder};
use crate::on_both_boards;
use crate::process::read_all;
use crate::session::Session;

on_both_boards!(own_guest, lldb_on_a_guest_of_our_own);

/// How long a client may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A machine with a debugger in it, and a line to that.
pub struct Debugged {
    pub session: Session,
    line: PathBuf,
}

impl Debugged {
    /// Boots a configuration; `name` is the test's.
    pub fn boot(board: Board, name: &str, config: &str, settings: &[(&str, &str)]) -> Self {
        let place = folder("debugger").join(format!("{name}-{}", board.name()));
        let image = build(&place, config, settings);
        // A socket's name has to be short.
        let line = std::env::temp_dir().join(format!(
            "avisor-{}-{name}-{}",
            std::process::id(),
            board.name()
        ));
        let _ = std::fs::remove_file(&line);
        let run = board.boots(image).cores(4).limit(900);
        let session = run
            .set("SECOND", &format!("unix:{}", line.display()))
            .session();
        Self { session, line }
    }

    /// Starts gdb with these commands.
    pub fn gdb(&self, program: Option<&Path>, commands: &[&str]) -> Client {
        let mut gdb = Command::new("gdb-multiarch");
        gdb.args(["-nx", "-q", "-batch"]).args(program);
        let connect = format!("target remote {}", self.line.display());
        // An emulated machine may be slow to answer, where the one that it runs on has other work.
        let begin = [
            "set architecture aarch64",
            "set language c",
            "set remotetimeout 60",
            &connect,
        ];
        for command in begin.iter().chain(commands) {
            gdb.args(["-ex", command]);
        }
        Client::start(gdb)
    }

    /// Starts lldb with these.
    fn lldb(&self, program: &Path, commands: &[&str]) -> Client {
        let mut lldb = Command::new("lldb");
        lldb.args(["--no-lldbinit", "--batch"]).arg(program);
        let line = self.line.display();
        let connect = format!("process connect --plugin gdb-remote unix-connect://{line}");
        for command in [connect.as_str()].iter().chain(commands) {
            lldb.args(["-o", command]);
        }
        Client::start(lldb)
    }

    /// A line of one's own.
    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.line).expect("QEMU waits there");
        let patience = Some(PATIENCE);
        stream.set_read_timeout(patience).expect("it is not zero");
        stream
    }
}

impl Drop for Debugged {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.line);
    }
}

/// The image that `tools/debug` builds.
fn build(place: &Path, config: &str, settings: &[(&str, &str)]) -> PathBuf {
    // All images come out of one folder.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let output = Command::new("tools/debug")
        .arg("--build")
        .current_dir(ROOT)
        .env("CARGO_TARGET_DIR", folder("debugger-build"))
        .env("FOLDER", place)
        .env("CONFIG", config)
        .envs(settings.iter().copied())
        .output()
        .expect("it starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "it does not build:\n{errors}");
    let path = String::from_utf8(output.stdout).expect("a path");
    PathBuf::from(path.trim_end())
}

/// The guest program that an image has, with its symbols.
pub fn program(name: &str) -> PathBuf {
    let built = folder("debugger-build").join("guest").join(TRIPLE);
    built.join("release").join(name)
}

/// A client that runs.
pub struct Client {
    child: Child,
    texts: [thread::JoinHandle<String>; 2],
}

impl Client {
    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|why| panic!("{command:?}: {why}; tools/setup gdb lldb"));
        let texts = [
            read_all(child.stdout.take().expect("a pipe")),
            read_all(child.stderr.take().expect("a pipe")),
        ];
        Self { child, texts }
    }

    /// Waits for its end; what it printed: first all of its standard output, then what gdb has for errors, and for what the debugger says by itself.
    #[track_caller]
    pub fn ends(mut self) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut is_late = false;
        while self.child.try_wait().expect("it is ours").is_none() {
            is_late = Instant::now() > deadline;
            if is_late {
                self.child.kill().expect("it is ours");
            }
            thread::sleep(Duration::from_millis(20));
        }
        let texts = self.texts.map(|text| text.join().expect("it only reads"));
        assert!(!is_late, "the client takes too long: {texts:?}");
        texts.concat()
    }

    /// Ends it, as a machine that loses power does.
    fn dies(mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it is ours");
    }
}

/// These texts, in this order.
#[track_caller]
pub fn in_order(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let at = rest.find(part);
        let at = at.unwrap_or_else(|| panic!("no {part:?} where it should be:\n{text}"));
        rest = &rest[at + part.len()..];
    }
}

/// Breaks, steps through an exception and an atomic addition, watches, and goes back.
fn own_guest(board: Board) {
    let mut machine = Debugged::boot(board, "own", "tests/configs/debugged.toml", &[]);
    machine.session.expect("debugged: runs\n");
    let program = program("debugged");
    let gdb = machine.gdb(
        Some(&program),
        &[
            "break round",
            "continue",
            "print $x0",
            "info threads",
            "break debugged_svc",
            "continue",
            "stepi",
            "print $pc == (long)&avisor_guest_vectors + 0x200",
            "print $ESR_EL1 >> 26",
            "reverse-stepi",
            "print $pc == (long)&debugged_svc",
            "delete",
            "break debugged_atomic",
            "continue",
            "stepi",
            "print $pc == (long)&debugged_atomic + 12",
            "delete",
            "hbreak debugged_svc",
            "continue",
            "delete",
            // One on the load exclusive is not in the way of the store, which the watchpoint stops.
            "hbreak debugged_atomic",
            "watch *(unsigned long *)&COUNTED",
            "continue",
            "continue",
            "print $pc == (long)&debugged_atomic + 12",
            "delete",
            "reverse-continue",
            "reverse-continue",
            "reverse-continue",
            "print $pc == (long)&debugged_svc",
            "detach",
        ],
    );
    let text = gdb.ends();
    in_order(
        &text,
        &[
            "Breakpoint 1, ",
            "$1 = 7",
            "Thread 1.1 (debugged: CPU 0, EL1, on)",
            "Breakpoint 2, ",
            "$2 = 1",
            "$3 = 21",
            "$4 = 1",
            "Breakpoint 3, ",
            "$5 = 1",
            "Breakpoint 4, ",
            "Breakpoint 5, ",
            "Hardware watchpoint 6: ",
            "Old value = ",
            "New value = ",
            "$6 = 1",
            "$7 = 1",
            "detached]",
        ],
    );
    machine.session.expect(" rounds\n");
}

/// The same with lldb, as far as it goes.
fn lldb_on_a_guest_of_our_own(board: Board) {
    let mut machine = Debugged::boot(
        board,
        "lldb",
        "tests/configs/debugged.toml",
        &[("HOLD", "1")],
    );
    // lldb waits six seconds for its first answer, and no longer.
    machine.session.expect("gdb: 16 MiB of RAM");
    let program = program("debugged");
    let lldb = machine.lldb(
        &program,
        &[
            "breakpoint set --name round",
            "continue",
            "register read x0",
            "thread step-inst",
            "register read ESR_EL1",
            "breakpoint delete --force",
            "watchpoint set expression --watch write --size 8 -- &COUNTED",
            "continue",
            "process plugin packet monitor snapshots",
            "process detach",
        ],
    );
    let text = lldb.ends();
    in_order(
        &text,
        &[
            "stop reason = breakpoint 1.1",
            "x0 = 0x0000000000000007",
            "stop reason = instruction step into",
            "ESR_EL1 = 0x0000000000000000",
            "Watchpoint 1 hit:",
            "old value: 0x0000000000000000",
            "new value: 0x0000000000000007",
            "stop reason = watchpoint 1",
            "0 - ",
            "Process 1 detached",
        ],
    );
    machine.session.expect(" rounds\n");
}

/// Has gdb be interrupted, by Ctrl-C, after half a second.
pub const CTRL_C: &str = "python import os, signal, threading; \
    threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()";

/// Clients that die, garbage, and two in a row: the machine goes on each time.
#[test]
fn clients_that_mean_no_good() {
    let mut machine = Debugged::boot(Board::Virt, "bad", "tests/configs/debugged.toml", &[]);
    machine.session.expect("debugged: runs\n");
    // One that dies while the machine runs for it, and one that dies while it stands.
    let gdb = machine.gdb(None, &["continue"]);
    thread::sleep(Duration::from_secs(2));
    gdb.dies();
    let mut line = machine.connect();
    line.write_all(b"+$?#3f").expect("QEMU is there");
    let mut byte = [0];
    while byte != *b"#" {
        line.read_exact(&mut byte)
            .expect("it is told where it stands");
    }
    drop(line);
    let mut line = machine.connect();
    let mut state = 1_u32;
    let garbage: Vec<u8> = (0..5000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    line.write_all(&garbage).expect("QEMU is there");
    line.write_all(b"$m4000").expect("QEMU is there");
    drop(line);
    for _ in 0..2 {
        let gdb = machine.gdb(
            None,
            &[CTRL_C, "continue", "print $pc > 0x40000000", "detach"],
        );
        in_order(
            &gdb.ends(),
            &["received signal SIGINT", "$1 = 1", "detached]"],
        );
        machine.session.expect(" rounds\n");
        machine.session.expect(" rounds\n");
    }
    // The last one kills it: it begins again.
    machine.gdb(None, &["kill"]).ends();
    machine.session.expect("debugged: runs\n");
}
