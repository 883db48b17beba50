//! The README and the book: what they say is what the code does.
//!
//! | module | what it covers |
//! | --- | --- |
//! | [`tables`] | calls, errors, addresses, registers, commands, keys: the book's tables against the code |
//! | [`commands`] | commands and paths that are named exist |
//! | [`form`] | links, excerpts, a sentence a line, the README's length |
//! | [`pictures`] | the pictures that are drawn, and whether they are up to date |
//!
//! Transcripts are played by the tests in QEMU (`tests/qemu/book.rs`), as [`transcript`] reads them here. Published figures are held against
//! what is measured by `bench/src/published.rs`.

mod commands;
#[allow(dead_code)]
#[path = "../../build/config.rs"]
mod config;
mod form;
mod markdown;
mod pictures;
mod tables;
mod transcript;
