//! The hardware that tests see on the host.
//!
//! - [`Recorder`] takes note of what was asked, in order;
//! - [`memory`]: frames, whose contents are really kept;
//! - [`mmu`]: stage 2 as a CPU walks it, and a TLB that forgets nothing unless told to;
//! - [`abort`]: the syndrome of an access that stage 2 refused;
//! - [`FakeBoard`]: all of them, and a console;
//! - [`sync`]: atomics whose orderings can be left out, and the model of what cores may see of them;
//! - [`FakeCore`]: a vCPU that does what the test wrote down.

pub mod abort;
mod board;
mod cpu;
pub mod memory;
pub mod mmu;
mod recorder;
pub mod sync;
mod system;
pub mod worst;

pub use board::FakeBoard;
pub use cpu::{FakeCore, Patience, Program, Step, set_count, written_sctlr};
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
