//! What a target is to the rest of the fuzzer, and where what is found goes to.

use alloc::vec::Vec;

use crate::layout::Window;

/// How a round ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The target is through with the input.
    Done,
    /// It crashed, at a place that tells crashes apart.
    Crash {
        /// See `layout::CRASH`.
        place: u64,
    },
    /// It took longer than the limit.
    Hang,
    /// Its machine was reset: what a kernel does that panics.
    Reset,
    /// It switched its machine off.
    Off,
}

/// What the rounds so far cost; in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Costs {
    /// The target's own time.
    pub target: u64,
    /// Between the call and its return, less the target's own.
    pub hypervisor: u64,
    /// Pages that the last round dirtied of which that was asked.
    pub pages: u64,
}

/// A program that can be run again and again from the same state.
pub trait Target {
    /// The window. Nobody else touches it between rounds.
    fn window(&self) -> Window;
    /// Runs the input that lies in the window. Afterwards the target is back where it was.
    fn round(&mut self) -> Ending;
    /// What the rounds so far cost.
    fn costs(&self) -> Costs;
    /// Nanoseconds since some moment.
    fn now(&self) -> u64;
}

/// Files, below the folder of the run, and the console.
pub trait Output {
    /// Makes a file, in place of the one of that name.
    fn write(&mut self, path: &str, bytes: &[u8]);
    /// Adds to the end of a file.
    fn append(&mut self, path: &str, bytes: &[u8]);
    /// At most so many bytes of the host's file, of this path on the host, from an offset on: as many as there are. None if there is no such file.
    fn read(&mut self, path: &str, offset: u64, most: usize) -> Vec<u8>;
    /// Shows text as it is.
    fn show(&mut self, text: &str);
}
