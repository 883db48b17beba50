//! The third table: how long a VM waits for the core that it shares with another, which has EL2 do what takes time; and what it has of the core.
//! In instructions, on one core.

use super::figures::{Figure, written};
use super::machine::{Builder, Machine, Time};
use std::path::Path;

/// What `bench/guest/src/bin/attacker` can do, in which configuration. The first takes nothing of EL2's time: the neighbour's slice.
const SETTINGS: &[Setting] = &[
    Setting {
        config: "neighbours",
        memory: 1536,
        rows: &[
            row("spin", 1_000_000),
            row("info", 10),
            row("delete", 1_000),
            row("pools", 20),
            row("checkpoint", 1),
            row("restore", 2),
            row("write back", 200),
            row("reset", 2),
            row("caches", 1),
            row("set/way", 100_000),
            row("bad ids", 100_000),
            row("console", 100_000),
            row("SGIs", 100_000),
            row("timers", 100).or_more(),
            row("WFI", 10_000),
            row("WFE", 1_000_000),
        ],
    },
    // It does that to a third VM, which it controls.
    Setting {
        config: "neighbours-control",
        memory: 2560,
        rows: &[
            row("INFO of a target", 10),
            row("DIFFERS of a target", 10_000),
            row("CHECKPOINT of a target", 1),
            row("RESTORE of a target", 1),
            row("DELETE of a target", 1),
            row("WRITE to a target", 1_000),
            row("READ of a target", 1_000),
            row("SET_REGISTERS of a target", 1),
        ],
    },
];

/// VMs and their machine.
struct Setting {
    /// The file in `bench/configs`.
    config: &'static str,
    /// MiB of the machine.
    memory: u64,
    rows: &'static [Row],
}

/// A row of the table.
struct Row {
    /// What the attacker is told.
    attack: &'static str,
    /// So many rounds it goes at the least in all windows: with fewer it did something else.
    rounds: u64,
    /// The attacker does not want all of its half.
    or_more: bool,
}

const fn row(attack: &'static str, rounds: u64) -> Row {
    Row {
        attack,
        rounds,
        or_more: false,
    }
}

impl Row {
    const fn or_more(self) -> Self {
        Self {
            or_more: true,
            ..self
        }
    }

    /// What is out of bounds, where the victim waited `beyond` its neighbour's slice.
    fn judge(&self, beyond: f64, windows: &Windows) -> Vec<String> {
        let Windows { had, rounds, .. } = *windows;
        let attack = self.attack;
        let mut wrong = Vec::new();
        if beyond > BOUND {
            wrong.push(format!("beside {attack} a VM waits {beyond} instructions"));
        }
        if had < HALF - OFF || had > HALF + OFF && !self.or_more {
            wrong.push(format!(
                "beside {attack} a VM has {had:.0} thousandths of the core"
            ));
        }
        if rounds < self.rounds {
            wrong.push(format!(
                "{attack} was done {rounds} times, not {}",
                self.rounds
            ));
        }
        wrong
    }
}

/// No attack may have the victim wait longer beyond a slice, in instructions.
const BOUND: f64 = 50_000.0;
/// What the victim has of the core, and what that may be off, in thousandths.
const HALF: f64 = 500.0;
const OFF: f64 = 20.0;
/// Windows of the victim's that count. The one in which the attack begins does not.
const WINDOWS: usize = 3;

/// What the victim told of its windows.
struct Windows {
    /// The longest wait, in instructions.
    longest: f64,
    /// What it had of the core in the mean, in thousandths.
    had: f64,
    /// The attacker's rounds meanwhile.
    rounds: u64,
}

/// Prints the table; of `attacks` only, if there are any.
pub fn print(builder: &Builder, attacks: &[&str]) -> Result<(), String> {
    println!(
        "| beside a VM of 512 MiB that does nothing but | longest wait beyond a slice, instructions | of the core, thousandths | rounds |"
    );
    println!("| --- | ---: | ---: | ---: |");
    let mut slice = None;
    let mut wrong = Vec::new();
    let spin = SETTINGS[0].rows[0].attack;
    let wanted =
        |row: &&Row| attacks.is_empty() || row.attack == spin || attacks.contains(&row.attack);
    for setting in SETTINGS {
        let rows: Vec<_> = setting.rows.iter().filter(wanted).collect();
        if rows.is_empty() {
            continue;
        }
        let image = builder.image(setting.config)?;
        for row in rows {
            let windows = match measure(&image, setting, row) {
                Ok(windows) => windows,
                Err(error) => {
                    wrong.push(format!("beside {}: {error}", row.attack));
                    continue;
                }
            };
            let slice = *slice.get_or_insert(windows.longest);
            let beyond = (windows.longest - slice).max(0.0);
            println!(
                "| {} | {} | {:.0} | {} |",
                row.attack,
                written(beyond),
                windows.had,
                written(windows.rounds as f64)
            );
            wrong.extend(row.judge(beyond, &windows));
        }
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(wrong.join("\n")),
    }
}

fn measure(image: &Path, setting: &Setting, row: &Row) -> Result<Windows, String> {
    let mut machine = Machine::neighbours(image, setting.memory, Time::Counted)?;
    machine.send(row.attack)?;
    machine.wait_for("attacker| bench: begins")?;
    let mut of_victim = |name: &str| {
        machine.wait_until(|line| {
            let figure = line.strip_prefix("victim| ").and_then(Figure::parse)?;
            (figure.name == name).then_some(figure)
        })
    };
    of_victim("waited")?;
    let mut all = Windows {
        longest: 0.0,
        had: 0.0,
        rounds: 0,
    };
    for _ in 0..WINDOWS {
        all.rounds += of_victim("rounds")?.value as u64;
        let waited = of_victim("waited")?;
        all.longest = all.longest.max(waited.value);
        all.had += waited.k.unwrap_or(0) as f64 / WINDOWS as f64;
    }
    Ok(all)
}
