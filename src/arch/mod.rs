//! The CPU at EL2: non-VHE (`HCR_EL2.E2H` = 0), AArch64. This room knows addresses and registers, and nothing of what is built on it. All
//! assembly and nearly all `unsafe` of the crate are here. Section numbers are those of the Arm ARM, DDI 0487, written with the section's title
//! because numbers move between issues.
//!
//! | module | what |
//! | --- | --- |
//! | [`isa`] | the instructions that Rust has no words for, one function each |
//! | `boot` | the image's header and entry, up to [`entry!`](crate::entry)'s functions with MMU and caches on |
//! | [`entry`] | the vectors: traps from a guest, EL2's own faults, and those that it expects |
//! | [`vcpu`] | a vCPU's registers, what a guest may do itself and what traps |
//! | [`memory`] | EL2's own tables, page contents, caches, TLBs, device registers, the heap |
//! | [`cpu`], [`timer`], `percpu` | what a physical core can do, its timers, what it has for itself |
//! | [`sync`] | the lock and the atomics that cores share |
//! | `firmware` | calls out of the image: SMC, HVC and semihosting |
//! | [`device_tree`] | what the boot stub must know of the device tree |
//!
//! What gives the CPU instructions in an order that matters is compiled for tests too: there [`isa`] does them on a board that takes every
//! liberty that the Arm ARM leaves it (`fake::worst`).
#![allow(unsafe_code)]

pub mod device_tree;
#[macro_use]
pub mod isa;
pub mod memory;
pub mod sync;
pub mod vcpu;

// In the image, and for tests on the worst board.
#[cfg(any(target_os = "none", test))]
pub mod cpu;
#[cfg(any(target_os = "none", test))]
pub mod entry;
#[cfg(test)]
mod tests;
#[cfg(any(target_os = "none", test))]
pub mod timer;

#[cfg(target_os = "none")]
mod assembly;
#[cfg(target_os = "none")]
pub mod boot;
#[cfg(target_os = "none")]
pub mod firmware;
#[cfg(target_os = "none")]
pub mod percpu;
#[cfg(target_os = "none")]
mod relax;

#[cfg(test)]
use crate::fake::assembly::functions as assembly;

pub use sync::{Mutex, MutexGuard, Relax};
