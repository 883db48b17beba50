use super::client::{Client, HELLO};
use super::counting;
use super::fake::{CODE, DATA, Fake};
use super::{HVC, NOP, b};
use crate::machine::Machine;
use crate::machine::State;
use crate::stub::Next;
use crate::vm::breakpoints::BRK;

#[test]
fn it_runs_until_somebody_comes() {
    let fake = counting(1);
    let mut client = Client::nobody(&[("vm", &fake)]);
    assert_eq!(client.stub.turn(), Next::Wait);
    assert!(client.stub.needs_alarm());
    assert_eq!(fake.state(), State::Running);
    client.hello();
    assert_eq!(fake.state(), State::Stopped);
    assert!(!client.stub.needs_alarm(), "nothing runs");
    assert_eq!(client.ask("?"), "T05thread:p01.01;");
    assert_eq!(client.ask("D;1"), "OK");
    assert_eq!(client.stub.turn(), Next::Wait);
    assert_eq!(fake.state(), State::Running);
}

#[test]
fn one_that_is_not_started_waits_for_a_client() {
    let fake = counting(1);
    fake.0.borrow_mut().is_running = false;
    let mut client = Client::nobody(&[("vm", &fake)]);
    assert_eq!(client.stub.turn(), Next::Wait);
    assert_eq!(fake.state(), State::Stopped);
    client.hello();
    assert_eq!(client.pc(), CODE, "its first instruction");
}

#[test]
fn one_that_resets_itself_goes_on() {
    // x0 has SYSTEM_RESET.
    let fake = Fake::new(1, &[NOP, HVC, b(-2)]);
    fake.0.borrow_mut().cpus[0].x[0] = 0x8400_0009;
    let mut client = Client::nobody(&[("vm", &fake)]);
    // It runs, and stops.
    let _ = fake.clone().run(None);
    assert_eq!(fake.state(), State::Stopped);
    client.stub.turn();
    assert_eq!(fake.state(), State::Running);
    assert_eq!(fake.0.borrow().resets, 1);
}

#[test]
fn when_all_are_off_it_ends() {
    let fake = Fake::new(1, &[HVC]);
    fake.0.borrow_mut().cpus[0].x[0] = 0x8400_0008;
    let mut client = Client::nobody(&[("vm", &fake)]);
    assert_eq!(client.stub.turn(), Next::Wait);
    let _ = fake.clone().run(None);
    assert_eq!(client.stub.turn(), Next::End);
}

/// A client that dies while the VM runs: what it had set is gone when the next one comes.
#[test]
fn the_next_client() {
    let fake = counting(1);
    let mut client = Client::new(&fake);
    let at = DATA + 0x100;
    assert_eq!(client.ask(&format!("Z0,{at:x},4")), "OK");
    assert_eq!(client.ask(&format!("Z1,{at:x},4")), "OK");
    client.tell("vCont;c");
    assert_eq!(client.stub.turn(), Next::Turn);
    assert_eq!(fake.word(at), BRK, "it runs with it");
    // In the midst of a packet.
    client.raw(b"$m1000,");
    client.output.clear();
    client.hello();
    assert_eq!(fake.state(), State::Stopped);
    assert_ne!(fake.word(at), BRK);
    assert!(fake.0.borrow().comparators.is_empty());
    assert_eq!(client.ask("?"), "T05thread:p01.01;");
    // It answers with acknowledgements until the new one wants none.
    client.output.clear();
    client.raw(&crate::framing::packet(HELLO.as_bytes()));
    assert_eq!(client.output[0], b'+');
}

#[test]
fn lldb_begins_otherwise() {
    let fake = counting(1);
    let mut client = Client::new(&fake);
    client.tell("vCont;c");
    // A gdb was there before.
    client.raw(b"+");
    assert_eq!(client.ask("QStartNoAckMode"), "OK");
    let features = client.ask("qSupported:xmlRegisters=i386,arm,mips,arc;multiprocess+");
    assert!(features.contains("qXfer:features:read+"), "{features}");
    assert_eq!(fake.state(), State::Stopped);
    let host = client.ask("qHostInfo");
    assert!(
        host.ends_with("watchpoint_exceptions_received:before;"),
        "{host}"
    );
    assert!(!client.output.contains(&b'+'));
}

#[test]
fn kill_resets() {
    let fake = counting(2);
    let mut client = Client::new(&fake);
    client.go("vCont;s:p1.1");
    assert_eq!(client.ask("vKill;1"), "OK");
    assert_eq!(fake.0.borrow().resets, 1);
    client.stub.turn();
    assert_eq!(fake.state(), State::Running);
}

#[test]
fn garbage_is_none_of_its_business() {
    let fake = counting(1);
    let mut client = Client::new(&fake);
    let mut state = 0x1234_5678_9abc_def1_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let pieces: [&[u8]; 12] = [
        b"$",
        b"#",
        b"00",
        b"+",
        b"-",
        b"\x03",
        b"vCont;",
        b"c",
        b"m",
        b"Z0,",
        b"}",
        b"qSupported",
    ];
    for _ in 0..20_000 {
        let which = random() as usize;
        match which % 3 {
            0 => client.raw(&[random() as u8]),
            1 => client.raw(pieces[which / 3 % pieces.len()]),
            // A packet with its sum, and nonsense in it.
            _ => {
                let mut body = pieces[which / 3 % pieces.len()].to_vec();
                body.retain(|byte| !b"$#}".contains(byte));
                body.extend(
                    (0..which % 7).map(|_| b"0123456789abcdef;:,.pcsrQ-"[random() as usize % 26]),
                );
                client.raw(&crate::framing::packet(&body));
            }
        }
        client.stub.turn();
    }
    client.output.clear();
    client.hello();
    assert_eq!(client.ask("?"), "T05thread:p01.01;");
    assert!(client.ask("g").len() > 1000);
}

/// A client that did not understand gets it again, and one whose packet broke is asked for it again.
#[test]
fn a_line_that_breaks_something() {
    let fake = counting(1);
    let mut client = Client::nobody(&[("vm", &fake)]);
    client.ask(HELLO);
    let first = client.ask("?");
    client.raw(b"-");
    let text = String::from_utf8_lossy(&client.output).into_owned();
    assert!(text.starts_with(&format!("${first}#")), "{text}");
    client.output.clear();
    client.raw(b"$?#00");
    assert_eq!(client.output, b"-");
}

/// A client that means a thread that is not there means the one that it was told of.
#[test]
fn threads_that_are_not_there() {
    let fake = counting(2);
    let mut client = Client::new(&fake);
    let at = CODE + 8;
    for go in ["vCont;s:p1.63", "vCont;r0,ffff:p1.63", "vCont;c:p1.63"] {
        assert_eq!(client.ask(&format!("Z0,{at:x},4")), "OK");
        let stop = client.go(go);
        assert!(stop.starts_with("T05thread:p01.0"), "{go}: {stop}");
        assert_eq!(client.ask(&format!("z0,{at:x},4")), "OK");
    }
    client.pc();
}
