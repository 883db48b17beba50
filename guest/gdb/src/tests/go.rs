use super::client::Client;
use super::fake::{CODE, DATA, Fake};
use super::{ADD, COUNTS, HVC, NOP, b, counting};
use crate::machine::{Machine, State, system};
use crate::vm::breakpoints::BRK;

/// ldxr x2, [x1]; add x2, x2, #1; stxr w3, x2, [x1]; cbnz w3, the start; add x0, x0, #1; b, the start.
const ATOMIC: [u32; 6] = [
    0xc85f_7c22,
    0x9100_0442,
    0xc803_7c22,
    0x35ff_ffa3,
    ADD,
    b(-5),
];

#[test]
fn a_breakpoint() {
    let fake = counting(1);
    let mut client = Client::new(&fake);
    let at = CODE + 8;
    assert_eq!(client.ask(&format!("Z0,{at:x},4")), "OK");
    assert_eq!(client.go("vCont;c"), "T05thread:p01.01;swbreak:;");
    assert_eq!(client.pc(), at);
    assert_eq!(fake.word(at), NOP, "it stands without");
    let nop = "1f2003d5";
    assert_eq!(client.ask(&format!("m{at:x},4")), nop);
    // As gdb goes on: away with it, a step, and back.
    assert_eq!(client.ask(&format!("z0,{at:x},4")), "OK");
    assert_eq!(client.go("vCont;s:p1.1"), "T05thread:p01.01;");
    assert_eq!(client.pc(), at + 4);
    assert_eq!(client.ask(&format!("Z0,{at:x},4")), "OK");
    let counted = client.register(0);
    assert_eq!(client.go("vCont;c:p1.-1"), "T05thread:p01.01;swbreak:;");
    assert_eq!(client.register(0), counted + 1);
    assert_eq!(client.ask("D"), "OK");
    assert_eq!(fake.word(at), NOP);
    assert_eq!(client.ask(&format!("Z0,{:x},4", CODE + 0x10_0000)), "E0e");
}

#[test]
fn ctrl_c() {
    let fake = counting(2);
    let mut client = Client::new(&fake);
    client.tell("vCont;c");
    for _ in 0..3 {
        client.stub.turn();
    }
    client.raw(b"\x03");
    assert_eq!(client.wait().1, "T02thread:p01.01;");
    assert_eq!(fake.state(), State::Stopped);
    // Who stands has nothing that could be interrupted.
    client.raw(b"\x03");
    assert_eq!(client.output, b"");
}

#[test]
fn steps_and_ranges() {
    let fake = counting(2);
    fake.0
        .borrow_mut()
        .cpus
        .iter_mut()
        .for_each(|cpu| cpu.pc = CODE);
    fake.0.borrow_mut().is_running = false;
    let mut client = Client::new(&fake);
    let other = fake.pc(0);
    for n in 1..=4 {
        assert_eq!(client.go("vCont;s:p1.2;c:p1.-1"), "T05thread:p01.02;");
        assert_eq!(fake.pc(1), CODE + 4 * (n % 4));
        assert_eq!(fake.pc(0), other, "the others stand");
    }
    // A line of three instructions.
    assert_eq!(
        client.go(&format!("vCont;r{CODE:x},{:x}:p1.2;c:p1.-1", CODE + 12)),
        "T05thread:p01.02;"
    );
    assert_eq!(fake.pc(1), CODE + 12);
    // One that never ends, but for the breakpoint in it.
    let in_it = CODE + 8;
    assert_eq!(client.ask(&format!("Z0,{in_it:x},4")), "OK");
    let range = format!("vCont;r{CODE:x},{:x}:p1.2;c:p1.-1", CODE + 16);
    assert_eq!(client.go(&range), "T05thread:p01.02;swbreak:;");
    assert_eq!(fake.pc(1), in_it);
    assert_eq!(client.ask(&format!("z0,{in_it:x},4")), "OK");
    client.tell(&range);
    client.stub.turn();
    client.raw(b"\x03");
    assert_eq!(client.wait().1, "T02thread:p01.02;");
    // One alone.
    let other = fake.pc(0);
    assert_eq!(client.ask(&format!("Z0,{in_it:x},4")), "OK");
    assert_eq!(client.go("vCont;c:p1.2"), "T05thread:p01.02;swbreak:;");
    assert_eq!(fake.pc(0), other);
}

/// A target that stands before its loop of LDXR and STXR.
fn atomic() -> Fake {
    let fake = Fake::new(1, &ATOMIC);
    fake.0.borrow_mut().cpus[0].x[1] = DATA;
    fake.0.borrow_mut().is_running = false;
    fake
}

#[test]
fn through_an_atomic_addition() {
    let fake = atomic();
    let mut client = Client::new(&fake);
    for n in 1..=3 {
        assert_eq!(client.go("vCont;s:p1.1"), "T05thread:p01.01;");
        assert_eq!(client.pc(), CODE + 12, "behind the store");
        assert_eq!(fake.double(DATA), n);
        for place in [16, 20, 0] {
            client.go("vCont;s:p1.1");
            assert_eq!(client.pc(), CODE + place);
        }
    }
    assert_eq!(fake.word(CODE + 12), ATOMIC[3]);
}

/// A watchpoint stops before a store exclusive, whose monitor is lost then: the step behind it, which a client takes, has the store done.
#[test]
fn over_a_store_exclusive() {
    let fake = atomic();
    let mut client = Client::new(&fake);
    for n in 1..=3 {
        assert_eq!(client.ask(&format!("Z2,{DATA:x},8")), "OK");
        let stop = client.go("vCont;c");
        assert_eq!(stop, format!("T05thread:p01.01;watch:{DATA:x};"));
        assert_eq!((client.pc(), fake.double(DATA)), (CODE + 8, n - 1));
        assert_eq!(client.ask(&format!("z2,{DATA:x},8")), "OK");
        assert_eq!(client.go("vCont;s:p1.1"), "T05thread:p01.01;");
        assert_eq!((client.pc(), fake.double(DATA)), (CODE + 12, n));
    }
}

/// The same with a breakpoint on the load exclusive, of either kind, which a client sets again before it steps over the store.
#[test]
fn over_a_store_exclusive_whose_load_has_a_breakpoint() {
    for (kind, why) in [(0, "swbreak"), (1, "hwbreak")] {
        let fake = atomic();
        let mut client = Client::new(&fake);
        for n in 1..=3 {
            assert_eq!(client.ask(&format!("Z2,{DATA:x},8")), "OK");
            // Over the breakpoint, which the client takes away for that.
            let stop = client.go("vCont;s:p1.1");
            assert_eq!(stop, format!("T05thread:p01.01;watch:{DATA:x};"));
            assert_eq!((client.pc(), fake.double(DATA)), (CODE + 8, n - 1));
            assert_eq!(client.ask(&format!("z2,{DATA:x},8")), "OK");
            assert_eq!(client.ask(&format!("Z{kind},{CODE:x},4")), "OK");
            assert_eq!(client.go("vCont;s:p1.1"), "T05thread:p01.01;");
            assert_eq!((client.pc(), fake.double(DATA)), (CODE + 12, n));
            assert_eq!(client.go("vCont;c"), format!("T05thread:p01.01;{why}:;"));
            assert_eq!(client.pc(), CODE);
            assert_eq!(client.ask(&format!("z{kind},{CODE:x},4")), "OK");
        }
    }
}

/// Two do the same: the one that is not stepped comes to the end of the sequence first, now and then.
#[test]
fn through_an_atomic_addition_in_company() {
    let fake = Fake::new(2, &ATOMIC);
    for cpu in &mut fake.0.borrow_mut().cpus {
        cpu.x[1] = DATA;
    }
    fake.0.borrow_mut().is_running = false;
    let mut client = Client::new(&fake);
    for _ in 0..20 {
        assert_eq!(client.go("vCont;s:p1.2"), "T05thread:p01.02;");
    }
    let done = fake.0.borrow().cpus[1].x[0];
    assert!(done >= 2, "it gets on: {done}");
    let memory = fake.0.borrow().memory.clone();
    let brk = BRK.to_le_bytes();
    assert!(!memory.chunks(4).any(|word| word == brk));
}

#[test]
fn comparators() {
    let fake = counting(1);
    let mut client = Client::new(&fake);
    let at = CODE + 8;
    assert_eq!(client.ask(&format!("Z1,{at:x},4")), "OK");
    assert_eq!(client.go("vCont;c"), "T05thread:p01.01;hwbreak:;");
    assert_eq!(client.pc(), at);
    assert_eq!(client.ask(&format!("z1,{at:x},4")), "OK");
    assert_eq!(client.ask(&format!("Z2,{DATA:x},8")), "OK");
    let stop = client.go("vCont;c");
    assert_eq!(stop, format!("T05thread:p01.01;watch:{DATA:x};"));
    assert_eq!(client.pc(), CODE + 4, "before the store");
    // There are two of each.
    assert_eq!(client.ask(&format!("Z4,{DATA:x},4")), "OK");
    assert!(client.ask(&format!("Z3,{DATA:x},4")).starts_with('E'));
    assert_eq!(client.ask(&format!("z4,{DATA:x},4")), "OK");
    assert_eq!(client.ask(&format!("z2,{DATA:x},8")), "OK");
    assert!(fake.0.borrow().comparators.is_empty());
    client.tell("vCont;c");
}

#[test]
fn what_the_guest_does_of_itself() {
    let fake = Fake::new(1, &[HVC, NOP, HVC, NOP, HVC]);
    {
        let inner = &mut *fake.0.borrow_mut();
        inner.cpus[0].x[1] = 0x11;
        inner.is_running = false;
    }
    let mut client = Client::new(&fake);
    client.tell("vCont;c");
    let (text, stop) = client.wait();
    assert_eq!(
        (text.as_str(), stop.as_str()),
        ("vm: EVENT(0x11, 0x0, 0x0)\n", "T1ethread:p01.01;")
    );
    fake.0.borrow_mut().cpus[0].x[0] = 0x8400_0009;
    client.tell("vCont;c");
    let (text, stop) = client.wait();
    assert_eq!(
        (text.as_str(), stop.as_str()),
        ("vm was reset\n", "T05thread:p01.01;")
    );
    assert_eq!(client.pc(), CODE);
    fake.0.borrow_mut().cpus[0].x[0] = 0x8400_0008;
    client.tell("vCont;c");
    let (text, _) = client.wait();
    assert!(text.starts_with("vm is off"), "{text}");
    // Back to where it was.
    assert_eq!(client.go("bc"), "T05thread:p01.01;");
    assert_eq!(fake.state(), State::Stopped);
    assert_eq!(client.pc(), CODE);
}

#[test]
fn a_reset_leaves_no_breakpoint_behind() {
    let fake = Fake::new(1, &[NOP, HVC, NOP, NOP]);
    {
        let inner = &mut *fake.0.borrow_mut();
        inner.cpus[0].x[0] = 0x8400_0009;
        inner.is_running = false;
    }
    let mut client = Client::new(&fake);
    assert_eq!(client.ask(&format!("Z0,{:x},4", CODE + 8)), "OK");
    client.tell("vCont;c");
    assert_eq!(client.wait().0, "vm was reset\n");
    assert_eq!(fake.word(CODE + 8), NOP);
}

/// The debugger's own immediate in the guest's code: an exception of the guest's.
#[test]
fn a_brk_of_the_guests_own() {
    let mut code = vec![NOP; 300];
    code[1] = BRK;
    // The vector for the current level on its own stack.
    code[0x200 / 4 + 2] = ADD;
    let fake = Fake::new(1, &code);
    {
        let inner = &mut *fake.0.borrow_mut();
        inner.cpus[0].system[system::VBAR_EL1] = CODE;
        inner.is_running = false;
    }
    let mut client = Client::new(&fake);
    assert_eq!(client.ask(&format!("Z0,{:x},4", CODE + 0x20c)), "OK");
    assert_eq!(client.go("vCont;c"), "T05thread:p01.01;swbreak:;");
    let cpu = fake.0.borrow().cpus[0].clone();
    assert_eq!(cpu.x[0], 1, "its vector ran");
    assert_eq!(cpu.system[system::ELR_EL1], CODE + 4);
    assert_eq!(cpu.system[system::ESR_EL1] >> 26, 0x3c);
    assert_eq!(fake.word(CODE + 4), BRK, "it is the guest's");
    assert_eq!(
        client.ask(&format!("m{:x},4", CODE + 4)),
        super::client::hex(&BRK.to_le_bytes())
    );
}

/// A snapshot that was taken while breakpoints were there has them; whoever looks at it or goes there, does not.
#[test]
fn a_snapshot_of_the_guests_own() {
    let fake = counting(1);
    let mut client = Client::new(&fake);
    let at = CODE + 12;
    let jump = super::client::hex(&COUNTS[3].to_le_bytes());
    assert_eq!(client.ask(&format!("Z0,{at:x},4")), "OK");
    let soon = fake.0.borrow().cpus[0].pc;
    assert!((CODE..at).contains(&soon), "{soon:x}");
    let ticks = 51;
    fake.0.borrow_mut().checkpoint_at = Some(ticks);
    assert_eq!(client.go("vCont;c"), "T05thread:p01.01;swbreak:;");
    let id = *fake.ids().iter().nth(1).expect("its own");
    let mut word = [0; 4];
    fake.read(Some(id), crate::vm::RAM + 0x100c, &mut word)
        .expect("it is there");
    assert_eq!(word, BRK.to_le_bytes());
    assert_eq!(client.monitor(&format!("look {id}")), format!("{id}\n"));
    assert_eq!(client.ask(&format!("m{at:x},4")), jump);
    assert_eq!(client.ask(&format!("z0,{at:x},4")), "OK");
    assert_eq!(client.monitor(&format!("restore {id}")), format!("{id}\n"));
    assert_eq!(fake.word(at), COUNTS[3]);
}
