//! What the README and the book say that operations cost, held against what was measured.

use super::figures::Figures;
use super::machine::root;
use std::fs;

/// A published figure may be off by this part of it: so much a change of the code may shift it without being news.
const TOLERANCE: f64 = 0.05;

/// A row of a table of figures.
struct Row {
    figure: String,
    k: Option<u64>,
    value: f64,
}

/// What is published and was measured differently now, and rows that are no figures. A figure that this run does not measure is left alone, if
/// `bench/bounds.toml` knows it.
pub fn judge(figures: &Figures) -> Result<Vec<String>, String> {
    let mut wrong = Vec::new();
    let bounds = fs::read_to_string(root().join("bench/bounds.toml"));
    let bounds = bounds.map_err(|error| format!("bench/bounds.toml: {error}"))?;
    for page in ["README.md", "docs/cost.md"] {
        let text = fs::read_to_string(root().join(page));
        let text = text.map_err(|error| format!("{page}: {error}"))?;
        let rows = rows(&text);
        if rows.is_empty() {
            return Err(format!("{page}: there is no table of figures"));
        }
        for row in rows {
            let same = |k| k == row.k;
            let measured = figures.named(&row.figure).find(|figure| same(figure.k));
            let Some(measured) = measured.map(|figure| figure.value) else {
                if !bounds.contains(&format!("\nfigure = {:?}\n", row.figure)) {
                    wrong.push(format!("{page}: {}: there is no such figure", row.figure));
                }
                continue;
            };
            if (row.value - measured).abs() > TOLERANCE * measured {
                let Row { figure, value, .. } = row;
                wrong.push(format!(
                    "{page}: {figure}: {value} is published, {measured} was measured"
                ));
            }
        }
    }
    Ok(wrong)
}

/// The rows of the tables `| what | figure | k | ... |`.
fn rows(text: &str) -> Vec<Row> {
    let cells = |line: &str| -> Option<Vec<String>> {
        let inner = line.strip_prefix('|')?.strip_suffix('|')?;
        Some(
            inner
                .split('|')
                .map(|cell| cell.trim().to_owned())
                .collect(),
        )
    };
    let mut rows = Vec::new();
    let mut inside = false;
    for line in text.lines().map(cells) {
        let Some(line) = line else {
            inside = false;
            continue;
        };
        inside |= line.starts_with(&["what".into(), "figure".into(), "k".into()]);
        if let (true, [_, figure, k, value]) = (inside, &line[..])
            && let Ok(value) = value.replace(',', "").parse()
        {
            rows.push(Row {
                figure: figure.clone(),
                k: k.replace(',', "").parse().ok(),
                value,
            });
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\n| what | figure | k | instructions |\n| --- | --- | --- | --- |\n\
                         | a | x | | 1,000 |\n| b | x | 1,000 | 20 |\n\n| c | x | | 7 |\n";

    #[test]
    fn a_table_is_read() {
        let rows = rows(TABLE);
        let read: Vec<_> = rows.iter().map(|row| (row.k, row.value)).collect();
        assert_eq!(read, [(None, 1000.0), (Some(1000), 20.0)]);
    }

    #[test]
    fn the_pages_have_figures() {
        assert_eq!(judge(&Figures::default()), Ok(Vec::new()));
    }

    #[test]
    fn a_figure_that_changed_is_named() {
        let mut figures = Figures::default();
        figures.push("SMCCC call", None, 143.0);
        assert_eq!(judge(&figures), Ok(Vec::new()));
        let mut figures = Figures::default();
        figures.push("SMCCC call", None, 160.0);
        let wrong = judge(&figures).expect("the pages are there");
        assert!(
            wrong.iter().any(|line| line.contains("SMCCC call")),
            "{wrong:?}"
        );
    }
}
