//! The form of the pages: links lead somewhere, excerpts are of what they say, a line has one sentence, and the README is short.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::markdown::{Page, ROOT, named, pages};

#[test]
fn links_lead_somewhere() {
    for page in pages() {
        for link in page.links() {
            if link.starts_with("https://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let folder = Path::new(&page.name)
                .parent()
                .expect("a file is in a folder");
            let path = match file {
                "" => Path::new(&page.name).to_owned(),
                file => folder.join(file),
            };
            assert!(
                Path::new(ROOT).join(&path).exists(),
                "{}: {link}",
                page.name
            );
            // As web pages, the book has nothing around it.
            let leaves = page.name.starts_with("docs/") && file.contains('/');
            assert!(!leaves, "{}: {link} leads out of the book", page.name);
            if !anchor.is_empty() {
                let anchors = named(&path.display().to_string()).anchors();
                assert!(
                    anchors.contains(&anchor.to_owned()),
                    "{}: {link}",
                    page.name
                );
            }
        }
    }
}

#[test]
fn the_summary_has_all_chapters() {
    let listed: BTreeSet<String> = named("docs/SUMMARY.md").links().into_iter().collect();
    let files = pages()
        .into_iter()
        .filter_map(|page| page.name.strip_prefix("docs/").map(str::to_owned));
    let files: BTreeSet<String> = files.filter(|name| name != "SUMMARY.md").collect();
    assert_eq!(listed, files);
}

/// `<!-- from FILE -->` in front of a block: its lines are lines of the file, in that order.
#[test]
fn excerpts_are_of_their_files() {
    let mut count = 0;
    for page in pages() {
        let lines: Vec<&str> = page.text.lines().collect();
        for block in page.blocks() {
            let before = block.line.checked_sub(3).map(|above| lines[above]);
            let file =
                before.and_then(|line| line.strip_prefix("<!-- from ")?.strip_suffix(" -->"));
            if let Some(file) = file {
                let text = fs::read_to_string(Path::new(ROOT).join(file));
                let text = text.unwrap_or_else(|error| panic!("{}: {file}: {error}", page.name));
                let there: Vec<&str> = text.lines().map(str::trim).collect();
                let shown: Vec<&str> = block.lines.iter().map(|line| line.trim()).collect();
                assert!(
                    there.windows(shown.len()).any(|lines| lines == shown),
                    "{}:{}: these lines do not stand one below the other in {file}",
                    page.name,
                    block.line
                );
                count += 1;
            }
            let source = ["rust,ignore", "rust", "c"].contains(&block.language);
            let place = format!("{}:{}", page.name, block.line);
            assert!(!source || file.is_some(), "{place}: of which file is this?");
        }
    }
    assert!(count > 0);
}

/// So that a change of a sentence is a change of a line.
#[test]
fn a_line_has_one_sentence() {
    for page in pages() {
        for (number, line) in page.prose() {
            if line.starts_with('|') || is_listed_change(&page, line) {
                continue;
            }
            let ends = [". ", "? ", "! ", ".) "];
            let two = ends
                .iter()
                .flat_map(|end| line.match_indices(end))
                .any(|(at, end)| {
                    let next = line[at + end.len()..].trim_start_matches(['`', '*', '[', '(']);
                    let numbered = line[..at].bytes().all(|byte| byte.is_ascii_digit());
                    next.starts_with(char::is_uppercase) && !numbered
                });
            assert!(!two, "{}:{number}: two sentences: {line}", page.name);
        }
    }
}

/// An item of a list that ends in a sentence of its own.
fn is_listed_change(page: &Page, line: &str) -> bool {
    let item = line
        .trim_start()
        .split_once(". ")
        .is_some_and(|(number, _)| number.parse::<u32>().is_ok());
    page.name.starts_with("docs/") && item
}

#[test]
fn the_readme_says_what_matters_first() {
    let readme = named("README.md");
    let lines: Vec<&str> = readme.text.lines().collect();
    assert!(lines.len() <= 150, "{} lines", lines.len());
    let first = lines[..24].join("\n");
    for words in [
        "$ make run ",
        "$ make test ",
        "**For whom:**",
        "**Status:**",
        "**What it is not:**",
        "session.svg",
    ] {
        assert!(first.contains(words), "{words}");
    }
}

#[test]
fn the_glossary_is_sorted() {
    let words = named("docs/glossary.md").table(&["word", "means"]);
    let words = words.iter().map(|row| row[0].to_lowercase());
    assert!(words.is_sorted());
}

/// An example in a doc comment is a program that the build compiles: it is included, and not written there.
#[test]
fn examples_of_the_guests_crate_are_programs() {
    let folder = fs::read_dir(Path::new(ROOT).join("guest/src")).expect("guest/src is there");
    for file in folder
        .map(|file| file.expect("readable").path())
        .filter(|path| path.is_file())
    {
        let text = fs::read_to_string(&file).expect("readable");
        let written = text
            .lines()
            .any(|line| line.trim_start().starts_with("//") && line.contains("```"));
        assert!(
            !written,
            "{}: an example that nothing compiles",
            file.display()
        );
    }
}
