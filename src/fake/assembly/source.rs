//! Lines of assembly: without comments, with constants put in, macros and repetitions expanded. Each keeps its number in the file; in a
//! macro that is the line of its body.

use std::collections::HashMap;
use std::string::{String, ToString};
use std::vec::Vec;

/// A label, with its colon, or an instruction or directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// From 1.
    pub(super) number: u32,
    pub(super) text: String,
}

impl Line {
    /// The first word, and the rest.
    pub(super) fn words(&self) -> (&str, &str) {
        let text = self.text.as_str();
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        (word, rest.trim())
    }
}

struct Macro {
    parameters: Vec<String>,
    body: Vec<Line>,
}

/// A file, read.
pub(super) struct Source {
    lines: Vec<Line>,
    macros: HashMap<String, Macro>,
}

/// Words between commas or spaces.
fn list(text: &str) -> Vec<String> {
    text.split([',', ' '])
        .filter(|word| !word.is_empty())
        .map(ToString::to_string)
        .collect()
}

/// A line's label, if it begins with one, and what follows.
fn label(text: &str) -> Option<(&str, &str)> {
    let (label, rest) = text.split_once(':')?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_\\".contains(c);
    (!label.is_empty() && label.chars().all(is_name)).then_some((label, rest.trim()))
}

impl Source {
    /// Reads `text`, with the value of each `{NAME}` that is in `constants`.
    pub(super) fn read(text: &str, constants: &[(&str, u64)]) -> Self {
        let mut lines = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let code = line.split("//").next().unwrap_or("").trim();
            let mut code = code.to_string();
            for (name, value) in constants {
                code = code.replace(&std::format!("{{{name}}}"), &value.to_string());
            }
            let mut put = |text: String| {
                if !text.is_empty() {
                    lines.push(Line { number, text });
                }
            };
            match label(&code) {
                Some((label, rest)) => {
                    put(std::format!("{label}:"));
                    put(rest.to_string());
                }
                None => put(code),
            }
        }
        Self::without_macros(lines)
    }

    /// Sets the definitions of macros aside.
    fn without_macros(all: Vec<Line>) -> Self {
        let mut source = Self {
            lines: Vec::new(),
            macros: HashMap::new(),
        };
        let mut all = all.into_iter();
        while let Some(line) = all.next() {
            match line.words() {
                (".macro", rest) => {
                    let mut parameters = list(rest);
                    let name = parameters.remove(0);
                    let body = all.by_ref().take_while(|line| line.text != ".endm");
                    let body = body.collect();
                    source.macros.insert(name, Macro { parameters, body });
                }
                _ => source.lines.push(line),
            }
        }
        source
    }

    /// All lines of the file, expanded.
    pub(super) fn expanded(&self) -> Vec<Line> {
        self.expand(&self.lines)
    }

    /// The macros without parameters, expanded.
    pub(super) fn macros(&self) -> impl Iterator<Item = (&String, Vec<Line>)> {
        let whole = self
            .macros
            .iter()
            .filter(|(_, found)| found.parameters.is_empty());
        whole.map(|(name, found)| (name, self.expand(&found.body)))
    }

    fn expand(&self, lines: &[Line]) -> Vec<Line> {
        let mut expanded = Vec::new();
        let mut lines = lines.iter();
        while let Some(line) = lines.next() {
            let (word, rest) = line.words();
            if word == ".rept" {
                let times = rest.parse().expect("a number of times");
                let body = lines.by_ref().take_while(|line| line.text != ".endr");
                let body: Vec<Line> = body.cloned().collect();
                let body = self.expand(&body);
                (0..times).for_each(|_| expanded.extend_from_slice(&body));
            } else if let Some(found) = self.macros.get(word) {
                expanded.extend(self.expand(&found.with(&list(rest))));
            } else {
                expanded.push(line.clone());
            }
        }
        expanded
    }
}

impl Macro {
    /// Its body, with these for its parameters.
    fn with(&self, arguments: &[String]) -> Vec<Line> {
        assert_eq!(arguments.len(), self.parameters.len());
        let mut body = self.body.clone();
        for (parameter, argument) in self.parameters.iter().zip(arguments) {
            let parameter = std::format!("\\{parameter}");
            for line in &mut body {
                line.text = line.text.replace(&parameter, argument);
            }
        }
        body
    }
}
