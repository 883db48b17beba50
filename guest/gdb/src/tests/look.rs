use super::client::{Client, hex};
use super::counting;
use super::fake::{CODE, DATA, KERNEL, SIZE};
use crate::machine::{Machine, State, system};
use crate::registers::{COUNT, SYSTEM, number, size};
use crate::vm::RAM;

#[test]
fn registers_by_name() {
    let fake = counting(2);
    {
        let cpus = &mut fake.0.borrow_mut().cpus;
        cpus[0].x[30] = 0x30;
        cpus[1].q[31] = 0x1122;
        cpus[1].system[system::SP_EL1] = 0xe1;
        cpus[1].system[system::SP_EL0] = 0xe0;
        cpus[1].system[34] = 0x34;
    }
    let mut client = Client::new(&fake);
    let all = client.ask("g");
    let bytes: usize = (0..number::SYSTEM).map(|n| size(n).unwrap()).sum();
    assert_eq!(all.len(), 2 * bytes);
    assert_eq!(client.register(30), 0x30);
    assert_eq!(client.ask("Hgp1.2"), "OK");
    assert_eq!(client.register(number::SP), 0xe1, "at EL1 on its own");
    assert_eq!(client.register(number::SYSTEM + 34), 0x34);
    assert!(
        client
            .ask(&format!("p{:x}", number::V + 31))
            .starts_with("2211")
    );
    assert_eq!(client.ask(&format!("p{:x}", COUNT)), "", "there is none");
    // At EL0 sp is the other one.
    assert_eq!(client.ask("P21=00000000"), "OK");
    assert_eq!(client.register(number::SP), 0xe0);
    assert_eq!(client.ask("P1f=1000000000000000"), "OK");
    assert_eq!(fake.0.borrow().cpus[1].system[system::SP_EL0], 0x10);
    // All at once.
    let all = client.ask("g");
    let changed = format!("0700000000000000{}", &all[16..]);
    assert_eq!(client.ask(&format!("G{changed}")), "OK");
    assert_eq!(fake.0.borrow().cpus[1].x[0], 7);
    assert_eq!(client.ask("g"), changed);
}

#[test]
fn the_description() {
    let fake = counting(1);
    let mut client = Client::new(&fake);
    let mut text = String::new();
    loop {
        let part = client.ask(&format!(
            "qXfer:features:read:target.xml:{:x},ff0",
            text.len()
        ));
        text += &part[1..];
        if part.starts_with('l') {
            break;
        }
    }
    assert!(text.ends_with("</target>\n"), "{text}");
    let registers = text.lines().filter(|line| line.starts_with("<reg "));
    assert_eq!(registers.count(), COUNT);
    for name in SYSTEM {
        assert!(text.contains(&format!("name=\"{name}\"")), "{name}");
    }
}

#[test]
fn memory_by_virtual_address() {
    let fake = counting(1);
    let mut client = Client::new(&fake);
    // From a page into the next one, written and read back.
    let at = DATA + 0xffe;
    assert_eq!(client.ask(&format!("M{at:x},4:01020304")), "OK");
    assert_eq!(client.ask(&format!("m{at:x},4")), "01020304");
    // What is mapped, and then nothing.
    let end = KERNEL + SIZE as u64 - 4096;
    assert_eq!(client.ask(&format!("m{:x},8", end - 2)), "0000");
    assert_eq!(client.ask(&format!("m{end:x},8")), "E0e");
    assert_eq!(client.ask(&format!("M{end:x},1:00")), "E0e");
    // By physical address.
    assert_eq!(client.ask(&format!("m{RAM:x},1")), "E0e");
    assert_eq!(client.monitor("phys on"), "phys on\n");
    let at = RAM + 0x3ffe;
    assert_eq!(client.ask(&format!("m{at:x},4")), "01020304");
    assert_eq!(client.monitor("phys off"), "phys off\n");
    assert!(client.monitor("phys perhaps").starts_with("error: "));
    assert!(client.monitor("what").starts_with("error: "));
    assert!(client.monitor("help").contains("restore N"));
}

#[test]
fn threads_are_vcpus() {
    let fake = counting(3);
    fake.0.borrow_mut().cpus[2].state = 0;
    let mut client = Client::new(&fake);
    assert_eq!(client.ask("qfThreadInfo"), "mp01.01,p01.02,p01.03");
    assert_eq!(client.ask("qsThreadInfo"), "l");
    let about = |text: &str| hex(text.as_bytes());
    assert_eq!(
        client.ask("qThreadExtraInfo,p1.2"),
        about("vm: CPU 1, EL1, on")
    );
    assert_eq!(client.ask("qThreadExtraInfo,p1.3"), about("vm: CPU 2, off"));
    assert_eq!(client.ask("Tp1.3"), "OK");
    assert!(client.ask("Tp1.4").starts_with('E'));
    // The third does not step.
    client.tell("vCont;s:p1.3;c:p1.-1");
    let (text, _) = client.wait();
    assert_eq!(text, "CPU 2 is off\n");
}

#[test]
fn several_vms() {
    let (one, two) = (counting(1), counting(2));
    let mut client = Client::nobody(&[("one", &one), ("two", &two)]);
    client.hello();
    assert_eq!(one.state(), State::Stopped);
    assert_eq!(client.ask(&format!("Z0,{CODE:x},4")), "OK");
    assert_eq!(client.monitor("vm"), "* one Stopped\n  two Running\n");
    assert_eq!(
        client.monitor("vm three"),
        "error: there is no VM \"three\"\n"
    );
    assert_eq!(client.monitor("vm two"), "two\n");
    client.stub.turn();
    assert_eq!((one.state(), two.state()), (State::Running, State::Stopped));
    assert_eq!(client.ask("qfThreadInfo"), "mp01.01,p01.02");
    // The other one's breakpoint is not this one's.
    client.tell("vCont;c");
    client.stub.turn();
    client.raw(b"\x03");
    assert_eq!(client.wait().1, "T02thread:p01.01;");
}

#[test]
fn snapshots() {
    let fake = counting(1);
    fake.0.borrow_mut().is_running = false;
    let mut client = Client::new(&fake);
    client.go("vCont;s:p1.1");
    client.go("vCont;s:p1.1");
    assert_eq!(
        client.monitor("snapshots"),
        "0 - 1 1.500000\n1 0 1 3.000000\n2 1 1 4.500000\n"
    );
    let page = RAM + 0x3000;
    let range = format!("{page:#x} {:#x}\n", page + 0xfff);
    assert_eq!(client.monitor("diff 0 1"), "");
    assert_eq!(client.monitor("diff #1 2"), range);
    assert_eq!(client.monitor("diff 0 now"), range);
    assert!(
        client
            .monitor("diff 0 9")
            .starts_with("error: there is no such snapshot")
    );
    // What was is shown, and cannot be changed.
    assert_eq!(client.register(0), fake.double(DATA));
    let after = client.register(0);
    assert_eq!(client.monitor("look 0"), "0\n");
    assert_eq!(client.register(0), after - 1);
    assert_eq!(client.ask(&format!("M{DATA:x},1:00")), "E16");
    assert_eq!(client.ask("P0=0000000000000000"), "E16");
    assert_eq!(client.monitor("look now"), "now\n");
    assert_eq!(client.register(0), after);
    assert!(client.monitor("look 9").starts_with("error"));
    // To one of them, and on from there.
    assert_eq!(client.monitor("restore 1"), "1\n");
    assert_eq!(client.register(0), after);
    assert_eq!(client.pc(), CODE + 4);
    assert_eq!(client.monitor("checkpoint"), "3\n");
    client.go("vCont;s:p1.1");
    assert!(
        client
            .monitor("snapshots")
            .ends_with("3 1 1 6.000000\n4 3 1 7.500000\n")
    );
}

#[test]
fn history_is_bounded() {
    let fake = counting(1);
    let mut client = Client::new(&fake);
    assert_eq!(client.monitor("history"), "history on, 64 stops\n");
    assert_eq!(client.monitor("history 3"), "history on, 3 stops\n");
    for _ in 0..10 {
        client.go("vCont;s:p1.1");
    }
    assert_eq!(fake.ids().len(), 3);
    assert_eq!(client.monitor("history off"), "history off, 3 stops\n");
    client.go("vCont;s:p1.1");
    assert_eq!(fake.ids().len(), 3);
    assert!(client.monitor("history 0").starts_with("error"));
}
