//! A target that fights its debugger, with gdb on the other side: neither EL2 nor the debugger stops, and all that gdb does works as with any other
//! target.

use crate::board::Board;
use crate::debugger::{CTRL_C, Debugged, in_order, program};
use crate::on_both_boards;

on_both_boards!(a_target_that_fights);

/// What the target does next: `COMMAND` in `fighter.rs`.
const RESET: &str = "set var *(unsigned long *)&COMMAND = 1";
const OFF: &str = "set var *(unsigned long *)&COMMAND = 2";

fn a_target_that_fights(board: Board) {
    let mut machine = Debugged::boot(board, "fights", "tests/configs/fighter.toml", &[]);
    // Its own breakpoints and BRKs are its own while nobody debugs it.
    let fights = "fighter: fights on, debug exceptions: true, BRKs: true\n";
    machine.session.expect(fights);
    let program = program("fighter");
    let gdb = machine.gdb(
        Some(&program),
        &[
            // Whatever it masks.
            CTRL_C,
            "continue",
            "break *fought",
            "continue",
            "continue",
            "print $pc == (long)&fought",
            "watch *(unsigned long *)&FOUGHT",
            "continue",
            "delete",
            // Through all of a fight, and back.
            "stepi 60",
            "set $there = $pc",
            "stepi",
            "reverse-stepi",
            "print $pc == $there",
            "hbreak *fought",
            "continue",
            "continue",
            "print $pc == (long)&fought",
            "delete",
            // It resets itself: breakpoints are there in what begins again.
            RESET,
            "break *fought",
            "continue",
            "continue",
            "print *(unsigned long *)&FOUGHT",
            "delete",
            // It is off, and was not.
            OFF,
            "continue",
            "reverse-continue",
            "print $pc == (long)&fought",
            "print *(unsigned long *)&COMMAND",
            "detach",
        ],
    );
    in_order(
        &gdb.ends(),
        &[
            "received signal SIGINT",
            "Breakpoint 1, ",
            "Breakpoint 1, ",
            "$1 = 1",
            "Hardware watchpoint 2: ",
            "Old value = ",
            "New value = ",
            "$2 = 1",
            "Breakpoint 3, ",
            "Breakpoint 3, ",
            "$3 = 1",
            "SIGTRAP",
            "_start ()",
            "Breakpoint 4, ",
            "$4 = 0",
            "SIGTRAP",
            "SIGTRAP",
            "$5 = 1",
            "$6 = 0",
            "detached]",
            "fighter was reset",
            "fighter is off; reverse-continue goes back to the stop before",
        ],
    );
    // It fights on, with exceptions of its own again; and the next client is served.
    machine.session.expect(fights);
    machine.session.expect(fights);
    let gdb = machine.gdb(Some(&program), &[CTRL_C, "continue", "detach"]);
    in_order(&gdb.ends(), &["received signal SIGINT", "detached]"]);
    machine.session.expect(fights);
}
