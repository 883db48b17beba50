//! The hardware layer: all assembly and nearly all `unsafe` of the crate.
//!
//! What is pure arithmetic about hardware ([`memory_map`], [`el2_tables`]) or about the board ([`tree`]) has no `cfg` and is tested on the host.
#![allow(unsafe_code)]

#[cfg(target_os = "none")]
pub mod aarch64;
pub mod el2_tables;
#[cfg(test)]
pub mod fake;
pub mod memory_map;
pub mod tree;
pub mod vcpu;
