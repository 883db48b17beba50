//! `make bench-fuzz`: rounds a second of the fuzzer.
//!
//! First of a target in Linux (libpng), by Avisor's fuzzer and by what QEMU itself has: `loadvm` before each round. Both in this machine's QEMU, the same kernel, program and RAM. QEMU's rounds have it easier: the seed only, no fuzzer, nothing to look at.
//! Then of one, two and four jobs with a target that runs bare, each on an emulated core of its own.

use super::machine::{Builder, Machine, root, succeed};
use super::monitor::Monitor;
use super::savevm::qcow2;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Instant;

/// What the fuzzer says at these seconds is compared: it has a corpus by then.
const SECONDS: [u64; 2] = [10, 40];
/// So many times as many rounds a second of CPUs: below, this fails.
const LEAST: f64 = 100.0;
/// `loadvm` so often.
const TIMES: u32 = 60;
const TARGET: &str = "png";
/// Jobs, of a target that runs bare.
const JOBS: [u32; 3] = [1, 2, 4];
const JOBS_TARGET: &str = "fdt";
/// How many times the rounds of one job four do, where the machine has a CPU for each: below, this fails.
const LEAST_OF_FOUR: f64 = 3.0;
const SEED: &str = "fuzz/png/seeds/image.hex";

/// Rounds a second.
#[derive(Clone, Copy)]
struct Rate {
    /// Of the clock.
    clock: f64,
    /// Of the CPUs that QEMU had.
    cpu: f64,
}

/// A moment of a machine that runs.
struct Moment {
    clock: Instant,
    cpu: f64,
}

impl Moment {
    fn of(machine: &Machine) -> Result<Self, String> {
        Ok(Self {
            clock: Instant::now(),
            cpu: machine.cpu_seconds()?,
        })
    }

    /// So many rounds since then.
    fn rate(&self, rounds: u64, machine: &Machine) -> Result<Rate, String> {
        let now = Self::of(machine)?;
        let rounds = rounds as f64;
        Ok(Rate {
            clock: rounds / (now.clock - self.clock).as_secs_f64(),
            cpu: rounds / (now.cpu - self.cpu),
        })
    }
}

/// Prints the table.
pub fn print(builder: &Builder) -> Result<(), String> {
    let folder = builder.scratch()?.join("fuzz");
    // What an earlier run found would be what this one begins with.
    let _ = fs::remove_dir_all(&folder);
    let avisor = avisor(&image(builder, &folder, TARGET, 1)?, 1)?;
    let plain = plain(&folder, &folder.join("build/default"))?;
    println!("rounds a second, libpng in Linux with 128 MiB, all in this machine's QEMU");
    println!("{:<34} {:>12} {:>12}", "", "by the clock", "CPU seconds");
    for (name, rate) in [
        ("Avisor, its fuzzer", avisor),
        ("QEMU's loadvm, the seed", plain),
    ] {
        println!("{name:<34} {:>12.1} {:>12.1}", rate.clock, rate.cpu);
    }
    let times = [avisor.clock / plain.clock, avisor.cpu / plain.cpu];
    println!(
        "{:<34} {:>10.0} x {:>10.0} x",
        "Avisor is faster", times[0], times[1]
    );
    // The clock is everybody's on this machine, and judges nothing.
    let judged = match times[1] < LEAST {
        true => Err(format!("that is below {LEAST} times")),
        false => Ok(()),
    };
    judged.and(jobs(builder))
}

/// Prints the table of jobs.
fn jobs(builder: &Builder) -> Result<(), String> {
    println!();
    println!("rounds a second of all jobs, {JOBS_TARGET}, each on an emulated core of its own");
    println!(
        "{:<34} {:>12} {:>12}",
        "jobs", "by the clock", "CPU seconds"
    );
    let mut rates = Vec::new();
    for jobs in JOBS {
        let folder = builder.scratch()?.join(format!("fuzz-{jobs}"));
        let _ = fs::remove_dir_all(&folder);
        let rate = avisor(&image(builder, &folder, JOBS_TARGET, jobs)?, jobs)?;
        println!("{jobs:<34} {:>12.1} {:>12.1}", rate.clock, rate.cpu);
        rates.push(rate);
    }
    let [one, .., four] = rates[..] else {
        return Err("nothing was measured".into());
    };
    let times = four.clock / one.clock;
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let most = JOBS[2];
    println!("{most} do {times:.1} times the rounds of one by the clock, on {cpus} CPUs");
    println!(
        "and {:.1} times if each of them had a CPU, as far as CPU time tells",
        f64::from(most) * four.cpu / one.cpu
    );
    match cpus >= most as usize && times < LEAST_OF_FOUR {
        true => Err(format!(
            "that is below {LEAST_OF_FOUR} times, with {cpus} CPUs"
        )),
        false => Ok(()),
    }
}

/// Avisor with fuzzers and their targets, which `tools/fuzz` builds.
fn image(builder: &Builder, folder: &Path, target: &str, jobs: u32) -> Result<String, String> {
    let mut build = Command::new("tools/fuzz");
    build.arg("--build").current_dir(root());
    build.env("CARGO_TARGET_DIR", builder.target());
    build
        .env("FOLDER", folder)
        .env("TARGET", target)
        .env("SEED", "1");
    build.env("JOBS", jobs.to_string()).env("MENDED", "1");
    // On a machine with other work a round may have no CPU for long.
    build.env("LIMIT_MS", "2000");
    build.env("SECONDS_MAX", (SECONDS[1] + 60).to_string());
    let said = succeed(&mut build)?;
    let image = said.lines().last().map(str::to_owned);
    image.ok_or_else(|| "tools/fuzz --build names no image".into())
}

fn avisor(image: &str, jobs: u32) -> Result<Rate, String> {
    let mut command = Command::new("tools/qemu");
    command
        .arg(image)
        .env("BOARD", "virt")
        .env("SMP", jobs.to_string());
    command.env_remove("MEM").env_remove("QEMU_ARGS");
    let mut machine = Machine::start_at_once(command)?;
    let [first, last] = SECONDS;
    let rounds = machine.wait_until(|line| rounds_at(line, first))?;
    let start = Moment::of(&machine)?;
    let rounds = machine.wait_until(|line| rounds_at(line, last))? - rounds;
    start.rate(rounds, &machine)
}

/// How many rounds there were by then, of all jobs, if the line is the first job's at that second or after it.
fn rounds_at(line: &str, second: u64) -> Option<u64> {
    let line = line
        .strip_prefix("fuzz: ")
        .or_else(|| line.strip_prefix("fuzz 0: "))?;
    let (seconds, rest) = line.split_once(" s: ")?;
    let (mut rounds, more) = rest.split_once(" rounds, ")?;
    if let Some((_, all)) = more.split_once("; all ") {
        rounds = all.split_once(": ")?.1.strip_suffix(" rounds")?;
    }
    let is_then = seconds.parse::<u64>().ok()? >= second;
    is_then.then(|| rounds.parse().ok()).flatten()
}

/// QEMU with Linux and the program as it is under Avisor.
fn plain(scratch: &Path, built: &Path) -> Result<Rate, String> {
    let disk = scratch.join("loadvm.qcow2");
    fs::write(&disk, qcow2()).map_err(|error| format!("{}: {error}", disk.display()))?;
    let socket = Monitor::socket();
    let mut command = Command::new("qemu-system-aarch64");
    let machine =
        "-M virt,gic-version=2 -cpu cortex-a72 -m 128M -nic none -display none -serial stdio";
    command
        .args(machine.split(' '))
        .args(["-kernel", "target/linux/Image"]);
    command.arg("-initrd").arg(built.join("initrd"));
    command.args(["-append", "console=ttyAMA0 quiet panic=-1 alone=1"]);
    command.args([
        "-drive".to_owned(),
        format!("if=none,format=qcow2,file={}", disk.display()),
    ]);
    command.args(Monitor::arguments(&socket));
    let mut machine = Machine::start_at_once(command)?;
    let mut monitor = Monitor::connect(&socket)?;
    let seed = fs::read_to_string(root().join(SEED)).map_err(|error| format!("{SEED}: {error}"))?;
    machine.wait_for("fuzz: input")?;
    machine.send(&digits(&seed))?;
    machine.wait_for("fuzz: ready")?;
    monitor.timed("savevm a")?;
    let start = Moment::of(&machine)?;
    for _ in 0..TIMES {
        monitor.timed("loadvm a")?;
        machine.send("")?;
        machine.wait_for("fuzz: done")?;
    }
    let rate = start.rate(TIMES.into(), &machine);
    // Neither is worth keeping, nor worth failing for.
    let _ = fs::remove_file(disk);
    let _ = fs::remove_file(socket);
    rate
}

/// The digits of a seed that is a text, without comments.
fn digits(text: &str) -> String {
    let lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or(""));
    lines
        .flat_map(str::chars)
        .filter(char::is_ascii_hexdigit)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{digits, rounds_at};

    #[test]
    fn what_is_read() {
        let line = "fuzz: 20 s: 16139 rounds, 1613/s, 5 edges";
        assert_eq!(rounds_at(line, 20), Some(16139));
        assert_eq!(rounds_at(line, 10), Some(16139));
        assert_eq!(rounds_at(line, 30), None);
        let line = "fuzz 0: 20 s: 26419 rounds, 1338/s, 69 edges; all 4 jobs: 76763 rounds";
        assert_eq!(rounds_at(line, 20), Some(76763));
        assert_eq!(rounds_at(&line.replace("fuzz 0", "fuzz 1"), 20), None);
        assert_eq!(rounds_at("fuzz: 2 s: Crash { place: 1 }: x", 0), None);
        assert_eq!(digits("# a PNG\n8950  # cafe\n4e\n"), "89504e");
    }
}
