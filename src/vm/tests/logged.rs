//! What was logged, thread by thread: each test runs in its own.

use log::{LevelFilter, Log, Metadata, Record};
use std::cell::RefCell;
use std::format;
use std::string::String;
use std::sync::Once;
use std::vec::Vec;

std::thread_local! {
    static LINES: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

struct ToLines;

impl Log for ToLines {
    fn enabled(&self, _: &Metadata) -> bool {
        LINES.with_borrow(Option::is_some)
    }

    fn log(&self, record: &Record) {
        LINES.with_borrow_mut(|lines| {
            if let Some(lines) = lines {
                lines.push(format!("{}: {}", record.level(), record.args()));
            }
        });
    }

    fn flush(&self) {}
}

/// What `action` logs, as the console would show it, `AVISOR` left out.
pub fn logged(action: impl FnOnce()) -> Vec<String> {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&ToLines).expect("no other test sets a logger");
        log::set_max_level(LevelFilter::Trace);
    });
    LINES.set(Some(Vec::new()));
    action();
    LINES.take().unwrap_or_default()
}
