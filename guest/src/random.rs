//! Random numbers, the same for the same seed (splitmix64).

/// The step from one state of a [`Random`] to the next.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A generator.
pub struct Random(u64);

impl Random {
    /// The generator that begins at `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Generator `number` of those that belong to `seed`: each gives numbers of its own.
    pub fn numbered(seed: u64, number: u64) -> Self {
        let mut random = Self(seed);
        random.0 ^= random
            .next()
            .wrapping_add(number.wrapping_mul(0xd134_2543_de82_ef95));
        random
    }

    /// 64 random bits.
    // It has no end, and so is no iterator.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mixed(self.0)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// One of `choices`, of which there is at least one.
    pub fn choose<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// True once in `n` times; `n` is not 0.
    pub fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// A number such as mistakes are made with: near 0, near a power of two, or anything.
    pub fn number(&mut self) -> u64 {
        let near = self.below(17).wrapping_sub(8);
        match self.below(4) {
            0 => near,
            1 => (1_u64 << self.below(64)).wrapping_add(near),
            2 => self.next() >> self.below(64),
            _ => self.next(),
        }
    }
}

/// Number `index` of a fixed sequence. Its values look like nothing that memory or a register holds by accident.
pub fn pattern(index: u64) -> u64 {
    mixed(index.wrapping_add(1).wrapping_mul(STEP))
}

/// Each bit of `z` changes about half of the result's.
fn mixed(z: u64) -> u64 {
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}
