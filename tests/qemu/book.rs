//! The transcripts of the README and the book are played: what they type is typed, and what they show must be shown.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::board::Board;
use crate::fetched;
use crate::fuzz::Campaign;
use crate::image::{self, ROOT};
use crate::run::{Run, qemu};
use crate::session::Session;

#[path = "../book/markdown.rs"]
#[allow(dead_code)]
mod markdown;
#[path = "../book/transcript.rs"]
#[allow(dead_code)]
mod transcript;

use markdown::Page;
use transcript::{Step, Transcript, alike};

/// Ctrl-], as transcripts show it.
const ESCAPE: &str = "^]";

/// Each page with transcripts, as a test of its own.
macro_rules! pages {
    ($($name:ident: $page:literal),+ $(,)?) => {
        $(#[test]
        fn $name() {
            play_page($page);
        })+

        /// A page whose transcripts nobody plays would go stale.
        #[test]
        fn all_pages_are_played() {
            let played = [$($page),+];
            for page in markdown::pages() {
                let has = !transcript::of(&page).is_empty();
                assert_eq!(has, played.contains(&page.name.as_str()), "{}", page.name);
            }
        }
    };
}

pages! {
    first_snapshot: "docs/first-snapshot.md",
    guests: "docs/guests.md",
    linux: "docs/linux.md",
    configuration: "docs/configuration.md",
    fuzz_a_parser: "docs/fuzz.md",
}

/// The command for guests that are not trusted: QEMU by itself, without semihosting.
#[test]
fn without_semihosting() {
    let blocks = markdown::named("docs/guests.md");
    let blocks = blocks.blocks();
    let mut commands = blocks.iter().flat_map(transcript::commands);
    let command =
        commands.find_map(|command| Some(command.strip_prefix("qemu-system-aarch64 ")?.to_owned()));
    let command = command.expect("it is on that page");
    let (arguments, image) = command.rsplit_once(' ').expect("it has arguments");
    assert_eq!(image, "target/kernel8.img");
    let run = qemu()
        .arguments(arguments)
        .argument(image::with_config("configs/hello.toml"));
    let run = run.until_it_ends();
    run.powers_off();
    run.require(
        run.count("Hello from Rust") == 1,
        "the guest should have run",
    );
}

fn play_page(name: &str) {
    let page = markdown::named(name);
    compile(&page);
    for transcript in transcript::of(&page) {
        if transcript.command.contains("linux") && !fetched::are_there() {
            continue;
        }
        match transcript.command.strip_prefix("make fuzz ") {
            Some(settings) => play_fuzz(settings, &transcript),
            None => play(&transcript),
        }
    }
}

/// Runs the page's commands that compile guests.
fn compile(page: &Page) {
    let commands = page
        .blocks()
        .iter()
        .flat_map(transcript::commands)
        .collect::<Vec<_>>();
    let compiles = |command: &&String| command.starts_with("aarch64-linux-gnu-gcc ");
    for command in commands.iter().filter(compiles) {
        fs::create_dir_all(Path::new(ROOT).join("target")).expect("the folder can be made");
        let mut shell = Command::new("sh");
        let output = shell.args(["-c", command]).current_dir(ROOT).output();
        let output = output.expect("there is a shell");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && errors.is_empty(),
            "{command}\n{errors}"
        );
    }
}

/// Starts the machine of a transcript.
fn machine(transcript: &Transcript) -> Run {
    let words = transcript.command.strip_prefix("make run");
    let words = words.unwrap_or_else(|| panic!("{}: it begins with make run", transcript.place));
    let (mut config, mut guest, mut memory) = ("configs/default.toml", None, None);
    for word in words.split_whitespace() {
        match word.split_once('=') {
            Some(("CONFIG", file)) => config = file,
            Some(("GUEST", file)) => guest = Some(file),
            Some(("MEM", size)) => memory = Some(size),
            _ => panic!("{}: {word} is not played", transcript.place),
        }
    }
    let guest = guest.unwrap_or_default();
    let run = Board::Virt.boots(image::with_config_and_guest(config, Path::new(guest)));
    let run = run.limit(300);
    match memory {
        Some(size) => run.set("MEM", size),
        None => run,
    }
}

/// Plays a transcript.
fn play(transcript: &Transcript) {
    let mut session = machine(transcript).session();
    let mut early = Early::of(transcript);
    let mut gap = false;
    for step in &transcript.steps {
        match step {
            Step::Gap => {}
            Step::Enter => session.send("\r"),
            Step::Typed { prompt, text } => types(&mut session, prompt, text),
            Step::Shown(line) => shows(&mut session, line, gap, &mut early),
        }
        gap = *step == Step::Gap;
    }
    let left = early.lines;
    session.require(left.is_empty(), &format!("{left:?} should not have come"));
    session.stop();
}

/// Plays `make fuzz`: what it shows is shown, whatever the numbers.
fn play_fuzz(settings: &str, page: &Transcript) {
    let setting = |name: &str| {
        let mut words = settings.split_whitespace();
        words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    };
    let target = setting("TARGET").expect("it names a target");
    let run = match (setting("REPLAY"), setting("ROUNDS")) {
        // What the page found before.
        (Some(input), _) => Campaign::there("book", target).replays(Board::Virt, input),
        (None, Some(rounds)) => {
            let settings = format!("SEED=1 ROUNDS={rounds}");
            Campaign::new("book", target).runs(Board::Virt, &settings)
        }
        _ => panic!("{}: it would go on for ever", page.place),
    };
    let mut lines = run.lines.iter();
    let mut gap = false;
    for (index, step) in page.steps.iter().enumerate() {
        let is_last = index + 1 == page.steps.len();
        match step {
            Step::Gap => gap = true,
            Step::Shown(wanted) => {
                let same = |line: &&String| without_numbers(line) == without_numbers(wanted);
                let found = match gap {
                    // Up to the end, which is this line.
                    true if is_last => lines.by_ref().last().filter(same),
                    true => lines.find(same),
                    false => lines.next().filter(same),
                };
                run.require(found.is_some(), &format!("{wanted:?} should be shown"));
                gap = false;
            }
            step => panic!("{}: {step:?} is not played", page.place),
        }
    }
    run.require(gap || lines.next().is_none(), "that should be all");
}

/// A line with a mark for each number, and for the stage that made an input.
fn without_numbers(line: &str) -> String {
    let is_of_number = |c: char| c.is_ascii_hexdigit() && !('A'..='F').contains(&c);
    let mut words = Vec::new();
    for word in line.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let number = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let digits = number.strip_prefix("0x").unwrap_or(number);
        let is_number =
            digits.chars().all(is_of_number) && digits.contains(|c: char| c.is_ascii_digit());
        // Which stage it was is chance, too.
        let is_stage = words.last().is_some_and(|word: &String| word == "op:");
        match is_number || is_stage {
            true => words.push(word.replacen(number, "#", 1)),
            false => words.push(word.to_owned()),
        }
    }
    words.concat().trim().to_owned()
}

/// Lines that came before those of another source that the transcript has in front of them: several VMs, and the monitor, do not wait for
/// each other.
struct Early {
    several: bool,
    lines: Vec<String>,
}

impl Early {
    fn of(transcript: &Transcript) -> Self {
        let named = |step: &Step| match step {
            Step::Shown(line) => !line.starts_with("AVISOR ") && source(line).is_some(),
            _ => false,
        };
        Self {
            several: transcript.steps.iter().any(named),
            lines: Vec::new(),
        }
    }

    /// Whether the line has come; it is not waited for again.
    fn takes(&mut self, line: &str) -> bool {
        let found = self.lines.iter().position(|early| alike(line, early));
        found.map(|n| self.lines.remove(n)).is_some()
    }

    /// Whether a line that was shown may have come too early.
    fn keeps(&mut self, line: &str, shown: &str) -> bool {
        let other = self.several && source(line) != source(shown);
        if other {
            self.lines.push(shown.to_owned());
        }
        other
    }
}

/// The VM that a line is of, where it says so: `name| ...`, `AVISOR INFO: name: ...`.
fn source(line: &str) -> Option<&str> {
    let own = line.split_once("| ").map(|(name, _)| name);
    let logged = || line.strip_prefix("AVISOR ")?.split(": ").nth(1);
    let name = own.or_else(logged);
    let word = |name: &&str| {
        name.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    name.filter(|name| !name.is_empty()).filter(word)
}

/// Waits for the prompt, and types. What is typed is echoed: once, by the shell, if it reads already.
fn types(session: &mut Session, prompt: &str, text: &str) {
    session.expect(&format!("{prompt} "));
    session.pause(Duration::from_millis(500));
    if text == ESCAPE {
        session.send("\x1d");
    } else {
        session.send(&format!("{text}\r"));
        session.expect(&format!("{text}\n"));
    }
}

/// Waits for the line: the next one, or behind a gap any.
fn shows(session: &mut Session, line: &str, gap: bool, early: &mut Early) {
    if early.takes(line) {
        return;
    }
    loop {
        let shown = session.line();
        if alike(line, &shown) {
            return;
        }
        // A prompt that was taken back for a line of the log is no line itself.
        let nothing = shown.trim().is_empty() || shown.trim() == "avisor>";
        let good = gap || nothing || early.keeps(line, &shown);
        session.require(good, &format!("{line:?} should come, and not {shown:?}"));
    }
}
