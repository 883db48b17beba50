//! Turns a configuration, such as `configs/*.toml`, into `plan.rs`, builds the guests that it names, and links the image.
//!
//! All of this is for the hypervisor's image only: built for the host, the crate is a library under test.

#[path = "build/config.rs"]
mod config;
#[path = "build/guests.rs"]
mod guests;
#[path = "build/image/mod.rs"]
mod image;
#[path = "build/memory.rs"]
mod memory;
#[path = "build/plan.rs"]
mod plan;
#[path = "build/programs.rs"]
mod programs;

use std::env;
use std::fs;
use std::io;
use std::path::PathBuf;

/// What runs when nobody says otherwise.
const DEFAULT_CONFIG: &str = "configs/default.toml";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=build");
    if variable("CARGO_CFG_TARGET_OS").as_deref() != Some("none") {
        return;
    }
    link();
    if let Err(message) = check_flags().and_then(|()| write_plan()) {
        // These lines make the build fail. Exiting with a failing code would bury them under all that was printed before.
        for line in message.lines() {
            println!("cargo::error={line}");
        }
    }
}

/// The configuration becomes Rust source that `main.rs` includes.
fn write_plan() -> Result<(), String> {
    let file = input("AVISOR_CONFIG").unwrap_or_else(|| DEFAULT_CONFIG.into());
    println!("cargo:rerun-if-changed={file}");
    let text = fs::read_to_string(&file).map_err(|error| no_config(&file, &error))?;
    let config = config::parse(&text).map_err(|error| format!("{file}: {error}"))?;
    // Not an `input`: another machine needs no other image, and what is built already tells by itself that the machine is too small.
    if let Some(machine) = variable("AVISOR_MEM") {
        memory::check(&config, &file, &machine)?;
    }
    let files = guests::files(&file, &config, input("AVISOR_GUEST").as_deref())?;
    let out = PathBuf::from(variable("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::write(out.join("plan.rs"), plan::source(&config, &files))
        .map_err(|error| format!("plan.rs: {error}"))
}

/// What to say of a configuration that cannot be read. Where it is not a file, the system's own words may be odd ones.
fn no_config(file: &str, error: &io::Error) -> String {
    let why = match fs::metadata(file) {
        Ok(data) if data.is_dir() => "is a directory".into(),
        Err(_) => "is not there".into(),
        Ok(_) => error.to_string(),
    };
    let files = fs::read_dir("configs").into_iter().flatten().flatten();
    let mut names: Vec<_> = files
        .map(|file| file.path().display().to_string())
        .filter(|path| path.ends_with(".toml"))
        .collect();
    names.sort();
    format!(
        "CONFIG: {file:?} {why}; allowed: {}, or a file of your own",
        names.join(", ")
    )
}

/// Links a position-independent image with no ELF around it: what the boot loader loads is what cargo leaves.
/// `--no-rosegment` and `-znorelro` keep the layout to what linker.ld says. `-znotext` allows relocations everywhere: the
/// prebuilt `core` has some in its constants, and the boot code applies them before it makes anything read-only.
/// `--pack-dyn-relocs=relr`: a bit for each relocation, and not 24 bytes.
/// `--orphan-handling=error`: a section that linker.ld does not name would lie where nobody zeroes it.
fn link() {
    let root = variable("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    println!("cargo:rerun-if-changed=linker.ld");
    let arguments = [
        "-pie",
        "--no-dynamic-linker",
        "-znorelro",
        "-znotext",
        "-zmax-page-size=4096",
        "--no-rosegment",
        "--pack-dyn-relocs=relr",
        "--orphan-handling=error",
    ];
    for argument in arguments {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
    println!("cargo:rustc-link-arg-bins=-T{root}/linker.ld");
    // An ELF of the same image, for gdb and objdump: `make elf`.
    if input("AVISOR_ELF").is_none() {
        println!("cargo:rustc-link-arg-bins=--oformat=binary");
    }
}

/// RUSTFLAGS replaces the flags of .cargo/config.toml, and an image without them links well and never boots.
fn check_flags() -> Result<(), String> {
    let flags = variable("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    if flags.contains("relocation-model=pic") {
        return Ok(());
    }
    Err("RUSTFLAGS is set and hides the flags of .cargo/config.toml: unset it, or add `-C relocation-model=pic`".into())
}

/// An environment variable that decides what is built: cargo runs this script again when it changes.
fn input(name: &str) -> Option<String> {
    println!("cargo:rerun-if-env-changed={name}");
    variable(name)
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
