//! The README and the book: what they say is what the code does.
//!
//! | module | what it covers |
//! | --- | --- |
//! | [`pictures`] | the pictures that are drawn, and whether they are up to date |
//!
//! Transcripts are played by the tests in QEMU (`tests/qemu/book.rs`), as [`transcript`] reads them here.

mod markdown;
mod pictures;
mod transcript;
