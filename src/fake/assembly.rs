//! The project's own assembly, run as it is written: the text of a `.S` file is expanded ([`source`]), decoded ([`instruction`]) and run
//! ([`Text`]) on what the test puts under it, a [`Machine`]. So the sequences that the image has are under test, not twins of them; and
//! each barrier and each maintenance instruction can be left out by its line, like those in Rust ([`mutants`](super::worst::mutants)).
//!
//! It knows the instructions that these files have, and no more: another one is a panic that names it.

mod fixups;
pub mod functions;
mod instruction;
mod registers;
mod source;
mod tests;
mod text;

pub use registers::{Machine, Registers};
pub use text::Text;
