//! The Markdown of the README and the book, as far as the tests read it: blocks, tables, links.

use std::fs;
use std::path::{Path, PathBuf};

/// The repository.
pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A page.
pub struct Page {
    /// Its path from the repository's root.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// A fenced block.
pub struct Block<'a> {
    /// What stands behind the fence: the language.
    pub language: &'a str,
    /// The number of its first line in the page, from 1.
    pub line: usize,
    /// What is between the fences.
    pub lines: Vec<&'a str>,
}

/// The README, the pages of `docs/` in the order of their names, and what stands beside the README.
pub fn pages() -> Vec<Page> {
    let docs = fs::read_dir(Path::new(ROOT).join("docs")).expect("docs/ is there");
    let mut names: Vec<PathBuf> = docs.map(|file| file.expect("readable").path()).collect();
    names.retain(|path| path.extension().is_some_and(|end| end == "md"));
    names.sort();
    let beside = [
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "SECURITY.md",
    ];
    let beside = beside.map(|name| Path::new(ROOT).join(name));
    beside.iter().chain(&names).map(|path| page(path)).collect()
}

/// One page of them, by its path from the repository's root.
pub fn named(name: &str) -> Page {
    page(&Path::new(ROOT).join(name))
}

fn page(path: &Path) -> Page {
    let name = path.strip_prefix(ROOT).expect("it is in the repository");
    Page {
        name: name.display().to_string(),
        text: fs::read_to_string(path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display())),
    }
}

impl Page {
    /// The fenced blocks.
    pub fn blocks(&self) -> Vec<Block<'_>> {
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        for (number, line) in self.text.lines().enumerate() {
            match (line.trim_start().strip_prefix("```"), &mut open) {
                (Some(language), None) => {
                    open = Some(Block {
                        language,
                        line: number + 2,
                        lines: Vec::new(),
                    });
                }
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (None, Some(block)) => block.lines.push(line),
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: a block does not end", self.name);
        blocks
    }

    /// The lines outside of blocks, with their numbers from 1.
    pub fn prose(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut inside = false;
        let numbered = self.text.lines().enumerate();
        numbered.filter_map(move |(number, line)| {
            let fence = line.trim_start().starts_with("```");
            inside ^= fence;
            (!inside && !fence).then_some((number + 1, line))
        })
    }

    /// The rows of the table whose first line begins with the cells `head`, each as its cells without code marks.
    pub fn table(&self, head: &[&str]) -> Vec<Vec<String>> {
        let mut lines = self.text.lines().map(cells);
        let found = lines.any(|line| line.len() >= head.len() && line[..head.len()] == *head);
        assert!(found, "{}: there is no table {head:?}", self.name);
        // The line of dashes below.
        lines.next();
        lines.take_while(|line| !line.is_empty()).collect()
    }

    /// Where links lead.
    pub fn links(&self) -> Vec<String> {
        let prose: Vec<&str> = self.prose().map(|(_, line)| line).collect();
        let text = prose.join("\n");
        let mut links = Vec::new();
        for part in text.split("](").skip(1) {
            links.extend(part.split_once(')').map(|(link, _)| link.to_owned()));
        }
        links
    }

    /// The names of its headings, as links to them have them.
    pub fn anchors(&self) -> Vec<String> {
        let headings = self.prose().filter(|(_, line)| line.starts_with('#'));
        let anchor = |line: &str| -> String {
            let kept = line.trim_start_matches('#').trim().to_lowercase();
            let kept = kept
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        };
        headings.map(|(_, line)| anchor(line)).collect()
    }
}

/// The cells of a table's line; none where a line is none of a table.
fn cells(line: &str) -> Vec<String> {
    let Some(inner) = line
        .strip_prefix('|')
        .and_then(|line| line.strip_suffix('|'))
    else {
        return Vec::new();
    };
    // `\|` stands for itself.
    let inner = inner.replace("\\|", "\0");
    let cells = inner.split('|');
    cells
        .map(|cell| cell.replace('\0', "|").replace('`', "").trim().to_owned())
        .collect()
}
