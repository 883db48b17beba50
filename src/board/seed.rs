//! Seeds for the guests' random number generators, drawn from the one that the firmware leaves in the board's device tree (`/chosen/rng-seed`).
//!
//! A guest that knows its own seed learns nothing of another's, nor of those that its VM had before: each seed is one half of a block of ChaCha20
//! (RFC 8439, section 2.3), and the other half is the key for the next ("fast key erasure", D. J. Bernstein, 2017).

/// Bytes of a seed: as many as a kernel wants before its generator counts as seeded.
pub const SEED_BYTES: usize = 32;

/// Words of a block, and of a key.
const BLOCK_WORDS: usize = 16;
const KEY_WORDS: usize = 8;
/// "expand 32-byte k".
const CONSTANTS: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];

/// Where seeds come from. Each draws other ones than those that it was made from.
pub struct Seeds {
    key: [u32; KEY_WORDS],
}

impl Seeds {
    /// From the firmware's seed, of any length. `None` if that is shorter than a seed: a guest believes that all bits of its own are random.
    pub fn new(seed: &[u8]) -> Option<Self> {
        if seed.len() < SEED_BYTES {
            return None;
        }
        let mut seeds = Self {
            key: [0; KEY_WORDS],
        };
        for chunk in seed.chunks(SEED_BYTES) {
            for (n, byte) in chunk.iter().enumerate() {
                seeds.key[n / 4] ^= u32::from(*byte) << (n % 4 * 8);
            }
            seeds.next();
        }
        Some(seeds)
    }

    /// The next seed.
    pub fn draw(&mut self) -> [u8; SEED_BYTES] {
        let mut seed = [0; SEED_BYTES];
        for (bytes, word) in seed.chunks_exact_mut(4).zip(self.next()) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        seed
    }

    /// A source for somebody else.
    pub fn divide(&mut self) -> Self {
        Self { key: self.next() }
    }

    fn next(&mut self) -> [u32; KEY_WORDS] {
        let block = block(&self.key);
        let (key, next) = block.split_at(KEY_WORDS);
        self.key.copy_from_slice(key);
        let mut words = [0; KEY_WORDS];
        words.copy_from_slice(next);
        words
    }
}

/// The first block of ChaCha20 with this key and a nonce of 0.
fn block(key: &[u32; KEY_WORDS]) -> [u32; BLOCK_WORDS] {
    let mut first = [0; BLOCK_WORDS];
    first[..4].copy_from_slice(&CONSTANTS);
    first[4..12].copy_from_slice(key);
    let mut state = first;
    // 20 rounds of four; those of even rounds are about columns, those of odd ones about diagonals.
    for quarter in 0..80_usize {
        let turn = quarter / 4 % 2;
        let at = |row: usize| row * 4 + (quarter + row * turn) % 4;
        quarter_round(&mut state, [at(0), at(1), at(2), at(3)]);
    }
    for (word, first) in state.iter_mut().zip(first) {
        *word = word.wrapping_add(first);
    }
    state
}

/// RFC 8439, section 2.1.
fn quarter_round(state: &mut [u32; BLOCK_WORDS], at: [usize; 4]) {
    let [mut a, mut b, mut c, mut d] = at.map(|at| state[at % BLOCK_WORDS]);
    for [first, second] in [[16, 12], [8, 7]] {
        a = a.wrapping_add(b);
        d = (d ^ a).rotate_left(first);
        c = c.wrapping_add(d);
        b = (b ^ c).rotate_left(second);
    }
    for (at, word) in at.into_iter().zip([a, b, c, d]) {
        state[at % BLOCK_WORDS] = word;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// RFC 8439, appendix A.1, test vector 1.
    #[test]
    fn a_block_is_that_of_chacha20() {
        let words = block(&[0; KEY_WORDS]);
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let expected = "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7\
                        da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586";
        assert_eq!(hex(&bytes), expected);
    }

    fn hex(bytes: &[u8]) -> std::string::String {
        bytes
            .iter()
            .map(|byte| std::format!("{byte:02x}"))
            .collect()
    }

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
        assert_ne!(seeds(&long[..SEED_BYTES]).draw(), drawn);
    }

    #[test]
    fn what_is_too_short_is_none() {
        assert!(Seeds::new(&[1; SEED_BYTES - 1]).is_none());
        assert!(Seeds::new(&[]).is_none());
    }
}
