//! The board: what its device tree says of it, and the devices that Avisor itself drives: the UART, the interrupt controller, the other cores, the
//! power switch.
//!
//! Boards differ in data only: what the tree names is driven, what it does not name is not there.

pub mod memory_map;
pub mod readback;
pub mod seed;
pub mod tree;
pub mod uart;

#[cfg(target_os = "none")]
pub mod cores;
#[cfg(target_os = "none")]
pub mod gic;
#[cfg(target_os = "none")]
pub mod power;
#[cfg(target_os = "none")]
pub mod ram;
