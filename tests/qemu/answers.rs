//! The monitor answers while a VM has EL2 do what takes time: within 100 ms of a key, in the machine's own time. A VM on the second UART
//! measures that, on the core of the other one; what the test needs to pass keys on counts, too.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::time::Duration;

use crate::board::Board;
use crate::image;
use crate::socket;

/// How long a byte may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Ticks of `virt`'s counter in 100 ms.
const BOUND: u64 = 6_250_000;
/// Keys, and what the prompt shows of each.
const KEYS: [(u8, &str); 2] = [(b'x', "x"), (0x03, "^C")];

#[test]
fn beside_information_on_all_pages() {
    answers("info");
}

#[test]
fn beside_checkpoints_of_all_pages() {
    answers("checkpoint");
}

#[test]
fn beside_restores_of_all_pages() {
    answers("restore");
}

#[test]
fn beside_caches_that_are_switched() {
    answers("caches");
}

#[test]
fn beside_a_flood_of_output() {
    answers("console");
}

fn answers(attack: &str) {
    let place = socket::place(&format!("answers-{attack}"));
    let mut session = Board::Virt
        .boots(image::with_config("tests/configs/typist.toml"))
        .set("MEM", "1536M")
        .set("SMP", "1")
        .set("QEMU_ARGS", "-icount shift=0,align=off,sleep=off")
        .set(
            "SECOND",
            &format!("unix:{},server=on,wait=on", place.display()),
        )
        .limit(600)
        .session();
    let mut line = socket::connect(&place, PATIENCE);
    let mut answers = BufReader::new(line.try_clone().expect("it is a socket"));
    let mut answer = move || {
        let mut text = String::new();
        answers.read_line(&mut text).map(|_| text)
    };
    let ready = answer();
    session.require(
        ready.is_ok_and(|text| text.trim_end() == "ready"),
        "its VM was not ready",
    );
    session.expect("bench: waiting");
    session.send(&format!("{attack}\n"));
    session.expect("bench: begins");
    let mut longest = 0;
    for (key, shown) in [(0x1d, "avisor> ")]
        .into_iter()
        .chain(KEYS.into_iter().cycle())
        .take(21)
    {
        line.write_all(&[key]).expect("it takes a key");
        let mut passed = [0];
        let back = (&line).read_exact(&mut passed);
        session.require(back.is_ok() && passed == [key], "the key was not passed on");
        session.send(char::from(key).encode_utf8(&mut [0; 4]));
        session.expect(shown);
        line.write_all(b"!").expect("it takes a byte");
        let ticks = answer().ok().and_then(|text| text.trim_end().parse().ok());
        session.require(ticks.is_some(), "it did not say how long that took");
        longest = longest.max(ticks.unwrap_or(u64::MAX));
    }
    println!("beside {attack} a key was answered within {longest} ticks");
    session.require(
        longest <= BOUND,
        &format!("a key was answered after {longest} ticks"),
    );
    session.stop();
    // QEMU was killed, and left it.
    let _ = fs::remove_file(place);
}
