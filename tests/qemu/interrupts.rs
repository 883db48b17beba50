//! Guests with interrupts and several CPUs: what one CPU sees of them, a storm of all that is restored in the midst, and harm.
//!
//! The Pi has four cores, which no test can change. On `virt` there are as many as a test says; two run at the same time wherever these tests do.

use crate::board::Board;
use crate::image;
use crate::on_both_boards;
use crate::run::Run;

on_both_boards!(one_cpu);

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
#[test]
fn smp_on_four_cores() {
    passes(
        Board::Rpi4
            .boots(image::with_config("tests/configs/smp-test.toml"))
            .cores(4),
    );
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
    passes(board.set("SMP", "2").cores(2));
}

/// As many vCPUs as there can be, four on each core.
#[test]
fn eight_vcpus_on_two_cores() {
    let board = Board::Virt.boots(image::with_config("tests/configs/smp-test-8.toml"));
    passes(board.set("SMP", "2").cores(2));
}

/// Two on each core.
#[test]
fn eight_vcpus_on_four_cores() {
    let board = Board::Virt.boots(image::with_config("tests/configs/smp-test-8.toml"));
    passes(board.set("SMP", "4").cores(4));
}

/// A core for each.
#[test]
fn eight_vcpus_on_eight_cores() {
    let board = Board::Virt.boots(image::with_config("tests/configs/smp-test-8.toml"));
    passes(board.set("SMP", "8").cores(8));
}

/// Four vCPUs that mean harm, to the interrupt controller above all, a core for each.
#[test]
fn hostile_on_four_cores() {
    hostile(
        Board::Rpi4
            .boots(image::with_config("tests/configs/hostile-smp.toml"))
            .cores(4),
    );
}

/// Two on each core.
#[test]
fn hostile_on_two_cores() {
    let board = Board::Virt.boots(image::with_config("tests/configs/hostile-smp.toml"));
    hostile(board.set("SMP", "2").cores(2));
}

#[track_caller]
fn hostile(run: Run) {
    let run = run.limit(400).until_it_ends();
    run.powers_off();
    // Before the first CPU is off, another may take back that it said so.
    run.require(
        run.count("hostile-smp: all answered") >= 1,
        "it should have come to its end",
    );
}

#[track_caller]
fn passes(run: Run) {
    let run = run.limit(600).until_it_ends();
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
