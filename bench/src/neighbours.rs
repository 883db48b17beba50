//! The third table: how long a VM waits for the core that it shares with another, which has EL2 do what takes time; and what it has of the core.
//! In instructions, on one core.

use super::figures::{Figure, written};
use super::machine::{Builder, Machine, Time};
use std::path::Path;

/// What `bench/guest/src/bin/attacker` can do, in which configuration. The first takes nothing of EL2's time: the neighbour's slice.
const ATTACKS: &[(&Setting, &[&str])] = &[
    (
        &Setting {
            config: "neighbours",
            memory: 1536,
        },
        &[
            "spin",
            "info",
            "delete",
            "pools",
            "checkpoint",
            "restore",
            "write back",
            "reset",
            "caches",
            "set/way",
            "bad ids",
            "console",
            "SGIs",
            "timers",
            "WFI",
            "WFE",
        ],
    ),
    // It does that to a third VM, which it controls.
    (
        &Setting {
            config: "neighbours-control",
            memory: 2560,
        },
        &[
            "INFO of a target",
            "DIFFERS of a target",
            "CHECKPOINT of a target",
            "RESTORE of a target",
            "DELETE of a target",
            "WRITE to a target",
        ],
    ),
];

/// VMs and their machine.
struct Setting {
    /// The file in `bench/configs`.
    config: &'static str,
    /// MiB of the machine.
    memory: u64,
}

/// No attack may have the victim wait longer beyond a slice, in instructions.
const BOUND: f64 = 50_000.0;
/// Windows of the victim's that count. The one in which the attack begins does not.
const WINDOWS: usize = 3;

/// Prints the table; of `attacks` only, if there are any.
pub fn print(builder: &Builder, attacks: &[&str]) -> Result<(), String> {
    println!(
        "| beside a VM of 512 MiB that does nothing but | longest wait beyond a slice, instructions | of the core, thousandths |"
    );
    println!("| --- | ---: | ---: |");
    let mut slice = None;
    let mut above = Vec::new();
    let spin = ATTACKS[0].1[0];
    let wanted = |attack: &str| attacks.is_empty() || attack == spin || attacks.contains(&attack);
    for (setting, names) in ATTACKS {
        let names: Vec<_> = names.iter().filter(|attack| wanted(attack)).collect();
        if names.is_empty() {
            continue;
        }
        let image = builder.image(setting.config)?;
        for attack in names {
            let (longest, had) = measure(&image, setting, attack)?;
            let slice = *slice.get_or_insert(longest);
            let beyond = (longest - slice).max(0.0);
            println!("| {attack} | {} | {had:.0} |", written(beyond));
            if beyond > BOUND {
                above.push(format!("beside {attack} a VM waits {beyond} instructions"));
            }
        }
    }
    match above.is_empty() {
        true => Ok(()),
        false => Err(above.join("\n")),
    }
}

/// The longest wait in all windows, and what the victim had of the core in the mean.
fn measure(image: &Path, setting: &Setting, attack: &str) -> Result<(f64, f64), String> {
    let mut machine = Machine::neighbours(image, setting.memory, Time::Counted)?;
    machine.send(attack)?;
    machine.wait_for("attacker| bench: begins")?;
    let mut windows = Vec::new();
    while windows.len() <= WINDOWS {
        let line = machine.next_line()?;
        windows.extend(line.strip_prefix("victim| ").and_then(Figure::parse));
    }
    windows.remove(0);
    let longest = windows
        .iter()
        .map(|window| window.value)
        .fold(0.0, f64::max);
    let had = windows.iter().filter_map(|window| window.k).sum::<u64>() as f64;
    Ok((longest, had / WINDOWS as f64))
}
