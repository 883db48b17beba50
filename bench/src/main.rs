//! `make bench`: measures what snapshots cost, compares it with what people would use instead, and fails if anything is above its bound.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`machine`] | builds images and boots them in QEMU |
//! | [`figures`] | reads what the guest reports |
//! | [`bounds`] | what each figure may be: `bench/bounds.toml` |
//! | [`counted`] | the first table, in instructions: the same on every machine |
//! | [`linux`] | and one row of it: Debian's Linux to its shell |
//! | [`wall`] | the second table, in time, beside QEMU's own snapshots ([`savevm`]) |
//! | [`published`] | whether the figures of the README and the book are still those |
//! | [`neighbours`] | how long a VM waits for the core beside another: `--neighbours` |
//! | [`pauses`] | how long a VM is away for a trap of its own, by its size: `--pauses` |
//! | [`history`] | what operations cost as the history grows to a million snapshots: `--history` |
//! | [`fuzz`] | rounds of a fuzzer a second beside QEMU's `loadvm`: `--fuzz` |
//! | [`plot`] | the pictures in `docs/`, as [`svg`] |

mod bounds;
mod counted;
mod figures;
mod fuzz;
mod history;
mod linux;
mod machine;
mod monitor;
mod neighbours;
mod pauses;
mod plot;
mod published;
mod savevm;
mod svg;
mod wall;

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use machine::Builder;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let target = env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| machine::root().join("target"), PathBuf::from);
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => full(&target),
        ["--short"] => short(&target),
        ["--history"] => history::print(),
        ["--fuzz"] => fuzz::print(&Builder::new(&target)),
        ["--pauses"] => counted::Images::sizes(&Builder::new(&target))
            .and_then(|images| pauses::print_and_judge(&images)),
        ["--neighbours", ref attacks @ ..] => neighbours::print(&Builder::new(&target), attacks),
        _ => Err(
            "usage: avisor-bench [--short | --history | --fuzz | --pauses \
             | --neighbours [ATTACK]...]"
                .into(),
        ),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// All bounds that a guest of 128 MiB can tell of.
pub fn short(target: &Path) -> Result<(), String> {
    let figures = counted::short(&Builder::new(target))?;
    counted::print_and_judge(&figures, true)?;
    judge_published(&figures)
}

/// The README and the book say what was measured.
fn judge_published(figures: &figures::Figures) -> Result<(), String> {
    let wrong = published::judge(figures)?;
    if wrong.is_empty() {
        return Ok(());
    }
    Err(wrong.join("\n"))
}

/// Everything. What is above its bound is told at the end.
fn full(target: &Path) -> Result<(), String> {
    let builder = Builder::new(target);
    let images = counted::Images::build(&builder)?;
    let sizes = counted::sizes(&images)?;
    let mut figures = counted::full(&images, &sizes)?;
    figures.0.extend(linux::figures(&builder)?.0);
    figures.0.extend(pauses::figures(&images.avisor)?.0);
    let judged = counted::print_and_judge(&figures, false);
    wall::running(&images)?;
    wall::side_by_side(&images, &builder.scratch()?)?;
    let waits = neighbours::print(&builder, &[]);
    pauses::print(&figures);
    plot::all(&images, &sizes)?;
    judged.and(waits).and(judge_published(&figures))
}
