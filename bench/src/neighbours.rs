//! The third table: how long a VM waits for the core that it shares with another, which has EL2 do what takes time; and what it has of the core.
//! In instructions of its core.
//!
//! Where the attacker has a second core, QEMU runs the cores in turn, and its clock counts the instructions of all. With `metronome` on a third core the
//! turns are so short that each of them gets a third of what is counted.

use super::figures::{Figure, written};
use super::machine::{Builder, Machine, Time, root};
use std::fs;
use std::path::Path;

/// What `bench/guest/src/bin/attacker` can do, in which configuration. The first takes nothing of EL2's time: the neighbour's slice.
const SETTINGS: &[Setting] = &[
    Setting {
        config: "neighbours",
        memory: 1536,
        cores: 1,
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
            row("stores", 6).typed("checkpoint attacker", "is saved as snapshot"),
            row("stores", 6).typed("snapshots attacker", "it stands here"),
            row("stores", 6).typed("stats attacker", "taken back"),
        ],
    },
    Setting {
        config: "neighbours-every",
        memory: 1536,
        cores: 1,
        rows: &[row("stores until it is saved", 1)],
    },
    // It does that to a third VM, which it controls.
    Setting {
        config: "neighbours-control",
        memory: 2560,
        cores: 1,
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
    // Its other vCPU has the lock of what both share.
    Setting {
        config: "neighbours-lock",
        memory: 1536,
        cores: 3,
        rows: &[
            row("spin of two", 1_000_000).of_two(1_000_000),
            row("lock", 20).of_two(20).or_more(),
            row("lock for READ", 20).of_two(20).or_more(),
        ],
    },
];

/// VMs and their machine.
struct Setting {
    /// The file in `bench/configs`.
    config: &'static str,
    /// MiB of the machine.
    memory: u64,
    /// Its cores, which take turns. With more than one, the first row takes nothing of EL2's time.
    cores: u32,
    rows: &'static [Row],
}

/// A row of the table.
struct Row {
    /// What the attacker is told.
    attack: &'static str,
    /// What the operator types in each window, and what is in the last line of the answer.
    typed: Option<(&'static str, &'static str)>,
    /// So many rounds the attacker's CPUs go at the least in all windows, or the operator's command: with fewer it was something else.
    rounds: [u64; 2],
    /// The attacker does not want all of its half.
    or_more: bool,
}

const fn row(attack: &'static str, rounds: u64) -> Row {
    Row {
        attack,
        typed: None,
        rounds: [rounds, 0],
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

    /// The attacker has two CPUs.
    const fn of_two(self, rounds: u64) -> Self {
        Self {
            rounds: [self.rounds[0], rounds],
            ..self
        }
    }

    const fn typed(self, command: &'static str, answer: &'static str) -> Self {
        Self {
            typed: Some((command, answer)),
            ..self
        }
    }

    /// So many windows count: more of them where little is done in each.
    fn windows(&self) -> usize {
        self.typed.map_or(WINDOWS, |_| 3 * WINDOWS)
    }

    /// What the table calls it.
    fn name(&self) -> &'static str {
        self.typed.map_or(self.attack, |(command, _)| command)
    }

    /// What is out of bounds, where the victim waited `beyond` its neighbour's slice.
    fn judge(&self, beyond: f64, windows: &Windows) -> Vec<String> {
        let Windows { had, rounds, .. } = *windows;
        let name = self.name();
        let mut wrong = Vec::new();
        if beyond > BOUND {
            wrong.push(format!("beside {name} a VM waits {beyond:.0} instructions"));
        }
        if had < HALF - OFF || had > HALF + OFF && !self.or_more {
            wrong.push(format!(
                "beside {name} a VM has {had:.0} thousandths of the core"
            ));
        }
        if rounds
            .iter()
            .zip(self.rounds)
            .any(|(had, least)| *had < least)
        {
            wrong.push(format!(
                "{name} was done {rounds:?} times, not {:?}",
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
    /// The rounds meanwhile, of each CPU of the attacker's; or how often the operator's command was carried out.
    rounds: [u64; 2],
}

/// Where the table is published, and what it begins with there.
const PAGE: &str = "docs/cost.md";
const HEAD: &str = "| beside | longest wait | of the core |\n| --- | ---: | ---: |\n";

/// Prints the table, and publishes it if nothing is wrong with it; or prints the rows of `attacks` only, if there are any.
pub fn print(builder: &Builder, attacks: &[&str]) -> Result<(), String> {
    let mut table = HEAD.to_owned();
    print!("{table}");
    let mut slice = 0.0;
    let mut wrong = Vec::new();
    for (i, setting) in SETTINGS.iter().enumerate() {
        let is_wanted = |row: &Row| attacks.is_empty() || attacks.contains(&row.name());
        let tells_slice = i == 0 || setting.cores > 1;
        if !setting.rows.iter().any(is_wanted) && i != 0 {
            continue;
        }
        let image = builder.image(setting.config)?;
        for (n, row) in setting.rows.iter().enumerate() {
            let tells_slice = tells_slice && n == 0;
            if !tells_slice && !is_wanted(row) {
                continue;
            }
            let windows = match measure(&image, setting, row) {
                Ok(windows) => windows,
                Err(error) => {
                    wrong.push(format!("beside {}: {error}", row.name()));
                    continue;
                }
            };
            if tells_slice {
                slice = windows.longest;
            }
            let beyond = (windows.longest - slice).max(0.0);
            let line = line(row, beyond, &windows);
            print!("{line}");
            table += &line;
            wrong.extend(row.judge(beyond, &windows));
        }
    }
    if !wrong.is_empty() {
        return Err(wrong.join("\n"));
    }
    match attacks {
        [] => publish(&table),
        _ => Ok(()),
    }
}

fn line(row: &Row, beyond: f64, windows: &Windows) -> String {
    let (beyond, percent) = (written(beyond.round()), windows.had / 10.0);
    format!("| {} | {beyond} | {percent:.1} % |\n", row.name())
}

/// Puts the table in the place of the one that is published.
fn publish(table: &str) -> Result<(), String> {
    let path = root().join(PAGE);
    let failed = |error| format!("{PAGE}: {error}");
    let text = fs::read_to_string(&path).map_err(failed)?;
    let (before, old) = split(&text).ok_or_else(|| format!("{PAGE}: there is no table"))?;
    let behind = &text[before.len() + old.len()..];
    fs::write(&path, [before, table, behind].concat()).map_err(failed)
}

/// What is before the table that is published, and the table.
fn split(text: &str) -> Option<(&str, &str)> {
    let (before, rest) = text.split_at(text.find(HEAD)?);
    let rows = rest.split_inclusive('\n');
    let bytes = rows
        .take_while(|line| line.starts_with('|'))
        .map(str::len)
        .sum();
    Some((before, &rest[..bytes]))
}

/// The monitor's key.
const MONITOR: &str = "\u{1d}";

/// A line that the machine prints.
enum Said {
    /// A figure of the victim's.
    Figure(Figure),
    /// The last one of what the operator's command prints.
    Answer,
}

fn measure(image: &Path, setting: &Setting, row: &Row) -> Result<Windows, String> {
    let mut machine = Machine::neighbours(image, setting.memory, setting.cores, Time::Counted)?;
    machine.send(row.attack)?;
    machine.wait_for("attacker| bench: begins")?;
    if row.typed.is_some() {
        machine.type_keys(MONITOR)?;
    }
    let mut all = Windows {
        longest: 0.0,
        had: 0.0,
        rounds: [0; 2],
    };
    // The first one is not counted: the attack began in it.
    let mut windows = 0;
    let mut rounds = [0; 2];
    while windows <= row.windows() {
        let said = machine.wait_until(|line| {
            if row.typed.is_some_and(|(_, answer)| line.contains(answer)) {
                return Some(Said::Answer);
            }
            // At the monitor's prompt there may be something before it.
            let (_, line) = line.split_once("victim| ")?;
            Figure::parse(line).map(Said::Figure)
        })?;
        match said {
            Said::Answer => rounds[0] += 1,
            Said::Figure(figure) if figure.name == "rounds" => {
                if row.typed.is_none() {
                    let cpu = figure.k.unwrap_or(0) as usize;
                    rounds[cpu] += figure.value as u64;
                }
            }
            Said::Figure(figure) => {
                if windows > 0 {
                    let wait = figure.value / f64::from(setting.cores);
                    all.longest = all.longest.max(wait);
                    all.had += figure.k.unwrap_or(0) as f64 / row.windows() as f64;
                    all.rounds = [0, 1].map(|cpu| all.rounds[cpu] + rounds[cpu]);
                }
                windows += 1;
                rounds = [0; 2];
                if let Some((command, _)) = row.typed {
                    machine.type_keys(&format!("{command}\r"))?;
                }
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> impl Iterator<Item = &'static Row> {
        SETTINGS.iter().flat_map(|setting| setting.rows)
    }

    fn windows(had: f64, rounds: [u64; 2]) -> Windows {
        Windows {
            longest: 0.0,
            had,
            rounds,
        }
    }

    #[test]
    fn the_published_table_has_these_rows_in_their_bounds() {
        let text = fs::read_to_string(root().join(PAGE)).expect("it is there");
        let (_, table) = split(&text).expect("it has the table");
        let published: Vec<_> = table[HEAD.len()..].lines().collect();
        assert_eq!(published.len(), rows().count());
        for (row, line) in rows().zip(published) {
            let cells: Vec<_> = line.split('|').map(str::trim).collect();
            let [_, name, beyond, had, _] = cells[..] else {
                panic!("{line}");
            };
            assert_eq!(name, row.name());
            let beyond: f64 = beyond.replace(',', "").parse().expect(line);
            let percent: f64 = had.trim_end_matches(" %").parse().expect(line);
            let published = windows(percent * 10.0, row.rounds);
            assert_eq!(row.judge(beyond, &published), [""; 0]);
        }
    }

    #[test]
    fn a_table_takes_the_place_of_the_other() {
        let text = format!("a\n\n{HEAD}| x | 1 | 2 |\n\nb\n");
        let (before, table) = split(&text).expect("it is there");
        assert_eq!(before, "a\n\n");
        assert_eq!(table, format!("{HEAD}| x | 1 | 2 |\n"));
        assert_eq!(split("a\n"), None);
    }

    #[test]
    fn a_row_is_judged_by_its_wait_its_share_and_its_rounds() {
        let half = row("x", 10);
        let judge = |row: &Row, beyond, had, rounds| row.judge(beyond, &windows(had, rounds)).len();
        assert_eq!(judge(&half, 50_000.0, 500.0, [10, 0]), 0);
        assert_eq!(judge(&half, 50_001.0, 500.0, [10, 0]), 1);
        assert_eq!(judge(&half, 0.0, 479.0, [10, 0]), 1);
        assert_eq!(judge(&half, 0.0, 521.0, [10, 0]), 1);
        assert_eq!(judge(&half, 0.0, 500.0, [9, 0]), 1);
        let other = row("x", 10).or_more().of_two(5);
        assert_eq!(judge(&other, 0.0, 1000.0, [10, 5]), 0);
        assert_eq!(judge(&other, 0.0, 1000.0, [10, 4]), 1);
        assert_eq!(judge(&other, 60_000.0, 400.0, [0, 0]), 3);
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = rows().map(Row::name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), rows().count());
    }
}
