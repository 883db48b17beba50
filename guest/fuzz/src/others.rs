//! What other fuzzers of the campaign found, each a machine of its own: `tools/fuzz-sync` adds the files of their queues to an archive on the host, which is
//! read on as it grows.

use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::archive::member;
use crate::names::Origin;
use crate::target::Output;

/// How often the archive is looked at, in nanoseconds.
const OFTEN: u64 = 1_000_000_000;
/// The most that is read at once: more than the longest input with its name.
const MOST: usize = 1 << 20;

/// The archive, as far as it was read.
pub struct Others {
    /// Empty: there is none.
    path: String,
    at: u64,
    /// When there was nothing more.
    looked: Option<u64>,
    waiting: VecDeque<(Origin, Vec<u8>)>,
}

impl Others {
    /// The archive at `path`, of which nothing was read; or none, if that is empty.
    pub fn new(path: &str) -> Self {
        Self {
            path: path.into(),
            at: 0,
            looked: None,
            waiting: VecDeque::new(),
        }
    }

    /// The next input, and where it is from. `now` is nanoseconds since some moment.
    pub fn take(&mut self, output: &mut impl Output, now: u64) -> Option<(Origin, Vec<u8>)> {
        let is_time = self.looked.is_none_or(|looked| now - looked >= OFTEN);
        if self.waiting.is_empty() && !self.path.is_empty() && is_time {
            self.look(output);
            // There may be more than is read at once.
            if self.waiting.is_empty() {
                self.looked = Some(now);
            }
        }
        self.waiting.pop_front()
    }

    fn look(&mut self, output: &mut impl Output) {
        let archive = output.read(&self.path, self.at, MOST);
        let mut read = 0;
        // Of the last one only the beginning may be there so far.
        while let Some((name, bytes, next)) = member(&archive, read) {
            self.waiting.push_back((origin(name), bytes.to_vec()));
            read = next;
        }
        self.at += read as u64;
    }
}

/// Of a file's name, such as `default/id:000012,src:...`.
fn origin(name: &str) -> Origin {
    let (by, file) = name.rsplit_once('/').unwrap_or(("", name));
    let digits = file
        .strip_prefix("id:")
        .and_then(|rest| rest.split(',').next());
    Origin::Synced {
        by: by.to_string(),
        number: digits.and_then(|id| id.parse().ok()).unwrap_or(0),
    }
}
