//! VMs that control VMs: one drives the other, on one core and on two.

use crate::board::Board;
use crate::image;
use crate::on_both_boards;

on_both_boards!(each_on_a_core_of_its_own);

/// The controller's groups.
const GROUPS: [&str; 14] = [
    "begins",
    "denied",
    "commands",
    "snapshots",
    "limit",
    "interrupted",
    "time",
    "controller goes back",
    "memory",
    "alignments",
    "registers",
    "reset",
    "off",
    "many rounds",
];

fn each_on_a_core_of_its_own(board: Board) {
    passes(
        board,
        None,
        "controller",
        "tests/configs/control.toml",
        &GROUPS,
    );
}

#[test]
fn both_on_one_core() {
    let config = "tests/configs/control.toml";
    passes(Board::Virt, Some("1"), "controller", config, &GROUPS);
}

/// All groups of the controller, which has the name of its program, pass.
fn passes(board: Board, cores: Option<&str>, name: &str, config: &str, groups: &[&str]) {
    let mut run = board.boots(image::with_config(config));
    if let Some(cores) = cores {
        run = run.set("SMP", cores);
    }
    let run = run.until_it_ends();
    run.powers_off();
    let passed = groups
        .iter()
        .map(|group| format!("{name}| {name}: {group}: PASS"));
    let count = format!("{name}| {name}: {} passed, 0 failed", groups.len());
    let prefix = format!("{name}| ");
    let said = run.lines.iter().filter(|line| line.starts_with(&prefix));
    run.require(
        said.cloned().eq(passed.chain([count])),
        "the controller should have said something else",
    );
}

on_both_boards!(a_debugger_and_its_target);

/// The debugger's groups.
const DEBUGGER: [&str; 18] = [
    "begins",
    "refused",
    "breakpoint",
    "watchpoints",
    "BRK",
    "its own registers",
    "it fights",
    "snapshots",
    "step",
    "step over what EL2 does",
    "step into handlers",
    "steps of its own",
    "steps and an interrupt",
    "the other CPU stands",
    "exclusive accesses",
    "its addresses",
    "virtual memory",
    "reset",
];

fn a_debugger_and_its_target(board: Board) {
    debugs(board, None);
}

#[test]
fn a_debugger_and_its_target_on_one_core() {
    debugs(Board::Virt, Some("1"));
}

fn debugs(board: Board, cores: Option<&str>) {
    let config = "tests/configs/debugger.toml";
    passes(board, cores, "debugger", config, &DEBUGGER);
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
    let kinds = run.count("meddler| meddler: all kinds of answers: true");
    run.require(kinds == 1, "its target should have done all that there is");
    let looked = run.count("witness| witness: nothing has changed");
    run.require(looked == 1, "nothing of another VM's should have changed");
}
