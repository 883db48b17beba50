//! A snapshot of a VM as an ELF core file (System V ABI, chapters 4 and 5), which gdb, drgn, crash and readelf open.
//!
//! [`Core::new`] looks at the machine once; [`Core::read`] then gives any part of the file. The file is never in memory as a whole: a debugger asks
//! for it by offset, a program on Avisor writes it piece by piece.
//!
//! | part of the file | what it has |
//! | --- | --- |
//! | `PT_NOTE` | general and SIMD registers of each vCPU; VMCOREINFO, if Linux is inside |
//! | a `PT_LOAD` for each piece of RAM | at `p_paddr`, its guest-physical address, and at `p_vaddr`, [`PHYSICAL`] above that |
//! | a `PT_LOAD` for each virtual range | at `p_vaddr` as the guest's tables have it, with the same place in the file |
//!
//! Pages of zeros are not in the file: `p_filesz` is less than `p_memsz` there.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`machine`] | what a machine is to the rest |
//! | [`tables`] | stage 1: which virtual addresses are mapped to what |
//! | [`ranges`] | what several vCPUs map together |
//! | [`pages`] | which pages have something in them |
//! | [`notes`] | the notes |
//! | [`layout`] | where everything is in the file |
//! | [`file`](mod@file) | the file |
//! | [`request`] | which cores a program is asked to write |

#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod file;
pub mod layout;
pub mod machine;
pub mod notes;
pub mod pages;
pub mod ranges;
pub mod request;
pub mod tables;
#[cfg(feature = "guest")]
pub mod target;

pub use crate::file::Core;
pub use crate::layout::PHYSICAL;
pub use crate::machine::{Machine, Vcpu};

#[cfg(test)]
mod tests;
