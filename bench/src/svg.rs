//! A plot with logarithmic axes as SVG, readable on white and on black.

use std::fmt::Write;

/// Between the first and the last tick.
pub struct Axis {
    pub label: &'static str,
    pub ticks: Vec<(f64, String)>,
}

pub struct Line {
    pub name: &'static str,
    pub points: Vec<(f64, f64)>,
}

/// The lines are told apart by colour, by the shape of their points and by their order in the legend.
pub struct Plot {
    pub title: String,
    pub x: Axis,
    pub y: Axis,
    pub lines: Vec<Line>,
}

const WIDTH: f64 = 780.0;
/// The area between the axes.
const LEFT: f64 = 125.0;
const RIGHT: f64 = 745.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 390.0;
/// The legend: below the axis' label.
const LEGEND: f64 = 460.0;
const LEGEND_LINE: f64 = 22.0;

// Colours are inherited from the group: not every viewer knows variables.
const STYLE: &str = "\
text { font: 14px sans-serif; fill: #1f2328; stroke: none } .title { font-weight: bold; font-size: 16px }
.page { fill: #ffffff } .grid { stroke: #d1d9e0 } .axis { stroke: #59636e } polyline { fill: none; stroke-width: 2 }
.c0 { stroke: #59636e; stroke-dasharray: 7 4 } .c1 { stroke: #cf222e; fill: #cf222e } .c2 { stroke: #0969da; fill: #0969da }
.c3 { stroke: #8250df; fill: #8250df } .c4 { stroke: #1a7f37; fill: #1a7f37 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .page { fill: #0d1117 } .grid { stroke: #30363d } .axis { stroke: #9198a1 } .c0 { stroke: #9198a1 }
  .c1 { stroke: #ff7b72; fill: #ff7b72 } .c2 { stroke: #58a6ff; fill: #58a6ff } .c3 { stroke: #bc8cff; fill: #bc8cff }
  .c4 { stroke: #3fb950; fill: #3fb950 }
}";

impl Axis {
    /// How far along the axis a value is, from 0 to 1.
    fn share(&self, value: f64) -> f64 {
        let ends = self.ticks.first().zip(self.ticks.last());
        ends.map_or(0.0, |((first, _), (last, _))| {
            (value / first).ln() / (last / first).ln()
        })
    }
}

impl Plot {
    pub fn svg(&self) -> String {
        let height = LEGEND + LEGEND_LINE * self.lines.len() as f64;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">\n\
             <style>\n{STYLE}\n</style>\n<rect class=\"page\" width=\"{WIDTH}\" height=\"{height}\"/>\n",
            self.title
        );
        let middle = (LEFT + RIGHT) / 2.0;
        text(&mut svg, (middle, 28.0), "title", "middle", &self.title);
        self.axes(&mut svg);
        text(
            &mut svg,
            (middle, BOTTOM + 46.0),
            "label",
            "middle",
            self.x.label,
        );
        for (number, line) in self.lines.iter().enumerate() {
            self.line(&mut svg, number, line);
        }
        svg + "</svg>\n"
    }

    fn axes(&self, svg: &mut String) {
        for (tick, label) in &self.x.ticks {
            let x = self.x_of(*tick);
            rule(svg, "grid", (x, TOP), (x, BOTTOM));
            text(svg, (x, BOTTOM + 22.0), "tick", "middle", label);
        }
        for (tick, label) in &self.y.ticks {
            let y = self.y_of(*tick);
            rule(svg, "grid", (LEFT, y), (RIGHT, y));
            text(svg, (LEFT - 8.0, y + 5.0), "tick", "end", label);
        }
        rule(svg, "axis", (LEFT, BOTTOM), (RIGHT, BOTTOM));
        rule(svg, "axis", (LEFT, TOP), (LEFT, BOTTOM));
        text(svg, (LEFT - 8.0, TOP - 14.0), "label", "end", self.y.label);
    }

    fn line(&self, svg: &mut String, number: usize, line: &Line) {
        let at = |&(x, y): &(f64, f64)| (self.x_of(x), self.y_of(y));
        let places: Vec<(f64, f64)> = line.points.iter().map(at).collect();
        let y = LEGEND + LEGEND_LINE * number as f64;
        let sample = [(LEFT, y), (LEFT + 17.0, y), (LEFT + 34.0, y)];
        let _ = writeln!(svg, "<g class=\"c{number}\">");
        draw(svg, number, &places, &places);
        draw(svg, number, &sample, &sample[1..2]);
        text(svg, (LEFT + 46.0, y + 5.0), "label", "start", line.name);
        svg.push_str("</g>\n");
    }

    fn x_of(&self, value: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * self.x.share(value)
    }

    fn y_of(&self, value: f64) -> f64 {
        BOTTOM - (BOTTOM - TOP) * self.y.share(value)
    }
}

/// A line, and its marks.
fn draw(svg: &mut String, number: usize, line: &[(f64, f64)], marks: &[(f64, f64)]) {
    let points: Vec<String> = line.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = writeln!(svg, "<polyline points=\"{}\"/>", points.join(" "));
    for (x, y) in marks {
        let _ = match number {
            // The line to compare with needs none.
            0 => Ok(()),
            1 => writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>"),
            2 => writeln!(svg, "<path d=\"M{x:.1} {y:.1}m-4 -4h8v8h-8z\"/>"),
            3 => writeln!(svg, "<path d=\"M{x:.1} {y:.1}m0 -5l5 5l-5 5l-5 -5z\"/>"),
            _ => writeln!(svg, "<path d=\"M{x:.1} {y:.1}m0 -5l5 9h-10z\"/>"),
        };
    }
}

fn rule(svg: &mut String, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
    let _ = writeln!(
        svg,
        "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
    );
}

fn text(svg: &mut String, (x, y): (f64, f64), class: &str, anchor: &str, text: &str) {
    let _ = writeln!(
        svg,
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_and_middle_of_an_axis() {
        let ticks = [1.0, 100.0].map(|tick| (tick, String::new())).into();
        let axis = Axis { label: "", ticks };
        assert_eq!(
            [1.0, 10.0, 100.0].map(|value| axis.share(value)),
            [0.0, 0.5, 1.0]
        );
    }
}
