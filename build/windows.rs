//! `[[window]]`: memory that VMs share.

use super::limits::WINDOWS_MAX;
use super::section::Section;
use super::{KIB, MIB, NAME_MAX, Vm, size, word};
use toml::Value;

/// A window.
#[derive(Debug, PartialEq, Eq)]
pub struct Window {
    /// What its node in the device tree is called.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// The numbers of the VMs that have it, in the order of the list.
    pub vms: Vec<usize>,
}

/// The windows of a configuration with these VMs.
pub fn windows(root: &Section, vms: &[Vm]) -> Result<Vec<Window>, String> {
    let sections = root.sections("window")?;
    if sections.len() > WINDOWS_MAX {
        return Err(format!(
            "window: there are {}; allowed: up to {WINDOWS_MAX} [[window]] sections",
            sections.len()
        ));
    }
    let mut windows: Vec<Window> = Vec::new();
    for section in &sections {
        let window = window(section, vms)?;
        if let Some(first) = windows.iter().position(|other| other.name == window.name) {
            return Err(format!(
                "{}: {:?} is the name of window[{first}]; allowed: a name of its own",
                section.key("name"),
                window.name
            ));
        }
        windows.push(window);
    }
    Ok(windows)
}

fn window(section: &Section, vms: &[Vm]) -> Result<Window, String> {
    section.only(&["name", "size", "vms"])?;
    Ok(Window {
        name: name(section)?,
        size: bytes(section)?,
        vms: members(section, vms)?,
    })
}

/// The name of a node in a device tree begins with a letter (Devicetree Specification 0.4, 2.2.1).
fn name(section: &Section) -> Result<String, String> {
    let allowed = "1 to 15 characters out of a-z, 0-9 and -, the first of them a letter";
    let name = section.read("name", allowed, |value| {
        word(value)
            .filter(|w| w.len() <= NAME_MAX && w.starts_with(|c: char| c.is_ascii_lowercase()))
    })?;
    name.ok_or_else(|| missing(section, "name", allowed))
}

fn bytes(section: &Section) -> Result<u64, String> {
    let allowed = "a multiple of 4K from 4K to 2M, for example \"64K\"";
    let bytes = section.read("size", allowed, |value| {
        size(value.as_str()?)
            .filter(|bytes| bytes % (4 * KIB) == 0 && (4 * KIB..=2 * MIB).contains(bytes))
    })?;
    bytes.ok_or_else(|| missing(section, "size", allowed))
}

fn members(section: &Section, vms: &[Vm]) -> Result<Vec<usize>, String> {
    let allowed = "a list of names of VMs, for example [\"a\", \"b\"]";
    let names = section.read("vms", allowed, |value| {
        let names: Option<Vec<&str>> = value.as_array()?.iter().map(Value::as_str).collect();
        names.filter(|names| !names.is_empty())
    })?;
    let names = names.ok_or_else(|| missing(section, "vms", allowed))?;
    let mut members = Vec::new();
    for name in names {
        let wrong =
            |why: String| format!("{}: {}", section.key("vms"), super::section::escaped(&why));
        let Some(number) = vms.iter().position(|vm| vm.name == name) else {
            let known: Vec<_> = vms.iter().map(|vm| format!("{:?}", vm.name)).collect();
            return Err(wrong(format!(
                "there is no VM {name:?}; allowed: {}",
                known.join(", ")
            )));
        };
        if members.contains(&number) {
            return Err(wrong(format!(
                "{name:?} is there twice; allowed: each VM once"
            )));
        }
        members.push(number);
    }
    Ok(members)
}

fn missing(section: &Section, key: &str, allowed: &str) -> String {
    format!("{}: missing; allowed: {allowed}", section.key(key))
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
