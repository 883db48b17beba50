//! The guest: hypercalls, memory and the UART around the library.

#![no_std]
#![no_main]
#![allow(missing_docs, reason = "a program, not a library")]

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
#[path = "guest/mod.rs"]
mod guest;
