//! A VM that has a line of its own.

use super::*;

const OTHERS: &[&str] = &["debugger", "linux", "echo"];

#[test]
fn the_first_that_is_here_has_the_keyboard_and_no_other_way_leads_there() {
    let mut t = Session::new(OTHERS);
    t.terminal.set_elsewhere(0);
    assert_eq!(t.terminal.attached(), 1);
    t.terminal.attach(0, &mut t.screen);
    assert_eq!(t.terminal.attached(), 1);
    t.terminal.attach(2, &mut t.screen);
    assert_eq!(t.terminal.attached(), 2);
    t.type_in("ls\r");
    assert_eq!([0, 1, 2].map(|vm| t.read(vm)), ["", "", "ls\r"]);
}

#[test]
fn the_only_one_here_prints_without_a_name_but_the_log_knows_several() {
    let mut t = Session::new(TWO);
    t.print(0, "a\n");
    t.shows("linux| a\r\n");
    t.terminal.set_elsewhere(1);
    t.print(0, "b\n");
    t.shows("b\n");
    assert_eq!(t.terminal.log_name(1), Some("echo"));
    t.type_in(OPEN);
    t.screen.clear();
    t.print(0, "c\n");
    t.shows("\r\u{1b}[Kc\r\navisor> ");
    let mut three = Session::new(OTHERS);
    three.terminal.set_elsewhere(0);
    three.print(1, "x\n");
    three.shows("linux| x\r\n");
}

#[test]
fn where_nobody_is_what_is_typed_waits_for_nobody() {
    let mut t = Session::new(&["debugger"]);
    t.terminal.set_elsewhere(0);
    assert_eq!(t.paste(&"nobody reads\r".repeat(2000)), 26_000);
    assert!(!t.terminal.is_held_up());
    t.terminal.start_discarding();
    assert_eq!(t.terminal.take_notice(), None);
    assert_eq!(t.read(0), "");
    t.type_in(OPEN);
    t.shows("avisor> ");
}
