//! The board's own devices, found through its device tree: the console, power-off, the other cores, the interrupt controller.
//!
//! Boards differ in data only: what the tree names is driven, what it does not name is not there.

pub mod board;
pub mod console;
pub mod gic;
mod logger;
mod pl011;
mod power;
pub mod smp;

pub use board::{Board, report_wrong_level};
pub use power::{fail, give_up, power_off};
