//! Lines in, lines out, with VMs that are made up.

mod trees;

use super::*;
use crate::snapshot::{Stats, Which};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

/// VMs that remember what they were asked for.
struct Board {
    names: Vec<&'static str>,
    attached: usize,
    /// The VM that has a line of its own.
    elsewhere: Option<usize>,
    paused: bool,
    snapshots: BTreeMap<u64, SnapshotInfo>,
    /// How often somebody looked for a snapshot.
    looks: u32,
    asked: Vec<String>,
}

impl Board {
    fn new(names: &[&'static str]) -> Self {
        Self {
            names: names.to_vec(),
            attached: 0,
            elsewhere: None,
            paused: false,
            snapshots: BTreeMap::new(),
            looks: 0,
            asked: Vec::new(),
        }
    }

    /// With snapshots that have these ids and parents.
    fn with_tree(snapshots: &[(u64, Option<u64>)], base: u64) -> Self {
        let mut board = Self::new(&["linux"]);
        for (id, parent) in snapshots {
            let info = SnapshotInfo {
                parent: *parent,
                age: 1000 * (100 - id),
                pages: *id as u32,
                is_current: *id == base,
            };
            board.snapshots.insert(*id, info);
        }
        board
    }

    fn note(&mut self, vm: usize, what: &str) {
        let name = self.names[vm];
        self.asked.push(format!("{what} {name}"));
    }

    /// What a line prints.
    fn says(&mut self, line: &str) -> String {
        let mut out = String::new();
        execute(line, self, &mut out);
        out
    }

    /// What a line asks of the VMs, if it is one thing.
    #[track_caller]
    fn asks(&mut self, line: &str) -> String {
        let printed = self.says(line);
        assert_eq!(self.asked.len(), 1, "{line:?} {printed:?}");
        self.asked.remove(0)
    }

    /// The graph in front of each line of the tree, and the ids.
    fn tree(&mut self) -> Vec<String> {
        let printed = self.says("snapshots");
        let digits = |line: &str| {
            let id = line.find('#').expect("an id");
            id + 1
                + line[id + 1..]
                    .bytes()
                    .take_while(u8::is_ascii_digit)
                    .count()
        };
        let lines = printed.lines().filter(|line| line.contains('#'));
        lines.map(|line| line[..digits(line)].to_string()).collect()
    }
}

impl VmControl for Board {
    fn vms(&self) -> usize {
        self.names.len()
    }

    fn name(&self, vm: usize) -> &'static str {
        self.names[vm]
    }

    fn status(&mut self, vm: usize) -> VmStatus {
        VmStatus {
            state: [VmState::Running, VmState::Paused, VmState::Off][vm % 3],
            vcpus: [2, 1, 1][vm % 3],
            memory: [1 << 30, 514 << 20, 2 << 20][vm % 3],
            snapshots: self.snapshots.len() as u32,
        }
    }

    fn vcpu_status(&mut self, vm: usize, vcpu: u32) -> VcpuStatus {
        let states = [VcpuState::On, VcpuState::Waiting, VcpuState::Off];
        VcpuStatus {
            state: states[(vm + vcpu as usize) % 3],
            core: vm + vcpu as usize,
        }
    }

    fn attached(&self) -> usize {
        self.attached
    }

    fn attach(&mut self, vm: usize) -> Result<(), Refusal> {
        self.note(vm, "attach");
        if self.elsewhere == Some(vm) {
            return Err(Refusal::Elsewhere);
        }
        self.attached = vm;
        Ok(())
    }

    fn checkpoint(&mut self, vm: usize) -> Result<u64, Refusal> {
        self.note(vm, "checkpoint");
        Ok(7)
    }

    fn last_snapshot_to(&mut self, _: usize, to: u64) -> Option<u64> {
        self.looks += 1;
        self.snapshots.range(..=to).next_back().map(|(id, _)| *id)
    }

    fn snapshot_info(&mut self, _: usize, id: u64) -> Option<SnapshotInfo> {
        self.snapshots.get(&id).copied()
    }

    fn restore(&mut self, vm: usize, which: Which) -> Result<u64, Refusal> {
        self.note(vm, &format!("restore {which:?}"));
        match which {
            Which::Id(id) if id < 10 => Ok(id),
            Which::Id(id) => Err(Refusal::NoSnapshot(id)),
            Which::Latest => Err(Refusal::NoSnapshots),
        }
    }

    fn delete(&mut self, vm: usize, id: u64) -> Result<(), Refusal> {
        self.note(vm, &format!("delete {id}"));
        Ok(())
    }

    fn pause(&mut self, vm: usize) -> Result<(), Refusal> {
        self.note(vm, "pause");
        match core::mem::replace(&mut self.paused, true) {
            true => Err(Refusal::Paused),
            false => Ok(()),
        }
    }

    fn resume(&mut self, vm: usize) -> Result<(), Refusal> {
        self.note(vm, "resume");
        match core::mem::replace(&mut self.paused, false) {
            true => Ok(()),
            false => Err(Refusal::NotPaused),
        }
    }

    fn reset(&mut self, vm: usize) -> Result<(), Refusal> {
        self.note(vm, "reset");
        Ok(())
    }

    fn stats(&mut self, _: usize) -> VmStats {
        VmStats {
            snapshots: Stats {
                snapshots: 3,
                pools: 1,
                kept_pages: 512,
                free_pages: 1000,
            },
            generation: 2,
            exits: 123_456,
        }
    }
}

const THREE: &[&str] = &["linux", "linux-old", "echo"];

#[test]
fn lines_become_commands() {
    let mut board = Board::new(THREE);
    for (line, asked) in [
        ("checkpoint", "checkpoint linux"),
        ("checkpoint echo", "checkpoint echo"),
        ("checkpoint 1", "checkpoint linux-old"),
        ("c e", "checkpoint echo"),
        ("  pause \t linux-o ", "pause linux-old"),
        ("resu", "resume linux"),
        ("reset linux", "reset linux"),
        ("restore 5", "restore Id(5) linux"),
        ("restore #5", "restore Id(5) linux"),
        ("restore 2 5", "restore Id(5) echo"),
        ("restore echo latest", "restore Latest echo"),
        ("restore latest", "restore Latest linux"),
        ("delete 0", "delete 0 linux"),
        (
            "d linux-old 18446744073709551615",
            "delete 18446744073709551615 linux-old",
        ),
        ("attach 2", "attach echo"),
        ("checkpoint", "checkpoint echo"),
    ] {
        assert_eq!(board.asks(line), asked, "{line:?}");
    }
}

#[test]
fn a_wrong_line_does_nothing_and_gets_one_line() {
    let mut board = Board::new(THREE);
    let commands = "help, vms, checkpoint, snapshots, restore, delete, pause, resume, reset, attach, stats and quit";
    let vms = "linux (0), linux-old (1) and echo (2)";
    for (line, answer) in [
        (
            "checkpiont",
            format!("\"checkpiont\" is no command; there are {commands}"),
        ),
        ("res 1", "\"res\" may be restore, resume or reset".into()),
        ("pause foo", format!("no VM is \"foo\"; there are {vms}")),
        ("pause 3", format!("no VM is \"3\"; there are {vms}")),
        ("pause lin", "\"lin\" may be linux or linux-old".into()),
        (
            "restore",
            "something is missing: restore [vm] ID|latest".into(),
        ),
        (
            "restore echo",
            "something is missing: restore [vm] ID|latest".into(),
        ),
        (
            "restore #x",
            "\"#x\" is no id of a snapshot, which is a number".into(),
        ),
        (
            "restore echo -1",
            "\"-1\" is no id of a snapshot, which is a number".into(),
        ),
        (
            "delete latest",
            "\"latest\" is no id of a snapshot, which is a number".into(),
        ),
        (
            "delete +1",
            "\"+1\" is no id of a snapshot, which is a number".into(),
        ),
        (
            "delete 18446744073709551616",
            "\"18446744073709551616\" is too large: the largest id is 18446744073709551615".into(),
        ),
        (
            "delete echo 1 2",
            "\"2\" is too much: delete [vm] ID".into(),
        ),
        ("attach", "something is missing: attach vm".into()),
        ("vms all", "\"all\" is too much: vms stands alone".into()),
        ("stats echo x", "\"x\" is too much: stats [vm]".into()),
    ] {
        assert_eq!(board.says(line), answer + "\n", "{line:?}");
        assert_eq!(board.asked, Vec::<String>::new(), "{line:?}");
    }
}

#[test]
fn says_what_was_done_or_why_not() {
    let mut board = Board::new(&["linux"]);
    for (line, answer) in [
        ("checkpoint", "linux is saved as snapshot #7\n"),
        ("restore 3", "linux is back at snapshot #3\n"),
        ("restore 12", "linux has no snapshot #12\n"),
        ("restore latest", "linux has no snapshots\n"),
        ("delete 3", "linux has no snapshot #3 any more\n"),
        ("resume", "linux is not paused\n"),
        ("pause", "linux is paused\n"),
        ("pause", "linux is paused already\n"),
        ("resume", "linux goes on\n"),
        ("reset", "linux starts from its image\n"),
        ("attach linux", "linux has the keyboard\n"),
        ("snapshots", "linux has no snapshots\n"),
        ("quit", ""),
        ("", ""),
    ] {
        assert_eq!(board.says(line), answer, "{line:?}");
    }
}

/// It goes by how the VM is afterwards.
#[test]
fn a_reset_says_whether_the_vm_runs() {
    let mut board = Board::new(THREE);
    for (line, answer) in [
        ("reset linux", "linux starts from its image\n"),
        (
            "reset linux-old",
            "linux-old starts from its image when it is resumed: it is paused\n",
        ),
        ("reset echo", "echo does not start again: it is off\n"),
    ] {
        assert_eq!(board.says(line), answer);
    }
}

#[test]
fn a_vm_with_a_line_of_its_own_gets_no_keyboard() {
    let mut board = Board::new(THREE);
    board.elsewhere = Some(1);
    assert_eq!(board.says("attach echo"), "echo has the keyboard\n");
    assert_eq!(
        board.says("attach linux-old"),
        "linux-old is on the second UART\n"
    );
    assert_eq!(board.attached, 2);
    for (line, next) in [
        ("attach linux-old", AfterLine::Stay),
        ("attach linux", AfterLine::Leave),
    ] {
        assert_eq!(execute(line, &mut board, &mut String::new()), next);
    }
}

#[test]
fn who_leaves_and_who_stays() {
    let mut board = Board::new(&["linux"]);
    for (line, next) in [
        ("", AfterLine::Leave),
        ("q", AfterLine::Leave),
        ("attach 0", AfterLine::Leave),
        ("attach 1", AfterLine::Stay),
        ("quit now", AfterLine::Stay),
        ("pause", AfterLine::Stay),
    ] {
        assert_eq!(
            execute(line, &mut board, &mut String::new()),
            next,
            "{line:?}"
        );
    }
}

#[test]
fn tables() {
    let mut board = Board::new(THREE);
    board.attached = 2;
    assert_eq!(
        board.says("vms"),
        "     name       state         RAM  snapshots  vCPUs\n  \
           0  linux      running     1 GiB          0  0 on core 0, 1 waiting on core 1\n  \
           1  linux-old  paused    514 MiB          0  0 paused on core 1\n\
         * 2  echo       off         2 MiB          0  0 off\n"
    );
    assert_eq!(
        board.says("stats"),
        "echo: 3 snapshots in 1 pool hold 512 pages (2 MiB); room for 1000 more (4000 KiB)\n\
         echo: taken back 2 times, 123456 exits to EL2\n"
    );
    let help = board.says("help");
    assert_eq!(help.lines().count(), 14);
    assert!(
        help.contains("  restore    [vm] ID|latest  go back to a snapshot\n"),
        "{help}"
    );
    assert!(help.lines().all(|line| line.len() <= 80), "{help}");
}

proptest! {
    #[test]
    fn no_line_panics_or_says_more_than_a_line(line in "[ -~]{0,70}", verb in 0..12_usize) {
        let verbs = ["", "restore ", "delete ", "pause ", "attach ", "stats "];
        let mut board = Board::new(THREE);
        let line = format!("{}{line}", verbs.get(verb).unwrap_or(&""));
        if let Err(mistake) = Command::parse(&line, Vms { names: THREE, attached: 0 }) {
            prop_assert!(!mistake.to_string().contains('\n'));
        }
        prop_assert!(board.says(&line).len() < 4096);
        each_completion(&line, THREE, &mut |_| {});
    }
}
