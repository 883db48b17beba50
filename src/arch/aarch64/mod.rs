//! AArch64 at EL2, non-VHE (`HCR_EL2.E2H` = 0). Section numbers in this folder are those of the Arm ARM, DDI 0487,
//! written with the section's title because numbers move between issues.
//!
//! | module | what |
//! | --- | --- |
//! | [`boot`] | the image's header and entry, up to `main` with MMU and caches on |
//! | [`mmu`], [`image`] | EL2's own tables, and what is in them first |
//! | [`percpu`], [`cpu`] | what a physical core has for itself; features of the CPU |
//! | [`switch`], [`fault`], [`fixup`] | the vectors: traps from a guest, EL2's own faults, and those that it expects |
//! | [`control`], [`timer`] | what a guest may do: HCR_EL2, VTCR_EL2, ... and its counter |
//! | [`state`], [`debug`], [`fp`] | a vCPU's registers beyond the general ones |
//! | [`el1`], [`id`] | single registers of a guest, address translation, ID registers |
//! | [`page`], [`tlb`] | page contents, caches, TLBs |
//! | [`Relax`] | waiting for another core |
//! | [`core`](mod@self::core), [`memory`] | what a VM runs on: the two seams of [`vm`](crate::vm) |
//! | [`heap`], [`mmio`], [`firmware`] | global allocator, device registers, SMC and semihosting |
//!
//! What gives the CPU instructions in an order that matters is compiled for tests too: there [`isa`](crate::arch::isa) does them on a board
//! that takes every liberty that the Arm ARM leaves it.

pub mod control;
pub mod cpu;
pub mod debug;
pub mod el1;
pub mod fixup;
pub mod fp;
pub mod id;
pub mod mmu;
pub mod page;
pub mod state;
#[cfg(test)]
mod tests;
pub mod timer;
pub mod tlb;

// What is assembly, or stands on drivers.
#[cfg(target_os = "none")]
mod assembly;
#[cfg(target_os = "none")]
pub mod boot;
#[cfg(target_os = "none")]
pub mod core;
#[cfg(target_os = "none")]
pub mod fault;
#[cfg(target_os = "none")]
pub mod firmware;
#[cfg(target_os = "none")]
pub mod heap;
#[cfg(target_os = "none")]
pub mod image;
#[cfg(target_os = "none")]
pub mod memory;
#[cfg(target_os = "none")]
pub mod mmio;
#[cfg(target_os = "none")]
pub mod percpu;
#[cfg(target_os = "none")]
mod relax;
#[cfg(target_os = "none")]
pub mod switch;

pub use state::SystemState;

#[cfg(target_os = "none")]
pub use self::core::Core;
#[cfg(target_os = "none")]
pub use fault::panicked;
#[cfg(target_os = "none")]
pub use memory::VmMemory;
#[cfg(target_os = "none")]
pub use relax::Relax;
#[cfg(target_os = "none")]
pub use switch::run;

#[cfg(not(target_os = "none"))]
use super::fake::assembly::functions as assembly;
