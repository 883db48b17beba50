//! The fourth table: how long a VM's own vCPU is away for one trap, by the size of the VM, whose pages have all been dirtied. In instructions.
//!
//! No other VM waits so long: what grows here is done in pieces, between which others run ([`neighbours`](super::neighbours)).

use super::counted::{self, BESIDES};
use super::figures::{Figures, written};
use super::machine::{Machine, Time};
use std::path::{Path, PathBuf};

/// What the names of the guest's figures begin with, and those of their rows in `bench/bounds.toml`. Their k is the guest's RAM in MiB.
const PREFIX: &str = "pause: ";
/// What the guest reports behind that, in the order of the table.
const TRAPS: &[&str] = &["checkpoint", "restore", "INFO", "DELETE", "first store"];

/// What these images report, each with the MiB of its guest.
pub fn figures(images: &[(u64, PathBuf)]) -> Result<Figures, String> {
    let mut figures = Figures::default();
    for (ram, image) in images {
        let measured = measure(image, *ram)?;
        for trap in TRAPS {
            let name = format!("{PREFIX}{trap}");
            figures.push(&name, Some(*ram), measured.one(&name)?);
        }
    }
    Ok(figures)
}

/// On a machine with room for all of the guest's pages twice.
fn measure(image: &Path, ram: u64) -> Result<Figures, String> {
    Machine::avisor(image, 2 * ram + BESIDES, Time::Counted)?.measure(&format!("pauses {ram}"))
}

/// Measures and prints this table alone; an error says what is out of bounds.
pub fn print_and_judge(images: &[(u64, PathBuf)]) -> Result<(), String> {
    let figures = figures(images)?;
    print(&figures);
    let mut rows = counted::rows()?;
    rows.retain(|row| row.figure.starts_with(PREFIX));
    counted::judge(&rows, &figures, false)
}

/// Prints the table.
pub fn print(figures: &Figures) {
    println!("{}", table(figures));
}

/// A line for each trap, with a column for each size.
fn table(figures: &Figures) -> String {
    let of =
        |trap: &str| -> Vec<_> { figures.named(&format!("{PREFIX}{trap}")).cloned().collect() };
    let sizes = of(TRAPS[0]);
    let heads = sizes
        .iter()
        .map(|figure| format!("{} MiB", written(figure.k.unwrap_or(0) as f64)));
    let mut text = line("one trap, all pages dirtied", heads);
    text += &line("---", sizes.iter().map(|_| "---:".to_owned()));
    for trap in TRAPS {
        text += &line(trap, of(trap).iter().map(|figure| written(figure.value)));
    }
    text
}

fn line(first: &str, others: impl Iterator<Item = String>) -> String {
    let others: String = others.map(|cell| format!(" {cell} |")).collect();
    format!("| {first} |{others}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_for_each_size() {
        let mut figures = Figures::default();
        for trap in TRAPS {
            figures.push(&format!("{PREFIX}{trap}"), Some(128), 7.0);
            figures.push(&format!("{PREFIX}{trap}"), Some(1024), 1234.0);
        }
        figures.push("restore", Some(128), 5.0);
        let table = table(&figures);
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(
            lines[..3],
            [
                "| one trap, all pages dirtied | 128 MiB | 1,024 MiB |",
                "| --- | ---: | ---: |",
                "| checkpoint | 7 | 1,234 |",
            ]
        );
        assert_eq!(lines.len(), 2 + TRAPS.len());
    }

    #[test]
    fn each_trap_has_a_bound_that_only_the_full_form_judges() {
        let rows = counted::rows().expect("the file is right");
        for trap in TRAPS {
            let name = format!("{PREFIX}{trap}");
            let row = rows.iter().find(|row| row.figure == name);
            assert!(
                row.is_some_and(|row| row.full && row.bound.is_some()),
                "{name}"
            );
        }
    }
}
