//! What operations cost in a guest of 64 GiB as its history grows to a million snapshots: `--history`. The library's test of that name counts, on the
//! host; this prints its table and draws it.

use super::figures::{Figure, Figures, written};
use super::machine::root;
use super::plot::{self, axis, line};
use super::svg::Plot;
use std::process::Command;

/// Snapshots of the longest history.
const MOST: u64 = 1_000_000;
const TEST: &str = "snapshot::tests::history::costs_do_not_grow_with_the_history";

/// Counts, prints and draws.
pub fn print() -> Result<(), String> {
    let mut cargo = Command::new("tools/cargo");
    cargo.args(["test", "--quiet", "--target", "host-tuple", "-p"]);
    cargo.args(["avisor-el2", "--lib", TEST, "--", "--nocapture"]);
    cargo
        .env("AVISOR_SNAPSHOTS", MOST.to_string())
        .current_dir(root());
    let output = cargo
        .output()
        .map_err(|error| format!("tools/cargo: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(format!("{TEST} failed:\n{text}"));
    }
    let looks: Vec<Figure> = text.lines().filter_map(parse).collect();
    if !looks.iter().any(|figure| figure.k == Some(MOST)) {
        return Err(format!("{TEST} told nothing of {MOST} snapshots"));
    }
    for Figure { name, k, value } in &looks {
        println!(
            "{:>12}  {name:<30} {:>10}",
            written(k.unwrap_or(0) as f64),
            written(*value)
        );
    }
    plot::save("cost-history.svg", &against_history(&Figures(looks)))
}

/// `history: <snapshots> snapshots: <name>: <figure> looks, <time> ns`, or `: <figure> bytes`.
fn parse(text: &str) -> Option<Figure> {
    let (snapshots, rest) = text.strip_prefix("history: ")?.split_once(" snapshots: ")?;
    let (name, figures) = rest.rsplit_once(": ")?;
    let value: u64 = figures.split(' ').next()?.parse().ok()?;
    Some(Figure {
        name: name.to_owned(),
        k: Some(snapshots.trim().parse().ok()?),
        value: value as f64,
    })
}

fn against_history(looks: &Figures) -> Plot {
    let by_k = |name: &str| -> Vec<(f64, f64)> {
        let points = looks.named(name);
        points
            .filter_map(|figure| Some((figure.k? as f64, figure.value)))
            .collect()
    };
    let powers = |last: i32| {
        (0..=last)
            .map(|power| 10_f64.powi(power))
            .collect::<Vec<_>>()
    };
    Plot {
        title: "Cost against the history, 64 GiB guest that uses 128 MiB".into(),
        x: axis("snapshots", &powers(6)[1..]),
        y: axis("looks at bookkeeping memory", &powers(5)),
        lines: vec![
            line(
                "restore of the first snapshot",
                by_k("restore of the first"),
            ),
            line(
                "restore, 9 checkpoints back",
                by_k("restore, 9 checkpoints back"),
            ),
            line("checkpoint, one page", by_k("checkpoint, one page")),
            line("first store", by_k("first store")),
            line("restore, one page", by_k("restore, one page")),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_test_are_read() {
        let figure = parse("history:      100 snapshots: first store: 16 looks, 856 ns").unwrap();
        assert_eq!(
            (figure.name.as_str(), figure.k, figure.value),
            ("first store", Some(100), 16.0)
        );
        assert_eq!(parse("running 1 test"), None);
    }
}
