//! Debian's Linux at work, taken back and forth meanwhile.

use std::path::Path;
use std::time::Duration;

use crate::board::plain_qemu;
use crate::fetched;
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
    has_worked(&mut linux);
    powers_off(linux);
}
