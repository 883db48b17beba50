//! Reads and checks `configs/*.toml`. What each key means is written in `configs/default.toml`.
//!
//! Every error is one line that names the key and what is allowed; the caller puts the file's name before it.

use toml::{Table, Value};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// Where every guest's RAM starts (see "The machine a guest sees").
const RAM_BASE: u64 = 0x4000_0000;
/// The longest name of a VM: it stands in front of each of its log lines.
const NAME_MAX: usize = 15;

/// A checked configuration.
#[derive(Debug, PartialEq, Eq)]
pub struct Config {
    /// The variant of `log::LevelFilter`.
    pub log: &'static str,
    /// The VMs in the order of the file.
    pub vms: Vec<Vm>,
}

/// One VM.
#[derive(Debug, PartialEq, Eq)]
pub struct Vm {
    /// What the log calls it.
    pub name: String,
    /// What it runs.
    pub guest: Guest,
    /// Bytes of RAM.
    pub memory: u64,
    /// Where a raw binary goes.
    pub load_address: Option<u64>,
    /// Snapshots in a pool.
    pub pool_capacity: u32,
    /// The variant of `avisor::config::Accounting`.
    pub accounting: &'static str,
}

/// Where a VM's image comes from.
#[derive(Debug, PartialEq, Eq)]
pub enum Guest {
    /// A program of `guest/`, by name.
    Program(String),
    /// A file, relative to the repository's root.
    Image(String),
}

/// The configuration in `text`, or what is wrong with it.
pub fn parse(text: &str) -> Result<Config, String> {
    let table: Table = text.parse().map_err(|error| syntax_error(text, &error))?;
    let root = Section {
        path: String::new(),
        table: &table,
    };
    root.only(&["log", "vm"])?;
    let log = root.choice("log", &LOG_LEVELS)?.unwrap_or("Info");
    let vms = root
        .sections("vm")?
        .iter()
        .map(vm)
        .collect::<Result<Vec<_>, _>>()?;
    match vms.len() {
        0 => Err("vm: there is none; allowed: one [[vm]] section".into()),
        1 => Ok(Config { log, vms }),
        more => Err(format!(
            "vm: there are {more}; allowed: one [[vm]] section, as one VM runs for now"
        )),
    }
}

const LOG_LEVELS: [(&str, &str); 6] = [
    ("off", "Off"),
    ("error", "Error"),
    ("warn", "Warn"),
    ("info", "Info"),
    ("debug", "Debug"),
    ("trace", "Trace"),
];

const ACCOUNTINGS: [(&str, &str); 2] = [("reserved", "Reserved"), ("on-demand", "OnDemand")];

fn vm(section: &Section) -> Result<Vm, String> {
    section.only(&[
        "name",
        "guest",
        "image",
        "memory",
        "load_address",
        "snapshots",
    ])?;
    let name = section
        .read(
            "name",
            "1 to 15 characters out of a-z, 0-9 and -",
            |value| word(value).filter(|w| w.len() <= NAME_MAX),
        )?
        .ok_or_else(|| {
            format!(
                "{}: missing; allowed: 1 to 15 characters out of a-z, 0-9 and -",
                section.key("name")
            )
        })?;
    let memory = section
        .read(
            "memory",
            "a multiple of 2M from 2M to 15G, for example \"128M\"",
            |value| {
                size(value.as_str()?)
                    .filter(|bytes| bytes % (2 * MIB) == 0 && (2 * MIB..=15 * GIB).contains(bytes))
            },
        )?
        .unwrap_or(128 * MIB);
    let last = RAM_BASE + memory - 4 * KIB;
    let allowed = format!("a multiple of 4K in the VM's RAM, {RAM_BASE:#x} to {last:#x}");
    let load_address = section.read("load_address", &allowed, |value| {
        let address = u64::try_from(value.as_integer()?).ok()?;
        (address % (4 * KIB) == 0 && (RAM_BASE..=last).contains(&address)).then_some(address)
    })?;
    let (pool_capacity, accounting) = pools(&section.section("snapshots")?)?;
    Ok(Vm {
        name,
        guest: guest(section)?,
        memory,
        load_address,
        pool_capacity,
        accounting,
    })
}

fn guest(section: &Section) -> Result<Guest, String> {
    let program = section.read(
        "guest",
        "the name of a program in guest/src/bin, for example \"snapshots\"",
        word,
    )?;
    let image = section.read(
        "image",
        "the path of a file, from the repository's root",
        |value| {
            value
                .as_str()
                .filter(|path| !path.is_empty())
                .map(str::to_owned)
        },
    )?;
    match (program, image) {
        (Some(program), None) => Ok(Guest::Program(program)),
        (None, Some(image)) => Ok(Guest::Image(image)),
        (both, _) => Err(format!(
            "{}: {} of `guest` and `image` given; allowed: exactly one",
            section.path,
            if both.is_some() { "both" } else { "none" }
        )),
    }
}

fn pools(section: &Section) -> Result<(u32, &'static str), String> {
    section.only(&["pool_capacity", "accounting"])?;
    let capacity = section.read("pool_capacity", "1 to 1024", |value| {
        u32::try_from(value.as_integer()?)
            .ok()
            .filter(|capacity| (1..=1024).contains(capacity))
    })?;
    let accounting = section.choice("accounting", &ACCOUNTINGS)?;
    Ok((capacity.unwrap_or(3), accounting.unwrap_or("Reserved")))
}

/// A string of a-z, 0-9 and -.
fn word(value: &Value) -> Option<String> {
    let word = value.as_str()?;
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (!word.is_empty() && word.bytes().all(allowed)).then(|| word.to_owned())
}

/// The bytes that `"64K"`, `"128M"` or `"1G"` means.
fn size(text: &str) -> Option<u64> {
    let unit = match text.chars().last()? {
        'K' => KIB,
        'M' => MIB,
        'G' => GIB,
        _ => return None,
    };
    text[..text.len() - 1]
        .parse::<u64>()
        .ok()?
        .checked_mul(unit)
}

/// The TOML parser's own message, on one line.
fn syntax_error(text: &str, error: &toml::de::Error) -> String {
    let start = error.span().map_or(0, |span| span.start);
    let line = text
        .bytes()
        .take(start)
        .filter(|&byte| byte == b'\n')
        .count()
        + 1;
    format!("line {line}: {}", error.message().replace('\n', " "))
}

/// A table, with the path that leads to it for error messages.
struct Section<'a> {
    path: String,
    table: &'a Table,
}

impl<'a> Section<'a> {
    /// The full name of a key in this section, such as `vm[0].memory`.
    fn key(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// Refuses keys that mean nothing here: most are misspelt.
    fn only(&self, known: &[&str]) -> Result<(), String> {
        match self
            .table
            .keys()
            .find(|name| !known.contains(&name.as_str()))
        {
            Some(name) => Err(format!(
                "{}: unknown key; allowed: {}",
                self.key(name),
                known.join(", ")
            )),
            None => Ok(()),
        }
    }

    /// What `convert` makes of a value, if the key is there; `allowed` is for the reader of the error.
    fn read<T>(
        &self,
        name: &str,
        allowed: &str,
        convert: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, String> {
        let Some(value) = self.table.get(name) else {
            return Ok(None);
        };
        match convert(value) {
            Some(result) => Ok(Some(result)),
            None => Err(format!(
                "{}: {} is not allowed; allowed: {allowed}",
                self.key(name),
                one_line(value)
            )),
        }
    }

    /// One of the words in `choices`; what stands beside it is returned.
    fn choice(
        &self,
        name: &str,
        choices: &[(&str, &'static str)],
    ) -> Result<Option<&'static str>, String> {
        let allowed: Vec<_> = choices
            .iter()
            .map(|(word, _)| format!("\"{word}\""))
            .collect();
        self.read(name, &allowed.join(", "), |value| {
            choices
                .iter()
                .find(|(word, _)| value.as_str() == Some(word))
                .map(|(_, meaning)| *meaning)
        })
    }

    /// The section `[name]` below this one; empty if it is not there.
    fn section(&self, name: &str) -> Result<Section<'a>, String> {
        static EMPTY: std::sync::LazyLock<Table> = std::sync::LazyLock::new(Table::new);
        let table = self.read(name, "a section of its own", Value::as_table)?;
        Ok(Section {
            path: self.key(name),
            table: table.unwrap_or(&EMPTY),
        })
    }

    /// The sections `[[name]]` below this one.
    fn sections(&self, name: &str) -> Result<Vec<Section<'a>>, String> {
        let allowed = format!("[[{name}]] sections");
        let tables = self.read(name, &allowed, |value| {
            value.as_array()?.iter().map(Value::as_table).collect()
        })?;
        let tables: Vec<&Table> = tables.unwrap_or_default();
        let named = |(index, table)| Section {
            path: format!("{}[{index}]", self.key(name)),
            table,
        };
        Ok(tables.into_iter().enumerate().map(named).collect())
    }
}

/// A value as it stands in the file; just its type if that takes lines.
fn one_line(value: &Value) -> String {
    match value {
        Value::Table(_) | Value::Array(_) => format!("this {}", value.type_str()),
        _ => value.to_string().replace('\n', " "),
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
