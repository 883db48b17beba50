//! Imports point downwards: no room of `src/` uses one above it in the map of `src/lib.rs`, and no files use each other in a circle, but for a
//! module and those within it, where Rust wants that. What is compiled for tests alone may use anything. What the boot stub and the vectors call by
//! the linker, which `entry!` names, no import shows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The crates whose files are looked at, by their root; and each guest program of the tests that has several files.
fn crates() -> Vec<String> {
    let mut roots = [
        "src/lib.rs",
        "guest/src/lib.rs",
        "guest/elf-core/src/lib.rs",
        "guest/fuzz/src/lib.rs",
        "guest/gdb/src/lib.rs",
        "bench/src/main.rs",
        "bench/guest/src/bin/bench/main.rs",
        "tests/qemu/main.rs",
    ]
    .map(String::from)
    .to_vec();
    for program in fs::read_dir("tests/guests/src/bin").expect("the tests have guests") {
        let root = program.expect("readable").path().join("main.rs");
        if root.exists() {
            roots.push(root.to_str().expect("a plain name").into());
        }
    }
    assert!(roots.len() > 8, "the tests' guests were not found");
    roots
}

#[test]
fn rooms_use_what_is_below_them() {
    let rooms = map();
    let floor = |room: &str| rooms.iter().position(|other| other == room);
    let modules = Modules::read("src/lib.rs");
    let mut upwards = Vec::new();
    for path in modules.0.keys() {
        let Some(room) = path.first() else { continue };
        let here = floor(room);
        assert!(here.is_some(), "src/lib.rs: the map has no row for {room}");
        for name in modules.names(path) {
            let used = modules.find(path, &name, 0).unwrap_or_default();
            // The table goes from the top to the ground.
            let used = used.first().and_then(|used| floor(used));
            if used.is_some_and(|used| Some(used) < here) {
                upwards.push(format!("{}: {name}", path.join("::")));
            }
        }
    }
    assert!(upwards.is_empty(), "upwards: {upwards:#?}");
}

#[test]
fn files_use_each_other_in_no_circle() {
    for root in &crates() {
        let modules = Modules::read(root);
        let arrows: BTreeMap<_, _> = modules
            .0
            .keys()
            .map(|path| (path, modules.used_by(path)))
            .collect();
        for (from, used) in &arrows {
            let mut reached = BTreeSet::new();
            let mut next: Vec<_> = used.iter().collect();
            while let Some(path) = next.pop() {
                if reached.insert(path) {
                    next.extend(&arrows[path]);
                }
            }
            assert!(
                !reached.contains(from),
                "{root}: {} is in a circle with some of {:?}",
                from.join("::"),
                reached
                    .iter()
                    .map(|path| path.join("::"))
                    .collect::<Vec<_>>()
            );
        }
    }
}

/// The rooms in the order of the map, from the top to the ground.
fn map() -> Vec<String> {
    let text = fs::read_to_string("src/lib.rs").expect("src/lib.rs can be read");
    let rows = text.lines().filter_map(|line| line.strip_prefix("//! | "));
    let rooms = rows.filter_map(|row| {
        let name = row.split(" |").next()?;
        let name = name.trim_matches(['[', ']', '`']);
        Path::new("src")
            .join(name)
            .exists()
            .then_some(name)
            .or_else(|| {
                let file = format!("src/{name}.rs");
                Path::new(&file).exists().then_some(name)
            })
    });
    rooms.map(Into::into).collect()
}

/// The modules of a crate that are not for tests alone, by path; their text without comments, and without what is for tests alone.
struct Modules(BTreeMap<Vec<String>, String>);

impl Modules {
    fn read(root: &str) -> Self {
        let mut modules = Self(BTreeMap::new());
        modules.add(Vec::new(), root.as_ref());
        assert!(modules.0.len() > 1, "{root}: its modules were not found");
        modules
    }

    fn add(&mut self, path: Vec<String>, file: &Path) {
        let text = fs::read_to_string(file).unwrap_or_else(|why| panic!("{file:?}: {why}"));
        let text = without_tests(&without_comments(&text));
        let is_folder = file
            .file_name()
            .is_some_and(|name| name == "mod.rs" || path.is_empty());
        let folder = match is_folder {
            true => file.parent().expect("a file in a folder").to_path_buf(),
            false => file.with_extension(""),
        };
        for declared in text.split("mod ").skip(1) {
            let name = first_word(declared);
            if !declared[name.len()..].starts_with(';') {
                continue;
            }
            let files = [format!("{name}.rs"), format!("{name}/mod.rs")];
            let files = files.map(|file| folder.join(file));
            // What `build.rs` wrote, or a path of its own, is no module of this tree.
            if let Some(file) = files.iter().find(|file| file.exists()) {
                let mut path = path.clone();
                path.push(name.into());
                self.add(path, file);
            }
        }
        self.0.insert(path, text);
    }

    /// The modules that the one at `path` uses, without those that contain it or that it contains.
    fn used_by(&self, path: &[String]) -> BTreeSet<Vec<String>> {
        let mut used: BTreeSet<_> = self
            .names(path)
            .into_iter()
            .filter_map(|name| self.find(path, &name, 0))
            .collect();
        used.retain(|other| !other.starts_with(path) && !path.starts_with(other));
        used
    }

    /// All names that the module imports, and all paths that it writes out where it uses something.
    fn names(&self, path: &[String]) -> Vec<String> {
        let mut names = self.uses(path);
        let glob = names
            .iter()
            .find(|name| name.ends_with("::*") && name.contains("super"));
        assert!(
            glob.is_none(),
            "{}: {glob:?} hides what is used",
            path.join("::")
        );
        let text = &self.0[path];
        for start in ["crate::", "super::", "self::"] {
            for (at, _) in text.match_indices(start) {
                let before = text[..at].chars().next_back();
                if before.is_some_and(|before| before.is_alphanumeric() || "_:$".contains(before)) {
                    continue;
                }
                let end = text[at..].find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
                let name = &text[at..end.map_or(text.len(), |end| at + end)];
                names.push(name.trim_end_matches(':').into());
            }
        }
        names
    }

    /// All names that the module imports, each written out.
    fn uses(&self, path: &[String]) -> Vec<String> {
        let mut names = Vec::new();
        for (at, _) in self.0[path].match_indices("use ") {
            let text = &self.0[path];
            let before = text[..at].chars().next_back();
            if before.is_none_or(|before| before.is_whitespace() || before == ')') {
                let end = text[at..].find(';').map_or(text.len(), |end| at + end);
                expand(String::new(), text[at + 4..end].trim(), &mut names);
            }
        }
        names
    }

    /// The module that has what `name` means in the module at `path`: through as many `pub use` as it takes. `None` if that is in another crate.
    fn find(&self, path: &[String], name: &str, depth: u32) -> Option<Vec<String>> {
        let mut parts = name.split("::").peekable();
        let mut at = path.to_vec();
        match parts.peek() {
            Some(&"crate") => at.clear(),
            Some(&"super" | &"self") => {}
            Some(first) => {
                at.push(first.to_string());
                if !self.0.contains_key(&at) {
                    return None;
                }
                at.pop();
            }
            None => return None,
        }
        let mut item = None;
        for part in parts {
            match part {
                "crate" | "self" => {}
                "super" => drop(at.pop()),
                part => {
                    at.push(part.into());
                    if !self.0.contains_key(&at) {
                        at.pop();
                        item = Some(part);
                        break;
                    }
                }
            }
        }
        let again = item.filter(|_| depth < 8 && at != path).and_then(|item| {
            let uses = self.uses(&at);
            let mut same = uses
                .iter()
                .filter(|name| name.rsplit("::").next() == Some(item));
            same.find_map(|name| self.find(&at, name, depth + 1))
        });
        Some(again.unwrap_or(at))
    }
}

/// `a::{b, c::d}` as `a::b` and `a::c::d`.
fn expand(prefix: String, tree: &str, names: &mut Vec<String>) {
    let Some((before, group)) = tree.split_once('{') else {
        let name = tree.split(" as ").next().unwrap_or(tree);
        return names.push(prefix + name.trim());
    };
    let group = group.trim_end().strip_suffix('}').unwrap_or(group);
    let (mut depth, mut start) = (0, 0);
    for (at, character) in group.char_indices().chain([(group.len(), ',')]) {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let part = group[start..at].trim();
                if !part.is_empty() {
                    expand(prefix.clone() + before.trim(), part, names);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

fn first_word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    &text[..end.unwrap_or(text.len())]
}

fn without_comments(text: &str) -> String {
    let lines = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}

/// Without the items behind `#[cfg(test)]` and the like.
fn without_tests(text: &str) -> String {
    let mut left = String::new();
    let mut rest = text;
    while let Some(at) = ["#[cfg(test)]", "#[cfg(all(test"]
        .iter()
        .filter_map(|attribute| rest.find(attribute))
        .min()
    {
        left.push_str(&rest[..at]);
        rest = &rest[at..];
        rest = &rest[item_end(rest)..];
    }
    left + rest
}

/// Where the item at the start of `text` ends: with the first semicolon or closing brace outside braces, other than those of a `use`.
fn item_end(text: &str) -> usize {
    let mut depth = 0;
    for (at, character) in text.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        let ends = depth == 0
            && (character == ';' || character == '}' && !text[at + 1..].starts_with(';'));
        if ends {
            return at + 1;
        }
    }
    text.len()
}

#[test]
fn uses_are_found() {
    let mut names = Vec::new();
    expand(String::new(), "a::{b as c, d::{e, self}, f}", &mut names);
    assert_eq!(names, ["a::b", "a::d::e", "a::d::self", "a::f"]);
    let text =
        "use a;\n#[cfg(test)]\nuse b::{c, d};\n#[cfg(test)]\nmod tests {\n    use e;\n}\nuse f;";
    let left = without_tests(text);
    assert_eq!(left.split_whitespace().collect::<String>(), "usea;usef;");
    assert_eq!(map().last().map(String::as_str), Some("limits"));
    let modules = Modules::read("src/lib.rs");
    let path = |name: &str| name.split("::").map(String::from).collect::<Vec<_>>();
    let find = |name: &str| modules.find(&path("vm::faults"), name, 0);
    assert_eq!(
        find("super::Core"),
        Some(path("vm::backend")),
        "through `pub use`"
    );
    assert_eq!(find("crate::addr::Pa"), Some(path("addr")));
    assert_eq!(find("core::fmt"), None);
    assert_eq!(
        find("super::super::metal::BoardCore"),
        Some(path("metal::core"))
    );
    let control = modules.names(&path("arch::vcpu::control"));
    assert!(
        control.contains(&"super::debug::set_up".into()),
        "no import"
    );
}
