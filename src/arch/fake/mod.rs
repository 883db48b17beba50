//! The hardware that tests see on the host.
//!
//! - [`Recorder`] takes note of what was asked, in order;
//! - [`memory`]: frames, whose contents are really kept;
//! - [`worst`]: cores, TLBs and caches, and all that these may do;
//! - [`abort`]: the syndrome of an access that stage 2 refused;
//! - [`assembly`]: runs the image's assembly;
//! - [`FakeBoard`]: all of them, and a console;
//! - [`FakeCore`]: a vCPU that does what the test wrote down.

pub mod abort;
pub mod assembly;
mod board;
mod cpu;
pub mod memory;
mod recorder;
mod system;
pub mod worst;

pub use board::{FakeBoard, trap};
pub use cpu::{FakeCore, Patience, Step, set_count, written_sctlr};
pub use recorder::{Asked, Recorder};
pub use system::System;
