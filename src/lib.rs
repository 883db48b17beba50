//! Avisor: a type-1 hypervisor for AArch64 whose speciality is the snapshot.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod addr;
pub mod arch;
pub mod config;
pub mod device;
#[cfg(target_os = "none")]
pub mod driver;
pub mod guest_image;
pub mod hvc;
pub mod snapshot;
pub mod stage2;
pub mod trap;
pub mod vm;
