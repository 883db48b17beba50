//! Files' names, as AFL++ has them.

use alloc::format;
use alloc::string::String;

/// Where an input came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file that the run began with.
    Seed(String),
    /// Another job gave it.
    Given,
    /// Another fuzzer of the campaign has it in its queue.
    Synced {
        /// The name of that one.
        by: String,
        /// The number that it has there, if the file's name says one.
        number: usize,
    },
    /// Another input of the queue was changed.
    Changed {
        /// The number of that one.
        from: usize,
        /// By which stage.
        by: &'static str,
    },
}

/// The name of input `number`, found `ms` milliseconds and `rounds` rounds after the start. `signal` is what AFL++ would have seen of a crash.
pub fn input(number: usize, signal: Option<u8>, origin: &Origin, ms: u64, rounds: u64) -> String {
    let signal = signal.map_or(String::new(), |signal| format!(",sig:{signal:02}"));
    match origin {
        Origin::Seed(path) => {
            let name = path.rsplit('/').next().unwrap_or_default();
            // A file of an earlier run keeps what it says of itself.
            if let Some((_, rest)) = name
                .strip_prefix("id:")
                .and_then(|name| name.split_once(','))
            {
                return format!("id:{number:06},{rest}");
            }
            // What separates fields.
            let name: String = name
                .chars()
                .map(|c| if ", ".contains(c) { '_' } else { c })
                .collect();
            format!("id:{number:06}{signal},time:{ms},execs:{rounds},orig:{name}")
        }
        Origin::Given => format!("id:{number:06}{signal},sync:job,time:{ms},execs:{rounds}"),
        Origin::Synced { by, number: theirs } => {
            format!("id:{number:06}{signal},sync:{by},src:{theirs:06},time:{ms},execs:{rounds}")
        }
        Origin::Changed { from, by } => {
            format!("id:{number:06}{signal},src:{from:06},time:{ms},execs:{rounds},op:{by},rep:1")
        }
    }
}
