//! When memory changed: compared with what snapshots have, one by one.

use super::client::Client;
use super::counting;
use super::fake::{DATA, Fake, KERNEL};
use crate::machine::{Id, Machine};
use crate::vm::when::Change;
use crate::vm::{RAM, Vm};

/// Where in RAM the data is.
const AT: u64 = RAM + (DATA - KERNEL);

/// What `when` should say: the snapshots that it comes from, compared with each other one by one.
fn expected(fake: &Fake, line: &[Id], bytes: usize) -> String {
    let read = |id: Option<Id>| {
        let mut found = vec![0; bytes];
        fake.read(id, AT, &mut found).expect("it is there");
        found
    };
    let points = [None].into_iter().chain(line.iter().copied().map(Some));
    let points: Vec<_> = points.collect();
    let changed = points
        .windows(2)
        .filter(|pair| read(pair[0]) != read(pair[1]));
    let name = |id: Option<Id>| id.map_or("now".to_owned(), |id| id.to_string());
    changed
        .map(|pair| format!("{} {}\n", name(pair[1]), name(pair[0])))
        .collect()
}

/// A line with changes here and there, stores of the same, and changes beside it; then a branch, and snapshots that are gone.
#[test]
fn the_newest_change_first() {
    let fake = counting(1);
    let mut client = Client::new(&fake);
    let mut machine = Fake::clone(&fake);
    let write = |machine: &mut Fake, at: u64, byte: u8| machine.write(at, &[byte]).expect("RAM");
    let mut line = vec![0];
    let when = format!("when {DATA:#x} 8");
    for round in 1..100_u64 {
        match round % 7 {
            1 => write(&mut machine, AT, round as u8),
            3 => write(&mut machine, AT + 8, round as u8),
            4 => write(&mut machine, AT + 0x1000, round as u8),
            // What is there already.
            5 => {
                let mut byte = [0];
                machine.read(None, AT + 7, &mut byte).expect("RAM");
                write(&mut machine, AT + 7, byte[0]);
            }
            _ => {}
        }
        assert_eq!(client.monitor("checkpoint"), format!("{round}\n"));
        line.insert(0, round);
    }
    assert_eq!(client.monitor(&when), expected(&fake, &line, 8));
    // Since the newest one.
    write(&mut machine, AT + 3, 1);
    let said = client.monitor(&when);
    assert_eq!(said, expected(&fake, &line, 8));
    assert!(said.starts_with("99 now\n"), "{said}");

    // From there on there is another line.
    assert_eq!(client.monitor("restore 50"), "50\n");
    line.retain(|id| *id <= 50);
    write(&mut machine, AT, 0xff);
    assert_eq!(client.monitor("checkpoint"), "100\n");
    line.insert(0, 100);
    let said = client.monitor(&when);
    assert_eq!(said, expected(&fake, &line, 8));
    assert!(said.starts_with("50 100\n"), "{said}");

    // Changes around a snapshot that is gone are told as one.
    for gone in [8, 9, 22, 43] {
        machine.delete(gone).expect("it is there");
        line.retain(|id| *id != gone);
    }
    assert_eq!(client.monitor(&when), expected(&fake, &line, 8));
    // Beyond a page.
    let far = format!("when {DATA:#x} {:#x}", 0x1001);
    assert_eq!(client.monitor(&far), expected(&fake, &line, 0x1001));
}

#[test]
fn what_is_not_there() {
    let fake = counting(1);
    let mut client = Client::new(&fake);
    assert_eq!(client.monitor(&format!("when {DATA:#x} 8")), "");
    for bad in [
        "0x0 8",
        "0xffff800000003000 0",
        "0xffff800000003000 65537",
        "here 8",
    ] {
        let said = client.monitor(&format!("when {bad}"));
        assert!(said.starts_with("error: "), "{bad}: {said}");
    }
    let said = client.monitor(&format!("translate {:#x}", DATA + 8));
    assert_eq!(said, format!("{:#x} 0xff8\n", AT + 8));
    assert!(client.monitor("translate 0").starts_with("error: "));
}

/// Few calls, however long the history is: a third of the snapshots for where each one comes from, the first time.
#[test]
fn a_thousand_snapshots() {
    let fake = counting(1);
    let mut machine = Fake::clone(&fake);
    for round in 0..1000 {
        if round == 700 {
            machine.write(AT, &[1]).expect("RAM");
        }
        // All the time something changes, elsewhere.
        machine.write(AT + 0x1000, &[1]).expect("RAM");
        machine.checkpoint().expect("it is on");
    }
    let mut vm = Vm::new("vm", machine);
    let found = vm.changes(0, DATA, 8).expect("it is there");
    let change = Change {
        older: Some(699),
        newer: Some(700),
    };
    assert_eq!(found, [change]);
    let calls = fake.0.borrow().compared.get();
    assert!((10..30).contains(&calls), "{calls}");
    let first = fake.0.borrow().asked.get();
    assert!(first < 340, "{first}");
    // Where each came from is known by then.
    vm.history.arrive(999);
    assert_eq!(vm.changes(0, DATA, 8), Ok(vec![change]));
    let asked = fake.0.borrow().asked.get() - first;
    assert!(asked < 3, "{asked}");
}

/// Nobody keeps stops, and the VM went back by itself: the newest snapshot is not what it comes from.
#[test]
fn another_branch_is_not_its_past() {
    let fake = counting(1);
    let mut machine = Fake::clone(&fake);
    let mut checkpoint = |byte| {
        machine.write(AT, &[byte]).expect("RAM");
        machine.checkpoint().expect("it is on")
    };
    let [first, second, third] = [1, 2, 3].map(&mut checkpoint);
    let mut vm = Vm::new("vm", Fake::clone(&fake));
    vm.history.is_on = false;
    let change = |older, newer| Change { older, newer };
    let past = [
        change(Some(second), Some(third)),
        change(Some(first), Some(second)),
    ];
    assert_eq!(vm.changes(0, DATA, 8), Ok(past.to_vec()));
    vm.machine.restore(first).expect("it is there");
    vm.machine.write(AT, &[9]).expect("RAM");
    assert_eq!(vm.changes(0, DATA, 8), Ok(vec![change(Some(first), None)]));
    // Neither if what it comes from is gone.
    vm.machine.delete(first).expect("it is there");
    assert_eq!(vm.changes(0, DATA, 8), Ok(vec![]));
}
