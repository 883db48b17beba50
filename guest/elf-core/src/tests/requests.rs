//! Command lines, and what is typed.

use crate::request::{Options, Request};

fn request(vm: usize, snapshot: Option<u64>, file: &str) -> Request<'_> {
    Request { vm, snapshot, file }
}

#[test]
fn command_lines() {
    let typed = Options::parse("vms=linux,other").expect("it is good");
    assert_eq!(typed.vms, ["linux", "other"]);
    assert_eq!((typed.once, typed.after), (None, 0));
    let once = Options::parse("after=10 vm=other file=/a/x.core vms=linux,other");
    let once = once.expect("it is good");
    assert_eq!(once.after, 10);
    assert_eq!(once.once, Some(request(1, None, "/a/x.core")));
    let first = Options::parse("vms=a file=x").expect("it is good");
    assert_eq!(first.once, Some(request(0, None, "x")));
    for (line, why) in [
        ("vms=a after=soon", "after=soon: this is no number"),
        ("vms=a,b vm=c file=x", "c is no VM of these; allowed: a, b"),
        ("vms=a quickly", "quickly is not allowed"),
    ] {
        assert_eq!(Options::parse(line), Err(why.into()));
    }
}

#[test]
fn what_is_typed() {
    let options = Options::parse("vms=linux,other").expect("it is good");
    let good = |line: &'static str| options.request(line).expect("it is good");
    assert_eq!(good("  "), None);
    assert_eq!(good("core now x"), Some(request(0, None, "x")));
    assert_eq!(good("core #7 x"), Some(request(0, Some(7), "x")));
    let other = request(1, Some(7), "a/x.core");
    assert_eq!(good(" core other 7  a/x.core "), Some(other));
    for (line, why) in [
        ("help", "allowed: core [VM] ID|now FILE"),
        ("core", "allowed: core [VM] ID|now FILE"),
        ("core 1 x y z", "allowed: core [VM] ID|now FILE"),
        (
            "core -1 x",
            "-1 is no snapshot; allowed: core [VM] ID|now FILE",
        ),
        (
            "core else 1 x",
            "else is no VM of these; allowed: linux, other",
        ),
    ] {
        assert_eq!(options.request(line), Err(why.into()));
    }
}
