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

on_both_boards!(a_controller_that_means_harm);

/// Calls at random, with a target that means harm, too. Both lose nothing but what is theirs.
fn a_controller_that_means_harm(board: Board) {
    meddles(board, None);
}

#[test]
fn a_controller_that_means_harm_on_one_core() {
    meddles(Board::Virt, Some("1"));
}

fn meddles(board: Board, cores: Option<&str>) {
    let mut run = board.boots(image::with_config("tests/configs/meddler.toml"));
    if let Some(cores) = cores {
        run = run.set("SMP", cores);
    }
    let run = run.limit(300).until_it_ends();
    run.powers_off();
    let calls = run.count("meddler| meddler: 60000 calls");
    run.require(calls == 1, "it should have come to its end");
}
