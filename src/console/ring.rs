//! Bytes that wait for somebody who takes them.

/// Bytes that wait at most. Text that is pasted comes faster than a guest takes it.
pub const RING_MAX: usize = 512;

/// First in, first out.
pub struct Ring {
    bytes: [u8; RING_MAX],
    first: usize,
    length: usize,
}

impl Ring {
    /// Nothing.
    pub const EMPTY: Self = Self {
        bytes: [0; RING_MAX],
        first: 0,
        length: 0,
    };

    /// Takes a byte; drops it if there is no room.
    pub fn push(&mut self, byte: u8) {
        if self.length < RING_MAX {
            self.bytes[(self.first + self.length) % RING_MAX] = byte;
            self.length += 1;
        }
    }

    /// Gives the oldest byte back.
    pub fn pop(&mut self) -> Option<u8> {
        if self.length == 0 {
            return None;
        }
        let byte = self.bytes[self.first];
        self.first = (self.first + 1) % RING_MAX;
        self.length -= 1;
        Some(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    proptest! {
        #[test]
        fn as_a_queue_with_a_limit(steps in prop::collection::vec((any::<bool>(), 1..700_usize), 1..20)) {
            let (mut ring, mut model) = (Ring::EMPTY, VecDeque::new());
            let mut next = 0_u8;
            for (pushes, count) in steps {
                for _ in 0..count {
                    if pushes {
                        next = next.wrapping_add(1);
                        ring.push(next);
                        if model.len() < RING_MAX {
                            model.push_back(next);
                        }
                    } else {
                        prop_assert_eq!(ring.pop(), model.pop_front());
                    }
                }
            }
        }
    }
}
