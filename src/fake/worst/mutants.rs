//! Orderings that are left out, one at a time, to see whether a test notices: barriers, maintenance, acquire and release. `make mutants` names
//! the place in `AVISOR_LEFT_OUT`, as `FILE:LINE`, and finds in the file `AVISOR_PLACES` which there are and were passed.

use std::collections::HashSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::panic::Location;
use std::string::String;
use std::sync::{LazyLock, Mutex};

static LEFT_OUT: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("AVISOR_LEFT_OUT").ok());
static PLACES: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("AVISOR_PLACES").ok());
static PASSED: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);

/// Whether the place that calls, as [`Location::caller`] has it, is the one that is left out.
#[track_caller]
pub fn is_left_out() -> bool {
    let place = Location::caller();
    is_this_left_out(place.file(), place.line())
}

/// The same, for a line of another file than Rust's.
pub fn is_this_left_out(file: &str, line: u32) -> bool {
    if LEFT_OUT.is_none() && PLACES.is_none() {
        return false;
    }
    let place = std::format!("{file}:{line}");
    if let Some(path) = &*PLACES
        && PASSED.lock().unwrap().insert(place.clone())
    {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .unwrap();
        // One write: those of several threads must not mix.
        file.write_all(std::format!("{place}\n").as_bytes())
            .unwrap();
    }
    LEFT_OUT.as_ref() == Some(&place)
}
