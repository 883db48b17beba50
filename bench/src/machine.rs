//! Builds images and guests, and boots them in QEMU.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::figures::{Figure, Figures};

/// The repository.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/");
const TRIPLE: &str = "aarch64-unknown-none-softfloat";
/// One nanosecond for each instruction, whatever else the host does.
pub const COUNTING: &str = "-icount shift=0,align=off,sleep=off";
/// A run that takes longer has gone wrong.
const LIMIT: Duration = Duration::from_secs(240);

/// A line that is about to come has come by then.
const SOON: Duration = Duration::from_secs(5);

/// How time passes in the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// By instructions.
    Counted,
    /// By the host's clock.
    Wall,
}

impl Time {
    fn arguments(self) -> &'static str {
        match self {
            Self::Counted => COUNTING,
            Self::Wall => "",
        }
    }
}

/// Builds in a target folder.
pub struct Builder {
    target: PathBuf,
}

impl Builder {
    pub fn new(target: &Path) -> Self {
        Self {
            target: target.to_owned(),
        }
    }

    /// The folder itself.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Where what is made and not kept can lie.
    pub fn scratch(&self) -> Result<PathBuf, String> {
        let folder = self.target.join("bench");
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(folder)
    }

    /// The image for a configuration of `bench/configs`, with the counter that the product has not.
    pub fn image(&self, config: &str) -> Result<PathBuf, String> {
        let mut cargo = self.cargo(&self.target);
        cargo
            .args(["--features", "bench"])
            .env("AVISOR_CONFIG", format!("bench/configs/{config}.toml"));
        cargo.env_remove("AVISOR_GUEST").env_remove("AVISOR_ELF");
        succeed(&mut cargo)?;
        let image = self.scratch()?.join(format!("{config}.img"));
        fs::copy(self.target.join(TRIPLE).join("release/avisor"), &image)
            .map_err(|error| format!("{}: {error}", image.display()))?;
        Ok(image)
    }

    /// The guest as an ELF, for plain QEMU.
    pub fn guest(&self) -> Result<PathBuf, String> {
        let target = self.target.join("guest");
        let mut cargo = self.cargo(&target);
        cargo.args(["-p", "avisor-bench-guest", "--bin", "bench"]);
        // Guests are linked at a fixed address: none of the flags of .cargo/config.toml.
        cargo.env("CARGO_ENCODED_RUSTFLAGS", "");
        succeed(&mut cargo)?;
        Ok(target.join(TRIPLE).join("release/bench"))
    }

    fn cargo(&self, target: &Path) -> Command {
        let mut cargo = Command::new("tools/cargo");
        cargo.args([
            "build",
            "--release",
            "--quiet",
            "--target",
            TRIPLE,
            "--target-dir",
        ]);
        cargo.arg(target).current_dir(root());
        cargo
    }
}

/// The repository: this package's folder is in it, or is it, when the tests have these files as their modules.
pub fn root() -> PathBuf {
    let package = Path::new(ROOT);
    let root = if package.join("bounds.toml").exists() {
        package.join("..")
    } else {
        package.to_owned()
    };
    root.canonicalize().unwrap_or(root)
}

/// Runs a command to its end; what it writes.
pub fn succeed(command: &mut Command) -> Result<String, String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!(
        "{command:?} failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    ))
}

/// A machine that runs the guest.
pub struct Machine {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Machine {
    /// Avisor's image on a machine with `memory` MiB and one core.
    pub fn avisor(image: &Path, memory: u64, time: Time) -> Result<Self, String> {
        Self::avisor_on(1, image, memory, time)
    }

    /// The same with so many cores.
    pub fn avisor_on(cores: u32, image: &Path, memory: u64, time: Time) -> Result<Self, String> {
        let mut command = Command::new("tools/qemu");
        command
            .arg(image)
            .env("BOARD", "virt")
            .env("MEM", format!("{memory}M"))
            .env("SMP", cores.to_string());
        command.env("QEMU_ARGS", time.arguments());
        Self::start(command, "bench: waiting")
    }

    /// Avisor's image with VMs of which the attacker is told something.
    pub fn neighbours(image: &Path, memory: u64, cores: u32, time: Time) -> Result<Self, String> {
        let mut command = Command::new("tools/qemu");
        command
            .arg(image)
            .env("BOARD", "virt")
            .env("MEM", format!("{memory}M"))
            .env("SMP", cores.to_string())
            .env("QEMU_ARGS", time.arguments());
        Self::start(command, "attacker| bench: waiting")
    }

    /// Avisor's image with two VMs of which one drives the other, on a machine with one core; what that one measures, which begins at once.
    pub fn control(image: &Path, memory: u64) -> Result<Figures, String> {
        let mut command = Command::new("tools/qemu");
        command
            .arg(image)
            .env("BOARD", "virt")
            .env("MEM", format!("{memory}M"))
            .env("SMP", "1")
            .env("QEMU_ARGS", COUNTING);
        let mut machine = Self::start(command, "driver| bench: waiting")?;
        machine.wait_for("driver| bench: done")?;
        let lines = machine.seen.iter();
        let own = lines.filter_map(|line| line.strip_prefix("driver| "));
        Ok(Figures(own.filter_map(Figure::parse).collect()))
    }

    /// The guest alone, on a machine with 128 MiB.
    pub fn plain(guest: &Path, time: Time, more: &[String]) -> Result<Self, String> {
        let mut command = Command::new("qemu-system-aarch64");
        command.args(
            "-M virt -cpu cortex-a72 -m 128M -nic none -display none -serial stdio".split(' '),
        );
        command
            .arg("-kernel")
            .arg(guest)
            .args(time.arguments().split_whitespace())
            .args(more);
        Self::start(command, "bench: waiting")
    }

    /// Seconds of CPUs that QEMU had so far: fields utime and stime of /proc/PID/stat (proc(5)).
    pub fn cpu_seconds(&self) -> Result<f64, String> {
        let path = format!("/proc/{}/stat", self.child.id());
        let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        // Behind the name, which may have anything in it, the third field is the first.
        let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields);
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.filter_map(|field| field.parse::<u64>().ok()).sum();
        // USER_HZ, on every Linux that QEMU runs on.
        Ok(ticks as f64 / 100.0)
    }

    /// Starts it, up to the line by which the guest says that it listens.
    fn start(command: Command, listens: &str) -> Result<Self, String> {
        let mut machine = Self::start_at_once(command)?;
        machine.wait_for(listens)?;
        Ok(machine)
    }

    /// Starts it, and waits for nothing.
    pub fn start_at_once(mut command: Command) -> Result<Self, String> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command
            .current_dir(root())
            .spawn()
            .map_err(|error| format!("{command:?}: {error}"))?;
        let (stdin, stdout) = child
            .stdin
            .take()
            .zip(child.stdout.take())
            .expect("they are pipes");
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line.trim_end().to_owned()).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            child,
            stdin,
            lines,
            seen: Vec::new(),
        })
    }

    /// Tells the guest something.
    pub fn send(&mut self, line: &str) -> Result<(), String> {
        writeln!(self.stdin, "{line}")
            .map_err(|error| format!("the guest does not listen: {error}"))
    }

    /// Types that, and nothing else.
    pub fn type_keys(&mut self, keys: &str) -> Result<(), String> {
        self.stdin
            .write_all(keys.as_bytes())
            .map_err(|error| format!("the machine does not listen: {error}"))
    }

    /// Waits until the guest prints this line.
    pub fn wait_for(&mut self, line: &str) -> Result<(), String> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let next = self.next_line_until(deadline);
            if next.map_err(|error| format!("\"{line}\" never came: {error}"))? == line {
                return Ok(());
            }
        }
    }

    /// Waits for a line of which `wanted` makes something.
    pub fn wait_until<T>(&mut self, wanted: impl Fn(&str) -> Option<T>) -> Result<T, String> {
        loop {
            if let Some(found) = wanted(self.next_line()?) {
                return Ok(found);
            }
        }
    }

    /// The next line that the machine prints.
    fn next_line(&mut self) -> Result<&str, String> {
        self.next_line_until(Instant::now() + LIMIT)
    }

    /// The same. What comes after a guest's panic is nothing to wait for.
    fn next_line_until(&mut self, deadline: Instant) -> Result<&str, String> {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(next) = self.lines.recv_timeout(left) else {
            return Err(format!("nothing more comes after:\n{}", self.transcript()));
        };
        let panicked = next.contains("GUEST PANIC");
        self.seen.push(next);
        if panicked {
            // Why is in the next line.
            self.seen.extend(self.lines.recv_timeout(SOON));
            return Err(format!("a guest panicked:\n{}", self.transcript()));
        }
        Ok(self.seen.last().map_or("", String::as_str))
    }

    /// What the machine has printed.
    pub fn transcript(&self) -> String {
        self.seen.join("\n")
    }

    /// Runs a part of the guest to its end; what it measured.
    pub fn measure(mut self, part: &str) -> Result<Figures, String> {
        self.send(part)?;
        self.wait_for("bench: done")?;
        Ok(Figures::parse(&self.seen))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended by itself; if not, nobody needs it any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
