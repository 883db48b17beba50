//! The hardware layer: all assembly and nearly all `unsafe` of the crate.
//!
//! What is pure arithmetic about hardware ([`memory_map`], [`el2_tables`], [`readback`]) or about the board ([`tree`]) has no `cfg` and is tested on the host.
//! What is an order of instructions runs there too: [`isa`] has each as a function, which tests have done by a core of `fake::worst`.
#![allow(unsafe_code)]

pub mod el2_tables;
#[cfg(test)]
pub mod fake;
#[macro_use]
pub mod isa;
pub mod memory_map;
pub mod readback;
pub mod sync;
pub mod tree;
pub mod vcpu;

#[cfg(any(target_os = "none", test))]
pub mod aarch64;

pub use sync::{Mutex, MutexGuard, Relax};
