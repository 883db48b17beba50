//! What `docs/debugger.md` says, with gdb: several VMs, back to the oldest stop and not further, what `monitor` does, and cores of snapshots.

use std::fs;
use std::process::Command;

use crate::board::Board;
use crate::debugger::{CTRL_C, Debugged, in_order, program};
use crate::image::folder;
use crate::on_both_boards;
use crate::process::output_of;

on_both_boards!(stops_and_snapshots);

/// What gdb has cached is of another VM, or of another time.
const FLUSH: &str = "maintenance flush register-cache";
const FLUSH_MEMORY: &str = "maintenance flush dcache";
/// What the program counted.
const COUNTED: &str = "print *(unsigned long *)&COUNTED";

/// Stops are snapshots, from 0 on; the user's are others, and all of them can be gone back to, compared, and written as cores.
fn stops_and_snapshots(board: Board) {
    let settings = [("HOLD", "1")];
    let machine = Debugged::boot(board, "sentences", "tests/configs/debugged.toml", &settings);
    let files = folder("debugger").join(format!("cores-{}", board.name()));
    fs::create_dir_all(&files).expect("the folder is writable");
    let [by_gdb, by_avisor] = ["remote-get", "avisor-core"].map(|name| files.join(name));
    for file in [&by_gdb, &by_avisor] {
        // Of an earlier run of the tests.
        let _ = fs::remove_file(file);
    }
    let get = format!("remote get snapshot-3.core {}", by_gdb.display());
    let core = format!("avisor core now {}", by_avisor.display());
    let debugged = program("debugged");
    let gdb = machine.gdb(
        Some(&debugged),
        &[
            "source tools/gdb/avisor.py",
            // #0 is where it stands now, #1 the first round; #2 is behind the breakpoint, which gdb steps over, and #3 the second round.
            "break *round",
            "continue",
            "continue",
            COUNTED,
            "monitor checkpoint",
            "set var *(unsigned long *)&COUNTED = 1000",
            "monitor diff 4 now",
            "continue",
            COUNTED,
            "monitor snapshots",
            "monitor restore 4",
            FLUSH,
            FLUSH_MEMORY,
            COUNTED,
            &get,
            "set var *(unsigned long *)&COUNTED = 2000",
            &core,
            "reverse-continue",
            COUNTED,
            "reverse-continue",
            "print $pc == (long)&round",
            "reverse-continue",
            "reverse-continue",
            "print $pc == (long)&round",
            "detach",
        ],
    );
    in_order(
        &gdb.ends(),
        &[
            "Breakpoint 1, ",
            "Breakpoint 1, ",
            "$1 = 7",
            "Breakpoint 1, ",
            "$2 = 1007",
            "$3 = 7",
            "$4 = 0",
            "Breakpoint 1, ",
            "$5 = 1",
            "No more reverse-execution history",
            "$6 = 0",
            "detached]",
            // What the debugger says.
            "4\n0x",
            "fff\n0 - ",
            "\n1 0 ",
            "\n2 1 ",
            "\n3 2 ",
            "\n4 3 ",
            "\n5 4 ",
            "\n6 5 ",
            "\n4\n",
        ],
    );
    let counted = |core: &std::path::Path| {
        let mut gdb = Command::new("gdb-multiarch");
        gdb.args(["-nx", "-q", "-batch", "-ex", "set language c"])
            .arg(&debugged)
            .arg("-core")
            .arg(core)
            .args(["-ex", "print *(unsigned long *)&COUNTED"])
            .args(["-ex", "print $pc == (long)&round"]);
        output_of(&mut gdb)
    };
    in_order(&counted(&by_gdb), &["$1 = 7", "$2 = 1"]);
    in_order(&counted(&by_avisor), &["$1 = 2000", "$2 = 1"]);
}

/// One client and two VMs: each as the only one is, and each runs on when the client looks at the other. One takes snapshots by itself, which are
/// stops on the way back.
#[test]
fn several_vms() {
    let config = "tests/configs/debugged-two.toml";
    let mut machine = Debugged::boot(Board::Virt, "several", config, &[]);
    // Two share the console: a line that is long in coming may be in two parts.
    machine.session.expect(" rounds");
    machine.session.expect(" rounds");
    let program = program("debugged");
    let gdb = machine.gdb(
        Some(&program),
        &[
            "monitor vm",
            "break *round",
            "continue",
            "print $x0",
            "delete",
            CTRL_C,
            "continue",
            "set $counted = *(unsigned long *)&COUNTED",
            // Each is 100 ms, and it counts nothing while it prints.
            "reverse-continue",
            "reverse-continue",
            "reverse-continue",
            "reverse-continue",
            "reverse-continue",
            "reverse-continue",
            "print *(unsigned long *)&COUNTED < $counted",
            "monitor vm three",
            "monitor vm two",
            FLUSH,
            FLUSH_MEMORY,
            "monitor vm",
            "break *debugged_svc",
            "continue",
            "print $pc == (long)&debugged_svc",
            "reverse-continue",
            "monitor vm one",
            FLUSH,
            FLUSH_MEMORY,
            CTRL_C,
            "delete",
            "continue",
            "monitor vm",
            "detach",
        ],
    );
    in_order(
        &gdb.ends(),
        &[
            "Breakpoint 1, ",
            "$1 = 7",
            "received signal SIGINT",
            "$2 = 1",
            "Breakpoint 2, ",
            "$3 = 1",
            "received signal SIGINT",
            "detached]",
            // What the debugger says.
            "* one Stopped\n  two Running\n",
            "error: there is no VM \"three\"",
            "two\n  one Running\n* two Stopped\n",
            "one\n* one Stopped\n  two Running\n",
        ],
    );
    for vm in ["one", "two"] {
        machine.session.expect(&format!("{vm}| debugged: "));
        machine.session.expect(" rounds");
    }
}
