//! Reads and checks `configs/*.toml`. What each key means is written in `configs/default.toml`.
//!
//! Every error is one line that names the key and what is allowed; the caller puts the file's name before it.

#[path = "control.rs"]
mod control;
#[path = "../src/limits.rs"]
mod limits;
#[path = "section.rs"]
mod section;
#[path = "uart.rs"]
mod uart;
#[path = "windows.rs"]
mod windows;

use std::ops::RangeInclusive;

use limits::{CORES_MAX, VCPUS_MAX, VMS_MAX};
use section::{Section, syntax_error};
use toml::{Table, Value};
use windows::windows;

pub use windows::Window;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// Where every guest's RAM starts (docs/machine.md).
pub const RAM_BASE: u64 = 0x4000_0000;
/// The longest name of a VM: it stands in front of each of its log lines.
const NAME_MAX: usize = 15;
/// Bytes of the longest command line: arm64 Linux takes 2048, with the NUL at its end.
const CMDLINE_MAX: usize = 2047;

/// A checked configuration.
#[derive(Debug, PartialEq, Eq)]
pub struct Config {
    /// The variant of `log::LevelFilter`.
    pub log: &'static str,
    /// The VMs in the order of the file.
    pub vms: Vec<Vm>,
    /// The windows in the order of the file.
    pub windows: Vec<Window>,
}

/// One VM.
#[derive(Debug, PartialEq, Eq)]
pub struct Vm {
    /// What the log calls it.
    pub name: String,
    /// What it runs.
    pub guest: Guest,
    /// The path of its initial RAM disk, relative to the repository's root.
    pub initrd: Option<String>,
    /// The kernel's command line.
    pub cmdline: Option<String>,
    /// Virtual CPUs.
    pub vcpus: u32,
    /// The cores of the board that its vCPUs are pinned to, in turn; empty: all cores, in turn with the other VMs' vCPUs.
    pub cores: Vec<usize>,
    /// Bytes of RAM.
    pub memory: u64,
    /// Where a raw binary goes.
    pub load_address: Option<u64>,
    /// Where a raw binary's first instruction is.
    pub entry: Option<u64>,
    /// What becomes of it when it resets itself.
    pub on_reset: OnReset,
    /// Milliseconds between the snapshots that are taken without being asked for.
    pub checkpoint_every: Option<u64>,
    /// The variant of `avisor::config::Time`.
    pub time: &'static str,
    /// Snapshots in a pool.
    pub pool_capacity: u32,
    /// The variant of `avisor::config::Accounting`.
    pub accounting: &'static str,
    /// The numbers of the VMs that it controls.
    pub controls: Vec<usize>,
    /// The number of the VM that controls it.
    pub controlled_by: Option<usize>,
    /// The variant of `avisor::config::Start`.
    pub start: &'static str,
    /// The variant of `avisor::config::Uart`.
    pub uart: &'static str,
}

/// What becomes of a VM that resets itself.
#[derive(Debug, PartialEq, Eq)]
pub enum OnReset {
    /// It starts from its image.
    Restart,
    /// It goes back to its latest snapshot, so many times in a row.
    Restore { tries: u32 },
}

/// Where a VM's image comes from.
#[derive(Debug, PartialEq, Eq)]
pub enum Guest {
    /// A guest program of this repository, by name.
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
    root.only(&["log", "vm", "window"])?;
    let log = root.choice("log", &LOG_LEVELS)?.unwrap_or("Info");
    let sections = root.sections("vm")?;
    let mut vms = sections.iter().map(vm).collect::<Result<Vec<_>, _>>()?;
    let controls = sections.iter().map(control::names);
    let controls = controls.collect::<Result<Vec<_>, _>>()?;
    match vms.len() {
        0 => Err("vm: there is none; allowed: 1 to 8 [[vm]] sections".into()),
        1..=VMS_MAX => {
            distinct(&vms)?;
            uart::check(&vms)?;
            control::resolve(&mut vms, &controls)?;
            let windows = windows(&root, &vms)?;
            Ok(Config { log, vms, windows })
        }
        more => Err(format!(
            "vm: there are {more}; allowed: 1 to 8 [[vm]] sections"
        )),
    }
}

/// The console and the monitor know VMs by their names.
fn distinct(vms: &[Vm]) -> Result<(), String> {
    for (index, vm) in vms.iter().enumerate() {
        if let Some(first) = vms[..index].iter().position(|other| other.name == vm.name) {
            return Err(format!(
                "vm[{index}].name: {:?} is the name of vm[{first}]; allowed: a name of its own",
                vm.name
            ));
        }
    }
    Ok(())
}

const LOG_LEVELS: [(&str, &str); 6] = [
    ("off", "Off"),
    ("error", "Error"),
    ("warn", "Warn"),
    ("info", "Info"),
    ("debug", "Debug"),
    ("trace", "Trace"),
];

const TIMES: [(&str, &str); 2] = [("stops", "Stops"), ("passes", "Passes")];

const STARTS: [(&str, &str); 2] = [("running", "Running"), ("stopped", "Stopped")];

const ACCOUNTINGS: [(&str, &str); 2] = [("reserved", "Reserved"), ("on-demand", "OnDemand")];

fn vm(section: &Section) -> Result<Vm, String> {
    section.only(&[
        "name",
        "guest",
        "image",
        "initrd",
        "cmdline",
        "vcpus",
        "cores",
        "memory",
        "load_address",
        "entry",
        "on_reset",
        "reset_tries",
        "checkpoint_every",
        "time",
        "controls",
        "start",
        "uart",
        "snapshots",
    ])?;
    let memory = memory(section)?;
    let vcpus = number(section, "vcpus", "1 to 8", 1..=VCPUS_MAX as u32)?.unwrap_or(1);
    let (pool_capacity, accounting) = pools(&section.section("snapshots")?)?;
    Ok(Vm {
        name: name(section)?,
        guest: guest(section)?,
        initrd: path(section, "initrd")?,
        cmdline: cmdline(section)?,
        vcpus,
        cores: cores(section, vcpus)?,
        memory,
        load_address: load_address(section, memory)?,
        entry: entry(section, memory)?,
        on_reset: on_reset(section)?,
        checkpoint_every: checkpoint_every(section)?,
        time: section.choice("time", &TIMES)?.unwrap_or("Stops"),
        pool_capacity,
        accounting,
        // What names mean is seen when all VMs are known.
        controls: Vec::new(),
        controlled_by: None,
        start: section.choice("start", &STARTS)?.unwrap_or("Running"),
        uart: uart::uart(section)?,
    })
}

fn name(section: &Section) -> Result<String, String> {
    let allowed = "1 to 15 characters out of a-z, 0-9 and -, but no number and not \"latest\"";
    section
        .read("name", allowed, |value| {
            // To the monitor, a number is a VM's or a snapshot's, and `latest` is a snapshot.
            let meant_otherwise = |w: &String| w == "latest" || digits(w).is_some();
            word(value).filter(|w| w.len() <= NAME_MAX && !meant_otherwise(w))
        })?
        .ok_or_else(|| format!("{}: missing; allowed: {allowed}", section.key("name")))
}

fn memory(section: &Section) -> Result<u64, String> {
    let allowed = "a multiple of 2M from 2M to 15G, for example \"128M\"";
    let memory = section.read("memory", allowed, |value| {
        size(value.as_str()?)
            .filter(|bytes| bytes % (2 * MIB) == 0 && (2 * MIB..=15 * GIB).contains(bytes))
    })?;
    Ok(memory.unwrap_or(128 * MIB))
}

/// Whether the board has them is seen when it starts.
fn cores(section: &Section, vcpus: u32) -> Result<Vec<usize>, String> {
    let allowed = "a list of cores, numbers from 0 to 7, for example [0, 1]";
    let cores = section.read("cores", allowed, |value| {
        let core = |value: &Value| {
            let core = usize::try_from(value.as_integer()?).ok()?;
            (core < CORES_MAX).then_some(core)
        };
        let cores: Option<Vec<usize>> = value.as_array()?.iter().map(core).collect();
        cores.filter(|cores| !cores.is_empty())
    })?;
    let cores = cores.unwrap_or_default();
    match cores.len() > vcpus as usize {
        true => Err(format!(
            "{}: {} cores for {vcpus} vCPUs; allowed: one for each vCPU at the most",
            section.key("cores"),
            cores.len()
        )),
        false => Ok(cores),
    }
}

fn load_address(section: &Section, memory: u64) -> Result<Option<u64>, String> {
    address(section, "load_address", ("4K", 4 * KIB), memory)
}

/// Whether it is in the image, too, is seen when that is read.
fn entry(section: &Section, memory: u64) -> Result<Option<u64>, String> {
    address(section, "entry", ("4", 4), memory)
}

/// An address in the VM's RAM, a multiple of `align`.
fn address(
    section: &Section,
    name: &str,
    (shown, align): (&str, u64),
    memory: u64,
) -> Result<Option<u64>, String> {
    let last = RAM_BASE + memory - align;
    let allowed = format!("a multiple of {shown} in the VM's RAM, {RAM_BASE:#x} to {last:#x}");
    section.read(name, &allowed, |value| {
        let address = u64::try_from(value.as_integer()?).ok()?;
        (address % align == 0 && (RAM_BASE..=last).contains(&address)).then_some(address)
    })
}

/// The device tree has it as a string that ends in a NUL, and the log shows it on one line.
fn cmdline(section: &Section) -> Result<Option<String>, String> {
    let allowed = format!("up to {CMDLINE_MAX} printable ASCII characters");
    section.read("cmdline", &allowed, |value| {
        let text = value.as_str()?;
        let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        (printable && text.len() <= CMDLINE_MAX).then(|| text.to_owned())
    })
}

fn on_reset(section: &Section) -> Result<OnReset, String> {
    const CHOICES: [(&str, &str); 2] = [("restart", "Restart"), ("restore", "Restore")];
    let choice = section.choice("on_reset", &CHOICES)?;
    let tries = number(section, "reset_tries", "1 to 1000", 1..=1000)?;
    match (choice, tries) {
        (Some("Restore"), tries) => Ok(OnReset::Restore {
            tries: tries.unwrap_or(3),
        }),
        (_, None) => Ok(OnReset::Restart),
        (_, Some(_)) => Err(format!(
            "{}: without effect; allowed: with `on_reset = \"restore\"`",
            section.key("reset_tries")
        )),
    }
}

fn checkpoint_every(section: &Section) -> Result<Option<u64>, String> {
    let allowed =
        "a number with ms, s or m, from 10ms to 1440m, for example \"500ms\", \"10s\" or \"2m\"";
    section.read("checkpoint_every", allowed, |value| {
        milliseconds(value.as_str()?).filter(|time| (10..=24 * 60 * 60 * 1000).contains(time))
    })
}

fn guest(section: &Section) -> Result<Guest, String> {
    let program = section.read(
        "guest",
        "the name of a guest program, for example \"snapshots\"",
        word,
    )?;
    let image = path(section, "image")?;
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
    let capacity = number(section, "pool_capacity", "1 to 1024", 1..=1024)?;
    let accounting = section.choice("accounting", &ACCOUNTINGS)?;
    Ok((capacity.unwrap_or(3), accounting.unwrap_or("Reserved")))
}

/// The path of a file.
fn path(section: &Section, name: &str) -> Result<Option<String>, String> {
    section.read(
        name,
        "the path of a file, from the repository's root",
        |value| {
            let path = value.as_str().filter(|path| !path.is_empty())?;
            Some(path.to_owned())
        },
    )
}

/// A whole number out of `range`.
fn number(
    section: &Section,
    name: &str,
    allowed: &str,
    range: RangeInclusive<u32>,
) -> Result<Option<u32>, String> {
    section.read(name, allowed, |value| {
        let number = u32::try_from(value.as_integer()?).ok()?;
        range.contains(&number).then_some(number)
    })
}

/// A string of a-z, 0-9 and -.
fn word(value: &Value) -> Option<String> {
    let word = value.as_str()?;
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (!word.is_empty() && word.bytes().all(allowed)).then(|| word.to_owned())
}

/// The bytes that `"64K"`, `"128M"` or `"1G"` means.
pub fn size(text: &str) -> Option<u64> {
    let unit = match text.chars().last()? {
        'K' => KIB,
        'M' => MIB,
        'G' => GIB,
        _ => return None,
    };
    digits(&text[..text.len() - 1])?.checked_mul(unit)
}

/// The milliseconds that `"500ms"`, `"10s"` or `"2m"` means.
fn milliseconds(text: &str) -> Option<u64> {
    let unit = text.find(|c: char| !c.is_ascii_digit())?;
    let factor = match &text[unit..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        _ => return None,
    };
    digits(&text[..unit])?.checked_mul(factor)
}

/// A number out of digits alone: `parse` would take a sign in front.
fn digits(text: &str) -> Option<u64> {
    let all = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| all)
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
