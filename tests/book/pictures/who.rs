//! The pictures of "Who overwrote my variable?": its numbers are those that the chapter's session shows.

use super::drawing::{END, WIDTH, begin, label, line, put};
use crate::markdown::Page;

/// What the session shows.
pub struct Session {
    /// The snapshots before the change and behind it, and the variable's value in each.
    snapshots: [usize; 2],
    values: [String; 2],
    /// The function that wrote, and its arguments.
    function: String,
    round: u64,
    sample: u64,
    /// The array, and the variable behind it.
    samples: Vec<String>,
    limit: String,
}

/// What stands in `text` between the first `before` and the next `after`.
fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let (_, rest) = text
        .split_once(before)
        .unwrap_or_else(|| panic!("docs/who.md should show {before:?}"));
    let end = rest.find(after);
    &rest[..end.unwrap_or_else(|| panic!("docs/who.md should show {after:?} behind {before:?}"))]
}

fn number<T: std::str::FromStr>(text: &str) -> T {
    let number = text.trim().parse().ok();
    number.unwrap_or_else(|| panic!("docs/who.md: {text:?} is no number"))
}

impl Session {
    /// Reads the page's blocks of the language `gdb`.
    pub fn of(page: &Page) -> Self {
        let blocks = page.blocks();
        let blocks = blocks.iter().filter(|block| block.language == "gdb");
        let lines: Vec<&str> = blocks.flat_map(|block| block.lines.clone()).collect();
        let text = lines.join("\n") + "\n";
        // "#14 to #15: 100 -> 20"
        let change = between(&text, "(gdb) avisor when ", "\n(gdb)");
        let change = change.lines().nth(1).expect("it answers");
        let (snapshots, values) = change.split_once(": ").expect("snapshots: values");
        let (older, newer) = snapshots.split_once(" to ").expect("two snapshots");
        let (before, behind) = values.split_once(" -> ").expect("two values");
        let snapshots = [older, newer].map(|id| number(id.trim_start_matches('#')));
        let frame = between(&text, "\n#0 ", "\n");
        let array = between(&text, "samples: [", "]");
        Self {
            snapshots,
            values: [before, behind].map(str::to_owned),
            function: between(frame, "overwritten::", " ").to_owned(),
            round: number(between(frame, "round=", ",")),
            sample: number(between(frame, "sample=", ")")),
            samples: array.split(", ").map(str::to_owned).collect(),
            limit: between(&text, "limit: ", "}").to_owned(),
        }
    }

    /// The pictures, by name.
    pub fn draw(&self) -> [(&'static str, String); 3] {
        [
            ("when", self.when()),
            ("back", self.back()),
            ("array", self.array()),
        ]
    }

    fn when(&self) -> String {
        let [older, newer] = self.snapshots;
        let title = format!(
            "The snapshots, and the variable in each: it changed between #{older} and #{newer}"
        );
        let mut svg = begin(&title, 128.0);
        let points = newer + 2;
        let step = (WIDTH - 90.0) / (points - 1) as f64;
        let x = |point: usize| 45.0 + step * point as f64;
        line(&mut svg, "edge", (x(0), 34.0), (x(points - 1), 34.0));
        for point in 0..points {
            let (class, name) = match point == points - 1 {
                true => ("pill vm", "now".to_owned()),
                false => ("pill", format!("#{point}")),
            };
            pill(&mut svg, x(point), 34.0, class, &name);
            let is_changed = point >= newer;
            let class = if is_changed { "name" } else { "small" };
            let value = &self.values[usize::from(is_changed)];
            label(&mut svg, x(point), 68.0, class, value);
        }
        let (from, to) = (x(older), x(newer));
        line(&mut svg, "map", (from, 84.0), (to, 84.0));
        for end in [from, to] {
            line(&mut svg, "map", (end, 78.0), (end, 84.0));
        }
        let middle = (from + to) / 2.0;
        line(&mut svg, "map", (middle, 84.0), (middle, 92.0));
        label(&mut svg, middle, 110.0, "name", "it changed here");
        svg += END;
        svg
    }

    fn back(&self) -> String {
        let [older, newer] = self.snapshots;
        let [before, behind] = &self.values;
        let function = &self.function;
        let title =
            format!("Back to #{older}, and from there to the instruction in {function} that wrote");
        let mut svg = begin(&title, 170.0);
        let (from, stop, to, now) = (90.0, 380.0, 520.0, 640.0);
        line(&mut svg, "map", (from, 70.0), (stop, 70.0));
        line(&mut svg, "edge lost", (stop, 70.0), (now, 70.0));
        let way = format!("M{now} 52C{now} 12 {from} 12 {from} 52");
        put(&mut svg, format_args!("<path d=\"{way}\" class=\"edge\"/>"));
        put(
            &mut svg,
            format_args!(
                "<path d=\"M{} 44L{from} 53L{} 44\" class=\"edge\"/>",
                from - 5.0,
                from + 5.0
            ),
        );
        label(
            &mut svg,
            (from + now) / 2.0,
            16.0,
            "small",
            &format!("restore of #{older}"),
        );
        for (x, name) in [(from, format!("#{older}")), (to, format!("#{newer}"))] {
            let y = 70.0;
            pill(&mut svg, x, y, "pill", &name);
        }
        pill(&mut svg, now, 70.0, "pill vm", "now");
        put(
            &mut svg,
            format_args!("<circle cx=\"{stop}\" cy=\"70\" r=\"7\" class=\"own\"/>"),
        );
        let runs = (from + stop) / 2.0;
        label(&mut svg, runs, 62.0, "small", "runs with a watchpoint");
        label(&mut svg, runs, 104.0, "", &format!("limit = {before}"));
        label(
            &mut svg,
            (stop + now) / 2.0,
            104.0,
            "",
            &format!("limit = {behind}"),
        );
        let writer = format!("{function}(round={}, sample={})", self.round, self.sample);
        line(&mut svg, "map", (stop, 77.0), (stop, 122.0));
        label(&mut svg, stop, 138.0, "name", &writer);
        label(
            &mut svg,
            stop,
            155.0,
            "small",
            "the VM stands behind the store, and all of it can be looked at",
        );
        svg += END;
        svg
    }

    fn array(&self) -> String {
        let count = self.samples.len();
        let title =
            format!("samples[{count}] is the place of limit, behind the array's {count} places");
        let mut svg = begin(&title, 150.0);
        let cell = 62.0;
        let left = (WIDTH - cell * (count + 1) as f64) / 2.0;
        let all = self.samples.iter().chain([&self.limit]);
        for (place, value) in all.enumerate() {
            let x = left + cell * place as f64;
            let class = if place < count { "thing" } else { "own" };
            put(
                &mut svg,
                format_args!(
                    "<rect x=\"{x}\" y=\"62\" width=\"{cell}\" height=\"34\" class=\"{class}\"/>"
                ),
            );
            let middle = x + cell / 2.0;
            label(&mut svg, middle, 83.5, "", value);
            let name = match place < count {
                true => format!("[{place}]"),
                false => "limit".to_owned(),
            };
            label(&mut svg, middle, 112.0, "small", &name);
        }
        let (middle, behind) = (
            left + cell * count as f64 / 2.0,
            left + cell * (count as f64 + 0.5),
        );
        label(&mut svg, middle, 132.0, "small", "samples");
        line(&mut svg, "map", (behind, 36.0), (behind, 60.0));
        put(
            &mut svg,
            format_args!(
                "<path d=\"M{} 52L{behind} 61L{} 52\" class=\"map\"/>",
                behind - 5.0,
                behind + 5.0
            ),
        );
        let store = format!("round {}: samples[{count}] = {}", self.round, self.sample);
        label(&mut svg, behind - 70.0, 28.0, "name", &store);
        svg += END;
        svg
    }
}

/// A snapshot, or now.
fn pill(svg: &mut String, x: f64, y: f64, class: &str, name: &str) {
    put(
        svg,
        format_args!(
            "<rect x=\"{}\" y=\"{}\" width=\"36\" height=\"26\" rx=\"13\" class=\"{class}\"/>",
            x - 18.0,
            y - 13.0
        ),
    );
    label(svg, x, y + 4.5, "name", name);
}
