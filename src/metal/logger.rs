//! `log` on the console.

use log::{LevelFilter, Log, Metadata, Record};

use super::console;

struct Logger;

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record) {
        if self.enabled(record.metadata()) {
            console::log_line(record.level(), *record.args());
        }
    }

    fn flush(&self) {}
}

/// Lets `log` print what is at most as verbose as `level`.
pub(super) fn init(level: LevelFilter) {
    // Fails only if done before.
    let _ = log::set_logger(&Logger);
    log::set_max_level(level);
}
