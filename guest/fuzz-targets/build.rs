//! Compiles the targets in C, with coverage: `c/NAME.c`, whose harness is libFuzzer's `LLVMFuzzerTestOneInput`.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

/// As guest/c/start.S says, and coverage.
const FLAGS: [&str; 12] = [
    "-std=c99",
    "-O2",
    "-g1",
    "-Wall",
    "-Wextra",
    "-ffreestanding",
    "-fno-pie",
    "-fno-stack-protector",
    "-fno-omit-frame-pointer",
    "-mgeneral-regs-only",
    "-mstrict-align",
    "-fsanitize-coverage=trace-pc,trace-cmp",
];

fn main() {
    println!("cargo::rerun-if-changed=c");
    let out = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    for file in fs::read_dir("c").expect("it is there") {
        let file = file.expect("readable").path();
        let name = file.file_stem().expect("it has a name").to_string_lossy();
        let object = Path::new(&out).join(format!("{name}.o"));
        let mut compiler = Command::new("aarch64-linux-gnu-gcc");
        compiler.args(FLAGS);
        if env::var_os("CARGO_FEATURE_MENDED").is_some() {
            compiler.arg("-DMENDED");
        }
        let done = compiler
            .arg("-c")
            .arg(&file)
            .arg("-o")
            .arg(&object)
            .status();
        // A target in Rust needs no C compiler: what one in C lacks then, its linker says.
        if done.is_ok_and(|status| status.success()) {
            println!("cargo::rustc-link-arg-bin={name}-c={}", object.display());
        } else {
            println!("cargo::warning=no C compiler: run tools/setup arm64-cc for the targets in C");
        }
    }
}
