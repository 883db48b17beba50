//! `docs/who.md`: a program whose variable is overwritten, and the session with gdb that finds out by whom. It is played command by command.

use std::path::Path;

use crate::board::Board;
use crate::debugger::Debugged;
use crate::fetched;
use crate::image::{ROOT, TRIPLE, folder};
use crate::on_both_boards;

on_both_boards!(the_session_of_the_book);

/// What is typed, and what is shown of it.
struct Step {
    command: String,
    shown: Vec<String>,
}

/// The page's blocks of the language `gdb`.
fn steps() -> Vec<Step> {
    let page = std::fs::read_to_string(Path::new(ROOT).join("docs/who.md"));
    let page = page.expect("it is there");
    let mut steps: Vec<Step> = Vec::new();
    let mut is_in = false;
    for line in page.lines() {
        match (is_in, line) {
            (false, "```gdb") => is_in = true,
            (true, "```") => is_in = false,
            (true, line) => match line.strip_prefix("(gdb) ") {
                Some(command) => steps.push(Step {
                    command: command.to_owned(),
                    shown: Vec::new(),
                }),
                None => {
                    let step = steps.last_mut().expect("it begins with a command");
                    step.shown.push(line.to_owned());
                }
            },
            _ => {}
        }
    }
    steps
}

/// A line without what is another number each time, or with another compiler: addresses, ids of snapshots, places in functions, registers, and lines of
/// the source.
fn without_numbers(line: &str) -> String {
    let is_digit = |c: char| c.is_ascii_digit();
    let mut out = String::new();
    let mut rest = line;
    // In front of the source that `list` shows, its line.
    if let Some((number, source)) = line.split_once('\t')
        && !number.is_empty()
        && number.chars().all(is_digit)
    {
        out += "_\t";
        rest = source;
    }
    while let Some(c) = rest.chars().next() {
        let is_in_word = out.ends_with(|c: char| c.is_ascii_alphanumeric());
        let number_behind = |mark| {
            rest.strip_prefix(mark)
                .filter(|rest: &&str| rest.starts_with(is_digit))
        };
        let marks = ["#", "+", ".rs:", "x", "w"];
        let mut marks = marks
            .iter()
            .filter(|mark| !(is_in_word && ["x", "w"].contains(mark)));
        if let Some(digits) = rest.strip_prefix("0x") {
            out += "0x_";
            rest = digits.trim_start_matches(|c: char| c.is_ascii_hexdigit());
        } else if let Some((mark, digits)) =
            marks.find_map(|mark| Some((mark, number_behind(*mark)?)))
        {
            out += mark;
            out.push('_');
            rest = digits.trim_start_matches(is_digit);
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

fn the_session_of_the_book(board: Board) {
    if fetched::gdb().is_none() {
        return;
    }
    let config = "configs/overwritten.toml";
    let mut machine = Debugged::boot(board, "who", config, &[]);
    machine
        .session
        .expect("overwritten: samples are below 100\n");
    machine.session.expect("the limit is 20. Nobody sets it!\n");
    let steps = steps();
    assert!(steps.len() >= 5, "{} commands", steps.len());
    // As a user has it: the program's.
    let mut commands = vec![
        "set language auto".to_owned(),
        "source tools/gdb/avisor.py".to_owned(),
    ];
    for (n, step) in steps.iter().enumerate() {
        commands.push(format!("echo \\nstep {n}\\n"));
        commands.push(step.command.clone());
    }
    commands.push("echo \\nstep end\\n".into());
    let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
    let program =
        folder("debugger-build").join(format!("guest/{TRIPLE}/release/examples/overwritten"));
    let said = machine.gdb(Some(&program), &commands).ends();
    let mut parts = said.split("\nstep ");
    parts.next();
    for (step, part) in steps.iter().zip(parts.by_ref()) {
        let mut lines = part.lines().skip(1).filter(|line| !line.is_empty());
        let mut gap = false;
        for wanted in &step.shown {
            if wanted == "..." {
                gap = true;
                continue;
            }
            let same = |line: &&str| {
                without_numbers(line.trim_end()) == without_numbers(wanted.trim_end())
            };
            let found = match gap {
                true => lines.find(same),
                false => lines.next().filter(same),
            };
            assert!(
                found.is_some(),
                "{:?} should show {wanted:?}:\n{said}",
                step.command
            );
            gap = false;
        }
        assert!(
            gap || lines.next().is_none(),
            "{:?} shows more:\n{said}",
            step.command
        );
    }
    assert!(
        parts.next().is_some_and(|part| part.starts_with("end")),
        "{said}"
    );
}

#[test]
fn numbers_that_change() {
    for (line, other, same) in [
        ("#14 to #15: 100 -> 20", "#9 to #10: 100 -> 20", true),
        ("#14 to #15: 100 -> 20", "#14 to #15: 100 -> 21", false),
        ("0x400810d4 <a+64>:\tstr", "0x40081 <a+64>:\tstr", true),
        ("0x400810d4 <a+64>:\tstr", "0x400810d4 <a+68>:\tstr", true),
        ("0x400810d4 <a+64>:\tstr", "0x400810d4 <b+64>:\tstr", false),
        (
            "str\tx1, [x9, x8, lsl #3]",
            "str\tx10, [x2, x3, lsl #3]",
            true,
        ),
        ("str\tw1, [x9]", "str\tx1, [x9]", false),
        ("56\t    *samples = 1;", "57\t    *samples = 1;", true),
        ("56\t    *samples = 1;", "56\t    *samples = 2;", false),
        ("at a/b.rs:58", "at a/b.rs:60", true),
        ("$1 = 8", "$1 = 9", false),
        ("keep (round=1)", "keep (round=2)", false),
        ("max8", "max9", false),
    ] {
        assert_eq!(
            without_numbers(line) == without_numbers(other),
            same,
            "{line}"
        );
    }
}
