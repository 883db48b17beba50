//! LibAFL's clock, which leaves out what the machine stood still.

use core::sync::atomic::{AtomicU64, Ordering};

/// What takes longer than so many usual stretches counts as that.
const MOST: u64 = 16;
/// Of so many of the last stretches is the usual one.
const STRETCHES: u64 = 32;

/// A clock that is read before and behind each round.
///
/// LibAFL tries inputs the less often the longer they took, as it saw in four rounds of each. An emulator whose host has other work stands still for a
/// thousand rounds now and then: the input of that moment would never be tried again, whatever it reached.
pub struct Pace {
    /// When it was read last; 0 at the start.
    read: AtomicU64,
    /// What it said.
    time: AtomicU64,
    /// [`STRETCHES`] times the usual stretch between two readings.
    usual: AtomicU64,
}

impl Pace {
    /// A clock at 0.
    pub const fn new() -> Self {
        Self {
            read: AtomicU64::new(0),
            time: AtomicU64::new(0),
            usual: AtomicU64::new(0),
        }
    }

    /// The time at the moment `now`, in its unit. One CPU reads it.
    pub fn at(&self, now: u64) -> u64 {
        let relaxed = Ordering::Relaxed;
        let before = self.read.swap(now, relaxed);
        let passed = if before == 0 {
            0
        } else {
            now.saturating_sub(before)
        };
        let usual = match self.usual.load(relaxed) {
            0 => STRETCHES * passed,
            usual => usual,
        };
        let counted = passed.min(MOST * usual.div_ceil(STRETCHES));
        self.usual
            .store(usual - usual / STRETCHES + counted, relaxed);
        self.time.fetch_add(counted, relaxed) + counted
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rounds of so long, each with a moment behind it; what the clock says of each.
    fn rounds(pace: &Pace, now: &mut u64, lengths: &[u64]) -> std::vec::Vec<u64> {
        let round = |length: &u64| {
            *now += 3;
            let begin = pace.at(*now);
            *now += length;
            pace.at(*now) - begin
        };
        lengths.iter().map(round).collect()
    }

    #[test]
    fn a_machine_that_stands_still_is_no_slow_input() {
        let (pace, mut now) = (Pace::new(), 1_000_000);
        let usual = [200; 100];
        assert_eq!(rounds(&pace, &mut now, &usual)[1..], usual[1..]);
        let stood = rounds(&pace, &mut now, &[5_000_000])[0];
        assert!((200..200 * MOST).contains(&stood), "{stood}");
        assert_eq!(rounds(&pace, &mut now, &usual), usual);
    }

    #[test]
    fn what_is_slow_is_told_from_what_is_not() {
        let (pace, mut now) = (Pace::new(), 0);
        rounds(&pace, &mut now, &[200; 100]);
        assert_eq!(rounds(&pace, &mut now, &[1400, 200]), [1400, 200]);
        // All are slower from here on: it learns that.
        let slower = rounds(&pace, &mut now, &[20_000; 100]);
        assert!(slower[0] < 20_000);
        assert_eq!(slower[90..], [20_000; 10]);
    }
}
