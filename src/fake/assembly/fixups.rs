//! The table of exceptions that EL2 expects, as `fixup.S` writes it: three words each, place, place to go on at, kind.

use super::source::Line;
use std::string::{String, ToString};
use std::vec::Vec;

/// An exception that is expected, by labels.
pub(super) struct Fixup {
    pub(super) kind: u64,
    pub(super) at: String,
    pub(super) then: String,
}

/// Those in `lines`.
pub(super) fn fixups(lines: &[Line]) -> Vec<Fixup> {
    let words = lines.iter().filter_map(|line| match line.words() {
        (".long", word) => Some(word),
        _ => None,
    });
    let words: Vec<&str> = words.collect();
    let place = |word: &str| word.strip_suffix(" - .").map(ToString::to_string);
    let fixup = |words: &[&str]| {
        Some(Fixup {
            at: place(words[0])?,
            then: place(words[1])?,
            kind: words[2].parse().ok()?,
        })
    };
    words.windows(3).filter_map(fixup).collect()
}
