//! The hardware layer: all assembly and nearly all `unsafe` of the crate.
//!
//! What is pure arithmetic about hardware ([`memory_map`], [`el2_tables`], [`readback`]) or about the board ([`tree`]) has no `cfg` and is tested on the host.
#![allow(unsafe_code)]

pub mod el2_tables;
#[cfg(test)]
pub mod fake;
#[cfg(any(target_os = "none", test))]
pub mod isa;
pub mod memory_map;
pub mod readback;
pub mod sync;
pub mod tree;
pub mod vcpu;

#[cfg(target_os = "none")]
pub mod aarch64;

pub use sync::{Mutex, MutexGuard, Relax};
