//! Commands and paths that the pages name exist.

use std::fs;
use std::path::Path;

use crate::config;
use crate::markdown::{Page, ROOT, pages};
use crate::transcript;

/// What is typed at the host, in blocks and in the text.
#[test]
fn commands_exist() {
    let mut count = 0;
    for page in pages() {
        for command in commands(&page) {
            if let Err(why) = check(&command) {
                panic!("{}: {command}: {why}", page.name);
            }
            count += 1;
        }
    }
    assert!(count > 30, "{count}");
}

/// Files and folders that are named as code.
#[test]
fn paths_exist() {
    let folders = [
        "src/",
        "build/",
        "configs/",
        "docs/",
        "guest/",
        "fuzz/",
        "bench/",
        "tests/",
        "tools/",
        ".github/",
        ".devcontainer/",
    ];
    for page in pages() {
        for code in code(&page) {
            let begins = folders.iter().any(|folder| code.starts_with(folder));
            let any = code.contains(['*', ' ']) || code.contains("NAME");
            if begins && !any {
                let there = Path::new(ROOT).join(&code).exists();
                assert!(there, "{}: `{code}` is not there", page.name);
            }
        }
    }
}

/// The container for development calls tools/setup with words that it knows, and has the Rust that is named elsewhere.
#[test]
fn the_development_container_is_up_to_date() {
    let file = |name: &str| fs::read_to_string(Path::new(ROOT).join(name)).expect("it is there");
    let container = file(".devcontainer/devcontainer.json");
    let setup = container.rsplit("tools/setup ").next();
    let setup = setup.and_then(|rest| rest.split('"').next());
    let words = setup.expect("it calls tools/setup").split_whitespace();
    assert_eq!(
        words.map(is_need).collect::<Result<Vec<()>, _>>().err(),
        None
    );
    let toolchain = file("rust-toolchain.toml");
    let channel = toolchain
        .split("channel = \"")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    let channel = channel.expect("it names a channel");
    assert!(
        container.contains(&format!("install {channel} ")),
        "{channel}"
    );
    is_target("ci").expect("the workflow calls it");
    assert!(file(".github/workflows/ci.yml").contains("make ci\n"));
}

fn commands(page: &Page) -> Vec<String> {
    let blocks = page.blocks();
    let consoles = blocks.iter().filter(|block| block.language == "console");
    let typed = consoles.flat_map(transcript::commands);
    let named = code(page).into_iter().filter(|code| {
        let known = ["make ", "cargo ", "tools/setup "];
        known.iter().any(|begin| code.starts_with(begin))
    });
    typed.chain(named).collect()
}

/// What stands between backticks.
fn code(page: &Page) -> Vec<String> {
    let lines = page.prose();
    lines
        .flat_map(|(_, line)| line.split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect()
}

fn check(command: &str) -> Result<(), String> {
    let command = command.split(" #").next().unwrap_or(command);
    let words: Vec<&str> = command.split_whitespace().collect();
    match words[..] {
        ["make", word, ref rest @ ..] => {
            is_target(word)?;
            rest.iter().try_for_each(|word| is_setting(word))
        }
        ["make"] => Ok(()),
        ["tools/setup", ref words @ ..] => words.iter().try_for_each(|word| is_need(word)),
        ["cargo", alias @ ("ht" | "host-test"), ..] => {
            is_in(".cargo/config.toml", &format!("\n{alias} = "))
        }
        [
            "cargo",
            "build" | "fmt" | "clippy" | "check" | "install" | "doc",
            ..,
        ] => Ok(()),
        // The tests in QEMU run these.
        ["qemu-system-aarch64" | "aarch64-linux-gnu-gcc", ..] => Ok(()),
        ["git", "clone" | "switch" | "commit", ..] => Ok(()),
        _ => Err("nothing checks it".into()),
    }
}

fn is_target(word: &str) -> Result<(), String> {
    is_in("Makefile", &format!("\n{word}: "))
}

fn is_need(word: &str) -> Result<(), String> {
    if word == "WORD..." {
        return Ok(());
    }
    is_in("tools/setup", &format!("\n    {word}) "))
}

/// A variable of the Makefile, with a value that it may have.
fn is_setting(setting: &str) -> Result<(), String> {
    let (name, value) = setting.split_once('=').ok_or("this is no variable")?;
    match (name, value) {
        ("CONFIG", "configs/NAME.toml") => Ok(()),
        ("CONFIG", file) => {
            let text = fs::read_to_string(Path::new(ROOT).join(file));
            let text = text.map_err(|error| format!("{file}: {error}"))?;
            config::parse(&text).map(drop)
        }
        ("BOARD", "virt" | "rpi4") => Ok(()),
        ("MEM", size) => config::size(size).map(drop).ok_or("this is no size".into()),
        ("GUEST", "path" | "path/to/kernel" | "target/hello.elf" | "...") => Ok(()),
        ("TARGET", "NAME") => Ok(()),
        ("TARGET", name) => {
            let files = [format!("src/bin/{name}.rs"), format!("linux/{name}.c")];
            let folder = Path::new(ROOT).join("guest/fuzz-targets");
            let there = files.iter().any(|file| folder.join(file).exists());
            there.then_some(()).ok_or("there is no such target".into())
        }
        (
            "PART" | "SECOND" | "SEED" | "SECONDS" | "ROUNDS" | "JOBS" | "REPLAY" | "AFTER"
            | "FILE" | "VM",
            _,
        ) => is_in("Makefile", &format!("$({name})"))
            .or_else(|_| is_in("Makefile", &format!("$({name}),"))),
        _ => Err(format!("{name} is no variable")),
    }
}

fn is_in(file: &str, text: &str) -> Result<(), String> {
    let contents =
        fs::read_to_string(Path::new(ROOT).join(file)).map_err(|error| error.to_string())?;
    let there = contents.contains(text);
    there
        .then_some(())
        .ok_or(format!("{:?} is not in {file}", text.trim()))
}
