//! The fuzzer with the targets in guest/fuzz-targets: that it finds each bug within so many rounds, and nothing where it is mended; what it leaves
//! on the disk; and inputs run once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::board::Board;
use crate::fetched;
use crate::image::{ROOT, folder};
use crate::on_both_boards;
use crate::transcript::Transcript;

on_both_boards!(planted);

/// A campaign: the folder that `tools/fuzz` works in.
pub struct Campaign {
    folder: PathBuf,
    target: String,
}

impl Campaign {
    /// One that nothing is in so far.
    pub fn new(name: &str, target: &str) -> Self {
        let campaign = Self::there(name, target);
        // Of an earlier run of the tests.
        let _ = fs::remove_dir_all(&campaign.folder);
        campaign
    }

    /// One that may be there.
    pub fn there(name: &str, target: &str) -> Self {
        Self {
            folder: folder("fuzz").join(name),
            target: target.to_owned(),
        }
    }

    /// `tools/fuzz` with these settings, such as `ROUNDS=10`.
    fn command(&self, settings: &str) -> Command {
        let mut command = Command::new("tools/fuzz");
        command.current_dir(ROOT);
        command.env("CARGO_TARGET_DIR", folder("fuzz-build"));
        command.env("FOLDER", &self.folder);
        command.env("TARGET", &self.target);
        for setting in settings.split_whitespace() {
            let (name, value) = setting.split_once('=').expect("a name and a value");
            command.env(name, value);
        }
        command
    }

    /// Builds with these settings, and boots that until it ends.
    pub fn runs(&self, board: Board, settings: &str) -> Transcript {
        let image = self.image(&mut self.command(settings));
        board.boots(image).cores(4).limit(600).until_it_ends()
    }

    /// Runs one input, and tells what is shown of it.
    pub fn replays(&self, board: Board, input: impl AsRef<Path>) -> Transcript {
        let mut command = self.command("");
        command.env("REPLAY", input.as_ref());
        let image = self.image(&mut command);
        let run = board.boots(image).cores(4).limit(600).until_it_ends();
        run.powers_off();
        run
    }

    fn image(&self, command: &mut Command) -> PathBuf {
        // All images come out of one folder.
        static ONE: Mutex<()> = Mutex::new(());
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let output = command.arg("--build").output().expect("it starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "it does not build:\n{errors}");
        let path = String::from_utf8(output.stdout).expect("a path");
        PathBuf::from(path.trim_end())
    }

    /// The files of `default/WHERE`: names and contents, in their order.
    fn files(&self, place: &str) -> Vec<(String, Vec<u8>)> {
        files(&self.folder.join("default").join(place))
    }

    /// The path of the first crash.
    fn first_crash(&self) -> PathBuf {
        let name = &self.files("crashes")[0].0;
        self.folder.join("default/crashes").join(name)
    }
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap_or_else(|why| panic!("{folder:?}: {why}"));
    let mut files: Vec<_> = entries
        .map(|entry| {
            let path = entry.expect("readable").path();
            let name = path.file_name().expect("it has one").to_string_lossy();
            (name.into_owned(), fs::read(&path).expect("a file"))
        })
        .collect();
    files.sort();
    files
}

/// A bug behind four bytes and a length, from zeros; then the run goes on, and the crash is run once.
fn planted(board: Board) {
    let campaign = Campaign::new(&format!("planted-{}", board.name()), "planted");
    let run = campaign.runs(board, "SEED=1 ROUNDS=60000 UNTIL_CRASH=1");
    run.powers_off();
    let crashes = campaign.files("crashes");
    run.require(crashes.len() == 1, "it finds the bug");
    let (name, bytes) = &crashes[0];
    assert!(name.starts_with("id:000000,sig:06,src:"), "{name}");
    assert!(bytes.starts_with(b"AVIS"), "{bytes:?}");

    let plot = fs::read_to_string(campaign.folder.join("default/plot_data")).expect("it is there");
    let columns = plot.lines().map(|line| line.split(", ").count());
    assert!(
        columns.clone().count() >= 2 && columns.clone().all(|n| n == 13),
        "{plot}"
    );

    let found = campaign.files("queue");
    let run = campaign.runs(board, "SEED=2 ROUNDS=500");
    run.powers_off();
    assert_eq!(campaign.files("crashes").len(), 1, "it is known: {run}");
    // What the first run kept is there, under its names.
    let kept = campaign.files("queue");
    assert!(kept.len() >= found.len(), "{found:?} {kept:?}");
    assert_eq!(kept[0].0, found[0].0);

    let replay = campaign.replays(board, campaign.first_crash());
    let text = replay.lines.join("\n");
    let says = |part: &str| replay.require(text.contains(part), part);
    says("bytes: crash");
    says("  panicked at src/bin/planted.rs:");
    says("out of range for slice of length");
    replay.require(replay.count("  called from 0x4008") >= 2, "a call chain");
}

#[test]
fn planted_in_c() {
    let campaign = Campaign::new("planted-c", "planted-c");
    let run = campaign.runs(Board::Virt, "SEED=1 ROUNDS=60000 UNTIL_CRASH=1");
    run.powers_off();
    run.require(campaign.files("crashes").len() == 1, "it finds the bug");
    let replay = campaign.replays(Board::Virt, campaign.first_crash());
    let text = replay.lines.join("\n");
    // A data abort from the same exception level.
    replay.require(text.contains("(EC 0x25)"), "an exception");
    replay.require(text.contains("  x28 0x"), "registers");
}

/// AFL++'s own script adds up the jobs of a campaign.
#[test]
fn afl_whatsup_reads_it() {
    let Some(scripts) = fetched::afl() else {
        return;
    };
    let campaign = Campaign::new("whatsup", "planted");
    let run = campaign.runs(
        Board::Virt,
        "SEED=1 ROUNDS=3000 JOBS=2 MENDED=1 LIMIT_MS=2000",
    );
    run.powers_off();
    let mut script = Command::new("bash");
    script.arg(scripts.join("afl-whatsup")).args(["-s", "-d"]);
    // It has colours where there is a terminal.
    let output = script.arg(&campaign.folder).env("TERM", "dumb").output();
    let output = output.expect("there is a shell");
    let text = String::from_utf8_lossy(&output.stdout);
    let value = |key: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(" : "));
        lines
            .find(|(name, _)| name.trim() == key)
            .map(|(_, value)| value.trim())
    };
    assert_eq!(value("Total execs"), Some("6 thousands"), "{text}");
    assert_eq!(value("Crashes saved"), Some("0"), "{text}");
}

/// What nobody planted.
#[test]
fn a_device_tree_with_nops() {
    let campaign = Campaign::new("fdt", "fdt");
    let run = campaign.runs(Board::Virt, "SEED=1 ROUNDS=400000 UNTIL_CRASH=1");
    run.powers_off();
    let crashes = campaign.files("crashes");
    run.require(crashes.len() == 1, "it finds the bug");
    let words = crashes[0].1.chunks_exact(4);
    assert!(words.clone().any(|word| word == [0, 0, 0, 4]), "a NOP");
    let replay = campaign.replays(Board::Virt, campaign.first_crash());
    let text = replay.lines.join("\n");
    let is_the_bug = text.contains("fdt-0.1.5/src/node.rs:") && text.contains("bad node");
    replay.require(is_the_bug, "the bug of the parser");
}

#[test]
fn nothing_where_the_bugs_are_mended() {
    for target in ["planted", "planted-c", "fdt"] {
        let campaign = Campaign::new(&format!("{target}-mended"), target);
        let run = campaign.runs(Board::Virt, "SEED=1 ROUNDS=20000 MENDED=1 LIMIT_MS=2000");
        run.powers_off();
        let found = campaign.files("crashes").len() + campaign.files("hangs").len();
        run.require(found == 0, "there is nothing to find");
        run.require(campaign.files("queue").len() >= 3, "it gets somewhere");
    }
}

/// Panic, exception, reset, off, and what takes too long: each is found once, and the next round is none the worse.
#[test]
fn every_way_to_end() {
    let campaign = Campaign::new("endings", "endings");
    let run = campaign.runs(Board::Virt, "SEED=1 ROUNDS=2000");
    run.powers_off();
    let firsts = |place: &str| -> Vec<u8> {
        let files = campaign.files(place);
        let mut firsts: Vec<_> = files.iter().map(|(_, bytes)| bytes[0]).collect();
        firsts.sort();
        firsts
    };
    run.require(firsts("crashes") == [1, 2, 4, 5], "four crashes");
    // Time is the host's: where that is busy, others may take too long, too.
    let hangs = campaign.files("hangs");
    let hang = hangs.iter().find(|(_, bytes)| bytes[0] == 3);
    run.require(hang.is_some(), "one that takes too long");
    let hang = campaign
        .folder
        .join("default/hangs")
        .join(&hang.expect("see above").0);
    let replay = campaign.replays(Board::Virt, &hang);
    let said = replay
        .lines
        .iter()
        .any(|line| line.ends_with(": it took longer than the limit"));
    replay.require(said, "a hang is told");
}

/// User programs in Linux: what crashes the program, and what makes the kernel panic.
#[test]
fn a_kernel_that_panics() {
    if !fetched::are_there() {
        return;
    }
    let campaign = Campaign::new("panic", "panic");
    let run = campaign.runs(Board::Virt, "SEED=1 ROUNDS=600 LIMIT_MS=2000");
    run.powers_off();
    let crashes = campaign.files("crashes");
    let is_there = |word: &[u8]| crashes.iter().any(|(_, bytes)| bytes.starts_with(word));
    run.require(is_there(b"aric") && is_there(b"bort"), "both");
    let replays = |word: &[u8]| {
        let (name, _) = crashes
            .iter()
            .find(|(_, bytes)| bytes.starts_with(word))
            .expect("see above");
        let crash = campaign.folder.join("default/crashes").join(name);
        campaign.replays(Board::Virt, crash)
    };
    let replay = replays(b"bort");
    // In abort(), what that calls, and in the program.
    let calls = replay.lines.iter();
    let calls = calls.filter(|line| line.starts_with("  called from 0x4"));
    replay.require(calls.count() >= 3, "a call chain");
    let replay = replays(b"aric");
    let says = |text: &str| replay.lines.iter().any(|line| line.contains(text));
    replay.require(
        says("Kernel panic - not syncing: sysrq triggered crash"),
        "the kernel's words",
    );
    replay.require(says("it reset its machine"), "how it ended");
}

/// A library of Debian's, in C, in Linux.
#[test]
fn libpng() {
    if !fetched::are_there() || !fetched::has_sources_of_png() {
        return;
    }
    let campaign = Campaign::new("png", "png");
    let run = campaign.runs(Board::Virt, "SEED=1 ROUNDS=1500 LIMIT_MS=5000");
    run.powers_off();
    run.require(campaign.files("crashes").is_empty(), "nothing crashes");
    run.require(campaign.files("queue").len() >= 30, "it gets somewhere");
}

/// Two pairs of VMs: each job has files of its own, and what the other found among them.
#[test]
fn jobs_share_what_they_find() {
    let campaign = Campaign::new("jobs", "fdt");
    let run = campaign.runs(
        Board::Virt,
        "SEED=1 ROUNDS=6000 JOBS=2 MENDED=1 LIMIT_MS=2000",
    );
    run.powers_off();
    let both = ["default/queue", "job-1/queue"].map(|queue| files(&campaign.folder.join(queue)));
    for queue in &both {
        let given = queue.iter().filter(|(name, _)| name.contains(",sync:job,"));
        run.require(given.count() > 0, "something of the other job");
    }
    run.require(
        run.lines
            .iter()
            .any(|line| line.ends_with("; all 2 jobs: 12000 rounds")),
        "a sum",
    );
    // Both queues are what the next run begins with.
    let run = campaign.runs(Board::Virt, "SEED=1 ROUNDS=200 MENDED=1 LIMIT_MS=2000");
    run.powers_off();
    assert!(campaign.files("queue").len() >= both[0].len(), "{run}");
}

/// Two machines with one folder, as AFL++'s fuzzers have it.
#[test]
fn machines_share_by_their_queue_folders() {
    let campaign = Campaign::new("machines", "fdt");
    let image = |name: &str, settings: &str| {
        let settings = format!("INSTANCE={name} MENDED=1 LIMIT_MS=2000 {settings}");
        campaign.image(&mut campaign.command(&settings))
    };
    let runs = |name: &str, image: PathBuf| {
        let folder = campaign.folder.to_str().expect("a path without surprises");
        let given = format!("{folder}/build/{name}/given");
        let run = Board::Virt.boots_by("tools/fuzz-sync", &[folder, name, &given], image);
        run.limit(600).until_it_ends().powers_off();
    };
    let queue = |name: &str| files(&campaign.folder.join(name).join("queue"));
    let both = [("one", "SEED=1"), ("two", "SEED=2")].map(|(name, seed)| {
        let settings = format!("{seed} SECONDS_MAX=8");
        (name, image(name, &settings))
    });
    thread::scope(|scope| {
        for (name, image) in both {
            scope.spawn(move || runs(name, image));
        }
    });
    // One that comes later has what they found before it finds anything itself.
    runs("three", image("three", "SEED=3 ROUNDS=500"));
    let (one, two, three) = (queue("one"), queue("two"), queue("three"));
    let given = three.iter().filter_map(|(name, bytes)| {
        let (_, from) = name.split_once(",sync:")?;
        let (by, from) = from.split_once(",src:")?;
        let theirs = if by == "one" { &one } else { &two };
        let prefix = format!("id:{},", from.get(..6)?);
        let (_, theirs) = theirs.iter().find(|(name, _)| name.starts_with(&prefix))?;
        // It may have been made shorter since.
        Some(theirs.len() >= bytes.len())
    });
    assert!(given.clone().count() > 5, "{three:?}");
    assert!(given.clone().all(|is_it| is_it), "{three:?}");
    // And one that was there has what came after its end.
    runs("one", image("one", "SEED=1 ROUNDS=500"));
    let edges = |name: &str| {
        let stats = campaign.folder.join(name).join("fuzzer_stats");
        let stats = fs::read_to_string(stats).expect("it is there");
        let mut lines = stats.lines();
        let edges = lines.find_map(|line| line.strip_prefix("edges_found       : "));
        edges.map_or(0, |edges| edges.parse::<u64>().expect("a number"))
    };
    assert!(edges("two") > 10 && edges("one") >= edges("two"));
}

/// Without semihosting, as on a board: the console has all that the files have.
#[test]
fn files_out_of_a_log() {
    let campaign = Campaign::new("log", "planted");
    let run = campaign.runs(Board::Virt, "SEED=1 ROUNDS=60000 UNTIL_CRASH=1 LOG=1");
    let log = campaign.folder.join("log");
    fs::write(&log, run.lines.join("\r\n")).expect("writable");
    let made = campaign.folder.join("made");
    let done = Command::new("tools/fuzz-log")
        .arg(&made)
        .current_dir(ROOT)
        .stdin(fs::File::open(&log).expect("it was just made"))
        .status();
    assert!(done.expect("it starts").success());
    assert_eq!(campaign.files("crashes"), [], "{run}");
    let crashes = files(&made.join("crashes"));
    assert_eq!(crashes.len(), 1, "{run}");
    assert!(crashes[0].1.starts_with(b"AVIS"), "{crashes:?}");
    let queue = files(&made.join("queue"));
    assert!(queue.len() >= 5 && queue.iter().all(|(_, bytes)| !bytes.is_empty()));
    let stats = fs::read_to_string(made.join("fuzzer_stats")).expect("it is there");
    assert!(stats.contains("\nsaved_crashes     : 1\n"), "{stats}");
}
