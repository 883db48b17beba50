//! gdb on Linux with 1, 2 and 4 vCPUs.

use super::{CTRL_C, Debugged, in_order};
use crate::board::Board;
use crate::fetched;

/// The shell's prompt.
const PROMPT: &str = "/ # ";

/// On Linux: interrupt, threads, registers, memory, a breakpoint in the kernel, and the shell goes on.
fn on_linux(name: &str, config: &str, vcpus: usize, rounds: usize) {
    if !fetched::are_there() {
        return;
    }
    let mut machine = Debugged::boot(Board::Virt, name, config, &[]);
    machine.session.expect(PROMPT);
    let found = machine
        .session
        .shell("grep ' T __arm64_sys_openat$' /proc/kallsyms");
    let address = found.split_whitespace().next().unwrap_or_default();
    let address = format!("0x{address}");
    // Something that opens a file, each second.
    let session = &mut machine.session;
    session.send("(while sleep 1; do cat /proc/version; done) &\n");
    session.expect("Linux version");
    for _ in 0..rounds {
        let at = [
            format!("x/2i {address}"),
            format!("break *{address}"),
            format!("print $pc == {address}"),
            format!("python there = int(gdb.parse_and_eval('*(unsigned *){address}'))"),
            format!(
                "python at = gdb.execute('monitor translate {address}', to_string=True).split()[0]"
            ),
        ];
        let gdb = machine.gdb(
            None,
            &[
                CTRL_C,
                "continue",
                "info threads",
                "print $TTBR1_EL1 != 0",
                "print $SCTLR_EL1 & 1",
                // The same by its physical address, and nothing by the kernel's.
                &at[3],
                &at[4],
                "monitor phys on",
                "maintenance flush dcache",
                "python print('same:', int(gdb.parse_and_eval('*(unsigned *)' + at)) == there)",
                &at[0],
                "monitor phys off",
                "maintenance flush dcache",
                &at[0],
                &at[1],
                "continue",
                &at[2],
                "stepi",
                "reverse-stepi",
                &at[2],
                "delete",
                "detach",
            ],
        );
        let threads: Vec<String> = (0..vcpus).map(|n| format!("linux: CPU {n}, EL")).collect();
        let mut parts = vec!["received signal SIGINT"];
        parts.extend(threads.iter().map(String::as_str));
        parts.extend([
            "$1 = 1",
            "$2 = 1",
            "same: True\n",
            &address,
            "Breakpoint 1, 0x",
            "$3 = 1",
            "detached]",
        ]);
        let text = gdb.ends();
        in_order(&text, &parts);
        let nothing = format!("Cannot access memory at address {address}");
        assert!(text.contains(&nothing), "{text}");
        machine.session.expect("Linux version");
        let said = machine.session.shell("echo goes on");
        machine
            .session
            .require(said.contains("goes on\n"), "the shell goes on");
    }
    let found = machine
        .session
        .shell("dmesg | grep -iE 'oops|panic|BUG|Call trace'");
    // The loop prints what it prints.
    let is_from_loop = |line: &str| line.starts_with("Linux version");
    let complains = !found.lines().all(is_from_loop);
    machine.session.require(!complains, "no complaints");
}

#[test]
fn one_vcpu() {
    on_linux("linux1", "tests/configs/linux-1.toml", 1, 1);
}

#[test]
fn two_vcpus() {
    on_linux("linux2", "configs/linux.toml", 2, 1);
}

#[test]
fn four_vcpus() {
    on_linux("linux4", "tests/configs/linux-4.toml", 4, 1);
}

/// A part of `make soak`.
#[test]
#[ignore = "it takes minutes"]
fn fifty_times() {
    on_linux("linux50", "configs/linux.toml", 2, 50);
}
