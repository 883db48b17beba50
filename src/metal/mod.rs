//! What ties the CPU, the board and the VMs together: the seams of [`vm`](crate::vm) filled in for the board. Its twin for tests is `fake`.

mod backend;
pub mod console;
mod core;
pub mod failure;
mod logger;
pub mod second;
pub mod start;
mod vms;

pub use self::core::set_up_core;
pub use backend::BoardBackend;
pub use vms::{make_vms, run};

use self::core::BoardCore;
