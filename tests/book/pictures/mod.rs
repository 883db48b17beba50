//! The pictures of the README and the book that are no measurements: drawn here, and kept in `docs/`.
//!
//! `make pictures` draws them anew; otherwise these tests only see whether the files are what would be drawn. The session is the first
//! transcript of the chapter on Linux, which the tests in QEMU play. The steps of a snapshot come out of a small model. The search for who
//! wrote to a variable is what its chapter shows of it.

mod drawing;
mod steps;
mod terminal;
mod tree;
mod who;

use std::env;
use std::fs;
use std::path::Path;

use super::markdown::{self, ROOT};
use super::transcript;

/// The file is as it is drawn; where `make pictures` asks for it, it is drawn.
fn keep(name: &str, picture: &str) {
    let file = Path::new(ROOT).join("docs").join(name);
    if env::var_os("AVISOR_DRAW").is_some() {
        fs::write(&file, picture).unwrap_or_else(|error| panic!("docs/{name}: {error}"));
    }
    let kept = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        kept == picture,
        "docs/{name} is another picture: make pictures"
    );
}

#[test]
fn the_session_is_drawn() {
    let page = markdown::named("docs/linux.md");
    let mut first = transcript::of(&page).swap_remove(0);
    // The transcript goes on in a later section of the chapter.
    first.steps.truncate(first.first_block);
    keep("session.svg", &terminal::draw(&first));
}

/// The screen of the fuzzer, which its own tests hold against what it draws (`guest/fuzz/src/tests/screen.rs`).
#[test]
fn the_fuzzers_screen_is_drawn() {
    let page = markdown::named("docs/fuzz.md");
    let blocks = page.blocks();
    let lines = blocks.iter().map(|block| &block.lines);
    let screen = lines.map(|lines| lines.as_slice()).find(|lines| {
        let first = lines.first();
        first.is_some_and(|line| line.starts_with("avisor fuzz: "))
    });
    let screen = screen.expect("the chapter shows it");
    let label = "A terminal: the fuzzer's rounds, edges, inputs and crashes";
    let picture = terminal::still("make fuzz TARGET=fdt", label, screen);
    keep("fuzz-screen.svg", &picture);
}

#[test]
fn each_step_of_a_snapshot_is_drawn() {
    for (name, picture) in steps::all() {
        keep(&format!("step-{name}.svg"), &picture);
    }
}

/// What the session of the chapter finds out, which the tests in QEMU play.
#[test]
fn the_search_for_a_writer_is_drawn() {
    let page = markdown::named("docs/who.md");
    let session = who::Session::of(&page);
    for (name, picture) in session.draw() {
        keep(&format!("who-{name}.svg"), &picture);
    }
}

/// What may stand for itself in XML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
