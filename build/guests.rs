//! Finds the images of the VMs, builds those that are guest programs of this repository, and has all of them checked.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::config::{Config, Guest, RAM_BASE, Vm};
use crate::image::{self, ImageError, LoadPlan, Placement};
use crate::programs::Program;

/// What is loaded into a VM.
pub struct Files {
    pub image: PathBuf,
    /// What of the image goes where.
    pub plan: LoadPlan,
    pub initrd: Option<PathBuf>,
}

/// Where `make linux` leaves what it makes.
const MADE_BY_LINUX: &str = "target/linux/";

/// The files of each VM in the configuration at `source`; `replacement` takes the place of the first one's image.
pub fn files(
    source: &str,
    config: &Config,
    replacement: Option<&str>,
) -> Result<Vec<Files>, String> {
    let files = |(index, vm): (usize, &Vm)| {
        let replacement = replacement.filter(|_| index == 0);
        let key = |name: &str| format!("{source}: vm[{index}].{name}");
        let (image_key, image) = image(key, vm, replacement)?;
        let plan = checked(&image, |image| {
            let placement = Placement {
                ram: RAM_BASE..RAM_BASE + vm.memory,
                load_address: vm.load_address,
                entry: vm.entry,
            };
            image::plan(image, &placement)
        });
        if let Ok(plan) = &plan
            && let Some(warning) = plan.warning
        {
            println!("cargo::warning={image_key}: {image:?}: {warning}");
        }
        let plan =
            plan.map_err(|(blamed, why)| format!("{}: {why}", blamed.map_or(image_key, key)))?;
        let initrd = match &vm.initrd {
            Some(path) => {
                let key = key("initrd");
                let initrd = file(&key, path, "a file")?;
                checked(&initrd, |disk| image::check_initrd(disk, &plan))
                    .map_err(|(_, why)| format!("{key}: {why}"))?;
                Some(initrd)
            }
            None => None,
        };
        Ok(Files {
            image,
            plan,
            initrd,
        })
    };
    config.vms.iter().enumerate().map(files).collect()
}

/// What `check` makes of a file's bytes; or the key that is to blame, if it is not the one that names the file, and what is wrong.
fn checked<T>(
    path: &Path,
    check: impl FnOnce(&[u8]) -> Result<T, ImageError>,
) -> Result<T, (Option<&'static str>, String)> {
    let bytes = fs::read(path).map_err(|error| (None, format!("{path:?}: {error}")))?;
    check(&bytes).map_err(|error| match error.key() {
        Some(key) => (Some(key), error.to_string()),
        None => (None, format!("{path:?}: {error}")),
    })
}

/// A VM's image, and the key that names it.
fn image(
    key: impl Fn(&str) -> String,
    vm: &Vm,
    replacement: Option<&str>,
) -> Result<(String, PathBuf), String> {
    const ALLOWED: &str = "an arm64 Image, an ELF64, a raw binary";
    let named = |key: String, path| file(&key, path, ALLOWED).map(|file| (key, file));
    match (replacement, &vm.guest) {
        (Some(path), _) => named("GUEST".into(), path),
        (_, Guest::Image(path)) => named(key("image"), path),
        (_, Guest::Program(name)) => {
            // Programs are ELF files, which say themselves where they go: no need to build one first.
            let raw = [("load_address", vm.load_address), ("entry", vm.entry)];
            if let Some((name_of, _)) = raw.iter().find(|(_, value)| value.is_some()) {
                return Err(format!(
                    "{}: a raw binary has one, but `guest = \"{name}\"` names a program; allowed: with `image`, or with GUEST",
                    key(name_of)
                ));
            }
            let key = key("guest");
            program(&key, name).map(|file| (key, file))
        }
    }
}

/// A file that is there already. `include_bytes!` wants an absolute path.
fn file(key: &str, path: &str, allowed: &str) -> Result<PathBuf, String> {
    println!("cargo:rerun-if-changed={path}");
    let why = match (Path::new(path).canonicalize(), fs::metadata(path)) {
        (Ok(_), Ok(data)) if data.is_dir() => "is a directory",
        (Ok(_), Ok(data)) if !data.is_file() => "is no regular file",
        (Ok(_), Ok(data)) if data.len() == 0 => "is empty",
        (Ok(absolute), Ok(_)) => return Ok(absolute),
        _ if path.starts_with(MADE_BY_LINUX) => {
            return Err(format!(
                "{key}: {path:?} is not there: run `make linux`, which makes it"
            ));
        }
        _ => "is not there",
    };
    Err(format!("{key}: {path:?} {why}; allowed: {allowed}"))
}

/// Builds a guest program: always in release mode, as what it does is what is tested, not itself.
fn program(key: &str, name: &str) -> Result<PathBuf, String> {
    let program = Program::find(name).map_err(|why| format!("{key}: {why}"))?;
    for folder in program.sources() {
        println!("cargo:rerun-if-changed={folder}");
    }
    let target = env::var("TARGET").expect("cargo sets TARGET");
    let folder = target_folder().join("guest");
    let mut cargo = Command::new(env::var("CARGO").expect("cargo sets CARGO"));
    cargo.args(["build", "--release", "--quiet", "--target", &target]);
    // A target folder of its own: cargo holds the lock of the outer one. All configurations share it.
    cargo.arg("--target-dir").arg(&folder);
    program.ask(&mut cargo);
    // Under `cargo clippy` this would make clippy build the guest.
    cargo.env_remove("RUSTC_WORKSPACE_WRAPPER");
    let built = cargo
        .output()
        .map_err(|error| format!("{key}: cannot start cargo: {error}"))?;
    if !built.status.success() {
        return Err(format!(
            "{key}: \"{name}\" does not build:\n{}",
            String::from_utf8_lossy(&built.stderr)
        ));
    }
    Ok(program.built(&folder.join(target).join("release")))
}

/// Cargo's target folder, out of OUT_DIR: `<folder>/<target>/<profile>/build/avisor-<hash>/out`.
fn target_folder() -> PathBuf {
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets OUT_DIR"));
    out.ancestors()
        .nth(5)
        .expect("OUT_DIR is five levels deep")
        .to_owned()
}
