//! The pictures in `docs/`: instructions against what they depend on, both axes logarithmic. Only what is counted is drawn, so that a
//! picture changes when the code does and never otherwise.

use super::counted::{self, Images};
use super::figures::{Figures, written};
use super::machine::root;
use super::svg::{Axis, Line, Plot};
use std::fs;

/// Draws both.
pub fn all(images: &Images, sizes: &[(u64, Figures)]) -> Result<(), String> {
    let curves = counted::run(images.smallest(), 128, "curves")?;
    save("cost-dirtied-pages.svg", &against_pages(&curves)?)?;
    save("cost-guest-ram.svg", &against_ram(sizes)?)
}

/// Writes `docs/NAME`.
pub fn save(name: &str, plot: &Plot) -> Result<(), String> {
    let file = root().join("docs").join(name);
    fs::create_dir_all(root().join("docs")).map_err(|error| format!("docs: {error}"))?;
    fs::write(&file, plot.svg()).map_err(|error| format!("docs/{name}: {error}"))?;
    println!("docs/{name} is drawn.");
    Ok(())
}

fn against_pages(curves: &Figures) -> Result<Plot, String> {
    let copy = curves.one("full copy")?;
    let by_k = |name: &str| -> Vec<(f64, f64)> {
        let points = curves.named(name);
        points
            .filter_map(|figure| Some((figure.k? as f64, figure.value)))
            .collect()
    };
    let most = by_k("restore of the base").last().map_or(1.0, |&(k, _)| k);
    Ok(Plot {
        title: "Cost against dirtied pages, 128 MiB guest".into(),
        x: axis(
            "pages dirtied since the last checkpoint",
            &[1.0, 10.0, 100.0, 1000.0, 10_000.0, most],
        ),
        y: instructions(1e8),
        lines: vec![
            line(
                "full copy of the guest's RAM",
                vec![(1.0, copy), (most, copy)],
            ),
            line(
                "restore, and the first stores that copy the pages again",
                by_k("fuzzer's round"),
            ),
            line("checkpoint, scattered pages", by_k("checkpoint, scattered")),
            line("checkpoint, pages in a row", by_k("checkpoint, adjacent")),
            line("restore", by_k("restore of the base")),
        ],
    })
}

fn against_ram(sizes: &[(u64, Figures)]) -> Result<Plot, String> {
    let by_ram = |name: &str| -> Result<Vec<(f64, f64)>, String> {
        let points = sizes
            .iter()
            .map(|(ram, figures)| Ok((*ram as f64, figures.one(name)?)));
        points.collect()
    };
    let ticks: Vec<(f64, String)> = [128, 256, 512, 1024, 2048, 4096]
        .map(|mib| {
            (
                f64::from(mib),
                if mib < 1024 {
                    format!("{mib} MiB")
                } else {
                    format!("{} GiB", mib / 1024)
                },
            )
        })
        .into();
    Ok(Plot {
        title: "Cost against the guest's RAM, 100 pages dirtied all over it".into(),
        x: Axis {
            label: "RAM of the guest",
            ticks,
        },
        y: instructions(1e9),
        lines: vec![
            line("full copy of the guest's RAM", by_ram("full copy")?),
            line("checkpoint", by_ram("checkpoint, all over RAM")?),
            line("restore", by_ram("restore, all over RAM")?),
        ],
    })
}

fn instructions(most: f64) -> Axis {
    let powers = (2..=9).map(|power| 10_f64.powi(power));
    let ticks: Vec<f64> = powers.filter(|&power| power <= most).collect();
    axis("instructions", &ticks)
}

pub fn axis(label: &'static str, ticks: &[f64]) -> Axis {
    let ticks = ticks.iter().map(|&tick| (tick, written(tick))).collect();
    Axis { label, ticks }
}

pub fn line(name: &'static str, points: Vec<(f64, f64)>) -> Line {
    Line { name, points }
}
