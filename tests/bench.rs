//! The short form of `make bench`: a change that makes an operation cost more than its bound fails here. And the unit tests of
//! `bench/`, whose files are modules of this one.

// Only the full form prints times and draws plots.
#[allow(dead_code)]
#[path = "../bench/src/main.rs"]
mod bench;

use std::fs::{self, File};
use std::path::Path;

#[test]
fn nothing_costs_more_than_its_bound() {
    // The folder in which tests/qemu builds its images: the standard library is there already. Its lock is theirs, too.
    let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("qemu");
    fs::create_dir_all(&all).expect("cargo's target folder is writable");
    let lock = File::create(all.join("lock")).expect("cargo's target folder is writable");
    lock.lock().expect("the file system has locks");
    if let Err(message) = bench::short(&all.join("build")) {
        panic!("{message}");
    }
}
