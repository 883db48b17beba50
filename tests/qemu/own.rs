//! Guests of one's own: what `guest/` gives is enough to build them in a folder that is not in this repository.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::OnceLock;

use elf::ElfBytes;
use elf::endian::LittleEndian;

use crate::board::Board;
use crate::image::{self, ROOT, TRIPLE, folder};
use crate::on_both_boards;

on_both_boards!(rust_template, c_header_alone, c_with_the_linker_script);

/// The Cargo project `guest/template`, which depends on the library by its path.
fn rust_template(board: Board) {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let guest = BUILT.get_or_init(|| {
        let outside = Outside::new("template");
        for file in ["Cargo.toml", ".cargo/config.toml", "src/main.rs"] {
            outside.takes(&format!("guest/template/{file}"), file);
        }
        let manifest = outside.0.join("Cargo.toml");
        let text = fs::read_to_string(&manifest).expect("it was just copied");
        let here = "avisor-guest = { path = \"..\" }";
        assert!(text.contains(here), "{text}");
        let there = format!("avisor-guest = {{ path = '{ROOT}/guest' }}");
        fs::write(&manifest, text.replace(here, &there)).expect("it is writable");
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--release", "--quiet"]);
        // As in a shell that nothing is set in; and with the Rust that is under test, as rust-toolchain.toml is not there.
        for name in [
            "CARGO_TARGET_DIR",
            "CARGO_BUILD_TARGET",
            "CARGO_ENCODED_RUSTFLAGS",
            "RUSTFLAGS",
        ] {
            cargo.env_remove(name);
        }
        outside.runs(&mut cargo);
        outside.leaves(&format!("target/{TRIPLE}/release/my-guest"))
    });
    let run = board.boots(image::with_guest(guest)).until_it_ends();
    run.succeeds(
        "AVISOR INFO: {banner}
         AVISOR INFO: snapshots: 128 MiB of RAM, Elf image, entered at 0x40080000
         AVISOR INFO: new snapshot pool size: 384MB
         my-guest: took snapshot 0
         my-guest: back at snapshot 0 with 7
         AVISOR INFO: snapshots: off",
    );
}

/// The C example and the header, and no other file; by the command that the example gives.
fn c_header_alone(board: Board) {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let guest = BUILT.get_or_init(|| {
        let outside = Outside::new("c");
        outside.takes("guest/c/hello.c", "c/hello.c");
        outside.takes("guest/include/avisor.h", "include/avisor.h");
        compiled(&outside, "guest/c/hello.c")
    });
    // Where its first instruction is, the linker decides.
    let bytes = fs::read(guest).expect("it was just built");
    let elf = ElfBytes::<LittleEndian>::minimal_parse(&bytes).expect("the linker makes good ones");
    says_hello(board, guest, elf.ehdr.e_entry);
}

/// The C example with the library's start and linker script, by the command that these give.
fn c_with_the_linker_script(board: Board) {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let guest = BUILT.get_or_init(|| {
        let outside = Outside::new("c-with-script");
        for file in ["c/hello.c", "c/start.S", "include/avisor.h", "guest.ld"] {
            outside.takes(&format!("guest/{file}"), file);
        }
        compiled(&outside, "guest/c/start.S")
    });
    says_hello(board, guest, 0x4008_0000);
}

fn says_hello(board: Board, guest: &Path, entry: u64) {
    let run = board.boots(image::with_guest(guest)).until_it_ends();
    run.succeeds(&format!(
        "AVISOR INFO: {{banner}}
         AVISOR INFO: snapshots: 128 MiB of RAM, Elf image, entered at {entry:#x}
         Hello from C
         AVISOR INFO: new snapshot pool size: 384MB
         took snapshot 0
           counter changed to 2
         back at snapshot 0
           counter is again 1
           the restorer passed 42
         AVISOR INFO: snapshots: off"
    ));
}

/// The file `hello.elf` that the command in the comment of `file` makes.
fn compiled(outside: &Outside, file: &str) -> PathBuf {
    let source = fs::read_to_string(Path::new(ROOT).join(file)).expect("it is there");
    let command = command_in(&source).expect("the file says how it is built");
    outside.runs(Command::new("sh").args(["-c", &command]));
    outside.leaves("hello.elf")
}

/// The command in a comment: the lines from the compiler's name on, as long as they end in a backslash.
fn command_in(source: &str) -> Option<String> {
    let lines = source
        .lines()
        .map(|line| line.trim_start_matches([' ', '*']));
    let mut command = String::new();
    for line in lines.skip_while(|line| !line.starts_with("aarch64-linux-gnu-gcc ")) {
        match line.strip_suffix('\\') {
            Some(line) => command += line,
            None => return Some(command + line),
        }
    }
    None
}

/// A fresh folder outside the repository: neither cargo nor a compiler finds anything of the repository above it.
struct Outside(PathBuf);

impl Outside {
    fn new(name: &str) -> Self {
        let folder = env::temp_dir().join(format!("avisor-own-{name}-{}", process::id()));
        fs::create_dir_all(&folder).expect("the folder for temporary files is writable");
        let root = fs::canonicalize(ROOT).expect("it is there");
        let folder = folder.canonicalize().expect("it was just made");
        assert!(
            !folder.starts_with(&root),
            "{} is in the repository",
            folder.display()
        );
        Self(folder)
    }

    /// Copies a file of the repository to `to`.
    fn takes(&self, from: &str, to: &str) {
        let to = self.0.join(to);
        let parent = to.parent().expect("it is in the folder");
        fs::create_dir_all(parent).expect("the folder is writable");
        fs::copy(Path::new(ROOT).join(from), &to).unwrap_or_else(|error| panic!("{from}: {error}"));
    }

    /// Runs a command in the folder, which has nothing to say.
    fn runs(&self, command: &mut Command) {
        let output = command
            .current_dir(&self.0)
            .output()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        // What a shell says of a program that is not there.
        let missing = output.status.code() == Some(127);
        assert!(
            !missing,
            "there is no compiler for guests: run tools/setup arm64-cc"
        );
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && errors.is_empty(),
            "{command:?}\n{errors}"
        );
    }

    /// A copy of a file in the folder, which outlives it.
    fn leaves(&self, file: &str) -> PathBuf {
        let name = self.0.file_name().expect("it has a name");
        let name = name.to_string_lossy();
        let name = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let place = folder("guests").join(format!("{name}guest.elf"));
        fs::copy(self.0.join(file), &place).unwrap_or_else(|error| panic!("{file}: {error}"));
        place
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        // Nothing depends on it.
        let _ = fs::remove_dir_all(&self.0);
    }
}
