//! Figures, out of the lines that the guest prints: `bench: <name>: <figure>` or `bench: <name> [<k>]: <figure>`.

/// One measured figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    pub name: String,
    /// The number that its cost depends on.
    pub k: Option<u64>,
    pub value: f64,
}

/// Figures in the order in which they were measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures(pub Vec<Figure>);

impl Figure {
    /// The figure in a line, if there is one.
    pub fn parse(line: &str) -> Option<Self> {
        let (label, value) = line.strip_prefix("bench: ")?.rsplit_once(": ")?;
        let value = value.parse::<u64>().ok()? as f64;
        let numbered = label
            .strip_suffix(']')
            .and_then(|label| label.rsplit_once(" ["));
        let (name, k) = match numbered {
            Some((name, k)) => (name, Some(k.parse().ok()?)),
            None => (label, None),
        };
        Some(Self {
            name: name.to_owned(),
            k,
            value,
        })
    }
}

impl Figures {
    /// All figures in a guest's output.
    pub fn parse(lines: &[String]) -> Self {
        Self(
            lines
                .iter()
                .filter_map(|line| Figure::parse(line))
                .collect(),
        )
    }

    pub fn push(&mut self, name: &str, k: Option<u64>, value: f64) {
        let name = name.to_owned();
        self.0.push(Figure { name, k, value });
    }

    /// All figures of a name.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Figure> {
        self.0.iter().filter(move |figure| figure.name == name)
    }

    /// The figure of a name, or what is wrong.
    pub fn one(&self, name: &str) -> Result<f64, String> {
        let first = self.named(name).next().map(|figure| figure.value);
        first.ok_or_else(|| format!("the guest did not report \"{name}\""))
    }

    /// The figure of a name, which is none any more.
    pub fn take(&mut self, name: &str) -> Result<f64, String> {
        let value = self.one(name)?;
        self.0.retain(|figure| figure.name != name);
        Ok(value)
    }

    /// The median of all figures of a name and a number.
    pub fn median(&self, name: &str, k: Option<u64>) -> Result<f64, String> {
        let values = self.named(name).filter(|figure| figure.k == k);
        median(values.map(|figure| figure.value).collect())
            .ok_or_else(|| format!("the guest did not report \"{name}\""))
    }
}

/// The middle one, or the mean of the middle two.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (below, above) = (values.len().checked_sub(1)? / 2, values.len() / 2);
    Some((values[below] + values[above]) / 2.0)
}

/// A number as people write it: `1,234,567`, or `1.05`.
pub fn written(value: f64) -> String {
    if value.fract() != 0.0 {
        return format!("{value:.3}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_a_number() {
        let figure = Figure::parse("bench: checkpoint, scattered [100]: 45978").expect("it is one");
        assert_eq!(figure.name, "checkpoint, scattered");
        assert_eq!((figure.k, figure.value), (Some(100), 45978.0));
    }

    #[test]
    fn a_line_without_a_number() {
        let figure = Figure::parse("bench: away: restore: 7").expect("it is one");
        assert_eq!(
            (figure.name.as_str(), figure.k, figure.value),
            ("away: restore", None, 7.0)
        );
    }

    #[test]
    fn other_lines() {
        for line in [
            "bench: waiting",
            "bench: RAM zero",
            "AVISOR INFO: x: 1",
            "bench: a [x]: 1",
            "",
        ] {
            assert_eq!(Figure::parse(line), None, "{line}");
        }
    }

    #[test]
    fn medians() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(vec![]), None);
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!(written(0.0), "0");
        assert_eq!(written(999.0), "999");
        assert_eq!(written(1_234_567.0), "1,234,567");
        assert_eq!(written(1.0452), "1.045");
    }
}
