//! Debian's Linux at work, taken back and forth meanwhile.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::board::plain_qemu;
use crate::image::ROOT;
use crate::session::Session;
use crate::transcript::Transcript;

/// The shell's prompt.
const PROMPT: &str = "/ # ";

/// What every kernel says first: dmesg is there.
const FIRST: &str = "Booting Linux";

/// What no kernel says with which all is well.
const COMPLAINTS: &str = "stall|lockup|hung task|oops|panic|BUG|WARNING|Call trace|bad irq|nobody cared|\
    unexpected interrupt|spurious|unstable|time skew|went backwards|scheduling while atomic|corrupt";

/// What `make linux` makes, or nothing where no package source can be reached. CI always has one.
fn files() -> Option<&'static Path> {
    static MADE: OnceLock<Option<PathBuf>> = OnceLock::new();
    let make = || {
        let made = run("tools/setup", &["linux", "u-boot"]).and_then(|()| run("tools/linux", &[]));
        if let Err(why) = made {
            let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
            assert!(!in_ci, "Debian's packages cannot be fetched:\n{why}");
            // Past libtest, which shows nothing of a test that passes.
            let _ = writeln!(
                io::stderr(),
                "SKIPPED: tests with Linux and U-Boot, as Debian's packages cannot be fetched: run tools/setup linux u-boot"
            );
            return None;
        }
        Some(Path::new(ROOT).join("target/linux"))
    };
    MADE.get_or_init(make).as_deref()
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let mut command = Command::new(program);
    let output = command.args(arguments).current_dir(ROOT).output();
    let output = output.expect("tools/ is there");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    output.status.success().then_some(()).ok_or(errors)
}

/// Waits for the shell, and has it start the workload.
fn starts_working(linux: &mut Session, workers: u32) {
    linux.expect(PROMPT);
    linux.send(&format!("workload {workers} &\n"));
    linux.expect("workload: started");
}

/// The workload ends, all of it went right, and so does the rest of the system.
fn has_worked(linux: &mut Session) {
    linux.send("touch /tmp/stop\n");
    let (verdict, _) = linux.expect_one_of(&["workload: passed\n", "workload: FAILED\n"]);
    linux.require(verdict == 0, "the workload should have passed");
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

/// The workload and what judges it, where nothing takes Linux back and forth.
#[test]
fn works_without_avisor() {
    let Some(files) = files() else { return };
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
    has_worked(&mut linux);
    powers_off(linux);
}
