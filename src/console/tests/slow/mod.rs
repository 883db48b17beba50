//! A UART of 115,200 baud: nobody waits for it but who has something to say. VMs have the emulated PL011 in front of it.

mod world;

use super::super::output::{BACKLOG_MAX, Output, VMS_SHARE};
use super::*;
use std::format;
use world::*;

#[test]
fn a_driver_that_polls_keeps_the_line_busy_and_nobody_else() {
    let mut world = World::new(1);
    let mut text = chatter(0);
    for _ in 0..1_000_000 {
        world.poll(0, &mut text);
        world.tick();
    }
    world.rest();
    let (shown, wanted) = (world.line.text(), 1_000_000 / CHARACTER as usize);
    assert!(shown.len() >= wanted, "{} of {wanted}", shown.len());
    let all: String = chatter(0).take(shown.len()).map(char::from).collect();
    assert_eq!(shown, all);
    assert_eq!(world.line.waited.get(), 0);
}

/// Its vCPU has another one beside it: it comes to the core late.
#[test]
fn a_driver_that_waits_for_the_interrupt_loses_nothing() {
    for lateness in [1, 300, 5000] {
        let mut world = World::new(1);
        let mut text = chatter(0);
        world.write(0, IMSC, TX);
        world.poll(0, &mut text);
        for at in 0..1_000_000 {
            if at % lateness == 0 {
                world.serve(0, &mut text);
            }
            world.tick();
        }
        world.rest();
        let shown = world.line.text();
        let all: String = chatter(0).take(shown.len()).map(char::from).collect();
        assert_eq!(shown, all);
        // With a slice of 5 ms in between, eight characters at a time.
        let wanted = (1_000_000 / CHARACTER).min(8 * 1_000_000 / lateness) as usize;
        assert!(shown.len() >= wanted, "{lateness}: {}", shown.len());
        assert_eq!(world.line.waited.get(), 0);
    }
}

/// One polls without pause, the others wait for their interrupts: each has its part of the line.
#[test]
fn vms_take_turns() {
    let mut world = World::new(3);
    let mut texts = [0, 1, 2].map(chatter);
    for (vm, text) in texts.iter_mut().enumerate().skip(1) {
        world.write(vm, IMSC, TX);
        world.poll(vm, text);
    }
    for _ in 0..3_000_000 {
        for (vm, text) in texts.iter_mut().enumerate() {
            match vm {
                0 => world.poll(vm, text),
                _ => world.serve(vm, text),
            }
        }
        world.tick();
    }
    let shown = world.line.text();
    for (vm, name) in ["a| ", "b| ", "c| "].iter().enumerate() {
        let own: String = shown
            .split("\r\n")
            .filter_map(|line| line.strip_prefix(name))
            .collect();
        let all: String = chatter(vm)
            .map(char::from)
            .filter(|c| *c != '\n')
            .take(own.len())
            .collect();
        assert_eq!(own, all, "{name}");
        // The line of the one that has the keyboard is broken off by the others' again and again, which takes some of the whole.
        assert!(
            own.len() * 10 >= shown.len() / 3 * 7,
            "{name}{} of {}",
            own.len(),
            shown.len()
        );
    }
    assert_eq!(world.line.waited.get(), 0);
}

/// While eight VMs send whatever they can, a key of the operator is answered within 100 ms.
#[test]
fn a_key_is_answered_while_all_vms_print() {
    let mut world = World::new(8);
    let mut texts = [0, 1, 2, 3, 4, 5, 6, 7].map(chatter);
    let mut longest = 0;
    for key in 0..200 {
        let byte = [ESCAPE, b'x', b'\x08', b'y', 0x03][key % 5];
        let before = world.output.is_empty();
        world.key(byte);
        let (sent, waits) = (world.line.sent.borrow().len(), world.output.backlog());
        let wanted = sent + world.line.fifo.borrow().len() + waits;
        let begun = world.line.now.get();
        while world.line.sent.borrow().len() < wanted {
            for (vm, text) in texts.iter_mut().enumerate() {
                world.poll(vm, text);
            }
            world.tick();
            world.line.catch_up();
        }
        longest = longest.max(world.line.now.get() - begun);
        assert!(key == 0 || !before, "they print all the time");
        for _ in 0..997 * (key % 7) {
            for (vm, text) in texts.iter_mut().enumerate() {
                world.poll(vm, text);
            }
            world.tick();
        }
    }
    assert!(longest <= 100_000, "{longest} us");
    assert_eq!(world.line.waited.get(), 0);
}

/// As many lines as a VM may cause at once, from each of two, while one prints.
#[test]
fn the_log_waits_for_nobody_and_comes_in_order() {
    let mut world = World::new(2);
    let mut text = chatter(0);
    for n in 0..200 {
        world.poll(0, &mut text);
        world.log(&format!("AVISOR INFO: line {n} of the log, which is as long as most of them are, and a little more"));
    }
    assert_eq!(world.line.waited.get(), 0);
    world.rest();
    let shown = world.line.text();
    let lines = shown.split("\r\n");
    let log: Vec<_> = lines.filter(|line| line.contains("AVISOR")).collect();
    assert_eq!(log.len(), 200);
    for (n, line) in log.iter().enumerate() {
        assert!(line.contains(&format!("line {n} of")), "{line}");
    }
}

/// More than the queue holds: the writer waits, and all of it comes out. So it is where there is no memory.
#[test]
fn nothing_of_the_log_is_lost_if_it_is_too_much() {
    for reserved in [true, false] {
        let mut world = World::new(1);
        if !reserved {
            world.output = Output::without_memory();
        }
        let line = "x".repeat(98);
        for _ in 0..BACKLOG_MAX / 100 + 50 {
            world.log(&line);
        }
        assert!(world.line.waited.get() > 0);
        world.rest();
        assert_eq!(
            world.line.text(),
            (line + "\r\n").repeat(BACKLOG_MAX / 100 + 50)
        );
    }
}

/// The last words come behind all that was shown before.
#[test]
fn all_of_it_comes_before_the_last_words() {
    let mut world = World::new(2);
    let mut text = chatter(1);
    for _ in 0..VMS_SHARE * 2 {
        world.poll(1, &mut text);
        world.log("AVISOR INFO: something");
    }
    let (terminal, line) = (&mut world.terminal, &world.line);
    world.output.flush(terminal, line);
    assert!(world.output.is_empty());
    world.log("AVISOR ERROR: the end");
    world.rest();
    assert!(world.line.text().ends_with("AVISOR ERROR: the end\r\n"));
}

/// A UART that takes nothing any more keeps a VM waiting for a second, and not for ever.
#[test]
fn a_dead_uart_is_given_up() {
    let mut world = World::new(1);
    let (mut text, mut printed) = (chatter(0), 0);
    world.line.dead.set(true);
    for _ in 0..3 * PATIENCE {
        world.poll(0, &mut text.by_ref().inspect(|_| printed += 1));
        world.tick();
    }
    let of_the_first_second = VMS_SHARE + 2 * UNSENT;
    assert!(printed > 2 * of_the_first_second, "{printed}");
    // And it is there again.
    world.line.dead.set(false);
    for _ in 0..100_000 {
        world.poll(0, &mut text);
        world.tick();
    }
    assert!(world.line.sent.borrow().len() > 1000);
    assert_eq!(world.line.waited.get(), 0);
}

const UNSENT: usize = crate::device::pl011::UNSENT_MAX;

/// What a VM had sent before it went back is shown before that.
#[test]
fn what_was_sent_before_a_restore_is_shown_before_it() {
    let mut world = World::new(1);
    let mut text = "x".repeat(VMS_SHARE + 16) + "\x1b[1;2";
    text += "next";
    let mut text = text.bytes();
    while world.output.unsent(0) < 5 || text.len() > 4 {
        let byte = text.next().unwrap();
        world.write(0, DR, byte.into());
    }
    assert!(world.output.unsent(0) > 0);
    let (terminal, line) = (&mut world.terminal, &world.line);
    world.output.abandon_sequence(0, terminal, line);
    assert_eq!(world.output.unsent(0), 0);
    for byte in text {
        world.write(0, DR, byte.into());
    }
    world.rest();
    let shown = world.line.text();
    assert!(shown.ends_with("xxx\x1b[1;2\x18\x1b\\next"), "{shown:?}");
}
