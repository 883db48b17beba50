use super::client::Client;
use super::fake::{CODE, DATA, Fake};
use super::{ADD, NOP, STR, b, counting};

const BEGIN: &str = "T05thread:p01.01;replaylog:begin;";
const STOP: &str = "T05thread:p01.01;";

/// A machine that waits for its first instruction.
fn stands(program: &[u32]) -> Fake {
    let fake = Fake::new(1, program);
    {
        let inner = &mut *fake.0.borrow_mut();
        inner.is_running = false;
        inner.cpus[0].x[1] = DATA;
    }
    fake
}

#[test]
fn by_steps_that_were_taken() {
    let fake = counting(1);
    let mut client = Client::new(&fake);
    let mut was = Vec::new();
    for _ in 0..6 {
        was.push((client.pc(), client.register(0), fake.double(DATA)));
        client.go("vCont;s:p1.1");
    }
    for place in was.iter().rev() {
        assert_eq!(client.go("bs"), STOP);
        assert_eq!(*place, (client.pc(), client.register(0), fake.double(DATA)));
    }
    assert_eq!(client.go("bs"), BEGIN);
    assert_eq!(client.go("bc"), BEGIN);
    assert_eq!(was[0], (client.pc(), client.register(0), fake.double(DATA)));
    // And forward again, from there.
    client.go("vCont;s:p1.1");
    assert_eq!((client.pc(), client.register(0)), (was[1].0, was[1].1));
    assert_eq!(client.go("bc"), STOP);
    assert_eq!(client.go("bc"), BEGIN);
}

#[test]
fn to_the_stop_before() {
    let fake = counting(1);
    let mut client = Client::new(&fake);
    assert_eq!(client.ask(&format!("Z0,{:x},4", CODE + 8)), "OK");
    client.go("vCont;c");
    let first = client.register(0);
    assert_eq!(client.ask(&format!("z0,{:x},4", CODE + 8)), "OK");
    client.go("vCont;s:p1.1");
    assert_eq!(client.ask(&format!("Z0,{:x},4", CODE + 8)), "OK");
    client.go("vCont;c");
    assert_eq!(client.register(0), first + 1);
    assert_eq!(client.go("bc"), STOP);
    assert_eq!((client.pc(), client.register(0)), (CODE + 12, first));
    assert_eq!(client.go("bc"), STOP);
    assert_eq!((client.pc(), client.register(0)), (CODE + 8, first));
}

/// From a breakpoint to the instruction before it: what ran is run again.
#[test]
fn to_the_instruction_before() {
    let fake = stands(&[ADD, STR, ADD, STR, NOP, b(-5)]);
    let mut client = Client::new(&fake);
    assert_eq!(client.ask(&format!("Z0,{:x},4", CODE + 16)), "OK");
    assert_eq!(client.go("vCont;c"), "T05thread:p01.01;swbreak:;");
    assert_eq!(fake.double(DATA), 2);
    assert_eq!(client.go("bs"), STOP);
    assert_eq!((client.pc(), fake.double(DATA)), (CODE + 12, 1));
    assert_eq!(client.go("bs"), STOP);
    assert_eq!((client.pc(), client.register(0)), (CODE + 8, 1));
    // It is a stop like others: on from here, and back to it.
    client.go("vCont;s:p1.1");
    assert_eq!(client.go("bs"), STOP);
    assert_eq!((client.pc(), client.register(0)), (CODE + 8, 1));
    assert_eq!(client.go("bs"), STOP);
    assert_eq!(client.pc(), CODE + 4);
    assert_eq!(client.go("bs"), STOP);
    assert_eq!(client.pc(), CODE);
    assert_eq!(client.go("bs"), BEGIN);
}

/// What reads the counter is something else each time.
#[test]
fn another_way() {
    // mrs x0, cntvct_el0; str x0, [x1]; nop; b back
    let fake = stands(&[0xd53b_e040, STR, NOP, b(-3)]);
    let mut client = Client::new(&fake);
    assert_eq!(client.ask(&format!("Z0,{:x},4", CODE + 8)), "OK");
    client.go("vCont;c");
    let was = (client.register(0), fake.double(DATA));
    client.tell("bs");
    let (text, stop) = client.wait();
    assert_eq!(stop, STOP);
    assert!(
        text.starts_with("ran again from #0 towards #1: it did not come there again"),
        "{text}"
    );
    assert_eq!(
        (client.pc(), client.register(0), fake.double(DATA)),
        (CODE + 8, was.0, was.1)
    );
    // The stop before is exact all the same.
    assert_eq!(client.go("bc"), STOP);
    assert_eq!(client.pc(), CODE);
}

/// The registers are as they were, and the memory is not.
#[test]
fn another_way_that_only_memory_shows() {
    // mrs x0, cntvct_el0; str x0, [x1]; sub x0, x0, x0 by loading what is zero; nop; b .
    let load = 0xf940_0420; // ldr x0, [x1, #8]
    let fake = stands(&[0xd53b_e040, STR, load, NOP, b(0)]);
    let mut client = Client::new(&fake);
    assert_eq!(client.ask(&format!("Z0,{:x},4", CODE + 12)), "OK");
    client.go("vCont;c");
    let was = fake.double(DATA);
    client.tell("bs");
    let (text, _) = client.wait();
    assert!(text.contains("towards #1"), "{text}");
    assert_eq!((client.pc(), fake.double(DATA)), (CODE + 12, was));
}

#[test]
fn a_long_way_may_be_interrupted() {
    let fake = counting(1);
    let mut client = Client::new(&fake);
    client.tell("vCont;c");
    for _ in 0..50 {
        client.stub.turn();
    }
    client.raw(b"\x03");
    client.wait();
    let was = (client.pc(), client.register(0));
    client.tell("bs");
    for _ in 0..10 {
        client.stub.turn();
    }
    client.raw(b"\x03");
    let (text, _) = client.wait();
    assert!(
        text.contains("it was interrupted; this is #1 as before"),
        "{text}"
    );
    assert_eq!(was, (client.pc(), client.register(0)));
}

/// Snapshots that the guest takes are stops, too.
#[test]
fn snapshots_of_the_guests_own() {
    let fake = counting(1);
    let mut client = Client::new(&fake);
    fake.0.borrow_mut().checkpoint_at = Some(75);
    client.tell("vCont;c");
    for _ in 0..3 {
        client.stub.turn();
    }
    client.raw(b"\x03");
    client.wait();
    let last = client.register(0);
    assert_eq!(client.monitor("snapshots").lines().count(), 3);
    assert_eq!(client.go("bc"), STOP);
    let own = client.register(0);
    assert!(own < last, "its own");
    assert_eq!(client.go("bc"), STOP);
    assert!(client.register(0) < own, "the stop when the client came");
    assert_eq!(client.go("bc"), BEGIN);
}

/// Without a history of its own there is what others took.
#[test]
fn without_history() {
    let fake = counting(1);
    let mut client = Client::new(&fake);
    client.monitor("history off");
    let was = (client.pc(), client.register(0));
    client.go("vCont;s:p1.1");
    client.go("vCont;s:p1.1");
    assert_eq!(fake.ids().len(), 1);
    assert_eq!(client.go("bc"), STOP);
    assert_eq!(was, (client.pc(), client.register(0)));
    assert_eq!(client.go("bc"), BEGIN);
    assert_eq!(fake.ids().len(), 1, "nothing stays of the question");
}

/// Each question of the kind keeps a snapshot for a while, and not for ever.
#[test]
fn without_history_by_instructions() {
    let fake = counting(1);
    let mut client = Client::new(&fake);
    client.monitor("history 2");
    client.monitor("history off");
    for _ in 0..5 {
        client.go("vCont;s:p1.1");
        client.go("vCont;s:p1.1");
        let was = (client.pc(), client.register(0));
        client.go("vCont;s:p1.1");
        assert_eq!(client.go("bs"), STOP);
        assert_eq!(was, (client.pc(), client.register(0)));
    }
    assert!(fake.ids().len() <= 3, "{:?}", fake.ids());
}

/// A pool that is freed takes the oldest along.
#[test]
fn history_that_is_gone() {
    let fake = counting(1);
    fake.0.borrow_mut().most = 3;
    let mut client = Client::new(&fake);
    for _ in 0..5 {
        client.go("vCont;s:p1.1");
    }
    assert_eq!(client.go("bs"), STOP);
    assert_eq!(client.go("bs"), STOP);
    assert_eq!(client.go("bs"), BEGIN);
}
