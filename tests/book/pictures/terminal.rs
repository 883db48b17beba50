//! A session at a terminal as a moving picture: SVG with CSS animations, which a browser plays in an `img`, too. Where nothing moves, and for
//! readers who want nothing to move, all of the session is there.

use std::fmt::Write;

use super::escaped;
use crate::transcript::{Step, Transcript};

const WIDTH: f64 = 760.0;
/// The first line's base line, the distance between two, and the left margin.
const TOP: f64 = 62.0;
const LINE: f64 = 20.0;
const LEFT: f64 = 18.0;
/// Of a character. Each text is stretched to it, whatever the font.
const CHARACTER: f64 = 8.4;

/// Seconds: for a typed character, between a prompt and its first character, behind an Enter, for a line that is shown, and at the end.
const TYPING: f64 = 0.07;
const THINKING: f64 = 0.9;
const ANSWERING: f64 = 0.5;
const SHOWING: f64 = 0.05;
const READING: f64 = 6.0;

const STYLE: &str = "\
text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,\"DejaVu Sans Mono\",monospace;fill:#d6dee6;white-space:pre}
.page,.cover{fill:#0d1117}.bar{fill:#21262d}.dot{fill:#484f58}.title{fill:#9198a1}
.prompt{fill:#9198a1}.monitor{fill:#f0883e;font-weight:700}.typed{fill:#ffffff;font-weight:700}.log{fill:#58a6ff}
.key{fill:#30363d;stroke:#6e7681}.still{fill:#6e7681}
";

/// A line on the screen: when it comes, and what is typed on it.
struct Row {
    /// Seconds from the start.
    comes: f64,
    before: String,
    class: &'static str,
    typed: String,
    /// When the first character and the last one are typed.
    typing: (f64, f64),
}

/// The picture of a session.
pub fn draw(transcript: &Transcript) -> String {
    let (rows, length) = rows(transcript);
    let height = TOP + LINE * rows.len() as f64;
    let label = "A terminal: Linux is saved, loses /bin, and is taken back";
    let mut svg = begin(label, height);
    svg += "@media (prefers-reduced-motion:no-preference){\n";
    for (n, row) in rows.iter().enumerate() {
        motion(&mut svg, n, row, length);
    }
    svg += "}\n@media (prefers-reduced-motion:reduce){.cover{display:none}}\n</style>\n";
    window(&mut svg, &transcript.command, height);
    for (n, row) in rows.iter().enumerate() {
        show(&mut svg, n, row);
    }
    svg += "</svg>\n";
    svg
}

/// The picture of a screen on which nothing moves, with its first line as a title.
pub fn still(command: &str, label: &str, lines: &[&str]) -> String {
    let height = TOP + LINE * lines.len() as f64;
    let mut svg = begin(label, height);
    svg += "</style>\n";
    window(&mut svg, command, height);
    for (n, line) in lines.iter().enumerate() {
        let text_of = line.trim_start();
        if !text_of.is_empty() {
            let x = LEFT + CHARACTER * (line.len() - text_of.len()) as f64;
            let class = if n == 0 { "typed" } else { "out" };
            text(&mut svg, x, TOP + LINE * n as f64, class, text_of);
        }
    }
    svg += "</svg>\n";
    svg
}

/// The beginning of a picture, up to its style, which may go on.
fn begin(label: &str, height: f64) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\" \
         aria-label=\"{label}\">\n<style>\n{STYLE}"
    )
}

/// The terminal's window, with the command as its title.
fn window(svg: &mut String, command: &str, height: f64) {
    put(
        svg,
        format_args!("<rect width=\"{WIDTH}\" height=\"{height}\" rx=\"8\" class=\"page\"/>"),
    );
    put(
        svg,
        format_args!(
            "<path d=\"M0 30V8a8 8 0 0 1 8-8H{}a8 8 0 0 1 8 8V30z\" class=\"bar\"/>",
            WIDTH - 8.0
        ),
    );
    for x in [18, 36, 54] {
        put(
            svg,
            format_args!("<circle cx=\"{x}\" cy=\"15\" r=\"5\" class=\"dot\"/>"),
        );
    }
    put(
        svg,
        format_args!(
            "<text x=\"{}\" y=\"20\" text-anchor=\"middle\" class=\"title\">{}</text>",
            WIDTH / 2.0,
            escaped(command)
        ),
    );
}

/// When what comes, and how long all of it takes. A prompt that is left without a word stays where it is.
fn rows(transcript: &Transcript) -> (Vec<Row>, f64) {
    let mut now = 0.5;
    let mut rows = Vec::new();
    for step in &transcript.steps {
        match step {
            Step::Gap | Step::Enter => {}
            Step::Shown(line) => {
                rows.push(Row {
                    comes: now,
                    before: line.clone(),
                    class: if line.starts_with("AVISOR ") {
                        "log"
                    } else {
                        "out"
                    },
                    typed: String::new(),
                    typing: (now, now),
                });
                now += SHOWING;
            }
            Step::Typed { prompt, text } => {
                let first = now + THINKING;
                let last = first + TYPING * text.chars().count() as f64;
                rows.push(Row {
                    comes: now,
                    before: format!("{prompt} "),
                    class: if prompt == "avisor>" {
                        "monitor"
                    } else {
                        "prompt"
                    },
                    typed: text.clone(),
                    typing: (first, last),
                });
                now = last + ANSWERING;
            }
        }
    }
    (rows, now + READING)
}

/// The animations of a row, which go round with all others.
fn motion(svg: &mut String, n: usize, row: &Row, length: f64) {
    let percent = |time: f64| 100.0 * time / length;
    let comes = percent(row.comes);
    put(
        svg,
        format_args!(
            "@keyframes r{n}{{0%{{visibility:hidden}}{comes:.2}%,100%{{visibility:visible}}}}"
        ),
    );
    put(
        svg,
        format_args!(".r{n}{{animation:r{n} {length:.1}s step-end infinite}}"),
    );
    let characters = row.typed.chars().count();
    if characters == 0 {
        return;
    }
    let [first, last] = [row.typing.0, row.typing.1].map(percent);
    let far = CHARACTER * characters as f64;
    put(
        svg,
        format_args!(
            "@keyframes c{n}{{0%{{transform:none}}{first:.2}%{{transform:none;animation-timing-function:steps({characters})}}\
             {last:.2}%,100%{{transform:translateX({far:.1}px)}}}}"
        ),
    );
    put(
        svg,
        format_args!(".c{n}{{animation:c{n} {length:.1}s step-end infinite}}"),
    );
    put(
        svg,
        format_args!(
            "@keyframes v{n}{{0%{{visibility:visible}}{last:.2}%,100%{{visibility:hidden}}}}"
        ),
    );
    put(
        svg,
        format_args!(".v{n}{{animation:v{n} {length:.1}s step-end infinite}}"),
    );
}

fn show(svg: &mut String, n: usize, row: &Row) {
    let y = TOP + LINE * n as f64;
    put(svg, format_args!("<g class=\"r{n}\">"));
    text(svg, LEFT, y, row.class, &row.before);
    let x = LEFT + CHARACTER * row.before.chars().count() as f64;
    if row.typed == "^]" {
        let (wide, up) = (CHARACTER * 7.0, y - 14.0);
        put(
            svg,
            format_args!(
                "<rect x=\"{x:.1}\" y=\"{up:.1}\" width=\"{wide:.1}\" height=\"18\" rx=\"4\" class=\"key\"/>"
            ),
        );
        text(svg, x + CHARACTER / 2.0, y, "typed", "Ctrl-]");
        cover(svg, n, x, y, wide + 1.0);
    } else if !row.typed.is_empty() {
        text(svg, x, y, "typed", &row.typed);
        cover(svg, n, x, y, CHARACTER * row.typed.chars().count() as f64);
    }
    svg.push_str("</g>\n");
}

/// What is not yet typed lies under a cover that moves on with each character. Without motion there is none.
fn cover(svg: &mut String, n: usize, x: f64, y: f64, wide: f64) {
    let up = y - 15.0;
    put(
        svg,
        format_args!(
            "<g class=\"v{n}\" visibility=\"hidden\"><rect x=\"{x:.1}\" y=\"{up:.1}\" width=\"{wide:.1}\" height=\"20\" class=\"cover c{n}\"/></g>"
        ),
    );
}

fn text(svg: &mut String, x: f64, y: f64, class: &str, text: &str) {
    let wide = CHARACTER * text.trim_end().chars().count() as f64;
    let shown = escaped(text.trim_end());
    put(
        svg,
        format_args!(
            "<text x=\"{x:.1}\" y=\"{y}\" textLength=\"{wide:.1}\" lengthAdjust=\"spacingAndGlyphs\" xml:space=\"preserve\" class=\"{class}\">{shown}</text>"
        ),
    );
}

fn put(svg: &mut String, line: std::fmt::Arguments) {
    writeln!(svg, "{line}").expect("a String has room");
}
