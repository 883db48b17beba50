//! What fuzzers of one campaign tell each other, in a window that they share: inputs that reach something new, figures, and that it is over.
//!
//! Each job has a region of its own, which only it writes. A region is words of 64 bits:
//!
//! | words | what |
//! | --- | --- |
//! | 0 | epoch: odd while the region is emptied |
//! | 1 | how many words of inputs there are, behind the header |
//! | 2 | 1: this job has found what the campaign looks for, and all are to end; 2: it is through |
//! | 3 to 6 | [`Sums`] |
//! | from 8 on | inputs, one after the other: the bytes of it, then these, padded with zeros |
//!
//! A region that is full is emptied, and begins anew with the next epoch: who was slow has missed something. A reader takes what it read
//! for nothing if the epoch changed meanwhile, as with a seqlock.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering, fence};

/// The name of the window in the configuration.
pub const NAME: &str = "found";

const EPOCH: usize = 0;
const WORDS: usize = 1;
const ENDS: usize = 2;
const SUMS: usize = 3;
const HEADER: usize = 8;

/// Figures that are added up over all jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Inputs run.
    pub rounds: u64,
    /// Crashes and hangs that were kept.
    pub saved: u64,
    /// All crashes.
    pub crashes: u64,
    /// All hangs.
    pub hangs: u64,
}

/// The window, as one job sees it.
#[derive(Clone)]
pub struct Exchange {
    regions: Vec<&'static [AtomicU64]>,
    /// Which region is this job's own.
    job: usize,
    /// Of each region: the epoch, and the words of inputs that were read.
    read: Vec<(u64, usize)>,
}

impl Exchange {
    /// For a job that is alone.
    pub const fn alone() -> Self {
        Self {
            regions: Vec::new(),
            job: 0,
            read: Vec::new(),
        }
    }

    /// Job `job` of `jobs`, which is more than that. The window is zero at the start.
    pub fn new(window: &'static [AtomicU64], job: usize, jobs: usize) -> Self {
        let regions: Vec<_> = window
            .chunks_exact(window.len() / jobs)
            .take(jobs)
            .collect();
        assert!(job < jobs && regions[job].len() > HEADER);
        Self {
            regions,
            job,
            read: alloc::vec![(0, 0); jobs],
        }
    }

    /// Which job this is.
    pub fn job(&self) -> usize {
        self.job
    }

    /// How many there are.
    pub fn jobs(&self) -> usize {
        self.regions.len().max(1)
    }

    /// Gives the others an input. One that is longer than a region is not given.
    pub fn give(&mut self, input: &[u8]) {
        let Some(region) = self.regions.get(self.job) else {
            return;
        };
        let words = 1 + input.len().div_ceil(8);
        let room = region.len() - HEADER;
        if words > room {
            return;
        }
        let mut start = region[WORDS].load(Ordering::Relaxed) as usize;
        if start + words > room {
            let epoch = region[EPOCH].load(Ordering::Relaxed);
            region[EPOCH].store(epoch + 1, Ordering::Relaxed);
            // Whoever reads what is stored from here on sees that epoch, too.
            fence(Ordering::Release);
            region[WORDS].store(0, Ordering::Relaxed);
            region[EPOCH].store(epoch + 2, Ordering::Release);
            start = 0;
        }
        let place = &region[HEADER + start..];
        place[0].store(input.len() as u64, Ordering::Relaxed);
        for (word, bytes) in place[1..].iter().zip(input.chunks(8)) {
            let mut value = [0; 8];
            value[..bytes.len()].copy_from_slice(bytes);
            word.store(u64::from_le_bytes(value), Ordering::Relaxed);
        }
        region[WORDS].store((start + words) as u64, Ordering::Release);
    }

    /// The next input that another job gave, if there is one that was not taken.
    pub fn take(&mut self) -> Option<Vec<u8>> {
        let others = (0..self.regions.len()).filter(|&job| job != self.job);
        others.into_iter().find_map(|job| {
            let (region, read) = (self.regions[job], &mut self.read[job]);
            let epoch = region[EPOCH].load(Ordering::Acquire);
            if read.0 != epoch {
                *read = (epoch, 0);
            }
            let words = region[WORDS].load(Ordering::Acquire) as usize;
            let inputs = region[HEADER..].get(..words)?;
            let rest = inputs.get(read.1..).filter(|rest| !rest.is_empty())?;
            let bytes = rest[0].load(Ordering::Relaxed) as usize;
            let payload = rest.get(1..1 + bytes.div_ceil(8));
            let mut input: Vec<_> = payload
                .into_iter()
                .flatten()
                .flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes())
                .collect();
            input.truncate(bytes);
            fence(Ordering::Acquire);
            // What was read while the region was emptied is nothing, and the next look begins anew.
            let is_whole = region[EPOCH].load(Ordering::Relaxed) == epoch && epoch & 1 == 0;
            if !is_whole || payload.is_none() {
                return None;
            }
            read.1 += 1 + bytes.div_ceil(8);
            Some(input)
        })
    }

    /// Says how this job does. Returns the sum of all; of this one, if it is alone.
    pub fn publish(&self, sums: Sums) -> Sums {
        let Some(own) = self.regions.get(self.job) else {
            return sums;
        };
        let values = [sums.rounds, sums.saved, sums.crashes, sums.hangs];
        for (word, value) in own[SUMS..].iter().zip(values) {
            word.store(value, Ordering::Relaxed);
        }
        let sum = |index: usize| {
            let words = self.regions.iter().map(|region| &region[SUMS + index]);
            words.map(|word| word.load(Ordering::Relaxed)).sum()
        };
        Sums {
            rounds: sum(0),
            saved: sum(1),
            crashes: sum(2),
            hangs: sum(3),
        }
    }

    /// Tells all jobs to end.
    pub fn end_all(&self) {
        self.mark(1);
    }

    /// This job is through.
    pub fn end(&self) {
        self.mark(2);
    }

    fn mark(&self, mark: u64) {
        if let Some(own) = self.regions.get(self.job) {
            own[ENDS].store(mark, Ordering::Release);
        }
    }

    /// Whether a job tells all to end.
    pub fn ends(&self) -> bool {
        self.marks().any(|mark| mark == 1)
    }

    /// Whether all other jobs are through.
    pub fn others_are_through(&self) -> bool {
        let others = self.marks().enumerate().filter(|(job, _)| *job != self.job);
        others.into_iter().all(|(_, mark)| mark == 2)
    }

    fn marks(&self) -> impl Iterator<Item = u64> + '_ {
        self.regions
            .iter()
            .map(|region| region[ENDS].load(Ordering::Acquire))
    }
}
