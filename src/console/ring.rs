//! A queue with a limit: what was typed, and was not read yet.

use alloc::collections::VecDeque;

/// First in, first out; at most so many, and fewer where memory does not suffice.
pub struct Ring<T> {
    waiting: VecDeque<T>,
    most: usize,
}

impl<T: Copy> Ring<T> {
    /// An empty one for at most `most`.
    pub const fn new(most: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            most,
        }
    }

    /// Makes room for another value, if it can, and returns whether [`push`](Self::push) would take one.
    pub fn try_reserve(&mut self) -> bool {
        self.waiting.len() < self.most && self.waiting.try_reserve(1).is_ok()
    }

    /// Makes all the room that there may be, if it can.
    pub fn try_reserve_all(&mut self) -> bool {
        let more = self.most - self.waiting.len();
        self.waiting.try_reserve_exact(more).is_ok()
    }

    /// Adds a value. Returns false, and changes nothing, if there is no room.
    #[must_use]
    pub fn push(&mut self, value: T) -> bool {
        let room = self.try_reserve();
        if room {
            self.waiting.push_back(value);
        }
        room
    }

    /// Removes the oldest value.
    pub fn pop(&mut self) -> Option<T> {
        self.waiting.pop_front()
    }

    /// The oldest value, which stays.
    pub fn peek(&self) -> Option<T> {
        self.waiting.front().copied()
    }

    /// The newest value, which stays.
    pub fn newest(&self) -> Option<T> {
        self.waiting.back().copied()
    }

    /// How many values wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether less than half of the room is used.
    pub fn is_half_empty(&self) -> bool {
        self.waiting.len() <= self.most / 2
    }

    /// Removes the newest values, up to the newest for which `ends` holds: that one stays. Returns how many were removed.
    pub fn take_back(&mut self, ends: impl Fn(T) -> bool) -> usize {
        let before = self.waiting.len();
        let kept = self.waiting.iter().rposition(|value| ends(*value));
        self.waiting.truncate(kept.map_or(0, |at| at + 1));
        before - self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    proptest! {
        #[test]
        fn as_a_queue_with_a_limit(steps in prop::collection::vec((any::<bool>(), 1..700_usize), 1..20)) {
            let (mut ring, mut model) = (Ring::new(512), VecDeque::new());
            let mut next = 0_u8;
            for (pushes, count) in steps {
                for _ in 0..count {
                    if pushes {
                        next = next.wrapping_add(1);
                        let room = model.len() < 512;
                        prop_assert_eq!(ring.push(next), room);
                        if room {
                            model.push_back(next);
                        }
                    } else {
                        prop_assert_eq!(ring.peek(), model.front().copied());
                        prop_assert_eq!(ring.pop(), model.pop_front());
                    }
                }
            }
        }
    }

    #[test]
    fn takes_a_line_back() {
        let mut ring = Ring::new(100);
        for (typed, taken_back, left) in [("one\rtw", 2, "one\r"), ("", 0, ""), ("x", 1, "")] {
            assert!(typed.bytes().all(|byte| ring.push(byte)));
            assert_eq!(ring.take_back(|byte| byte == b'\r'), taken_back);
            let rest: Vec<u8> = core::iter::from_fn(|| ring.pop()).collect();
            assert_eq!(rest, left.as_bytes());
        }
    }
}
