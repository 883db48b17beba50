//! A VM on the second UART: bytes of every value, both ways, as fast as they go, beside a VM at the console.

use std::fs;
use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use crate::board::Board;
use crate::image;
use crate::on_both_boards;
use crate::socket;

/// How long a byte may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes that are sent, and come back.
const PASTED: usize = 64 << 10;

on_both_boards!(every_byte_comes_back_while_the_console_chats);

/// A PL011 on `virt`, the mini-UART on the Raspberry Pi.
fn every_byte_comes_back_while_the_console_chats(board: Board) {
    echoes(board, None);
}

#[test]
fn with_both_vms_on_one_core() {
    echoes(Board::Virt, Some("1"));
}

/// Sends bytes to the VM on the second UART, which sends them back; and types at the other one.
fn echoes(board: Board, cores: Option<&str>) {
    let test = format!("second-{}-{}", board.name(), cores.unwrap_or("all"));
    let place = socket::place(&test);
    let mut run = board
        .boots(image::with_config("tests/configs/second.toml"))
        .set(
            "SECOND",
            &format!("unix:{},server=on,wait=on", place.display()),
        );
    run = match cores {
        Some(cores) => run.set("SMP", cores),
        // Two cores are busy, the others sleep.
        None => run.alone(),
    };
    let mut session = run.limit(300).session();
    let mut line = socket::connect(&place, PATIENCE);
    session.expect("ready");
    let mut ready = *b"ready\r\n";
    let read = line.read_exact(&mut ready);
    session.require(
        read.is_ok() && ready == *b"ready\r\n",
        "its VM was not ready",
    );
    let mut sender = line.try_clone().expect("it is a socket");
    // All values, each behind each other one.
    let value = |n: usize| (n / 256 * (n % 256) + n % 256) as u8;
    let bytes: Vec<u8> = (0..PASTED).map(value).collect();
    let sent = bytes.clone();
    let sender = thread::spawn(move || sender.write_all(&sent));
    // It reads whatever the console does: a UART of QEMU's whose other end is full stops the whole machine.
    let reader = thread::spawn(move || {
        let mut back = vec![0; PASTED];
        line.read_exact(&mut back).map(|()| back)
    });
    let mut number = 0;
    while !reader.is_finished() {
        session.send(&format!("hello {number}\r"));
        // The only VM at the console, so that nothing is in front of its lines.
        let between = session.expect(&format!("hello {number}"));
        session.require(!between.contains('|'), "its lines have a name");
        number += 1;
    }
    session.require(number > 1, "nobody chatted while bytes went to and fro");
    let back = reader.join().expect("it does not panic");
    let error = back.as_ref().err();
    session.require(error.is_none(), &format!("not all came back: {error:?}"));
    sender
        .join()
        .expect("it does not panic")
        .expect("all is taken");
    let wrong = back
        .iter()
        .flatten()
        .zip(&bytes)
        .position(|(back, sent)| back != sent);
    session.require(wrong.is_none(), &format!("another byte came at {wrong:?}"));
    session.monitor("attach line");
    session.expect("line is on the second UART\n");
    session.monitor("vms");
    session.expect("* 0  chat");
    session.stop();
    // QEMU was killed, and left it.
    let _ = fs::remove_file(place);
}

/// On `virt` with one serial port.
#[test]
fn without_a_second_uart_a_line_says_so_and_the_vm_runs() {
    let image = image::with_config("tests/configs/second.toml");
    let mut session = Board::Virt.boots(image).session();
    session.expect("AVISOR WARN: line: the board has no second UART: nothing comes in there, and what the VM sends is lost");
    session.expect("ready");
    session.send("still there\r");
    session.expect("still there");
    session.monitor("vms");
    session.expect("1  line  running");
    session.stop();
}
