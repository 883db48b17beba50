//! gdb and lldb themselves, with the machine that is none.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::fake::{CODE, DATA, Fake};
use super::{ADD, NOP, STR, b};
use crate::debugger::Debugger;
use crate::machine::{Machine, State};
use crate::stub::{Next, Stub};
use crate::vm::Vm;

/// How long a client may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A line for as many clients as come, of which `command` is the first; what that prints. `{port}` in its arguments is where it finds the line.
fn serve(fakes: &[(&str, &Fake)], program: &str, arguments: &[String]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("it has one").port();
    let vms = fakes
        .iter()
        .map(|(name, fake)| Vm::new(name, Fake::clone(fake)));
    let mut stub = Stub::new(Debugger::new(vms.collect()));
    let arguments = arguments
        .iter()
        .map(|word| word.replace("{port}", &format!("127.0.0.1:{port}")));
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|why| panic!("{program}: {why}; tools/setup gdb installs it"));
    let mut streams = [
        Box::new(child.stdout.take().expect("a pipe")) as Box<dyn Read + Send>,
        Box::new(child.stderr.take().expect("a pipe")),
    ]
    .map(|mut stream| {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stream.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        })
    })
    .into_iter();
    let deadline = Instant::now() + PATIENCE;
    listener.set_nonblocking(true).expect("sockets can");
    let mut client = None;
    while child.try_wait().expect("it is ours").is_none() {
        assert!(Instant::now() < deadline, "{program} takes too long");
        if let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(true).expect("sockets can");
            client = Some(stream);
        }
        let mut next = stub.turn();
        if let Some(stream) = &mut client {
            let mut bytes = [0; 4096];
            match stream.read(&mut bytes) {
                Ok(count) => {
                    bytes[..count].iter().for_each(|&byte| stub.byte(byte));
                    next = if count > 0 { Next::Turn } else { next };
                }
                Err(why) if why.kind() == ErrorKind::WouldBlock => {}
                Err(_) => client = None,
            }
        }
        let output = stub.output();
        if let Some(stream) = &mut client {
            let _ = stream.write_all(&output);
        }
        if next != Next::Turn {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    streams
        .by_ref()
        .map(|text| text.join().expect("reading does not panic"))
        .collect()
}

pub fn gdb(fakes: &[(&str, &Fake)], commands: &[String]) -> String {
    let mut arguments = ["-nx", "-q", "-batch", "-ex", "set tcp auto-retry off"]
        .map(String::from)
        .to_vec();
    for command in commands {
        arguments.extend(["-ex".into(), command.clone()]);
    }
    serve(fakes, "gdb-multiarch", &arguments)
}

fn lldb(fakes: &[(&str, &Fake)], commands: &[String]) -> String {
    let mut arguments = ["--no-lldbinit", "--batch"].map(String::from).to_vec();
    for command in commands {
        arguments.extend(["-o".into(), command.clone()]);
    }
    serve(fakes, "lldb", &arguments)
}

/// These lines, or parts of them, in this order.
#[track_caller]
pub fn in_order(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let at = rest.find(part);
        let at = at.unwrap_or_else(|| panic!("no {part:?} where it should be:\n{text}"));
        rest = &rest[at + part.len()..];
    }
}

pub fn program() -> Fake {
    // add; str; add; str; nop; b, the first
    let fake = Fake::new(2, &[ADD, STR, ADD, STR, NOP, b(-5)]);
    {
        let inner = &mut *fake.0.borrow_mut();
        inner.is_running = false;
        for cpu in &mut inner.cpus {
            cpu.x[1] = DATA;
        }
        inner.cpus[1].state = 0;
        inner.cpus[0].system[24] = 0x1234;
    }
    fake
}

#[test]
fn gdb_breaks_steps_watches_and_goes_back() {
    let fake = program();
    let at = CODE + 16;
    let text = gdb(
        &[("vm", &fake)],
        &[
            "set architecture aarch64".into(),
            "target remote {port}".into(),
            "info threads".into(),
            format!("break *{at:#x}"),
            "continue".into(),
            format!("output *(long *){DATA:#x}"),
            "print $TCR_EL1".into(),
            "stepi".into(),
            "reverse-stepi".into(),
            "reverse-stepi".into(),
            format!("output *(long *){DATA:#x}"),
            "reverse-continue".into(),
            "reverse-continue".into(),
            "delete".into(),
            format!("watch *(long *){DATA:#x}"),
            "continue".into(),
            "continue".into(),
            "print $v3.q = 7".into(),
            "detach".into(),
        ],
    );
    in_order(
        &text,
        &[
            "* 1    Thread 1.1 (vm: CPU 0, EL1, on) 0xffff800000001000 in ?? ()",
            "2    Thread 1.2 (vm: CPU 1, off)",
            "Thread 1 hit Breakpoint 1, 0xffff800000001010",
            "2$1 = 4660",
            "0xffff800000001014 in",
            "0xffff800000001010 in",
            "0xffff80000000100c in ?? ()\n1",
            "0xffff800000001000 in",
            "No more reverse-execution history.",
            "Old value = 0\nNew value = 1",
            "Old value = 1\nNew value = 2",
            "$2 = 7",
            "[Inferior 1 (process 1) detached]",
        ],
    );
    assert_eq!(fake.0.borrow().cpus[0].q[3], 7);
    assert_eq!(fake.state(), State::Running);
}

#[test]
fn lldb_too() {
    let fake = program();
    let at = CODE + 16;
    let text = lldb(
        &[("vm", &fake)],
        &[
            "gdb-remote {port}".into(),
            "thread list".into(),
            format!("breakpoint set --address {at:#x}"),
            "continue".into(),
            format!("memory read --format x --size 8 --count 1 {DATA:#x}"),
            "register read TCR_EL1".into(),
            "thread step-inst".into(),
            format!("watchpoint set expression -w write -- {DATA:#x}"),
            "continue".into(),
            "continue".into(),
            "process plugin packet monitor snapshots".into(),
            "process detach".into(),
        ],
    );
    in_order(
        &text,
        &[
            "* thread #1, stop reason = signal SIGTRAP",
            "thread #2: tid = 0x0002",
            "stop reason = breakpoint 1.1",
            "0xffff800000003000: 0x0000000000000002",
            "TCR_EL1 = 0x0000000000001234",
            "stop reason = instruction step into",
            "old value: 2\nnew value: 3",
            "old value: 3\nnew value: 4",
            "0 - 1 1.500000",
            "Process 1 detached",
        ],
    );
    assert_eq!(fake.state(), State::Running);
}

/// A core of a snapshot, fetched over the line, which gdb opens afterwards.
#[test]
fn gdb_fetches_a_core() {
    let fake = program();
    let file = std::env::temp_dir().join(format!("avisor-core-{}", std::process::id()));
    let text = gdb(
        &[("vm", &fake)],
        &[
            "set architecture aarch64".into(),
            "target remote {port}".into(),
            "stepi".into(),
            "stepi".into(),
            "stepi".into(),
            format!("remote get snapshot-1.core {}", file.display()),
            "remote get snapshot-9.core /dev/null".into(),
            "remote get /etc/passwd /dev/null".into(),
            "detach".into(),
            format!("core-file {}", file.display()),
            "info threads".into(),
            "print $x0".into(),
        ],
    );
    let core = std::fs::read(&file);
    let _ = std::fs::remove_file(&file);
    in_order(
        &text,
        &[
            "0xffff800000001004 in ?? ()",
            "0xffff800000001004 in ?? ()",
            "$1 = 1",
        ],
    );
    assert_eq!(&core.expect("it is there")[..4], b"\x7fELF");
    assert_eq!(
        text.matches("No such file or directory").count(),
        2,
        "{text}"
    );
}
