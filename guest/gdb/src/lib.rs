//! The debugger: everything but hypercalls and the UART, which `main.rs` has.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`stub`] | the line, the client on it, and what the VMs do meanwhile |
//! | [`debugger`] | what gdbstub asks of the VMs, and `monitor ...` |
//! | [`framing`] | packets out of bytes |
//! | [`arch`] | AArch64 for gdbstub |
//! | [`vm`] | a VM: its memory and breakpoints, how it runs and goes back |
//! | [`comparators`] | hardware breakpoints and watchpoints |
//! | [`history`] | snapshots of stops |
//! | [`registers`] | registers by number, and their description |
//! | [`exclusive`] | sequences that cannot be stepped through |
//! | [`exception`] | an exception that the guest takes |
//! | [`machine`] | what a VM is to the rest |

#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod arch;
pub mod comparators;
pub mod debugger;
pub mod exception;
pub mod exclusive;
pub mod framing;
pub mod history;
pub mod machine;
pub mod registers;
pub mod stub;
pub mod vm;

#[cfg(test)]
mod tests;
