//! VMs that control VMs: one drives the other, on one core and on two.

use crate::board::Board;
use crate::image;
use crate::on_both_boards;

on_both_boards!(each_on_a_core_of_its_own);

/// The controller's groups.
const GROUPS: [&str; 13] = [
    "begins",
    "denied",
    "commands",
    "snapshots",
    "limit",
    "interrupted",
    "time",
    "controller goes back",
    "memory",
    "registers",
    "reset",
    "off",
    "many rounds",
];

fn each_on_a_core_of_its_own(board: Board) {
    drives(board, None);
}

#[test]
fn both_on_one_core() {
    drives(Board::Virt, Some("1"));
}

fn drives(board: Board, cores: Option<&str>) {
    let mut run = board.boots(image::with_config("tests/configs/control.toml"));
    if let Some(cores) = cores {
        run = run.set("SMP", cores);
    }
    let run = run.until_it_ends();
    run.powers_off();
    let passed = GROUPS.map(|group| format!("controller| controller: {group}: PASS"));
    let count = format!("controller| controller: {} passed, 0 failed", GROUPS.len());
    let said = run
        .lines
        .iter()
        .filter(|line| line.starts_with("controller| "));
    run.require(
        said.eq(passed.iter().chain([&count])),
        "the controller should have said something else",
    );
}
