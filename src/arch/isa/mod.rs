//! The instructions that Rust has no words for, one function each: barriers, maintenance of TLBs and caches, system registers, and memory by its
//! physical address. In the image each is that instruction. In the tests each is done by the
//! core of `fake::worst` that the thread stands for, if it stands for one, and can be left out by its place (`make mutants`).

#[cfg(not(test))]
mod entry;
#[cfg(test)]
#[macro_use]
mod host;
#[cfg(target_os = "none")]
#[macro_use]
mod metal;
#[cfg(not(any(test, target_os = "none")))]
mod plain;

#[cfg(not(test))]
pub use entry::TableEntry;
#[cfg(target_os = "none")]
pub use metal::*;
#[cfg(not(any(test, target_os = "none")))]
pub use plain::*;

#[cfg(test)]
pub use crate::fake::worst::isa::*;
#[cfg(test)]
pub use host::*;
