//! Registers, for tests.

use super::*;

/// Registers, all with the same value but for their part's number.
#[derive(Default)]
pub struct ModelState {
    pub value: u32,
    /// The moment that a restore told last.
    pub taken: Moment,
}

impl SaveState for ModelState {
    fn moment(&mut self) -> Moment {
        Moment {
            physical: !u64::from(self.value),
            counter: u64::from(self.value) << 32 | 7,
        }
    }

    fn set_moment(&mut self, taken: Moment) {
        self.taken = taken;
    }

    fn goes_around_caches(&self, _: &[Node]) -> bool {
        false
    }

    fn save(&mut self, _: u64, part: usize, to: &mut [Node]) {
        to.fill(Node([self.value + part as u32; 8]));
    }

    fn load(&mut self, part: usize, from: &[Node]) {
        if part == 0 {
            self.value = from[0].0[0];
            let taken = self.taken;
            assert_eq!(taken, self.moment(), "the time is set first");
        }
        let expected = Node([self.value + part as u32; 8]);
        assert!(from.iter().all(|node| node.0 == expected.0));
    }
}
