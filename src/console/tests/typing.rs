//! More is typed than is taken.

use super::*;
use proptest::prelude::*;

/// Lines that differ, `count` bytes of them altogether.
fn lines(count: usize) -> String {
    let lines = (0..).map(|n| std::format!("line {n}\r"));
    let text: String = lines.take(count / 6).collect();
    text[..count].to_string()
}

/// The driver gives what it has as room appears; a VM that reads at last gets all of it.
#[test]
fn a_vm_that_reads_late_loses_nothing() {
    let mut t = Session::new(TWO);
    let text = lines(30_000);
    let (mut sent, mut read) = (0, String::new());
    while sent < text.len() {
        sent += t.paste(&text[sent..]);
        assert!(!t.terminal.is_worth_delivering());
        read += &t.read(0);
        assert!(t.terminal.is_worth_delivering() || sent == text.len());
        t.terminal.deliver(&mut t.screen);
    }
    read += &t.read(0);
    assert!(read == text);
    assert_eq!(t.terminal.take_notice(), None);
}

#[test]
fn a_vm_that_never_reads_does_not_keep_the_monitor_closed() {
    let mut t = Session::new(TWO);
    let text = lines(20_000);
    let first = t.paste(&text);
    assert!(first < text.len(), "the sender has to wait");
    t.terminal.start_discarding();
    t.terminal.deliver(&mut t.screen);
    assert_eq!(t.terminal.take_notice(), Some(Notice::NotRead("linux")));
    assert_eq!(t.paste(&text[first..]), text.len() - first);
    assert_eq!(t.paste(OPEN), 1);
    t.shows("avisor> ");
    t.type_in("\rlast\r");
    let read = t.read(0);
    assert!(!t.terminal.try_reserve() || read.len() > 8000);
    let whole = |line: &str| text.contains(&(line.to_string() + "\r")) || line.is_empty();
    assert!(read.split('\r').all(|line| whole(line) || line == "last"));
    assert!(matches!(t.terminal.take_notice(), Some(Notice::LeftOut("linux", n)) if n > 11_000));
    t.type_in("again\r");
    assert_eq!(t.read(0), "again\r");
    assert_eq!(t.terminal.take_notice(), None);
}

/// What is left of `delete 1000195` may mean another snapshot.
#[test]
fn a_line_with_a_gap_is_left_out() {
    let mut t = Session::new(TWO);
    t.type_in("one\rtw");
    t.terminal.note_gap();
    t.type_in("o\rthree\r");
    assert_eq!(t.terminal.take_notice(), Some(Notice::Overrun));
    assert_eq!(t.read(0), "one\rthree\r");
    assert_eq!(t.terminal.take_notice(), Some(Notice::LeftOut("linux", 4)));
    t.type_in("\x1ddel");
    t.terminal.note_gap();
    t.type_in("5\r");
    assert_eq!(t.take_command(), None);
    assert_eq!(t.terminal.take_notice(), Some(Notice::Overrun));
    t.type_in("vms\r");
    assert_eq!(t.take_command().as_deref(), Some("vms"));
    t.type_in("delete 10");
    t.terminal.note_gap();
    t.type_in("5\rstats\r");
    t.finish(AfterLine::Stay);
    assert_eq!(
        t.take_command().as_deref(),
        Some("stats"),
        "while it was busy"
    );
}

#[test]
fn a_gap_behind_a_full_queue_costs_no_whole_line() {
    let mut t = Session::new(TWO);
    t.type_in("\x1dvms\r");
    assert_eq!(t.take_command().as_deref(), Some("vms"));
    let text: String = (0..200).map(|n| std::format!("delete {n}\r")).collect();
    let queued = &text[..t.paste(&text)];
    assert!(!queued.ends_with('\r'));
    (0..3).for_each(|_| t.terminal.note_gap());
    t.finish(AfterLine::Stay);
    for n in 0..queued.matches('\r').count() {
        assert_eq!(t.take_command(), Some(std::format!("delete {n}")));
        t.finish(AfterLine::Stay);
    }
    assert_eq!(t.terminal.take_notice(), Some(Notice::Overrun));
    t.type_in("5\rstats\r");
    assert_eq!(t.take_command().as_deref(), Some("stats"));
}

#[test]
fn an_overrun_hides_no_other_notice() {
    let mut t = Session::new(TWO);
    t.paste(&lines(20_000));
    t.terminal.start_discarding();
    t.terminal.deliver(&mut t.screen);
    t.terminal.note_gap();
    t.terminal.deliver(&mut t.screen);
    let notices = [(); 3].map(|()| t.terminal.take_notice());
    let not_read = Notice::NotRead("linux");
    assert_eq!(notices, [Some(not_read), Some(Notice::Overrun), None]);
}

#[test]
fn a_completion_without_room_is_left_out() {
    let mut t = Session::new(TWO);
    let blanks = " ".repeat(editor::LINE_MAX - 8);
    t.type_in(&std::format!("{OPEN}pause{blanks}l\t\r"));
    assert_eq!(t.take_command(), None);
    t.type_in("pause l\t\r");
    assert_eq!(t.take_command().as_deref(), Some("pause linux "));
}

#[test]
fn a_line_that_is_too_long_is_left_out() {
    let mut t = Session::new(TWO);
    t.type_in(OPEN);
    let blanks = " ".repeat(editor::LINE_MAX - 9);
    t.type_in(&std::format!("delete {blanks}1000195"));
    t.screen.clear();
    assert!(!t.type_in("\r").command);
    t.shows("\r\nthis line was left out: it is longer than 70 characters, or some were lost\r\navisor> ");
    t.type_in("x".repeat(100).as_str());
    t.type_in("\x15vms\r");
    assert_eq!(t.take_command().as_deref(), Some("vms"));
}

#[test]
fn commands_typed_ahead_wait_in_the_uart() {
    let mut t = Session::new(TWO);
    t.type_in("\x1dvms\r");
    let text: String = (0..200).map(|n| std::format!("delete {n}\r")).collect();
    let (mut sent, mut done) = (t.paste(&text), 0);
    assert!(sent < text.len());
    assert_eq!(t.take_command().as_deref(), Some("vms"));
    t.finish(AfterLine::Stay);
    while let Some(line) = t.take_command() {
        assert_eq!(line, std::format!("delete {done}"));
        done += 1;
        t.finish(AfterLine::Stay);
        sent += t.paste(&text[sent..]);
    }
    assert_eq!((done, t.terminal.take_notice()), (200, None));
}

proptest! {
    /// Whatever is typed, lost on the way and read, a VM reads whole lines out of those that were typed, in their order.
    #[test]
    fn only_whole_lines(steps in prop::collection::vec((0..4_usize, 0..3000_usize), 1..40)) {
        let mut t = Session::new(TWO);
        let text = lines(60_000);
        let (mut sent, mut read) = (0, String::new());
        for (what, count) in steps {
            match what {
                0 => sent += t.paste(&text[sent..(sent + count).min(text.len())]),
                1 => t.terminal.start_discarding(),
                2 => {
                    // A whole line at least, so that what is lost next can be taken back.
                    let mut ended = false;
                    while !(ended && count < 100) && let Some(byte) = t.terminal.get(0) {
                        read.push(byte.into());
                        ended = byte == b'\r';
                    }
                    while !read.is_empty() && !read.ends_with('\r') && let Some(byte) = t.terminal.get(0) {
                        read.push(byte.into());
                    }
                    if !read.is_empty() && !read.ends_with('\r') {
                        return Ok(());
                    }
                }
                _ => t.terminal.note_gap(),
            }
            t.terminal.deliver(&mut t.screen);
        }
        read += &t.read(0);
        let mut all = text.split_inclusive('\r');
        let whole = read.rfind('\r').map_or("", |end| &read[..=end]);
        for line in whole.split_inclusive('\r') {
            prop_assert!(all.any(|typed| typed == line), "{line:?}");
        }
    }
}
