//! Tables of the book that the code knows as well: both say the same.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use avisor::addr::Ipa;
use avisor::device::{self, Absent, Device, Region};
use avisor::hvc::{Hypercall, error, ids, vendor};
use avisor::limits::WINDOWS_MAX;
use avisor::monitor::{Command, Mistake, Vms, each_completion};
use avisor::trap::registers::{Fate, ROWS};
use avisor::vm::RAM_BASE;

use crate::config;
use crate::markdown::{ROOT, named};

/// `0x4008_0000` as a number.
fn number(text: &str) -> u64 {
    let digits = text
        .trim_start_matches("0x")
        .trim_start_matches("0X")
        .replace('_', "");
    u64::from_str_radix(&digits, 16).unwrap_or_else(|_| panic!("{text} is no number"))
}

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The names and function ids: the book's, the hypervisor's, those of the C header and of the guests' crate.
#[test]
fn calls() {
    let chapters = ["docs/guests.md", "docs/control.md"];
    let rows = chapters.map(|chapter| named(chapter).table(&["x0", "call"]));
    let book: Vec<(String, u64)> = rows
        .iter()
        .flatten()
        .map(|row| (row[1].clone(), number(&row[0])))
        .collect();
    let code = [
        ("CHECKPOINT", ids::CHECKPOINT),
        ("RESTORE", ids::RESTORE),
        ("DELETE", ids::DELETE),
        ("INFO", ids::INFO),
        ("NEXT", ids::NEXT),
        ("STATS", ids::STATS),
        ("GENERATION", ids::GENERATION),
        ("EVENT", ids::EVENT),
        ("TARGET", ids::TARGET),
        ("RUN", ids::RUN),
        ("STOP", ids::STOP),
        ("READ", ids::READ),
        ("WRITE", ids::WRITE),
        ("REGISTERS", ids::REGISTERS),
        ("SET_REGISTERS", ids::SET_REGISTERS),
        ("DIFFERS", ids::DIFFERS),
        ("CHECKPOINT_OF", ids::CHECKPOINT_OF),
        ("RESTORE_OF", ids::RESTORE_OF),
        ("DELETE_OF", ids::DELETE_OF),
        ("INFO_OF", ids::INFO_OF),
        ("NEXT_OF", ids::NEXT_OF),
        ("STATS_OF", ids::STATS_OF),
        ("CATCH", ids::CATCH),
        ("BREAKPOINT", ids::BREAKPOINT),
        ("TRANSLATE", ids::TRANSLATE),
    ];
    let code = code.map(|(name, function)| (name.to_owned(), u64::from(function.0)));
    assert_eq!(book, code);

    let mut x = [0; 31];
    x[0] = 0x8600_ff00;
    let Hypercall::Answered(count) = Hypercall::decode(0, &x) else {
        panic!("the call count is an answer");
    };
    count.write_to(&mut x);
    assert_eq!(x[0], book.len() as u64, "CALL_COUNT");

    let header = read("guest/include/avisor.h");
    let rust = ["snapshot.rs", "control/mod.rs"].map(|module| read(&format!("guest/src/{module}")));
    let rust = rust.concat();
    for (name, id) in book {
        let line = format!("#define AVISOR_FN_{name} UINT64_C(0x{id:X})");
        assert!(header.contains(&line), "{line}");
        let begin = format!("pub const {name}: u64 = ");
        let value = rust
            .split(&begin)
            .nth(1)
            .and_then(|rest| rest.split(';').next());
        assert_eq!(value.map(number), Some(id), "{name} in the guests' crate");
    }
}

#[test]
fn errors() {
    let table = named("docs/guests.md").table(&["x0", "error"]);
    let book: Vec<(String, i64)> = table
        .iter()
        .map(|row| {
            (
                row[1].clone(),
                row[0].parse().expect("an error is a number"),
            )
        })
        .collect();
    let code = [
        ("NOT_SUPPORTED", error::NOT_SUPPORTED),
        ("INVALID_PARAMETER", error::INVALID_PARAMETER),
        ("NOT_FOUND", error::NOT_FOUND),
        ("NO_MEMORY", error::NO_MEMORY),
        ("DENIED", error::DENIED),
    ];
    assert_eq!(book, code.map(|(name, code)| (name.to_owned(), code)));
    let header = read("guest/include/avisor.h");
    for (name, code) in book {
        let line = format!("#define AVISOR_{name} ({code})");
        assert!(header.contains(&line), "{line}");
    }
}

/// Devices and RAM, each from its first to its last address.
#[test]
fn addresses() {
    let table = named("docs/machine.md").table(&["from", "to", "what"]);
    let whole = |base: u64, bytes: u64| (base, Some(base + bytes - 1));
    let range = |(base, bytes): (u64, u64)| whole(base, bytes);
    let windows = WINDOWS_MAX as u64 * device::WINDOW_STRIDE;
    let mut code = vec![
        whole(device::DISTRIBUTOR_BASE.0, device::DISTRIBUTOR_SIZE),
        whole(device::CPU_INTERFACE_BASE.0, device::CPU_INTERFACE_SIZE),
        whole(device::DEACTIVATION_BASE.0, device::DEACTIVATION_SIZE),
        range(device::PCIE_MEMORY),
        range(device::PCIE_PORTS),
        range(device::PCIE_CONFIGURATION),
        range(device::PCIE_HIGH_MEMORY),
        range((device::WINDOWS_BASE.0, windows)),
        (RAM_BASE.0, None),
    ];
    let rows = Device::ALL.iter().map(|device| device.row());
    code.extend(rows.map(|row| whole(row.base.0, row.size)));
    code.sort();
    let last = |cell: &str| (cell != "its size further").then(|| number(cell));
    let book: Vec<_> = table
        .iter()
        .map(|row| (number(&row[0]), last(&row[1])))
        .collect();
    assert_eq!(book, code);
}

/// What `virt` has and this machine has not: one device from the first address to the last, and no further.
#[test]
fn absent_devices() {
    for row in named("docs/machine.md").table(&["from", "to", "virt has"]) {
        let (from, to) = (number(&row[0]), number(&row[1]));
        let (device, offset) = Region::at(Ipa(from)).unwrap_or_else(|| panic!("{row:?}"));
        assert_eq!(offset, 0, "{row:?}");
        assert_eq!(Region::at(Ipa(to)), Some((device, to - from)), "{row:?}");
        assert_ne!(
            Region::at(Ipa(to + 1)),
            Some((device, to + 1 - from)),
            "{row:?}"
        );
        let says = match device {
            Region::Absent(Absent::Silent) => row[3].starts_with('0'),
            Region::Absent(Absent::EmptyBus) => row[3] == "all ones",
            Region::Absent(Absent::EmptySlot) => row[3].starts_with("in each"),
            _ => false,
        };
        assert!(says, "{row:?}: {device:?}");
    }
}

/// The registers in a snapshot, by what becomes of them.
#[test]
fn registers() {
    let table = named("docs/machine.md").table(&["registers", ""]);
    let book = |begin: &str| -> BTreeSet<String> {
        let rows = table.iter().filter(|row| row[0].starts_with(begin));
        let names = rows.flat_map(|row| row[1].split([',', ';']));
        // Behind the name may stand what else belongs to it, and what feature it is of.
        let names = names.map(|name| name.trim().split(" with ").next().unwrap_or_default());
        names
            .map(|name| name.split(" (").next().unwrap_or_default().to_owned())
            .collect()
    };
    let code = |wanted: fn(&Fate) -> bool| -> BTreeSet<String> {
        let rows = ROWS.iter().filter(|row| wanted(&row.fate));
        rows.flat_map(|row| row.name.split(", "))
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(
        book("saved and loaded"),
        code(|fate| matches!(fate, Fate::Saved(_)))
    );
    assert_eq!(book("in PSTATE"), code(|fate| *fate == Fate::Pstate));
    assert_eq!(book("emulated"), code(|fate| *fate == Fate::Emulated));
    assert_eq!(book("read 0"), code(|fate| *fate == Fate::Zero));
}

/// Names, arguments and their order are those of the monitor.
#[test]
fn monitor_commands() {
    let table = named("docs/linux.md").table(&["command", "arguments"]);
    let book: Vec<(String, String)> = table
        .iter()
        .map(|row| (row[0].clone(), row[1].clone()))
        .collect();
    let mut names = Vec::new();
    each_completion("", &[], &mut |name| names.push(name));
    let vms = Vms {
        names: &["vm"],
        attached: 0,
    };
    let usage = |name: &str| {
        let line = format!("{name} vm 1 more");
        match Command::parse(&line, vms) {
            Err(Mistake::TooMany(_, _, usage)) => usage.to_owned(),
            other => panic!("{line}: {other:?}"),
        }
    };
    let code: Vec<_> = names
        .iter()
        .map(|name| ((*name).to_owned(), usage(name)))
        .collect();
    assert_eq!(book, code);
}

/// A section of a configuration, in which `line` stands with whatever it needs besides.
fn with(section: &str, line: &str) -> String {
    let key = line.split(' ').next().unwrap_or_default();
    let own = |name: &str| key == name && section != "window";
    let mut text = String::new();
    let mut put = |line: &str| writeln!(text, "{line}").expect("a String has room");
    if section == "log" {
        put(line);
    }
    if own("vm") {
        return line.to_owned();
    }
    put("[[vm]]");
    if !own("name") {
        put("name = \"a\"");
    }
    if !own("guest") && !own("image") {
        put("guest = \"a\"");
    }
    if own("reset_tries") {
        put("on_reset = \"restore\"");
    }
    if section == "vm" {
        put(line);
    }
    if section == "snapshots" {
        put("[vm.snapshots]");
        put(line);
    }
    if section == "window" {
        put("[[window]]");
        put(line);
        let needed = ["name = \"a\"", "size = \"4K\"", "vms = [\"a\"]"];
        let rest = needed.iter().filter(|other| !other.starts_with(key));
        rest.for_each(|line| put(line));
    }
    text
}

/// All keys, what each may be, and what it is if it is left out.
#[test]
fn configuration_keys() {
    let page = named("docs/configuration.md");
    for (head, section, unknown) in [
        ("key", "log", "unknown = 1"),
        ("key of a [[vm]]", "vm", "unknown = 1"),
        ("key of [vm.snapshots]", "snapshots", "unknown = 1"),
        ("key of a [[window]]", "window", "unknown = 1"),
    ] {
        let table = page.table(&[head, "value", "default"]);
        let keys: Vec<&str> = table.iter().map(|row| row[0].as_str()).collect();
        let refused = config::parse(&with(section, unknown)).expect_err("it is unknown");
        let allowed = refused.split("allowed: ").nth(1);
        assert_eq!(allowed, Some(keys.join(", ").as_str()), "{head}");
        for row in &table {
            check_key(section, &row[0], &row[1], &row[2]);
        }
    }
}

fn check_key(section: &str, key: &str, value: &str, default: &str) {
    // No key is a number with a fraction: the error says what is allowed.
    let refused = config::parse(&with(section, &format!("{key} = 0.5"))).expect_err(key);
    let allowed = refused.split("allowed: ").nth(1).unwrap_or_default();
    let rest = allowed.strip_prefix(value).filter(|_| !value.is_empty());
    assert!(
        rest.is_some_and(|rest| !rest.starts_with(char::is_alphanumeric)),
        "{key}: {value:?} in the book, {allowed:?} in the code"
    );
    let said = default.chars().next();
    if said.is_some_and(|first| first == '"' || first.is_ascii_digit())
        && !default.starts_with("0x")
    {
        let line = format!("{key} = {default}");
        let given =
            config::parse(&with(section, &line)).unwrap_or_else(|why| panic!("{line}: {why}"));
        let neutral = if key == "reset_tries" {
            "on_reset = \"restore\""
        } else {
            ""
        };
        let left_out = config::parse(&with(if section == "log" { "" } else { "vm" }, neutral));
        assert_eq!(Ok(given), left_out, "{line} is not the default");
    }
}

/// Who answers in the vendor's range.
#[test]
fn the_uid() {
    let digits: String = vendor::UUID
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| &digits[part]);
    let uid = parts.join("-");
    assert!(named("docs/machine.md").text.contains(&uid), "{uid}");
}

/// The rooms of the source, from the top to the ground: as the map in `src/lib.rs` has them.
#[test]
fn rooms() {
    let table = named("CONTRIBUTING.md").table(&["room", "what it is"]);
    let book: Vec<String> = table.iter().map(|row| row[0].clone()).collect();
    let map = read("src/lib.rs");
    let lines = map
        .lines()
        .skip_while(|line| !line.starts_with("//! | room |"));
    let rows = lines.skip(2).map_while(|line| line.strip_prefix("//! | "));
    let room = |row: &str| {
        row.split(" | ")
            .next()
            .unwrap_or_default()
            .replace(['[', ']', '`'], "")
    };
    assert_eq!(book, rows.map(room).collect::<Vec<_>>());
}
