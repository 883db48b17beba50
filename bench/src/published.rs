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
        let rows = rows(&text).map_err(|row| format!("{page}: no row of figures: {row}"))?;
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

/// The rows of the tables `| what | figure | k | ... |`; or the line in one of them that is no such row.
fn rows(text: &str) -> Result<Vec<Row>, &str> {
    let mut rows = Vec::new();
    let mut table = text.lines();
    while let Some(line) = table.next() {
        if !line.starts_with("| what | figure | k |") {
            continue;
        }
        // Below the heading is the line that makes it one.
        for line in table
            .by_ref()
            .skip(1)
            .take_while(|line| line.starts_with('|'))
        {
            rows.push(row(line).ok_or(line)?);
        }
    }
    Ok(rows)
}

/// `| what | figure | k | value |`, where the k may be missing.
fn row(line: &str) -> Option<Row> {
    let cells: Vec<_> = line.split('|').map(str::trim).collect();
    let [_, _, figure, k, value, _] = cells[..] else {
        return None;
    };
    let number = |cell: &str| cell.replace(',', "");
    Some(Row {
        figure: figure.to_owned(),
        k: match k {
            "" => None,
            k => Some(number(k).parse().ok()?),
        },
        value: number(value).parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\n| what | figure | k | instructions |\n| --- | --- | --- | --- |\n\
                         | a | x | | 1,000 |\n| b | x | 1,000 | 20 |\n\n| c | x | | 7 |\n";

    #[test]
    fn a_table_is_read() {
        let rows = rows(TABLE).unwrap_or_default();
        let read: Vec<_> = rows.iter().map(|row| (row.k, row.value)).collect();
        assert_eq!(read, [(None, 1000.0), (Some(1000), 20.0)]);
    }

    #[test]
    fn a_row_that_is_none_is_named() {
        for wrong in [
            "| c | x | | about 7 |",
            "| c | x | 7 |",
            "| c | x | few | 7 |",
        ] {
            let text = TABLE.replace("| a | x | | 1,000 |", wrong);
            assert_eq!(rows(&text).err(), Some(wrong));
        }
    }

    #[test]
    fn the_pages_have_figures() {
        assert_eq!(judge(&Figures::default()), Ok(Vec::new()));
    }

    #[test]
    fn a_figure_that_changed_is_named() {
        let mut figures = Figures::default();
        figures.push("SMCCC call", None, 103.0);
        assert_eq!(judge(&figures), Ok(Vec::new()));
        let mut figures = Figures::default();
        figures.push("SMCCC call", None, 143.0);
        let wrong = judge(&figures).expect("the pages are there");
        assert!(
            wrong.iter().any(|line| line.contains("SMCCC call")),
            "{wrong:?}"
        );
    }
}
