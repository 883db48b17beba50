//! A VM that goes back, or starts again, in the middle of a control sequence.

use super::*;

/// A shell asks where the cursor is, behind its prompt. It goes back to where it had done so before the question is out.
#[test]
fn a_sequence_whose_rest_does_not_come_swallows_nothing() {
    for sent in ["\u{1b}", "\u{1b}[", "\u{1b}[6", "\u{1b}]0;"] {
        // Before the monitor opens, and while it is open.
        for early in [true, false] {
            let mut t = Session::new(&["linux"]);
            t.print(0, "/ # ");
            if early {
                t.print(0, sent);
            }
            t.type_in(OPEN);
            if !early {
                t.print(0, sent);
            }
            t.type_in("restore 0\r");
            t.take_command();
            t.terminal.abandon_sequence(0, &mut t.screen);
            t.finish(AfterLine::Stay);
            t.screen.clear();
            t.type_in("\r");
            t.print(0, "cat /file\n");
            t.shows("\r\u{1b}[K/ # cat /file\n");
        }
        // Without the monitor, the terminal itself is in the sequence.
        let mut t = Session::new(&["linux"]);
        t.print(0, sent);
        t.screen.clear();
        t.terminal.abandon_sequence(0, &mut t.screen);
        t.shows("\u{18}\u{1b}\\");
        t.print(0, "text\n");
        t.shows("text\n");
        t.terminal.abandon_sequence(0, &mut t.screen);
        t.terminal.abandon_sequence(VMS_MAX, &mut t.screen);
        t.shows("");
    }
    // Of one that has not the keyboard, nothing was to be seen.
    let mut t = Session::new(TWO);
    t.print(0, "a\u{1b}[");
    t.print(1, "b\u{1b}[");
    t.screen.clear();
    t.terminal.abandon_sequence(1, &mut t.screen);
    t.shows("");
    t.print(1, "c\n");
    t.shows("\u{18}\u{1b}\\\r\necho| bc\r\n");
}
