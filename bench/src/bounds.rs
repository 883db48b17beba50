//! `bench/bounds.toml`: what each figure may be, and what the bare work costs.

use super::figures::{Figure, Figures, written};
use toml::{Table, Value};

/// `a + b * k`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    pub base: f64,
    pub each: f64,
}

impl Cost {
    /// The cost for `k`; without one, the base alone.
    pub fn of(self, k: Option<u64>) -> f64 {
        self.base + self.each * k.unwrap_or(0) as f64
    }
}

/// A row of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub figure: String,
    pub bound: Option<Cost>,
    pub bare: Option<Cost>,
    /// The bound is from below.
    pub least: bool,
    /// Only in the full form.
    pub full: bool,
}

impl Row {
    fn parse(table: &Table) -> Result<Self, String> {
        let known = ["figure", "bound", "bare", "least", "full"];
        if let Some(key) = table.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(format!("{key}: unknown key; allowed: {}", known.join(", ")));
        }
        let figure = table
            .get("figure")
            .and_then(Value::as_str)
            .ok_or("figure: missing")?;
        let flag = |key: &str| table.get(key).and_then(Value::as_bool).unwrap_or(false);
        Ok(Self {
            figure: figure.to_owned(),
            bound: cost(table, "bound")?,
            bare: cost(table, "bare")?,
            least: flag("least"),
            full: flag("full"),
        })
    }

    /// Whether the figure is within its bound.
    pub fn holds(&self, figure: &Figure) -> bool {
        self.bound.is_none_or(|bound| {
            let bound = bound.of(figure.k);
            if self.least {
                figure.value >= bound
            } else {
                figure.value <= bound
            }
        })
    }
}

fn cost(table: &Table, key: &str) -> Result<Option<Cost>, String> {
    let number = |value: &Value| {
        value
            .as_float()
            .or(value.as_integer().map(|value| value as f64))
    };
    match table.get(key) {
        None => Ok(None),
        Some(value) => match value.as_array().map(Vec::as_slice) {
            Some([base, each]) => number(base)
                .zip(number(each))
                .map(|(base, each)| Some(Cost { base, each })),
            _ => None,
        }
        .ok_or_else(|| format!("{key}: {value} is not allowed; allowed: [a, b], two numbers")),
    }
}

/// All rows.
pub fn parse(text: &str) -> Result<Vec<Row>, String> {
    let table: Table = text
        .parse()
        .map_err(|error: toml::de::Error| error.to_string())?;
    let rows = table
        .get("row")
        .and_then(Value::as_array)
        .ok_or("there is no [[row]]")?;
    let row = |row: &Value| Row::parse(row.as_table().ok_or("row: not a section")?);
    rows.iter().map(row).collect()
}

/// What is wrong: figures out of bounds, rows without a figure, and figures without a row.
pub fn judge(rows: &[Row], figures: &Figures, short: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    for row in rows.iter().filter(|row| !(short && row.full)) {
        if figures.named(&row.figure).next().is_none() {
            wrong.push(format!("{}: not measured", row.figure));
        }
        for figure in figures.named(&row.figure) {
            if !row.holds(figure) {
                let bound = row.bound.map_or(0.0, |bound| bound.of(figure.k));
                let k = figure.k.map_or(String::new(), |k| format!(" [{k}]"));
                let side = if row.least { "below" } else { "above" };
                wrong.push(format!(
                    "{}{k}: {} is {side} its bound, {}",
                    row.figure,
                    written(figure.value),
                    written(bound)
                ));
            }
        }
    }
    for figure in &figures.0 {
        if !rows.iter().any(|row| row.figure == figure.name) {
            wrong.push(format!("{}: has no row", figure.name));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[[row]]\nfigure = 'copy'\nbound = [100, 10]\nbare = [1.5, 0]\n\
                        [[row]]\nfigure = 'fit'\nbound = [5, 0]\nleast = true\nfull = true\n";

    fn figures(of: &[(&str, Option<u64>, f64)]) -> Figures {
        let mut figures = Figures::default();
        for &(name, k, value) in of {
            figures.push(name, k, value);
        }
        figures
    }

    #[test]
    fn costs_grow_with_k() {
        let rows = parse(TEXT).expect("it is right");
        let bound = rows[0].bound.expect("it has one");
        assert_eq!((bound.of(None), bound.of(Some(7))), (100.0, 170.0));
        assert_eq!(rows[0].bare.expect("it has one").of(Some(7)), 1.5);
    }

    #[test]
    fn every_k_is_judged() {
        let rows = parse(TEXT).expect("it is right");
        let good = [
            ("copy", Some(1), 110.0),
            ("copy", Some(2), 120.0),
            ("fit", None, 5.0),
        ];
        assert!(judge(&rows, &figures(&good), false).is_empty());
        let bad = [
            ("copy", Some(1), 110.0),
            ("copy", Some(2), 121.0),
            ("fit", None, 4.0),
        ];
        let wrong = judge(&rows, &figures(&bad), false);
        assert_eq!(
            wrong,
            [
                "copy [2]: 121 is above its bound, 120",
                "fit: 4 is below its bound, 5"
            ]
        );
    }

    #[test]
    fn nothing_is_left_out() {
        let rows = parse(TEXT).expect("it is right");
        let some = figures(&[("copy", None, 1.0)]);
        assert_eq!(judge(&rows, &some, false), ["fit: not measured"]);
        assert!(judge(&rows, &some, true).is_empty());
        let more = figures(&[("copy", None, 1.0), ("new", None, 1.0)]);
        assert_eq!(judge(&rows, &more, true), ["new: has no row"]);
    }

    #[test]
    fn mistakes_are_told() {
        for (text, message) in [
            ("", "there is no [[row]]"),
            ("[[row]]\nbound = [1, 2]", "figure: missing"),
            (
                "[[row]]\nfigure = 'a'\nbond = [1, 2]",
                "bond: unknown key; allowed: figure, bound, bare, least, full",
            ),
            (
                "[[row]]\nfigure = 'a'\nbound = [1]",
                "bound: [1] is not allowed; allowed: [a, b], two numbers",
            ),
        ] {
            assert_eq!(parse(text), Err(message.to_owned()), "{text}");
        }
    }

    #[test]
    fn the_file_is_right() {
        let rows = parse(include_str!("../bounds.toml")).expect("it is right");
        assert!(rows.iter().any(|row| row.figure == "fuzzer's round"));
    }
}
