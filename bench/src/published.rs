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

/// What is published and was measured differently now, and rows that are no figures.
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
        let rows = rows.iter().filter_map(|row| judged(row, &bounds, figures));
        wrong.extend(rows.map(|row| format!("{page}: {row}")));
    }
    Ok(wrong)
}

/// What is wrong with a row, if it is. A figure that this run does not measure is left alone, if `bounds` knows it.
fn judged(row: &Row, bounds: &str, figures: &Figures) -> Option<String> {
    let Row { figure, k, value } = row;
    let measured = figures.named(figure).find(|figure| figure.k == *k);
    let Some(measured) = measured.map(|figure| figure.value) else {
        let known = bounds.contains(&format!("\nfigure = {figure:?}\n"));
        return (!known).then(|| format!("{figure}: there is no such figure"));
    };
    ((value - measured).abs() > TOLERANCE * measured)
        .then(|| format!("{figure}: {value} is published, {measured} was measured"))
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
        let [thousand, ..] = &rows(TABLE).expect("rows")[..] else {
            panic!("the first row is that of 1,000");
        };
        let measured = |value| {
            let mut figures = Figures::default();
            figures.push("x", None, value);
            judged(thousand, "", &figures)
        };
        assert_eq!(measured(1_040.0), None);
        assert_eq!(measured(960.0), None);
        for changed in [900.0, 1_100.0] {
            let named = format!("x: 1000 is published, {changed} was measured");
            assert_eq!(measured(changed), Some(named));
        }
    }

    #[test]
    fn a_figure_that_is_not_measured_has_a_bound() {
        let rows = rows(TABLE).expect("rows");
        let judged = |bounds| judged(&rows[1], bounds, &Figures::default());
        assert_eq!(judged("[[bound]]\nfigure = \"x\"\n"), None);
        assert_eq!(judged(""), Some("x: there is no such figure".to_owned()));
    }
}
