//! A VM that another one controls, as far as that is pure: whether it may run, and what its controller is to learn of it.
//!
//! | it | stops | RUN |
//! | --- | --- | --- |
//! | runs | by an event, a debug exception, a reset, its end, its limit, STOP: RUN is going to return that | waits on |
//! | is stopped, with a reason that RUN has not returned yet | stays so | returns it |
//! | is stopped, and its controller knows | stays so | runs it |

/// Why a VM does not run any more, as RUN returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It called EVENT with these values.
    Event([u64; 3]),
    /// A debug exception that its controller catches: vCPU, ESR_EL2, and FAR_EL2 for a watchpoint or 0.
    Debug([u64; 3]),
    /// It was reset, and has not begun yet.
    Reset,
    /// It is off.
    Off,
    /// The time that RUN gave it is over.
    Limit,
    /// STOP.
    Stopped,
}

/// What RUN does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// Returns this at once.
    Returns(Reason),
    /// Lets the VM go on, and waits.
    Starts,
    /// Waits: the VM runs.
    Waits,
}

/// A VM under control.
#[derive(Debug, PartialEq, Eq)]
pub struct Target {
    /// Its controller caught debug exceptions, or set a breakpoint, since it is there.
    pub is_debugged: bool,
    runs: bool,
    /// What RUN has not returned yet. None while it runs.
    reason: Option<Reason>,
}

impl Target {
    /// One that runs, or waits to be run.
    pub const fn new(runs: bool) -> Self {
        Self {
            is_debugged: false,
            runs,
            reason: None,
        }
    }

    /// It is not to run any more. Returns whether it did. `None` is a reason that its controller need not be told. A reset makes what it did before
    /// meaningless, so that it is told instead of that.
    pub fn stop(&mut self, reason: Option<Reason>) -> bool {
        if self.runs || (self.reason.is_some() && reason == Some(Reason::Reset)) {
            self.reason = reason;
        }
        core::mem::replace(&mut self.runs, false)
    }

    /// Whatever it did before is taken back: it goes on from somewhere else.
    pub fn forget(&mut self) {
        self.reason = None;
    }

    /// What RUN has to return, if it has not yet.
    pub fn take_news(&mut self) -> Option<Reason> {
        self.reason.take()
    }

    /// Whether RUN of a VM that is off or not would start it.
    pub fn would_start(&self, is_off: bool) -> bool {
        self.reason.is_none() && !is_off && !self.runs
    }

    /// RUN of a VM that is off or not.
    pub fn run(&mut self, is_off: bool) -> Run {
        match self.take_news() {
            Some(reason) => Run::Returns(reason),
            None if is_off => Run::Returns(Reason::Off),
            None if self.runs => Run::Waits,
            None => {
                self.runs = true;
                Run::Starts
            }
        }
    }
}

/// A limit in ns, in ticks of a counter with `frequency` (below 2^32) ticks a second, rounded up; `None`: there is none.
#[inline]
pub fn ticks(ns: u64, frequency: u64) -> Option<u64> {
    const NS: u64 = 1_000_000_000;
    // Ticks in 2^32 ns: no division by what is not constant, and none of 128 bits.
    let ratio = (frequency << 32).div_ceil(NS);
    match ns {
        0 => None,
        ns => u64::try_from(((u128::from(ns) * u128::from(ratio)) >> 32) + 1).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const EVENT: Reason = Reason::Event([1, 2, 3]);

    #[test]
    fn each_stop_is_told_once() {
        let mut target = Target::new(false);
        for reason in [EVENT, Reason::Reset, Reason::Limit, Reason::Stopped] {
            assert_eq!(target.run(false), Run::Starts);
            assert_eq!(target.run(false), Run::Waits);
            assert!(target.stop(Some(reason)));
            assert_eq!(target.run(false), Run::Returns(reason));
            assert!(!target.stop(Some(reason)), "RUN did not start it");
        }
    }

    #[test]
    fn the_first_reason_counts() {
        let mut target = Target::new(true);
        assert!(target.stop(Some(EVENT)));
        assert!(!target.stop(Some(Reason::Limit)) && !target.stop(None));
        assert_eq!(target.run(false), Run::Returns(EVENT));
        assert!(!target.stop(Some(Reason::Reset)), "it does not run");
        assert_eq!(target.take_news(), None);
        assert_eq!(target.run(false), Run::Starts);
        assert_eq!(target.take_news(), None);
        target.stop(Some(EVENT));
        target.stop(Some(Reason::Reset));
        assert_eq!(target.take_news(), Some(Reason::Reset));
    }

    #[test]
    fn what_was_taken_back_is_not_told() {
        let mut target = Target::new(true);
        target.stop(Some(EVENT));
        target.forget();
        assert_eq!(target.run(false), Run::Starts);
        target.forget();
        assert!(target.stop(None), "a restore stops nobody");
        assert_eq!(target.run(false), Run::Starts);
    }

    #[test]
    fn one_that_is_off_does_not_start() {
        let mut target = Target::new(true);
        target.stop(Some(Reason::Off));
        let told: Vec<_> = (0..3).map(|_| target.run(true)).collect();
        assert_eq!(told, [Run::Returns(Reason::Off); 3]);
        assert_eq!(target.run(false), Run::Starts, "somebody restored it");
    }

    #[test]
    fn a_limit_is_never_shorter_than_was_asked_for() {
        assert_eq!(ticks(0, 62_500_000), None);
        for frequency in [1_000_000, 19_200_000, 54_000_000, 62_500_000, 1_000_000_000] {
            for ns in [1, 15, 16, 999, 1_000_000, 86_400_000_000_000] {
                let given = ticks(ns, frequency).unwrap();
                let exact = (u128::from(ns) * u128::from(frequency)).div_ceil(1_000_000_000);
                let given = u128::from(given);
                assert!(given >= exact && given <= exact + 2 + exact / 1000, "{ns}");
            }
        }
        assert_eq!(ticks(u64::MAX, 1_000_000_000), None, "more than there are");
    }
}
