//! Builds images through cargo, as `make` does. Each one is built once in a run of the tests and copied aside.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::iter;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::times;

#[allow(dead_code)]
#[path = "../../build/programs.rs"]
mod programs;

use programs::Program;

/// The repository.
pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// The bare target.
pub const TRIPLE: &str = "aarch64-unknown-none-softfloat";

/// What an image is made of.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Recipe {
    config: String,
    guest: PathBuf,
}

static BUILT: Mutex<BTreeMap<Recipe, Result<PathBuf, String>>> = Mutex::new(BTreeMap::new());

/// A folder for what the tests make. It belongs to this run of the tests: another one waits.
pub fn folder(name: &str) -> PathBuf {
    static LOCK: OnceLock<File> = OnceLock::new();
    let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("qemu");
    let folder = all.join(name);
    fs::create_dir_all(&folder).expect("cargo's target folder is writable");
    LOCK.get_or_init(|| {
        let file = File::create(all.join("lock")).expect("cargo's target folder is writable");
        file.lock().expect("the file system has locks");
        file
    });
    folder
}

/// The image for a configuration.
pub fn with_config(config: &str) -> PathBuf {
    built(config, Path::new(""))
}

/// The image that `make run GUEST=...` builds.
pub fn with_guest(guest: &Path) -> PathBuf {
    built("configs/default.toml", guest)
}

/// The image for a configuration, with `guest` in place of its first VM's image.
pub fn with_config_and_guest(config: &str, guest: &Path) -> PathBuf {
    built(config, guest)
}

/// An image does not build, and one line says why: this, behind what cargo puts before it.
#[track_caller]
pub fn build_says(config: &str, guest: &Path, why: &str) {
    let output = cargo_build(config, guest);
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success(),
        "this should not have built:\n{message}"
    );
    let said = |line: &str| line.starts_with("error: ") && line.contains(why);
    assert!(
        message.lines().any(said),
        "it should say {why:?}:\n{message}"
    );
}

/// A guest program as an ELF file.
pub fn guest_program(name: &str) -> PathBuf {
    let program = Program::find(name).unwrap_or_else(|why| panic!("{why}"));
    let target = folder("build/guest");
    let mut cargo = cargo(&target);
    program.ask(&mut cargo);
    let output = cargo.output().expect("tools/cargo starts");
    assert!(
        output.status.success(),
        "{name} does not build:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    program.built(&target.join(TRIPLE).join("release"))
}

fn built(config: &str, guest: &Path) -> PathBuf {
    let recipe = Recipe {
        config: config.to_owned(),
        guest: guest.to_owned(),
    };
    // One build at a time: whoever needs the same image waits for it. A test that failed meanwhile left it intact.
    let mut built = times::waits(|| BUILT.lock()).unwrap_or_else(PoisonError::into_inner);
    // The number makes the name unique, the rest is for people.
    let number = OsString::from(built.len().to_string());
    let names = [Path::new(config), guest]
        .into_iter()
        .filter_map(Path::file_name);
    let name: Vec<&OsStr> = iter::once(number.as_os_str()).chain(names).collect();
    let place = folder("images").join(name.join(OsStr::new("-")));
    let result = built
        .entry(recipe)
        .or_insert_with(|| build(config, guest, place))
        .clone();
    drop(built);
    result.unwrap_or_else(|error| panic!("the image of {config} does not build:\n{error}"))
}

fn build(config: &str, guest: &Path, place: PathBuf) -> Result<PathBuf, String> {
    let output = cargo_build(config, guest);
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let image = folder("build").join(TRIPLE).join("release/avisor");
    fs::copy(image, &place).map_err(|error| error.to_string())?;
    Ok(place)
}

fn cargo_build(config: &str, guest: &Path) -> Output {
    let mut cargo = cargo(&folder("build"));
    cargo.env("AVISOR_CONFIG", config);
    cargo.env("AVISOR_GUEST", guest);
    cargo.env_remove("AVISOR_ELF");
    cargo.output().expect("tools/cargo starts")
}

fn cargo(target: &Path) -> Command {
    let mut cargo = Command::new("tools/cargo");
    cargo.args(["build", "--release", "--quiet", "--target", TRIPLE]);
    cargo.arg("--target-dir").arg(target).current_dir(ROOT);
    cargo
}
