//! What is typed, and what guests cause in the log.

use std::time::Duration;

use crate::board::Board;
use crate::image;
use crate::on_both_boards;

on_both_boards!(
    typed_while_busy,
    typed_while_busy_and_then_no_more,
    the_monitor_opens_behind_what_waits,
    the_monitor_opens_however_much_is_typed,
    flood
);

const DIGITS: &str = "0123456789";

/// More than the VM, the queue and the UART hold together: whoever types waits.
fn typed_while_busy(board: Board) {
    let image = image::with_config("tests/configs/late-reader.toml");
    let mut session = board.boots(image).session();
    session.expect("late-reader: busy");
    session.send(&(DIGITS.repeat(1200) + "."));
    session.expect("late-reader: 12000 characters, 0 wrong");
    session.until_it_ends().powers_off();
}

/// More than the VM holds, and fewer than it and the queue do: no other key brings the last ones along.
fn typed_while_busy_and_then_no_more(board: Board) {
    let image = image::with_config("tests/configs/late-reader.toml");
    let mut session = board.boots(image).session();
    session.expect("late-reader: busy");
    session.send(&(DIGITS.repeat(840) + "."));
    session.expect("late-reader: 8400 characters, 0 wrong");
    session.until_it_ends().powers_off();
}

/// The same for a VM that never reads: Ctrl-] waits in the queue behind what there is no room for.
fn the_monitor_opens_behind_what_waits(board: Board) {
    let image = image::with_config("tests/configs/late-reader.toml");
    let mut session = board.boots(image).session();
    session.expect("late-reader: busy");
    session.monitor("pause");
    session.expect("late-reader is paused");
    session.send(&"a line that nobody reads\n".repeat(336));
    session.send("\x1d");
    session.expect("AVISOR WARN: late-reader does not read");
    session.expect("avisor> ");
    session.stop();
}

/// A VM that is paused has the keyboard, and never reads. Lines are left out after a while, and said, and Ctrl-] is found.
fn the_monitor_opens_however_much_is_typed(board: Board) {
    let image = image::with_config("tests/configs/late-reader.toml");
    let mut session = board.boots(image).session();
    session.expect("late-reader: busy");
    session.monitor("pause");
    session.expect("late-reader is paused");
    session.send(&"a line that nobody reads\n".repeat(800));
    session.pause(Duration::from_secs(1));
    session.send("\x1d");
    session.expect(
        "AVISOR WARN: late-reader does not read: lines typed for it from here on are left out",
    );
    session.expect("avisor> ");
    session.send("resume\r");
    session.expect("late-reader goes on");
    session.stop();
}

/// All the lines are counted, and few are written.
fn flood(board: Board) {
    let image = image::with_config("tests/configs/flood.toml");
    let run = board.boots(image).until_it_ends();
    run.powers_off();
    let written = run.count("AVISOR ERROR: invalid snapshot id");
    let left_out = run.lines.iter().filter_map(|line| {
        let line = line.strip_prefix("AVISOR WARN: too many lines: ")?;
        line.strip_suffix(" were left out")?.parse::<usize>().ok()
    });
    run.require(
        written + left_out.sum::<usize>() == 5000,
        "5000 lines were caused",
    );
    run.require(written <= 500, "far fewer should be written");
}

#[test]
fn lines_name_their_vm_where_there_are_several() {
    let image = image::with_config("tests/configs/two-logs.toml");
    let run = Board::Virt.boots(image).until_it_ends();
    run.powers_off();
    for line in [
        "AVISOR INFO: first: new snapshot pool size: 48MB",
        "AVISOR ERROR: flood: invalid snapshot id",
        "AVISOR WARN: flood: too many lines: ",
    ] {
        run.require(run.count(line) > 0, line);
    }
    run.require(
        run.count("AVISOR ERROR: invalid") == 0,
        "no line without a name",
    );
}
