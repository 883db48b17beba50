//! The hardware layer: all assembly and nearly all `unsafe` of the crate.
//!
//! What is pure arithmetic about hardware ([`memory_map`], [`el2_tables`], [`readback`]) or about the board ([`tree`]) has no `cfg` and is tested on the host.
#![allow(unsafe_code)]

pub mod el2_tables;
#[cfg(test)]
pub mod fake;
#[macro_use]
pub mod isa;
pub mod memory_map;
pub mod readback;
pub mod tree;
pub mod vcpu;

#[cfg(any(target_os = "none", test))]
pub mod aarch64;

#[cfg(target_os = "none")]
pub use aarch64::Relax;
#[cfg(not(target_os = "none"))]
pub use spin::relax::Spin as Relax;

/// What one core at a time has.
pub type Mutex<T> = spin::mutex::Mutex<T, Relax>;

/// Holding it.
pub type MutexGuard<'a, T> = spin::mutex::MutexGuard<'a, T, Relax>;
