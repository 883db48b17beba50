//! Snapshots as ELF cores, written by `core-writer` beside the VM: opened by readelf, gdb and drgn.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::board::Board;
use crate::fetched;
use crate::image::{ROOT, TRIPLE, folder};
use crate::on_both_boards;
use crate::process::output_of;
use crate::run::Run;
use crate::transcript::Transcript;

on_both_boards!(once);

/// Images and cores, in a folder that is theirs.
struct Cores {
    board: Board,
    folder: PathBuf,
}

impl Cores {
    fn new(name: &str, board: Board) -> Self {
        let folder = folder("cores").join(format!("{name}-{}", board.name()));
        // Of an earlier run of the tests.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("the folder is writable");
        Self { board, folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The board, with a configuration and what writes cores of it.
    fn boots(&self, config: &str, settings: &[(&str, &str)]) -> Run {
        // All images come out of one folder.
        static ONE: Mutex<()> = Mutex::new(());
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut command = Command::new("tools/core");
        command.arg("--build").current_dir(ROOT);
        command.env("CARGO_TARGET_DIR", folder("cores-build"));
        command.env("FOLDER", &self.folder).env("CONFIG", config);
        let output = command.envs(settings.iter().copied()).output();
        let output = output.expect("it starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "it does not build:\n{errors}");
        let path = String::from_utf8(output.stdout).expect("a path");
        self.board.boots(PathBuf::from(path.trim_end()))
    }

    /// Takes a core after so many seconds. `settings` is for QEMU.
    fn after(&self, seconds: u32, config: &str, arguments: Option<&str>) -> (Transcript, PathBuf) {
        let file = self.file("core");
        let path = file.to_str().expect("a plain name");
        let seconds = seconds.to_string();
        let run = self.boots(config, &[("AFTER", &seconds), ("FILE", path)]);
        let run = match arguments {
            Some(arguments) => run.set("QEMU_ARGS", arguments),
            None => run.cores(4),
        };
        let run = run.limit(300).until_it_ends();
        run.powers_off();
        let said = run.count(&format!("core| core: {} is in ", vm_of(config)));
        run.require(said == 1, "it should say what it wrote");
        (run, file)
    }
}

/// The name of a configuration's first VM.
fn vm_of(config: &str) -> String {
    let text = fs::read_to_string(Path::new(ROOT).join(config)).expect("it is there");
    let name = text.split("name = \"").nth(1).expect("it has a VM");
    name.split('"').next().expect("a name").to_owned()
}

/// What gdb says, with a guest program's symbols, or without any.
fn gdb(program: Option<&str>, core: &Path, commands: &[&str]) -> Option<String> {
    let gdb = fetched::gdb()?;
    let elf = |name| folder("cores-build").join(format!("guest/{TRIPLE}/release/{name}"));
    let mut command = Command::new(gdb);
    command.args(["-nx", "-batch", "-ex", "set language c"]);
    command.args(program.map(elf)).arg("-core").arg(core);
    for text in commands {
        command.args(["-ex", text]);
    }
    // Its exit code is the last command's, of which some are to fail.
    command.args(["-ex", "echo"]);
    Some(output_of(&mut command))
}

/// A guest program, some calls deep.
fn once(board: Board) {
    let cores = Cores::new("once", board);
    let (_, core) = cores.after(1, "tests/configs/deep.toml", None);
    let elf = output_of(Command::new("readelf").arg("-lnW").arg(&core));
    assert!(
        elf.contains("NT_PRSTATUS") && elf.contains("NT_FPREGSET"),
        "{elf}"
    );
    // By its physical address, and the one that it has itself.
    assert!(
        elf.contains("0x0010000040000000 0x0000000040000000"),
        "{elf}"
    );
    assert!(
        elf.contains("0x0000000040000000 0x0000000040000000"),
        "{elf}"
    );
    let length = fs::metadata(&core).expect("it is there").len();
    assert!(length < 1 << 20, "{length}: zeros should not be in it");
    let said = gdb(
        Some("deep"),
        &core,
        &[
            "bt",
            "p/x *(unsigned long *)&CONSTANT",
            "x/gx &CONSTANT",
            "x/gx (char *)&CONSTANT + 0x10000000000000",
            // Far from all that it has used.
            "x/gx 0x40f00000",
            "x/gx 0x41000000",
        ],
    );
    let Some(said) = said else { return };
    let says = |text: &str| assert!(said.contains(text), "{text:?} is missing:\n{said}");
    for frame in ["inner", "middle", "outer", "main"] {
        says(&format!("deep::{frame} ()"));
    }
    says("$1 = 0x123456789abcdef0\n");
    assert_eq!(said.matches(":\t0x123456789abcdef0\n").count(), 2, "{said}");
    says("0x40f00000:\t0x0000000000000000\n");
    says("Cannot access memory at address 0x41000000");
}

/// Any snapshot, as it is typed; and what makes no sense.
#[test]
fn as_typed() {
    let cores = Cores::new("typed", Board::Virt);
    let mut session = cores
        .boots("tests/configs/deep.toml", &[])
        .cores(4)
        .session();
    session.expect("core: core [VM] ID|now FILE writes a core; VM is deep\n");
    session.pause(Duration::from_millis(500));
    let first = session.checkpoint("deep");
    session.pause(Duration::from_millis(300));
    let second = session.checkpoint("deep");
    // That leaves the monitor by itself.
    session.send("\x1dattach core\r");
    session.expect("core has the keyboard\n");
    let path = |name: &str| cores.file(name).display().to_string();
    for (typed, said) in [
        (format!("core {first} {}", path("first")), "deep is in "),
        (
            format!("core deepx\x7f #{second} {}", path("second")),
            "deep is in ",
        ),
        (format!("core deep now {}", path("now")), "deep is in "),
        ("core 77 x".into(), "deep: no such snapshot\n"),
        (
            "core now /nowhere/x".into(),
            "the host cannot write /nowhere/x\n",
        ),
        (
            "core other now x".into(),
            "other is no VM of these; allowed: deep\n",
        ),
        ("what".into(), "allowed: core [VM] ID|now FILE\n"),
    ] {
        session.send(&format!("{typed}\r"));
        session.expect(&format!("core: {said}"));
        session.expect("core> ");
    }
    // What was taken for "now" is gone.
    session.monitor("snapshots deep");
    session.expect("snapshots deep\n");
    let shown = session.expect("avisor> ");
    session.require(shown.matches('#').count() == 2 + 1, "two should be left");
    session.stop();
    let counts = ["first", "second", "now"].map(|name| {
        let said = gdb(
            Some("deep"),
            &cores.file(name),
            &["p *(unsigned long *)&COUNTER"],
        )?;
        let number = said
            .split("$1 = ")
            .nth(1)
            .and_then(|rest| rest.lines().next());
        let number = number.and_then(|number| number.parse::<u64>().ok());
        Some(number.unwrap_or_else(|| panic!("a number is missing:\n{said}")))
    });
    let [Some(first), Some(second), Some(now)] = counts else {
        return;
    };
    assert!(0 < first && first < second && second < now, "{counts:?}");
}

/// Linux, of 128 MiB: how long that takes, by instructions, and what gdb and drgn find without any file of symbols.
#[test]
fn of_linux() {
    if !fetched::are_there() {
        return;
    }
    let cores = Cores::new("linux", Board::Virt);
    let arguments = "-icount shift=0,align=off,sleep=off";
    let config = "tests/configs/linux-core.toml";
    let (run, core) = cores.after(12, config, Some(arguments));
    run.require(run.count("linux| Linux 6.") == 1, "it should have booted");
    let line = run
        .lines
        .iter()
        .find(|line| line.starts_with("core| core: "));
    let milliseconds = line.and_then(|line| {
        line.strip_suffix(" ms")?
            .rsplit(' ')
            .next()?
            .parse::<u64>()
            .ok()
    });
    // An instruction is a nanosecond there. QEMU does 100 million in a second at the least.
    run.require(
        milliseconds.is_some_and(|ms| ms < 150),
        "it should take less",
    );

    let elf = output_of(Command::new("readelf").arg("-nW").arg(&core));
    assert!(elf.contains("VMCOREINFO"), "{elf}");
    // A kernel's address, by the kernel's tables: where the vCPU waits, and its stack.
    let commands = [
        "set architecture aarch64",
        "info threads",
        "x/i $pc - 4",
        "x/gx $sp",
    ];
    let said = gdb(None, &core, &commands);
    if let Some(said) = said {
        let waits = said
            .lines()
            .any(|line| line.contains("0xffff8") && line.contains(":\twfi"));
        assert!(
            waits && said.contains("LWP 1") && said.matches("0xffff8").count() > 3,
            "{said}"
        );
    }
    let Some(drgn) = fetched::drgn() else { return };
    let mut command = Command::new(drgn);
    command.args(["--no-default-symbols", "-c"]).arg(&core);
    command
        .args(["tools/drgn/linux.py", "stacks"])
        .current_dir(ROOT);
    let said = output_of(&mut command);
    // Each process, and below it where it is.
    let is_there = |process: &str, function: &str| {
        let rest = said.lines().skip_while(|line| *line != process).skip(1);
        let mut stack = rest.take_while(|line| line.starts_with('#'));
        let found = stack.any(|line| line.contains(&format!(" {function}+")));
        assert!(found, "{process} should be in {function}:\n{said}");
    };
    // The one vCPU waits for an interrupt.
    is_there("     0 swapper/0", "cpu_do_idle");
    is_there("     2 kthreadd", "schedule");
    let shell = said.lines().find(|line| line.ends_with(" sh"));
    let shell = shell.unwrap_or_else(|| panic!("there is no shell:\n{said}"));
    is_there(shell, "do_sys_poll");
    // What the book shows is what is shown.
    let page = fs::read_to_string(Path::new(ROOT).join("docs/cores.md"));
    let page = page.expect("it is there");
    let frames = page
        .lines()
        .filter(|line| line.starts_with('#') && line.contains("+0x"));
    let functions = frames.filter_map(|line| line.split_whitespace().nth(1)?.split('+').next());
    let functions: Vec<&str> = functions.collect();
    assert!(functions.len() > 10, "{page}");
    for function in functions {
        assert!(
            said.contains(&format!(" {function}+")),
            "{function}:\n{said}"
        );
    }
}
