//! The screen is as the book shows it.

use super::fake::Files;
use crate::options::Options;
use crate::report::{Figures, Report};
use crate::target::Costs;

const BOOK: &str = include_str!("../../../../docs/fuzz.md");

const SECOND: u64 = 1_000_000_000;

/// The screen in the book, which the picture in the README is drawn from, too.
fn shown() -> &'static str {
    let (_, block) = BOOK
        .split_once("```text\navisor fuzz: ")
        .expect("the book has it");
    let (screen, _) = block.split_once("```").expect("the block has an end");
    screen
}

#[test]
fn the_book_shows_it() {
    let options = Options::parse("name=fdt screen").unwrap();
    let mut report = Report::new(&options, 7);
    let mut output = Files::default();
    let mut figures = Figures {
        corpus: 36,
        edges: 71,
        map_bytes: 256,
        saved_crashes: 1,
        crashes: 44,
        last_find: 21 * SECOND,
        last_crash: 2 * SECOND,
        ..Figures::default()
    };
    for (ms, rounds) in [(44_070, 67_434), (44_570, 69_129)] {
        figures.rounds = rounds;
        figures.costs = Costs {
            target: ms * 60_500,
            hypervisor: ms * 821_000,
            pages: 3,
        };
        output.shown.clear();
        assert!(report.is_time(7 + ms * 1_000_000, rounds));
        report.write(&mut output, &figures, rounds, false);
    }
    let plain = ["\x1b[H", "\x1b[K", "\x1b[J", "\x1b[1m", "\x1b[0m"];
    let text = plain
        .iter()
        .fold(output.shown, |text, code| text.replace(code, ""));
    assert_eq!(text.strip_prefix("avisor fuzz: "), Some(shown()));
}
