//! Takes snapshots and goes back to them, at any moment.

use avisor_guest::snapshot::{self, Checkpoint, Error, Id};
use avisor_guest::timer::{Timer, microseconds};

use crate::cpu::fail;
use avisor_guest::random::Random;

/// One CPU that asks. Its numbers go back with everything else; only how often the machine was restored does not.
pub struct Asker {
    /// How often the machine had been restored at the beginning.
    first: u64,
    restores: u64,
    /// Where to go back to, and when.
    plan: Option<(Id, u64)>,
}

impl Asker {
    pub fn new(restores: u64) -> Self {
        Self {
            first: restored(),
            restores,
            plan: None,
        }
    }

    /// Whether the machine was restored as often as it should be.
    pub fn has_enough(&self) -> bool {
        restored() - self.first >= self.restores
    }

    /// Takes a snapshot, or waits for the time to go back.
    pub fn step(&mut self) {
        if self.has_enough() {
            return;
        }
        let Some((id, when)) = self.plan else {
            return self.checkpoint();
        };
        let now = Timer::Virtual.count();
        if now >= when {
            self.plan = None;
            // The time of the restore goes along.
            refused(snapshot::restore_with(id, now));
        }
    }

    fn checkpoint(&mut self) {
        let before = Timer::Virtual.count();
        match snapshot::checkpoint() {
            Ok(Checkpoint::Taken(id)) => self.plan_return(id),
            Ok(Checkpoint::Restored { id, value: left_at }) => {
                let now = Timer::Virtual.count();
                if now < before {
                    fail(format_args!(
                        "it is {now:#x} after a restore to {before:#x} at {left_at:#x}"
                    ));
                }
                match restored() % 3 {
                    // Once more to the same one.
                    0 => self.plan_return(id),
                    1 => {
                        if let Err(error) = snapshot::delete(id) {
                            refused(error);
                        }
                    }
                    _ => {}
                }
            }
            Err(error) => fail(format_args!("no checkpoint: {error}")),
        }
    }

    /// In up to 16 ms.
    fn plan_return(&mut self, id: Id) {
        let now = Timer::Virtual.count();
        let wait = Random::new(now ^ restored()).below(microseconds(16_000));
        self.plan = Some((id, now + wait));
    }
}

fn restored() -> u64 {
    snapshot::generation().unwrap_or_default()
}

/// Another may have deleted it, in a future that is no more; or memory may be full of others.
fn refused(error: Error) {
    if error != Error::NotFound {
        fail(format_args!("a snapshot call was refused: {error}"));
    }
}
