//! What a line says: a [`Command`], or what is wrong with it.

use core::fmt;

use crate::snapshot::Which;

/// A line, understood. VMs are numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Show the commands.
    Help,
    /// Show the VMs.
    Vms,
    /// Take a snapshot of a VM.
    Checkpoint(usize),
    /// Show a VM's snapshots.
    Snapshots(usize),
    /// Take a VM back.
    Restore(usize, Which),
    /// Forget a snapshot of a VM.
    Delete(usize, u64),
    /// Stop a VM for now.
    Pause(usize),
    /// Let a paused VM go on.
    Resume(usize),
    /// Start a VM from its image.
    Reset(usize),
    /// Give the keyboard to a VM.
    Attach(usize),
    /// Show what a VM amounts to.
    Stats(usize),
    /// Leave the monitor.
    Quit,
}

/// What follows a command's name.
#[derive(Clone, Copy)]
enum Arguments {
    Nothing(Command),
    /// A VM; the attached one if none is named.
    MayVm(fn(usize) -> Command),
    /// A VM.
    Vm(fn(usize) -> Command),
    /// As `MayVm`, and the id of a snapshot.
    Id(fn(usize, u64) -> Command),
    /// As `MayVm`, and the id of a snapshot or `latest`.
    Which(fn(usize, Which) -> Command),
}

struct Verb {
    name: &'static str,
    arguments: Arguments,
    does: &'static str,
}

const fn verb(name: &'static str, arguments: Arguments, does: &'static str) -> Verb {
    Verb {
        name,
        arguments,
        does,
    }
}

/// In the order of `help`.
const VERBS: [Verb; 12] = [
    verb("help", Arguments::Nothing(Command::Help), "show this"),
    verb("vms", Arguments::Nothing(Command::Vms), "show the VMs"),
    verb(
        "checkpoint",
        Arguments::MayVm(Command::Checkpoint),
        "take a snapshot",
    ),
    verb(
        "snapshots",
        Arguments::MayVm(Command::Snapshots),
        "show the snapshots, as a tree",
    ),
    verb(
        "restore",
        Arguments::Which(Command::Restore),
        "go back to a snapshot",
    ),
    verb(
        "delete",
        Arguments::Id(Command::Delete),
        "forget a snapshot",
    ),
    verb(
        "pause",
        Arguments::MayVm(Command::Pause),
        "stop the VM for now",
    ),
    verb(
        "resume",
        Arguments::MayVm(Command::Resume),
        "let a paused VM go on",
    ),
    verb(
        "reset",
        Arguments::MayVm(Command::Reset),
        "start the VM from its image",
    ),
    verb(
        "attach",
        Arguments::Vm(Command::Attach),
        "give the keyboard to the VM, and leave the monitor",
    ),
    verb(
        "stats",
        Arguments::MayVm(Command::Stats),
        "show what the VM and its snapshots take",
    ),
    verb(
        "quit",
        Arguments::Nothing(Command::Quit),
        "leave the monitor, as an empty line and Ctrl-] do",
    ),
];

/// In place of an id: the newest snapshot.
const LATEST: &str = "latest";

impl Arguments {
    /// As `help` shows them.
    fn usage(self) -> &'static str {
        match self {
            Self::Nothing(_) => "",
            Self::MayVm(_) => "[vm]",
            Self::Vm(_) => "vm",
            Self::Id(_) => "[vm] ID",
            Self::Which(_) => "[vm] ID|latest",
        }
    }
}

/// What is wrong with a line, with what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mistake<'l> {
    /// No command begins so.
    NoCommand(&'l str),
    /// Several commands begin so.
    Ambiguous(&'l str),
    /// No VM has this name or number.
    NoVm(&'l str, &'l [&'static str]),
    /// Several VMs' names begin so.
    AmbiguousVm(&'l str, &'l [&'static str]),
    /// This is no snapshot's id.
    NotAnId(&'l str),
    /// No id is so large.
    TooLarge(&'l str),
    /// An argument is missing; this is how the command is used.
    Missing(&'static str, &'static str),
    /// There is a word too many.
    TooMany(&'l str, &'static str, &'static str),
}

/// Which VMs a line can mean.
#[derive(Clone, Copy, Debug)]
pub struct Vms<'n> {
    /// Their names.
    pub names: &'n [&'static str],
    /// The one that is meant where none is named.
    pub attached: usize,
}

impl Command {
    /// The command that `line` gives. A command and a VM's name may be shortened as far as they stay unambiguous; a VM may also be given by
    /// its number. An empty line is [`Quit`](Self::Quit).
    pub fn parse<'l>(line: &'l str, vms: Vms<'l>) -> Result<Self, Mistake<'l>> {
        let mut words = line.split_ascii_whitespace();
        let Some(first) = words.next() else {
            return Ok(Self::Quit);
        };
        let verb = find_verb(first)?;
        let (word, another) = (words.next(), words.next());
        let missing = Mistake::Missing(verb.name, verb.arguments.usage());
        let (command, left_over) = match verb.arguments {
            Arguments::Nothing(command) => (command, word),
            Arguments::MayVm(command) => {
                let vm = word.map_or(Ok(vms.attached), |word| vms.find(word))?;
                (command(vm), another)
            }
            Arguments::Vm(command) => (command(vms.find(word.ok_or(missing)?)?), another),
            Arguments::Id(command) => {
                let (vm, id) = vms.vm_and(word.ok_or(missing.clone())?, another, id, missing)?;
                (command(vm, id), words.next())
            }
            Arguments::Which(command) => {
                let (vm, which) =
                    vms.vm_and(word.ok_or(missing.clone())?, another, which, missing)?;
                (command(vm, which), words.next())
            }
        };
        match left_over {
            None => Ok(command),
            Some(word) => Err(Mistake::TooMany(word, verb.name, verb.arguments.usage())),
        }
    }
}

impl<'l> Vms<'l> {
    /// The VM with this name; else the one with this number; else the one whose name begins so.
    fn find(self, word: &'l str) -> Result<usize, Mistake<'l>> {
        let named = self.names.iter().position(|name| *name == word);
        let number = || Some(usize::try_from(number(word)?).unwrap_or(usize::MAX));
        let numbered = || number().filter(|n| *n < self.names.len());
        if let Some(vm) = named.or_else(numbered) {
            return Ok(vm);
        }
        let mut begin_so = (0..self.names.len()).filter(|n| self.names[*n].starts_with(word));
        match (begin_so.next(), begin_so.next()) {
            (Some(vm), None) => Ok(vm),
            (Some(_), Some(_)) => Err(Mistake::AmbiguousVm(word, self.names)),
            (None, _) => Err(Mistake::NoVm(word, self.names)),
        }
    }

    /// `[vm] X`: what `read` makes of the last of one or two words. One word that is a VM's name lacks the other.
    fn vm_and<T>(
        self,
        word: &'l str,
        another: Option<&'l str>,
        read: impl Fn(&'l str) -> Result<T, Mistake<'l>>,
        missing: Mistake<'l>,
    ) -> Result<(usize, T), Mistake<'l>> {
        match another {
            Some(another) => Ok((self.find(word)?, read(another)?)),
            None => match read(word) {
                Err(_) if self.find(word).is_ok() => Err(missing),
                other => other.map(|value| (self.attached, value)),
            },
        }
    }
}

/// `7`, or `#7` as the monitor prints it.
fn id(word: &str) -> Result<u64, Mistake<'_>> {
    let digits = word.strip_prefix('#').unwrap_or(word);
    number(digits).ok_or(match is_number(digits) {
        true => Mistake::TooLarge(word),
        false => Mistake::NotAnId(word),
    })
}

/// Digits and nothing else.
fn number(word: &str) -> Option<u64> {
    word.parse().ok().filter(|_| is_number(word))
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
}

fn which(word: &str) -> Result<Which, Mistake<'_>> {
    if word == LATEST {
        return Ok(Which::Latest);
    }
    id(word).map(Which::Id)
}

fn find_verb(word: &str) -> Result<&'static Verb, Mistake<'_>> {
    let mut begin_so = VERBS.iter().filter(|verb| verb.name.starts_with(word));
    let exact = || VERBS.iter().find(|verb| verb.name == word);
    match (begin_so.next(), begin_so.next()) {
        (Some(verb), None) => Ok(verb),
        (Some(_), Some(_)) => exact().ok_or(Mistake::Ambiguous(word)),
        (None, _) => Err(Mistake::NoCommand(word)),
    }
}

/// Calls `f` with each word that the last word of `line` may become. Behind a blank, that last word is the empty one.
pub fn each_completion(line: &str, names: &[&'static str], f: &mut impl FnMut(&'static str)) {
    let (before, word) = line
        .rsplit_once(|c: char| c.is_ascii_whitespace())
        .unwrap_or(("", line));
    let mut offer = |candidate: &'static str| {
        if candidate.starts_with(word) {
            f(candidate);
        }
    };
    let mut words = before.split_ascii_whitespace();
    let Some(first) = words.next() else {
        VERBS.iter().for_each(|verb| offer(verb.name));
        return;
    };
    let Ok(verb) = find_verb(first) else { return };
    let place = words.count();
    if place == 0 && !matches!(verb.arguments, Arguments::Nothing(_)) {
        names.iter().for_each(|name| offer(name));
    }
    if place <= 1 && matches!(verb.arguments, Arguments::Which(_)) {
        offer(LATEST);
    }
}

/// Prints the commands.
pub fn help(out: &mut impl fmt::Write) -> fmt::Result {
    for verb in &VERBS {
        let (name, usage) = (verb.name, verb.arguments.usage());
        writeln!(out, "  {name:<10} {usage:<14}  {}", verb.does)?;
    }
    writeln!(
        out,
        "A vm is a name or a number; where none is given, the one that has the keyboard.\n\
         Commands and names may be shortened, and Tab completes them."
    )
}

/// Words in a row: `a, b or c`.
fn list(
    f: &mut fmt::Formatter,
    mut words: impl Iterator<Item = impl fmt::Display>,
    last: &str,
) -> fmt::Result {
    let (mut first, mut next) = (true, words.next());
    while let Some(word) = next {
        next = words.next();
        match (first, next.is_some()) {
            (true, _) => write!(f, "{word}")?,
            (false, true) => write!(f, ", {word}")?,
            (false, false) => write!(f, " {last} {word}")?,
        }
        first = false;
    }
    Ok(())
}

impl fmt::Display for Mistake<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mut verbs = VERBS.iter().map(|verb| verb.name);
        match self {
            Self::NoCommand(word) => {
                write!(f, "{word:?} is no command; there are ")?;
                list(f, verbs, "and")
            }
            Self::Ambiguous(word) => {
                write!(f, "{word:?} may be ")?;
                list(
                    f,
                    verbs.by_ref().filter(|name| name.starts_with(word)),
                    "or",
                )
            }
            Self::NoVm(word, vms) => {
                write!(f, "no VM is {word:?}; there are ")?;
                let numbered = vms.iter().enumerate();
                list(f, numbered.map(|(n, name)| Numbered(n, name)), "and")
            }
            Self::AmbiguousVm(word, vms) => {
                write!(f, "{word:?} may be ")?;
                list(f, vms.iter().filter(|name| name.starts_with(word)), "or")
            }
            Self::NotAnId(word) => write!(f, "{word:?} is no id of a snapshot, which is a number"),
            Self::TooLarge(word) => {
                write!(f, "{word:?} is too large: the largest id is {}", u64::MAX)
            }
            Self::Missing(name, usage) => write!(f, "something is missing: {name} {usage}"),
            Self::TooMany(word, name, "") => write!(f, "{word:?} is too much: {name} stands alone"),
            Self::TooMany(word, name, usage) => write!(f, "{word:?} is too much: {name} {usage}"),
        }
    }
}

struct Numbered<'n>(usize, &'n str);

impl fmt::Display for Numbered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} ({})", self.1, self.0)
    }
}
