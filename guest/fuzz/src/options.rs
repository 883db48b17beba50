//! What the fuzzer's command line says: words `name=value`, in any order.

use alloc::string::{String, ToString};

/// What a run is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// What random numbers begin with.
    pub seed: u64,
    /// How long a round may take, in nanoseconds of the target's time.
    pub limit: u64,
    /// The longest input that is tried.
    pub longest: usize,
    /// The end comes after so many seconds; 0: never.
    pub seconds: u64,
    /// The end comes after so many rounds; 0: never.
    pub rounds: u64,
    /// The end comes with the first crash.
    pub until_crash: bool,
    /// Runs the inputs of the archive once, and tells how each ended.
    pub replay: bool,
    /// There is a terminal that understands control sequences.
    pub screen: bool,
    /// The host's folder that files go to, by semihosting; empty: they are lines on the console.
    pub folder: String,
    /// The host's file to which what other fuzzers find is added, an archive; empty: there are none.
    pub given: String,
    /// What the run is called.
    pub name: String,
    /// Seconds since 1970 at the start, which a guest does not know.
    pub epoch: u64,
    /// The process on the host, QEMU's: AFL++'s tools ask whether it lives.
    pub process: u64,
    /// Which job of the campaign this is.
    pub job: usize,
    /// How many there are.
    pub jobs: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            limit: 100_000_000,
            longest: 4096,
            seconds: 0,
            rounds: 0,
            until_crash: false,
            replay: false,
            screen: false,
            folder: String::new(),
            given: String::new(),
            name: "target".to_string(),
            epoch: 0,
            process: 0,
            job: 0,
            jobs: 1,
        }
    }
}

impl Options {
    /// Reads a command line. The error is the word that makes no sense.
    pub fn parse(line: &str) -> Result<Self, &str> {
        let mut options = Self::default();
        for word in line.split_ascii_whitespace() {
            options.set(word).ok_or(word)?;
        }
        Ok(options)
    }

    fn set(&mut self, word: &str) -> Option<()> {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let number = || value.parse::<u64>().ok();
        match name {
            "seed" => self.seed = number()?,
            "limit_ms" => self.limit = number().filter(|&ms| ms > 0)?.checked_mul(1_000_000)?,
            "longest" => self.longest = number().filter(|n| (1..=0x1_0000).contains(n))? as usize,
            "seconds" => self.seconds = number()?,
            "rounds" => self.rounds = number()?,
            "until_crash" if value.is_empty() => self.until_crash = true,
            "replay" if value.is_empty() => self.replay = true,
            "screen" if value.is_empty() => self.screen = true,
            "folder" => self.folder = value.to_string(),
            "given" => self.given = value.to_string(),
            "name" => self.name = value.to_string(),
            "epoch" => self.epoch = number()?,
            "job" => self.job = number().filter(|&n| n < 8)? as usize,
            "jobs" => self.jobs = number().filter(|n| (1..=8).contains(n))? as usize,
            "process" => self.process = number()?,
            _ => return None,
        }
        Some(())
    }
}
