//! Whatever is printed and typed.

use super::*;
use proptest::prelude::*;

/// What may happen at a terminal.
#[derive(Debug, Clone)]
enum Event {
    Put(usize, u8),
    Type(u8),
    Log,
    Attach(usize),
    Abandon(usize),
    Serve(bool),
}

fn event() -> impl Strategy<Value = Event> {
    let byte = prop_oneof![
        4 => b'a'..=b'e',
        1 => any::<u8>(),
        2 => prop::sample::select(&b"\r\n\x08\x1b[CDK\x1d\t\x04 P]X^_\\\x90\x9b\x9c\xc2"[..]),
    ];
    prop_oneof![
        8 => (0..3_usize, byte.clone()).prop_map(|(vm, byte)| Event::Put(vm, byte)),
        6 => byte.prop_map(Event::Type),
        1 => Just(Event::Log),
        1 => (0..3_usize).prop_map(Event::Attach),
        1 => (0..3_usize).prop_map(Event::Abandon),
        1 => any::<bool>().prop_map(Event::Serve),
    ]
}

proptest! {
    /// Nothing that is printed or typed panics; a log line is always one line; a VM reads only what was typed for it.
    #[test]
    fn whatever_happens(events in prop::collection::vec(event(), 0..400)) {
        let mut t = Session::new(TWO);
        for event in events {
            match event {
                Event::Put(vm, byte) => t.terminal.put(vm, byte, &mut t.screen),
                Event::Type(byte) => {
                    let before = t.terminal.attached();
                    let input = t.key(byte);
                    prop_assert!(input.guest.is_none() || input.guest == Some(before));
                    prop_assert!(t.terminal.get(1 - before).is_none());
                }
                Event::Log => {
                    t.screen.clear();
                    t.log("AVISOR INFO: a line");
                    let shown = String::from_utf8_lossy(&t.screen).into_owned();
                    let lines = ["", "\r\n", "\x18\x1b\\\r\n", "\x18\x1b\\", "\r\x1b[K"].map(|fresh| fresh.to_string() + "AVISOR INFO: a line\r\n");
                    prop_assert!(lines.iter().any(|line| shown.starts_with(line)), "{shown:?}");
                }
                Event::Attach(vm) => {
                    while t.terminal.get(t.terminal.attached()).is_some() {}
                    t.terminal.attach(vm, &mut t.screen);
                }
                Event::Abandon(vm) => {
                    t.terminal.abandon_sequence(vm, &mut t.screen);
                    t.screen.clear();
                    t.print(vm, "x\n");
                    let swallowed = vm < TWO.len() && !t.screen.contains(&b'x');
                    prop_assert!(!swallowed, "{:?}", t.screen);
                }
                Event::Serve(stay) => {
                    if let Some(line) = t.take_command() {
                        prop_assert!(!line.trim().is_empty());
                        t.reply("done\n");
                        t.finish(if stay { AfterLine::Stay } else { AfterLine::Leave });
                    }
                }
            }
        }
    }

    /// The attached VM's characters all show, in order, whatever the others do meanwhile.
    #[test]
    fn nothing_of_the_attached_vm_is_lost(pieces in prop::collection::vec(("[a-e \n]{0,8}", "[x-z\n]{0,8}", any::<bool>()), 0..20)) {
        let mut t = Session::new(TWO);
        let (mut first, mut second) = (String::new(), String::new());
        for (one, two, log) in pieces {
            t.print(0, &one);
            t.print(1, &two);
            if log {
                t.log("AVISOR INFO: -");
            }
            first += &one;
            second += &two;
        }
        let shown = String::from_utf8(t.screen.clone()).expect("ASCII");
        let of = |name: &str| -> String {
            let lines = shown.split("\r\n").filter_map(|line| line.strip_prefix(name));
            lines.collect::<Vec<_>>().concat()
        };
        prop_assert_eq!(of("linux| "), first.replace('\n', ""));
        let whole = second.rfind('\n').map_or("", |end| &second[..end]);
        prop_assert_eq!(of("echo| "), whole.replace('\n', ""));
    }
}
