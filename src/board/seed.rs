//! Seeds for the guests' random number generators, drawn from the one that the firmware leaves in the board's device tree (`/chosen/rng-seed`).
//!
//! A guest that knows its own seeds learns nothing of another's: what is drawn is the key stream of ChaCha20, which does not tell its key.

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};

/// Bytes of a seed: as many as a kernel wants before its generator counts as seeded.
pub const SEED_BYTES: usize = 32;

/// Where seeds come from.
pub struct Seeds(ChaCha20Rng);

impl Seeds {
    /// From the firmware's seed, of any length. `None` if that is shorter than a seed: a guest believes that all bits of its own are random.
    pub fn new(seed: &[u8]) -> Option<Self> {
        if seed.len() < SEED_BYTES {
            return None;
        }
        let mut key = [0; SEED_BYTES];
        for (n, byte) in seed.iter().enumerate() {
            key[n % SEED_BYTES] ^= byte;
        }
        Some(Self(ChaCha20Rng::from_seed(key)))
    }

    /// The next seed.
    pub fn draw(&mut self) -> [u8; SEED_BYTES] {
        let mut seed = [0; SEED_BYTES];
        self.0.fill_bytes(&mut seed);
        seed
    }

    /// A source for somebody else, who draws others.
    pub fn divide(&mut self) -> Self {
        Self(ChaCha20Rng::from_seed(self.draw()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn seeds(seed: &[u8]) -> Seeds {
        Seeds::new(seed).unwrap()
    }

    #[test]
    fn no_seed_is_drawn_twice() {
        let mut first = seeds(&[7; SEED_BYTES]);
        let mut second = first.divide();
        let mut drawn: Vec<_> = (0..50)
            .flat_map(|_| [first.draw(), second.draw()])
            .collect();
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn.len(), 100);
    }

    #[test]
    fn all_of_the_firmwares_seed_counts() {
        let long = [3; SEED_BYTES * 2 + 5];
        let drawn = seeds(&long).draw();
        assert_eq!(drawn, seeds(&long).draw());
        for n in 0..long.len() {
            let mut other = long;
            other[n] ^= 0x80;
            assert_ne!(seeds(&other).draw(), drawn, "byte {n}");
        }
    }

    #[test]
    fn what_is_too_short_is_none() {
        assert!(Seeds::new(&[1; SEED_BYTES - 1]).is_none());
        assert!(Seeds::new(&[]).is_none());
    }
}
