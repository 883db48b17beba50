//! How long each test takes, for `tools/test` to print: without what it waited for others, in the file that AVISOR_TIMES names.

use std::cell::Cell;
use std::env;
use std::fs::OpenOptions;
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

/// From a test's first image or run to its end.
struct Timer {
    name: String,
    started: Instant,
    waited: Cell<Duration>,
}

thread_local! {
    /// libtest gives each test a thread of its own, with the test's name.
    static TIMER: Timer = Timer {
        name: thread::current().name().unwrap_or_default().into(),
        started: Instant::now(),
        waited: Cell::default(),
    };
}

/// Waits for other tests.
pub fn waits<R>(wait: impl FnOnce() -> R) -> R {
    TIMER.with(|timer| {
        let start = Instant::now();
        let result = wait();
        timer.waited.set(timer.waited.get() + start.elapsed());
        result
    })
}

impl Drop for Timer {
    fn drop(&mut self) {
        let Some(path) = env::var_os("AVISOR_TIMES") else {
            return;
        };
        let seconds = (self.started.elapsed() - self.waited.get()).as_secs_f64();
        let file = OpenOptions::new().create(true).append(true).open(path);
        // One write: tests end at the same time.
        let line = format!("{seconds:.1} {}\n", self.name);
        if let Err(why) = file.and_then(|mut file| file.write_all(line.as_bytes())) {
            eprintln!("AVISOR_TIMES: {why}");
        }
    }
}
