//! The hardware that tests see on the host.
//!
//! - [`Recorder`] takes note of what was asked, in order;
//! - [`memory`]: frames, whose contents are really kept;
//! - [`worst`]: cores, TLBs and caches, and all that these may do;
//! - [`abort`]: the syndrome of an access that stage 2 refused;
//! - [`assembly`]: runs the image's assembly;
//! - [`FakeBoard`]: all of them, and a console;
//! - [`sync`]: atomics whose orderings can be left out, and the model of what cores may see of them;
//! - [`FakeCore`]: a vCPU that does what the test wrote down.
#![allow(unsafe_code)]

pub mod abort;
pub mod assembly;
mod board;
mod cpu;
pub mod memory;
mod recorder;
pub mod sync;
mod system;
pub mod worst;

pub use board::{FakeBoard, trap};
pub use cpu::{FakeCore, Patience, Program, STEP, Step, executed, set_count, written_sctlr};
pub use recorder::{Asked, Recorder};
pub use system::System;

/// So many random cases; or as many as `PROPTEST_CASES` says, which proptest itself asks only where a test says nothing.
pub fn cases(usual: u32) -> proptest::test_runner::Config {
    let asked = proptest::test_runner::Config::default();
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => asked,
        None => proptest::test_runner::Config {
            cases: usual,
            ..asked
        },
    }
}

/// The seeds `usual`; or as many others, from `AVISOR_SEED` on.
pub fn seeds(usual: core::ops::Range<u64>) -> core::ops::Range<u64> {
    match std::env::var("AVISOR_SEED").map(|seed| seed.parse::<u64>()) {
        Ok(seed) => {
            let first = seed.expect("AVISOR_SEED is a number");
            first..first + (usual.end - usual.start)
        }
        Err(_) => usual,
    }
}

/// So many operations of a random history are done, or about to be: for `make soak`, which wants to know how many, by `kind`.
pub fn performed(kind: &str, operations: usize) {
    use std::io::Write;
    if let Some(path) = std::env::var_os("AVISOR_OPERATIONS") {
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path);
        file.and_then(|mut file| file.write_all(std::format!("{kind} {operations}\n").as_bytes()))
            .expect("what was done can be noted");
    }
}
