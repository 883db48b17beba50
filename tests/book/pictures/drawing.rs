//! What the drawn pictures of the book have in common: one style, lines and words.

use std::fmt::{Arguments, Write};

/// How wide they are.
pub const WIDTH: f64 = 720.0;
/// The end of a picture.
pub const END: &str = "</svg>\n";

const STYLE: &str = "\
text{font:13px system-ui,-apple-system,\"Segoe UI\",Helvetica,Arial,sans-serif;fill:#1f2328}
.page{fill:#ffffff;stroke:#d1d9e0}.small{font-size:11px;fill:#59636e}.name{font-weight:600}
.thing{fill:#f6f8fa;stroke:#59636e}.new{fill:#dafbe1;stroke:#1a7f37;stroke-width:2}.own{fill:#fff1e5;stroke:#bc4c00;stroke-width:2}
.gone{fill:none;stroke:#9198a1;stroke-dasharray:4 3}.edge{fill:none;stroke:#59636e}.lost{stroke:#9198a1;stroke-dasharray:4 3}
.pill{fill:#ddf4ff;stroke:#0969da}.vm{fill:#fff1e5;stroke:#bc4c00}.map{stroke:#bc4c00;fill:none}
@media (prefers-color-scheme:dark){text{fill:#e6edf3}.page{fill:#0d1117;stroke:#30363d}.small{fill:#9198a1}
.thing{fill:#161b22;stroke:#9198a1}.new{fill:#12261e;stroke:#3fb950}.own{fill:#3d1f0b;stroke:#f0883e}.edge{stroke:#9198a1}
.pill{fill:#0c2d6b;stroke:#58a6ff}.vm{fill:#3d1f0b;stroke:#f0883e}.map{stroke:#f0883e}}
";

/// The beginning of a picture: what it shows in words, and how high it is.
pub fn begin(title: &str, height: f64) -> String {
    let title = super::escaped(title);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\" \
         aria-label=\"{title}\">\n<style>\n{STYLE}</style>\n<rect x=\".5\" y=\".5\" width=\"{}\" height=\"{}\" rx=\"8\" class=\"page\"/>\n",
        WIDTH - 1.0,
        height - 1.0
    )
}

/// A line from one point to another.
pub fn line(svg: &mut String, class: &str, from: (f64, f64), to: (f64, f64)) {
    put(
        svg,
        format_args!(
            "<path d=\"M{} {}L{} {}\" class=\"{class}\"/>",
            from.0, from.1, to.0, to.1
        ),
    );
}

/// Words around the middle `x`, on the base line `y`.
pub fn label(svg: &mut String, x: f64, y: f64, class: &str, text: &str) {
    put(
        svg,
        format_args!(
            "<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\" class=\"{class}\">{text}</text>"
        ),
    );
}

/// A line of the file.
pub fn put(svg: &mut String, line: Arguments) {
    writeln!(svg, "{line}").expect("a String has room");
}
