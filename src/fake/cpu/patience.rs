//! What a fake core does while its vCPU has nothing to do, until there is an interrupt.

use super::{FakeCore, set_count};
use crate::arch::sync::Ordering;
use crate::arch::vcpu::{Trap, TrapKind};
use crate::fake::sync;
use crate::vm::{Core, Interrupt};
use std::time::{Duration, Instant};

/// What a core waits for whose vCPU has nothing left of its script and computes; and one that sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Nothing: a script that ends is the test's mistake.
    None,
    /// Its alarm: the count goes on to it at once.
    Alarm,
    /// A kick by a core in another thread.
    Kick,
}

/// A kick that does not come in this time never does.
const TIMEOUT: Duration = Duration::from_secs(30);

impl FakeCore {
    pub(super) fn is_interrupted(&self) -> bool {
        !self.interrupts.is_empty() || self.kicks[self.number].load(Ordering::Relaxed)
    }

    /// Its vCPU computes until there is an interrupt.
    pub(super) fn compute(&mut self) -> Trap {
        let start = Instant::now();
        while !self.is_interrupted() {
            match self.patience {
                Patience::None => panic!("the guest has something to do"),
                Patience::Alarm => {
                    assert_ne!(self.next_alarm(), u64::MAX, "it computes for ever");
                    self.await_alarm();
                }
                Patience::Kick => self.yield_now(start),
            }
        }
        Trap {
            kind: TrapKind::Irq,
            esr: 0,
            far: 0,
            hpfar: 0,
        }
    }

    /// The others have their turn: this one waits for a kick since `start`.
    pub(super) fn yield_now(&self, start: Instant) {
        assert!(start.elapsed() < TIMEOUT, "nobody kicks it");
        sync::yield_now();
    }

    /// When an alarm goes off.
    pub fn next_alarm(&self) -> u64 {
        self.alarm.min(self.review_alarm)
    }

    pub(super) fn await_alarm(&mut self) {
        set_count(Self::physical_count().max(self.next_alarm()));
        self.interrupts.push_back(Interrupt::Alarm);
    }
}
