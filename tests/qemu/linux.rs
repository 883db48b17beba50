//! Debian's Linux at work, taken back and forth meanwhile.

use std::path::Path;
use std::time::Duration;

use crate::board::Board;
use crate::fetched;
use crate::image::{self, ROOT};
use crate::on_both_boards;
use crate::random::Random;
use crate::run::plain_qemu;
use crate::session::Session;
use crate::transcript::Transcript;

on_both_boards!(one_vcpu, two_vcpus, four_vcpus, beside_another_vm);

/// The shell's prompt.
const PROMPT: &str = "/ # ";

/// How often a workload is taken back.
const RESTORES: u32 = 200;

/// What every kernel says first: dmesg is there.
const FIRST: &str = "Booting Linux";

/// What no kernel says with which all is well.
const COMPLAINTS: &str = "stall|lockup|hung task|oops|panic|BUG|WARNING|Call trace|bad irq|nobody cared|\
    unexpected interrupt|spurious|unstable|time skew|went backwards|scheduling while atomic|corrupt";

/// Waits for the shell, and has it start the workload.
fn starts_working(linux: &mut Session, workers: u32) {
    linux.expect(PROMPT);
    linux.send(&format!("workload {workers} &\n"));
    linux.expect("workload: started");
}

/// The workload ends, all of it went right, and so does the rest of the system.
fn expect_workload_passed(linux: &mut Session) {
    linux.send("touch /stop\n");
    let (verdict, parts) = linux.expect_one_of(&["workload: passed\n", "workload: FAILED\n"]);
    linux.require(verdict == 0, "the workload should have passed");
    linux.require(
        !parts.contains(": 0 "),
        "each part of it should have worked",
    );
    let found = linux.shell(&format!("dmesg | grep -iE '{FIRST}|{COMPLAINTS}'"));
    let only_the_first = found.contains(FIRST) && found.lines().count() == 1;
    linux.require(only_the_first, "dmesg should have no complaints");
}

fn powers_off(mut linux: Session) -> Transcript {
    linux.send("poweroff\n");
    let run = linux.until_it_ends();
    run.powers_off();
    run
}

fn one_vcpu(board: Board) {
    back_and_forth(board, "tests/configs/linux-1.toml", 1);
}

fn two_vcpus(board: Board) {
    back_and_forth(board, "configs/linux.toml", 2);
}

fn four_vcpus(board: Board) {
    back_and_forth(board, "tests/configs/linux-4.toml", 4);
}

/// The workload is checkpointed and restored at moments of all kinds, and does not notice.
fn back_and_forth(board: Board, config: &str, vcpus: u32) {
    if !fetched::are_there() {
        return;
    }
    let run = board.boots(image::with_config(config)).limit(600);
    // As many cores as vCPUs, where the board can have them.
    let run = match board {
        Board::Virt => run.set("SMP", &vcpus.to_string()).cores(vcpus as usize),
        Board::Rpi4 => run.cores(4),
    };
    let mut linux = run.session();
    starts_working(&mut linux, vcpus);
    let processors = linux.shell("nproc");
    linux.require(processors.trim() == vcpus.to_string(), "it should have all");
    // QEMU has a seed for `virt` only.
    if board == Board::Virt {
        let seeded = linux.shell("dmesg | grep -cF '[    0.000000] random: crng init done'");
        linux.require(seeded == "1\n", "its random numbers should have a seed");
    }
    let mut random = Random::new(u64::from(vcpus));
    let mut ids = Vec::new();
    for _ in 0..RESTORES {
        linux.pause(Duration::from_micros(random.below(60_000)));
        ids.push(linux.checkpoint("linux"));
        linux.pause(Duration::from_micros(random.below(60_000)));
        // Mostly back to the newest, so that the work gets on.
        let back = random.below(8).saturating_sub(4) as usize;
        let id = ids[ids.len().saturating_sub(1 + back)];
        linux.restore("linux", id);
    }
    linux.monitor("stats linux");
    linux.expect(&format!("linux: taken back {RESTORES} times"));
    expect_workload_passed(&mut linux);
    powers_off(linux);
}

/// What the chapter on Linux shows, on the board that its transcripts are not played on (`book`).
#[test]
fn a_day_at_the_shell_of_a_pi() {
    if !fetched::are_there() {
        return;
    }
    let mut linux = Board::Rpi4
        .boots(image::with_config("configs/linux.toml"))
        .session();
    linux.expect(PROMPT);
    let programs = linux.shell("ls /bin | wc -l");
    linux.shell("echo important > /file");
    linux.expect(PROMPT);
    let id = linux.checkpoint("linux");
    linux.shell("rm -rf /bin /file");
    let left = linux.shell("ls /");
    let gone = !left.contains("bin") && !left.contains("file");
    linux.require(gone, "neither should be left");
    linux.restore("linux", id);
    let kept = linux.shell("cat /file");
    linux.require(kept == "important\n", "it should be there");
    let kept = linux.shell("ls /bin | wc -l");
    linux.require(kept == programs, "and so should they");
    powers_off(linux);
}

/// Two VMs, of which one is taken back again and again, and the other takes itself back: neither disturbs the other.
fn beside_another_vm(board: Board) {
    if !fetched::are_there() {
        return;
    }
    let mut both = board
        .boots(image::with_config("tests/configs/side-by-side.toml"))
        .session();
    // It is busy printing: while it does, Linux has no line to itself.
    both.expect("snapshots| ckpt #4, i=50\n");
    both.monitor("pause snapshots");
    both.expect("snapshots is paused\n");
    starts_working(&mut both, 2);
    both.monitor("resume snapshots");
    let id = both.checkpoint("linux");
    for _ in 0..50 {
        both.pause(Duration::from_millis(50));
        both.restore("linux", id);
    }
    both.pause(Duration::from_secs(1));
    both.monitor("pause snapshots");
    both.expect("snapshots is paused\n");
    expect_workload_passed(&mut both);
    both.monitor("resume snapshots");
    both.send("poweroff\n");
    both.expect("AVISOR INFO: linux: off");
    for _ in 0..3 {
        both.expect("snapshots| ckpt #4, i=50\n");
    }
    let run = both.stop();
    let rounds = ["ckpt #2, i=30", "ckpt #3, i=40", "ckpt #4, i=50"];
    let checkpoints = ["ckpt #0, i=10", "ckpt #1, i=20"];
    let expected = checkpoints.into_iter().chain(rounds.into_iter().cycle());
    let lines = run.lines.iter().rev().skip(1).rev();
    let shown: Vec<&str> = lines
        .filter_map(|line| line.strip_prefix("snapshots| "))
        .collect();
    let undisturbed = shown.iter().copied().eq(expected.take(shown.len()));
    run.require(
        undisturbed && shown.len() > 100,
        "it should have gone round and round",
    );
}

/// A user program finds a window in the device tree, and maps it; what it stores there another VM sees, and a restore does not take back.
#[test]
fn a_window_from_a_user_program() {
    if !fetched::are_there() {
        return;
    }
    let mut linux = Board::Virt
        .boots(image::with_config("tests/configs/linux-window.toml"))
        .session();
    linux.expect(PROMPT);
    let nodes = linux.shell("ls -d /proc/device-tree/reserved-memory/*@*");
    let node = "/proc/device-tree/reserved-memory/shared@400000000";
    linux.require(nodes.trim() == node, "one window should be in the tree");
    let reg = linux.shell(&format!("hexdump -e '8/1 \"%02x\" \"\\n\"' {node}/reg"));
    let expected = "0000000400000000\n0000000000005000\n";
    linux.require(reg == expected, "it should say where it is");
    let word = |linux: &mut Session, offset: u32| {
        linux.shell(&format!(
            "devmem {:#x} 64",
            0x4_0000_0000_u64 + u64::from(offset)
        ))
    };
    let ask = |linux: &mut Session, question: u64| {
        linux.shell(&format!("devmem 0x400000000 64 {question}; usleep 100000"));
    };
    let found = word(&mut linux, 0);
    linux.require(found == "0x0000000000000000\n", "it should be zero");
    ask(&mut linux, 41);
    let answer = word(&mut linux, 8);
    linux.require(answer == "0x000000000000002A\n", "it should be answered");
    let id = linux.checkpoint("linux");
    ask(&mut linux, 1000);
    linux.restore("linux", id);
    let answers = [word(&mut linux, 0), word(&mut linux, 8)];
    let kept = answers == ["0x00000000000003E8\n", "0x00000000000003E9\n"];
    linux.require(kept, "neither should be taken back");
    // The doorbell, which nobody listens to.
    linux.shell("devmem 0x400004000 32 1");
    let rung = word(&mut linux, 0x4000);
    linux.require(rung == "0x0000000000000000\n", "it should read zero");
    ask(&mut linux, u64::MAX);
    powers_off(linux);
}

/// The workload and what judges it, where nothing takes Linux back and forth.
#[test]
fn works_without_avisor() {
    if !fetched::are_there() {
        return;
    }
    let files = Path::new(ROOT).join("target/linux");
    let mut linux = plain_qemu()
        .arguments(
            "-M virt,gic-version=2 -cpu cortex-a72 -smp 2 -m 256M -append console=ttyAMA0 -kernel",
        )
        .argument(files.join("Image"))
        .arguments("-initrd")
        .argument(files.join("initrd"))
        .session();
    starts_working(&mut linux, 2);
    linux.pause(Duration::from_secs(3));
    expect_workload_passed(&mut linux);
    powers_off(linux);
}
