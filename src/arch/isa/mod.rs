//! The instructions that Rust has no words for, one function each: barriers, maintenance of TLBs and caches, system registers, and memory by its
//! physical address. In the image each is that instruction. In the tests each is done by the
//! core of `fake::worst` that the thread stands for, if it stands for one, and can be left out by its place (`make mutants`).

#[cfg(target_os = "none")]
mod metal;
#[cfg(target_os = "none")]
pub use metal::*;

#[cfg(not(target_os = "none"))]
pub use super::fake::worst::isa::*;
