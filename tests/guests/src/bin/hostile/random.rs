//! Random numbers, the same for the same seed (splitmix64).

/// A generator.
pub struct Random(u64);

impl Random {
    /// The generator of try `number`.
    pub fn new(seed: u64, number: u64) -> Random {
        let mut random = Random(seed);
        random.0 ^= random
            .next()
            .wrapping_add(number.wrapping_mul(0xd134_2543_de82_ef95));
        random
    }

    /// 64 random bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// Below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// One of `choices`.
    pub fn choose<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// Once in `n` times.
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
