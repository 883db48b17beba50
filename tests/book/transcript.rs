//! The transcripts of the README and the book, as scripts: what is typed where, and what the console shows then.
//!
//! A block of the language `console` is a transcript if it has anything besides commands, or goes on with the one before it on the page:
//!
//! | line | means |
//! | --- | --- |
//! | `$ make run ...` | this machine is started |
//! | `/ # text`, `avisor> text` | this is typed at this prompt; `^]` is Ctrl-] |
//! | `[Enter]` | an Enter, wherever the cursor is |
//! | `...` | any lines, or none |
//! | anything else | a line of the console; `  <- ...` behind it is for the reader |

use super::markdown::{Block, Page};

/// A machine that is started, and what happens then.
#[derive(Debug, PartialEq, Eq)]
pub struct Transcript {
    /// The page, and the number of the first line there.
    pub place: String,
    /// What starts the machine: `make run ...`.
    pub command: String,
    /// All the rest, in order, with what later blocks go on with.
    pub steps: Vec<Step>,
    /// How many of these are in the first block.
    pub first_block: usize,
}

/// A line of a transcript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// At this prompt this is typed.
    Typed {
        /// With what stands in front of it, without blanks at its end.
        prompt: String,
        /// Without the Enter.
        text: String,
    },
    /// An Enter is typed.
    Enter,
    /// A line is shown.
    Shown(String),
    /// Lines are left out.
    Gap,
}

/// The transcripts of a page.
pub fn of(page: &Page) -> Vec<Transcript> {
    let mut transcripts: Vec<Transcript> = Vec::new();
    let consoles = page
        .blocks()
        .into_iter()
        .filter(|block| block.language == "console");
    for block in consoles.filter(|block| !has_only_commands(block)) {
        let place = format!("{}:{}", page.name, block.line);
        let mut lines = block.lines.iter();
        if let Some(command) = block.lines[0].strip_prefix("$ ") {
            lines.next();
            transcripts.push(Transcript {
                place: place.clone(),
                command: command.to_owned(),
                steps: Vec::new(),
                first_block: lines.len(),
            });
        }
        let transcript = transcripts.last_mut();
        let transcript = transcript.unwrap_or_else(|| panic!("{place}: nothing was started"));
        transcript.steps.extend(lines.map(|line| step(line)));
    }
    transcripts
}

/// Whether the block shows nothing but what is typed at the host.
pub fn has_only_commands(block: &Block) -> bool {
    let mut goes_on = false;
    block.lines.iter().all(|line| {
        let command = goes_on || line.starts_with("$ ");
        goes_on = line.ends_with('\\');
        command
    })
}

/// What is typed at the host in the block: a command that goes on over several lines is one.
pub fn commands(block: &Block) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    let mut goes_on = false;
    for line in &block.lines {
        if goes_on {
            let command = commands.last_mut().expect("it began");
            command.push(' ');
            command.push_str(line.trim().trim_end_matches('\\').trim());
        } else if let Some(command) = line.strip_prefix("$ ") {
            commands.push(command.trim_end_matches('\\').trim().to_owned());
        } else {
            continue;
        }
        goes_on = line.ends_with('\\');
    }
    commands
}

fn step(line: &str) -> Step {
    let line = without_remark(line);
    match line {
        "..." => return Step::Gap,
        "[Enter]" => return Step::Enter,
        _ => {}
    }
    // A VM's name stands in front where there are several.
    let from = line.find("| ").map_or(0, |bar| bar + 2);
    for prompt in ["/ #", "avisor>"] {
        let Some(text) = line[from..].strip_prefix(prompt) else {
            continue;
        };
        if text.is_empty() || text.starts_with(' ') {
            return Step::Typed {
                prompt: line[..from + prompt.len()].to_owned(),
                text: text.trim().to_owned(),
            };
        }
    }
    Step::Shown(line.to_owned())
}

/// The line, less what stands behind it for the reader. (The monitor draws such an arrow itself: it does not count either.)
fn without_remark(line: &str) -> &str {
    let line = line.split_once("  <- ").map_or(line, |(line, _)| line);
    line.trim_end()
}

/// Whether the console's line is the transcript's. What differs from run to run does not count: times, numbers of pages, the kernel's
/// version, and the blanks between columns.
pub fn alike(transcript: &str, console: &str) -> bool {
    let [transcript, console] = [transcript, console].map(|line| {
        let words = without_remark(line).split_whitespace();
        let mut kept: Vec<&str> = Vec::new();
        for word in words {
            match word.trim_end_matches(',') {
                "page" | "pages" => *kept.last_mut().unwrap_or(&mut "") = "pages",
                "ago" => {
                    while kept.last().is_some_and(|last| is_time(last)) {
                        kept.pop();
                    }
                    kept.push("ago");
                }
                // `back to snapshot 2, try 1 of 3`: which one is newest by then.
                "try" => *kept.last_mut().unwrap_or(&mut "") = "n, try",
                // Whether a vCPU waits at that moment.
                "waiting" => {}
                _ => kept.push(without_version(word)),
            }
        }
        kept.join(" ")
    });
    transcript == console
}

fn is_time(word: &str) -> bool {
    let number = word
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    number || ["ms", "s", "min", "h"].contains(&word)
}

/// `6.1.0-50-cloud-arm64,` is any version of that flavour.
fn without_version(word: &str) -> &str {
    let at = word.find("-cloud-arm64");
    at.map_or(word, |at| &word[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_run_to_run_does_not_count() {
        for (transcript, console) in [
            ("ckpt #0, i=10", "ckpt #0, i=10"),
            ("ckpt #2, i=30      <- back at #1", "ckpt #2, i=30"),
            ("snapshots #0 to #2, 8 pages", "snapshots #0 to #2, 9 pages"),
            (
                "o #0  3 min 2 s ago  12 pages",
                "o #0   40.1 s ago   1 page",
            ),
            (
                "Linux 6.1.0-50-cloud-arm64, 2 CPUs",
                "Linux 6.12.3-1-cloud-arm64, 2 CPUs",
            ),
        ] {
            assert!(alike(transcript, console), "{transcript:?} {console:?}");
        }
        for (transcript, console) in [
            ("ckpt #0, i=10", "ckpt #1, i=10"),
            ("ckpt #0, i=10", "ckpt #0"),
            ("snapshots #0 to #2, 8 pages", "snapshots #0 to #3, 8 pages"),
            (
                "Linux 6.1.0-50-cloud-arm64, 2 CPUs",
                "Linux 6.1.0-50-cloud-arm64, 1 CPUs",
            ),
        ] {
            assert!(!alike(transcript, console), "{transcript:?} {console:?}");
        }
    }

    #[test]
    fn a_page_becomes_scripts() {
        let text = "```console\n$ make test\n```\n```console\n$ make run\none  <- first\n...\n/ # ls\n```\n\
                    ```console\nlinux| / # ^]\navisor>\n```\n";
        let page = Page {
            name: "page".into(),
            text: text.into(),
        };
        let typed = |prompt: &str, text: &str| Step::Typed {
            prompt: prompt.into(),
            text: text.into(),
        };
        let steps = vec![
            Step::Shown("one".into()),
            Step::Gap,
            typed("/ #", "ls"),
            typed("linux| / #", "^]"),
            typed("avisor>", ""),
        ];
        let only = Transcript {
            place: "page:5".into(),
            command: "make run".into(),
            steps,
            first_block: 3,
        };
        assert_eq!(of(&page), [only]);
    }
}
