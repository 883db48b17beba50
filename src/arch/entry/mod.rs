//! Into a guest and back: a trap is a function that returns ([`run`]). The vectors also have EL2's own exceptions: those that EL2 survives
//! ([`fixup`]), and its mistakes (`fault`).

pub mod fixup;

#[cfg(target_os = "none")]
mod fault;
#[cfg(target_os = "none")]
pub(in crate::arch) mod switch;

#[cfg(target_os = "none")]
pub use fault::panicked;
#[cfg(target_os = "none")]
pub use switch::run;
