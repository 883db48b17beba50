//! The file of commands for gdb, `tools/gdb/avisor.py`, in gdb itself, with the machine that is none.

use std::process::Command;

use super::fake::{CODE, DATA};
use super::real::{gdb, in_order, program};

/// The file of commands for gdb: when a variable changed, and who changed it.
#[test]
fn gdb_asks_about_the_past() {
    let fake = program();
    let (at, variable) = (CODE + 16, format!("*(long *) {DATA:#x}"));
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tools/gdb/avisor.py");
    let text = gdb(
        &[("vm", &fake)],
        &[
            "set architecture aarch64".into(),
            format!("source {file}"),
            "target remote {port}".into(),
            format!("break *{at:#x}"),
            "continue".into(),
            "continue".into(),
            "continue".into(),
            // Of itself, where nobody sees it.
            format!("set {variable} = 77"),
            "avisor tree".into(),
            format!("avisor when {variable}"),
            "avisor diff 2 3".into(),
            "avisor diff 2 2".into(),
            "avisor look 1".into(),
            format!("output {variable}"),
            "avisor look now".into(),
            format!("output {variable}"),
            "avisor restore 5".into(),
            format!("avisor who {variable}"),
            "info breakpoints".into(),
            format!("avisor when *(char *) {:#x}", DATA + 64),
            "avisor when 1 + 1".into(),
            "avisor look 99".into(),
            "avisor look".into(),
            "avisor when 1 +".into(),
        ],
    );
    in_order(
        &text,
        &[
            "#0  1.500000 s, 1 page of its own\n#1  3.000000 s",
            "\n#5  9.000000 s",
            "#5 to now: 6 -> 77\n#4 to #5: 4 -> 6\n#2 to #3: 2 -> 4\n#0 to #1: 0 -> 2\n",
            "0x40003000 to 0x40003fff, 1 page\n",
            "0xffff800000001010 in",
            "2",
            "0xffff800000001010 in",
            "77",
            "changed between #4 and #5; from #4 on:\n",
            "0xffff80000000100c:\tstr\tx0, [x1]\n",
            "0xffff800000001010 in",
            "6\n",
            // The breakpoint is as it was, and the watchpoint is gone.
            "1       breakpoint     keep y   0xffff800000001010",
            "has been the same in all snapshots",
            "avisor: 1 + 1 is not in memory",
            "avisor: there is no such snapshot",
            "avisor: it is: avisor look N",
            "avisor: A syntax error in expression",
        ],
    );
    assert!(!text.contains("watchpoint     keep"), "{text}");
    assert!(!text.contains("Python"), "{text}");
    assert_eq!(fake.double(DATA), 6);
}

/// The parts of the file that need no machine, by tests of their own.
#[test]
fn parts_of_the_commands() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tools/gdb");
    let script = format!(
        "python import sys, unittest; sys.path.insert(0, '{folder}'); sys.dont_write_bytecode = True; import test_avisor; \
         print('all passed:', unittest.main(test_avisor, argv=['t'], exit=False).result.wasSuccessful())"
    );
    let output = Command::new("gdb-multiarch")
        .args(["-nx", "-batch", "-ex", &script])
        .output()
        .expect("tools/setup gdb installs it");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(text.contains("all passed: True"), "{text}");
    assert!(text.contains("Ran 11 tests"), "{text}");
}
