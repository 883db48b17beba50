//! Guests with interrupts and several CPUs: what one CPU sees of them, a storm of all that is restored in the midst, and harm.

use crate::board::Board;
use crate::image;
use crate::on_both_boards;
use crate::run::Run;

on_both_boards!(one_cpu, smp, hostile);

/// The interrupt controller, the timers, the UART's interrupt, and snapshots of them.
fn one_cpu(board: Board) {
    let run = board
        .boots(image::with_config("tests/configs/interrupts.toml"))
        .limit(300)
        .until_it_ends();
    run.powers_off();
    run.require(
        run.count("interrupts: 37 passed, 0 failed") == 1,
        "all groups should have passed",
    );
}

/// Four vCPUs, a core for each.
fn smp(board: Board) {
    passes(board.boots(image::with_config("tests/configs/smp-test.toml")));
}

/// The same vCPUs, all on the one core that the board has.
#[test]
fn smp_on_one_core() {
    let board = Board::Virt.boots(image::with_config("tests/configs/smp-test.toml"));
    passes(board.set("SMP", "1"));
}

/// Two on each core.
#[test]
fn smp_on_two_cores() {
    let board = Board::Virt.boots(image::with_config("tests/configs/smp-test.toml"));
    passes(board.set("SMP", "2"));
}

/// As many vCPUs as there can be, on four cores.
#[test]
fn smp_with_eight_vcpus() {
    let config = "tests/configs/smp-test-8.toml";
    passes(Board::Virt.boots(image::with_config(config)));
}

/// Four vCPUs that mean harm, to the interrupt controller above all.
fn hostile(board: Board) {
    let run = board
        .boots(image::with_config("tests/configs/hostile-smp.toml"))
        .alone()
        .limit(400)
        .until_it_ends();
    run.powers_off();
    run.require(
        run.count("hostile-smp: all answered") == 1,
        "it should have come to its end",
    );
}

#[track_caller]
fn passes(run: Run) {
    let run = run.alone().limit(600).until_it_ends();
    run.powers_off();
    run.require(run.count("smp-test: FAIL") == 0, "no CPU should complain");
    let steps = run.lines.iter().filter(|line| line.ends_with(": PASS"));
    let all = 13;
    run.require(steps.count() == all, "all steps should have passed");
    run.require(
        run.count("smp-test: passed on ") == 1,
        "it should have come to its end",
    );
}
