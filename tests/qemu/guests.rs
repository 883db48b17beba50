//! Guest programs, and what each must show.

use crate::board::Board;
use crate::image;
use crate::on_both_boards;
use crate::run::Run;
use crate::transcript::Transcript;

on_both_boards!(
    snapshots,
    snapshots_on_demand,
    restore_loop,
    self_test,
    exhaust_on_demand,
    exhaust_reserved,
    reset,
    reset_while_time_passes,
    crash,
    periodic,
    windows,
);

/// How the program `snapshots` begins: its first pool is full.
pub const FIRST_POOL: &str = "AVISOR INFO: {banner}
     AVISOR INFO: snapshots: 128 MiB of RAM, Elf image, entered at 0x40080000
     ckpt #0, i=10
     AVISOR INFO: new snapshot pool size: 384MB
     ckpt #1, i=20
     ckpt #2, i=30
     ckpt #3, i=40\n";

/// How it ends: no other pool fits, and without the first one there is no way back.
pub const WITHOUT_THE_FIRST: &str =
    "AVISOR INFO: freed the oldest snapshot pool: snapshots #0 to #2, {n} pages
     AVISOR INFO: new snapshot pool size: 384MB
     ckpt #4, i=50
     AVISOR ERROR: invalid snapshot id
     restore of #1 was refused: it is gone
     AVISOR INFO: snapshots: off";

/// The scenario that `make run` shows: two pools of three snapshots fit, the third frees the first.
fn snapshots(board: Board) {
    let second_pool_and_back = "AVISOR INFO: new snapshot pool size: 384MB
                                ckpt #4, i=50
                                ckpt #2, i=30
                                ckpt #3, i=40\n";
    let run = board
        .boots(image::with_config("configs/default.toml"))
        .until_it_ends();
    run.succeeds(&[FIRST_POOL, second_pool_and_back, WITHOUT_THE_FIRST].concat());
}

/// The same with the other accounting. Snapshots hold a few pages each, none of them goes, and the restore of 1 succeeds
/// every time: the guest goes round, and a pool is made with every round.
fn snapshots_on_demand(board: Board) {
    let begin = "AVISOR INFO: {banner}
                 AVISOR INFO: snapshots: 128 MiB of RAM, Elf image, entered at 0x40080000
                 ckpt #0, i=10
                 AVISOR INFO: new snapshot pool size: 384MB
                 ckpt #1, i=20\n";
    let round = "ckpt #2, i=30
                 ckpt #3, i=40
                 AVISOR INFO: new snapshot pool size: 384MB
                 ckpt #4, i=50\n";
    // A guest may cause 100 lines of the log in a while.
    let rounds = 95;
    let run = board.boots(image::with_config("configs/snapshots-on-demand.toml"));
    run.until_lines(5 + rounds * 4)
        .goes_on(&format!("{begin}{}", round.repeat(rounds)));
}

/// What that comes to: memory is full after thousands of snapshots, and the pool with #1 is the first to go.
#[test]
fn thousands_of_snapshots() {
    let image = image::with_config("tests/configs/large-pools.toml");
    let run = Board::Virt.boots(image).set("MEM", "256M").until_it_ends();
    run.powers_off();
    run.require(run.count("ckpt #") > 10_000, "more snapshots should fit");
    run.require(run.count("AVISOR INFO: freed ") == 1, "one pool should go");
    run.require(
        run.count("AVISOR ERROR: ") == 1,
        "one restore should be refused",
    );
}

/// A value in memory and one in a register, brought back again and again.
fn restore_loop(board: Board) {
    let begin = "AVISOR INFO: {banner}
                 AVISOR INFO: restore-loop: 128 MiB of RAM, Elf image, entered at 0x40080000
                 --------- Initialize ---------
                 Initial state: i(static)=0, j(register)=1131796
                 AVISOR INFO: new snapshot pool size: 384MB\n";
    let again = "After checkpoint, i(static)=0, j(register)=1131796
                 After modification, i(static)=10, j(register)=20
                 --------- Restore snapshot ---------\n";
    let run = board.boots(image::with_config("configs/restore-loop.toml"));
    run.until_lines(5 + 100 * 3)
        .goes_on(&format!("{begin}{}", again.repeat(100)));
}

/// Everything that a snapshot must bring back, and everything that the machine must answer.
fn self_test(board: Board) {
    let run = board
        .boots(image::with_config("tests/configs/self-test.toml"))
        .until_it_ends();
    crate::self_test::check_self_test(&run);
}

const TOO_MANY: &str = "AVISOR WARN: too many lines: ";

/// A million things that a guest must not do. Its one vCPU needs one core.
#[test]
fn hostile_on_one_core() {
    let run = Board::Virt
        .boots(image::with_config("tests/configs/hostile.toml"))
        .set("SMP", "1")
        .limit(300)
        .until_it_ends();
    answers_all_tries(&run, 1_000_000);
}

/// The first quarter of them, where others take part in the maintenance of TLBs.
#[test]
fn hostile_on_a_pi() {
    let run = Board::Rpi4
        .boots(image::with_config("tests/configs/hostile-fewer.toml"))
        .cores(4)
        .limit(300)
        .until_it_ends();
    answers_all_tries(&run, 250_000);
}

/// The first quarter, where memory is nearly always full, and nearly everything that takes some frees the oldest snapshots first.
#[test]
fn hostile_without_memory() {
    let run = Board::Virt
        .boots(image::with_config("tests/configs/hostile-on-demand.toml"))
        .set("MEM", "64M")
        .limit(300)
        .until_it_ends();
    answers_all_tries(&run, 250_000);
    // Nobody deletes all of the first ones.
    let oldest = run
        .lines
        .iter()
        .find_map(|line| line.strip_prefix("hostile: the oldest snapshot is #"));
    let oldest = oldest.and_then(|id| id.parse::<u64>().ok());
    run.require(
        oldest.is_some_and(|id| id >= 100),
        "memory should have run out often",
    );
}

#[track_caller]
fn answers_all_tries(run: &Transcript, tries: u32) {
    run.powers_off();
    // The tries store to the UART, too, so that anything may stand before or between these.
    let end = [
        &format!("hostile: {tries} tries, all answered"),
        "AVISOR INFO: hostile: off",
    ];
    // How many lines too many there were is said when it is over, if there were any.
    let said = |line: &&String| !line.starts_with(TOO_MANY);
    let last = run.lines.iter().rev().filter(said).take(end.len());
    run.require(last.eq(end.iter().rev()), "it should have come to its end");
}

/// More snapshots than fit: what a store needs, the oldest ones give.
fn exhaust_on_demand(board: Board) {
    exhaust(
        board,
        "tests/configs/exhaust-on-demand.toml",
        ["true", "false"],
    );
}

/// More snapshots than fit: a store never frees one, for all that it can need is set aside.
fn exhaust_reserved(board: Board) {
    exhaust(
        board,
        "tests/configs/exhaust-reserved.toml",
        ["false", "true"],
    );
}

fn exhaust(board: Board, config: &str, [by_stores, by_checkpoints]: [&str; 2]) {
    let run = board.boots(image::with_config(config));
    // The Raspberry Pi has what it has; that is full later.
    let run = match board {
        Board::Virt => run.set("MEM", "256M"),
        Board::Rpi4 => run,
    };
    let run = run.until_it_ends();
    run.powers_off();
    let expected = [
        "exhaust: 96 checkpoints",
        &format!("exhaust: snapshots were freed by stores: {by_stores}"),
        &format!("exhaust: snapshots were freed by checkpoints: {by_checkpoints}"),
        "exhaust: the latest snapshot is right",
        "exhaust: the oldest snapshot is right",
        "exhaust: the latest snapshot is right again",
    ];
    run.require(
        run.guest_lines().eq(expected),
        "the guest should have printed something else",
    );
}

/// Memory that is touched for the first time when half of RAM is there twice, and no more fits. The snapshot is gone at once, but what it held is
/// freed as it is needed: this guest ends before all of it was, which is what a line would say.
#[test]
fn absent_blocks_when_memory_is_full() {
    let image = image::with_config("tests/configs/absent.toml");
    let run = Board::Virt.boots(image).set("MEM", "1G").until_it_ends();
    run.succeeds(
        "AVISOR INFO: {banner}
         AVISOR INFO: absent: 720 MiB of RAM, Elf image, entered at 0x40080000
         AVISOR INFO: new snapshot pool size: 2160MB
         absent: the snapshot was freed: true
         absent: the last blocks came, all zero
         absent: all as it was stored: true
         AVISOR INFO: absent: off",
    );
}

/// PSCI SYSTEM_RESET: the image and zeros in RAM, and the snapshots that were there.
fn reset(board: Board) {
    back_across_a_reset(board, "tests/configs/reset.toml");
}

/// The same with `time = "passes"`: the counters, which began at 0 at the reset, do not stay behind those of the checkpoint.
fn reset_while_time_passes(board: Board) {
    back_across_a_reset(board, "tests/configs/reset-passes.toml");
}

fn back_across_a_reset(board: Board, config: &str) {
    let run = board.boots(image::with_config(config)).until_it_ends();
    run.succeeds(
        "AVISOR INFO: {banner}
         AVISOR INFO: reset: 128 MiB of RAM, Elf image, entered at 0x40080000
         reset: first start
         AVISOR INFO: new snapshot pool size: 384MB
         AVISOR INFO: reset: reset
         AVISOR INFO: reset: 128 MiB of RAM, Elf image, entered at 0x40080000
         reset: second start: RAM is zero: true, snapshot 0 is there
         reset: back before the reset: value 42, mark 8, RAM as it was: true, counters behind: false
         AVISOR INFO: reset: off",
    );
}

/// `on_reset = "restore"`: a guest that crashes goes back to its snapshot, as often as its plan allows, and then starts again.
fn crash(board: Board) {
    let run = board
        .boots(image::with_config("tests/configs/crash.toml"))
        .until_it_ends();
    run.succeeds(
        "AVISOR INFO: {banner}
         AVISOR INFO: crash: 128 MiB of RAM, Elf image, entered at 0x40080000
         crash: start, 0 restores so far
         AVISOR INFO: new snapshot pool size: 384MB
         crash: snapshot 0, and down
         AVISOR WARN: crash: reset; back to snapshot 0, try 1 of 2
         crash: back with 1, and down again
         AVISOR WARN: crash: reset; back to snapshot 0, try 2 of 2
         crash: back with 1, and down again
         AVISOR INFO: crash: reset
         AVISOR INFO: crash: 128 MiB of RAM, Elf image, entered at 0x40080000
         crash: start, 2 restores so far
         AVISOR INFO: crash: off",
    );
}

/// `checkpoint_every`: snapshots that the guest did not ask for.
fn periodic(board: Board) {
    let run = board
        .boots(image::with_config("tests/configs/periodic.toml"))
        .until_it_ends();
    run.succeeds(
        "AVISOR INFO: {banner}
         AVISOR INFO: periodic: 128 MiB of RAM, Elf image, entered at 0x40080000
         AVISOR INFO: new snapshot pool size: 384MB
         periodic: three snapshots
         AVISOR INFO: periodic: off",
    );
}

/// Two guests share memory, which no restore or reset of one takes back.
fn windows(board: Board) {
    share_windows(board.boots(image::with_config("tests/configs/windows.toml")));
}

/// The same where both have one core.
#[test]
fn windows_on_one_core() {
    let run = Board::Virt.boots(image::with_config("tests/configs/windows.toml"));
    share_windows(run.set("SMP", "1"));
}

#[track_caller]
fn share_windows(run: Run) {
    let run = run.until_it_ends();
    run.powers_off();
    let expected = [
        "keeper| windows: 20 and 2048 KiB, zero: true",
        "keeper| windows: edges: right",
        "keeper| windows: edges: right",
        "keeper| windows: the peer's stores are there: true",
        "keeper| windows: after a restore: as the peer left it: true, the own one too: true, RAM is back: true",
        "keeper| windows: after a reset: as the peer left it: true, RAM is new: true",
        "keeper| windows: the own one: as it was before the reset: true",
    ];
    run.require(
        run.guest_lines().eq(expected),
        "the guests should have printed something else",
    );
}
