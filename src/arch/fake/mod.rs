//! The hardware that tests see on the host.
//!
//! - [`Recorder`] takes note of what was asked, in order;
//! - [`memory`]: frames, whose contents are really kept;
//! - [`mmu`]: stage 2 as a CPU walks it, and a TLB that forgets nothing unless told to;
//! - [`abort`]: the syndrome of an access that stage 2 refused;
//! - [`FakeCore`]: all of them, and a vCPU that does what the test wrote down.

pub mod abort;
mod cpu;
pub mod memory;
pub mod mmu;
mod recorder;

pub use cpu::{FakeCore, System};
pub use recorder::{Asked, Recorder};
