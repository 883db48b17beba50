//! AArch64 at EL2, non-VHE (`HCR_EL2.E2H` = 0). Section numbers in this folder are those of the Arm ARM, DDI 0487,
//! written with the section's title because numbers move between issues.
//!
//! | module | what |
//! | --- | --- |
//! | [`boot`] | the image's header and entry, up to `main` with MMU and caches on |
//! | [`mmu`] | EL2's own tables |
//! | [`cpu`] | what a physical core has for itself; features of the CPU |
//! | [`switch`], [`fault`], [`fixup`] | the vectors: traps from a guest, EL2's own faults, and those that it expects |
//! | [`control`], [`timer`] | what a guest may do: HCR_EL2, VTCR_EL2, ... and its counter |
//! | [`state`], [`debug`], [`fp`] | a vCPU's registers beyond the general ones |
//! | [`el1`], [`id`] | single registers of a guest, address translation, ID registers |
//! | [`page`], [`tlb`] | page contents, caches, TLBs, barriers |
//! | [`Relax`] | waiting for another core |
//! | [`core`](mod@self::core), [`memory`] | what a VM runs on: the two seams of [`vm`](crate::vm) |
//! | [`heap`], [`mmio`], [`firmware`] | global allocator, device registers, SMC and semihosting |

#[macro_use]
mod register;

pub mod boot;
pub mod control;
pub mod core;
pub mod cpu;
pub mod debug;
pub mod el1;
pub mod fault;
pub mod firmware;
pub mod fixup;
pub mod fp;
pub mod heap;
pub mod id;
pub mod memory;
pub mod mmio;
pub mod mmu;
pub mod page;
mod relax;
pub mod state;
pub mod switch;
pub mod timer;
pub mod tlb;

pub use self::core::Core;
pub use self::memory::VmMemory;
pub use fault::panicked;
pub use relax::Relax;
pub use state::SystemState;
pub use switch::run;
