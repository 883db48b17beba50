//! What happens and what does not: all that the architecture leaves open is decided here, at random.

use proptest::prelude::*;

/// How bad it gets: for each kind of misfortune how often it strikes, in 256. All zero is a board that does at once what it is told. A test
/// that fails shrinks them one by one: what is left says what it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Luck {
    /// Where the random numbers begin.
    pub seed: u64,
    /// Nothing strikes after so many decisions.
    pub until: u32,
    /// A table walk is begun by speculation.
    pub walk: u8,
    /// A walk in flight goes on later.
    pub linger: u8,
    /// What is to be invalidated, in a TLB or a cache, stays until the barrier.
    pub keep: u8,
    /// A translation that is in a TLB is walked for again.
    pub again: u8,
    /// A TLB holds a piece of a block.
    pub piece: u8,
    /// A store to a table is seen by walks later.
    pub late: u8,
    /// A system register changes for speculation later than it was written, or earlier than it is synchronized.
    pub half: u8,
    /// A line comes into the data cache that nobody asked for.
    pub fill: u8,
    /// A line leaves the data cache.
    pub evict: u8,
    /// A store around the caches, or maintenance of a line, reaches memory later.
    pub drift: u8,
    /// An instruction cache takes a line that is not executed yet.
    pub prefetch: u8,
}

/// Kinds of misfortune that have a rate.
const KINDS: usize = 11;

impl Luck {
    /// A board that does at once what it is told.
    pub const GOOD: Self = Self::new(1, 0, [0; KINDS]);

    const fn new(seed: u64, until: u32, rates: [u8; KINDS]) -> Self {
        #[rustfmt::skip]
        let [walk, linger, keep, again, piece, late, half, fill, evict, drift, prefetch] = rates;
        Self {
            seed,
            until,
            walk,
            linger,
            keep,
            again,
            piece,
            late,
            half,
            fill,
            evict,
            drift,
            prefetch,
        }
    }

    /// All kinds, each as often as `seed` says.
    pub fn bad(seed: u64) -> Self {
        let mut chance = Chance::new(Self { seed, ..Self::GOOD });
        let rates = [(); KINDS].map(|()| [8, 40, 128, 250][chance.pick(4)]);
        Self::new(seed, u32::MAX, rates)
    }
}

/// Each kind of misfortune, as often as not, so that what is left of a failure says what it takes.
pub fn any_luck() -> impl Strategy<Value = Luck> {
    let rate = || prop::sample::select([0, 1, 8, 64, 192, 250, 255].as_slice());
    let rates = [(); KINDS].map(|()| rate());
    (any::<u64>(), any::<u32>(), rates)
        .prop_map(|(seed, until, rates)| Luck::new(seed, until, rates))
}

/// The random numbers.
pub struct Chance {
    /// How bad it gets.
    pub luck: Luck,
    state: u64,
    decisions: u32,
}

impl Chance {
    /// The first of them.
    pub fn new(luck: Luck) -> Self {
        Self {
            luck,
            state: luck.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            decisions: 0,
        }
    }

    /// xorshift64*.
    fn next(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32
    }

    /// Whether what strikes `rate` times in 256 does so now.
    #[inline]
    pub fn strikes(&mut self, rate: u8) -> bool {
        if rate == 0 || self.decisions >= self.luck.until {
            return false;
        }
        self.decisions += 1;
        self.next() & 0xff < rate.into()
    }

    /// A number below `count`.
    pub fn pick(&mut self, count: usize) -> usize {
        (self.next() as usize) % count.max(1)
    }
}
