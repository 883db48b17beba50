//! How many lines a VM may cause in the log.

/// Lines in a [`WINDOW`]: at 115,200 baud, one takes 3 to 6 ms, with the console locked.
const LINES_MAX: u32 = 100;
/// Seconds.
const WINDOW: u64 = 10;

/// Counts a VM's lines.
#[derive(Debug, Default)]
pub struct LogBudget {
    /// The physical count at which the window began; 0 before the first.
    since: u64,
    lines: u32,
    left_out: u64,
}

impl LogBudget {
    /// Counts a line at the physical count `now`, which grows by `frequency` a second. Returns whether it may be written.
    pub fn admit(&mut self, now: u64, frequency: u64) -> bool {
        if self.window_ended(now, frequency) {
            self.since = now;
            self.lines = 0;
        }
        let admitted = self.lines < LINES_MAX;
        self.lines += u32::from(admitted);
        self.left_out += u64::from(!admitted);
        admitted
    }

    /// How many lines were left out, once it is time to say so.
    pub fn take_left_out(&mut self, now: u64, frequency: u64) -> Option<u64> {
        if self.left_out == 0 || !self.window_ended(now, frequency) {
            return None;
        }
        Some(core::mem::take(&mut self.left_out))
    }

    /// The same at the VM's end.
    pub fn take_left_out_at_last(&mut self) -> Option<u64> {
        Some(core::mem::take(&mut self.left_out)).filter(|count| *count > 0)
    }

    fn window_ended(&self, now: u64, frequency: u64) -> bool {
        self.since == 0 || now.saturating_sub(self.since) >= WINDOW * frequency
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_what_the_window_allows() {
        let mut log_budget = LogBudget::default();
        let (mut written, mut told) = (0, 0);
        // 3,000 lines a second, for 25 s.
        for n in 0..75_000 {
            let now = 1 + n;
            told += log_budget.take_left_out(now, 3000).unwrap_or(0);
            written += u64::from(log_budget.admit(now, 3000));
        }
        assert_eq!(written, 300);
        assert_eq!(told, 2 * (30_000 - 100));
        told += log_budget.take_left_out_at_last().unwrap_or(0);
        assert_eq!(written + told, 75_000);
        assert_eq!(log_budget.take_left_out_at_last(), None);
    }

    #[test]
    fn a_few_lines_are_never_left_out() {
        let mut log_budget = LogBudget::default();
        assert!((0..1000).all(|n| log_budget.admit(n * 1000, 5000)));
        assert_eq!(log_budget.take_left_out(u64::MAX, 5000), None);
    }
}
