//! What the parts of the fuzzer share: LibAFL's state and observers, and what they wish of each other.

use core::cell::Cell;

use libafl::corpus::InMemoryCorpus;
use libafl::inputs::BytesInput;
use libafl::observers::map::ExplicitTracking;
use libafl::observers::{HitcountsMapObserver, StdMapObserver};
use libafl::state::StdState;
use libafl_bolts::rands::StdRand;

/// LibAFL's state of this fuzzer.
pub type State =
    StdState<InMemoryCorpus<BytesInput>, BytesInput, StdRand, InMemoryCorpus<BytesInput>>;
/// How LibAFL sees the map.
pub type Edges =
    ExplicitTracking<HitcountsMapObserver<StdMapObserver<'static, u8, false>>, true, false>;
/// LibAFL's observers of this fuzzer.
pub type Observers = (Edges, ());

/// What the stages and the loop tell the executor, and it them.
#[derive(Default)]
pub struct Wishes {
    /// The next rounds keep their comparisons.
    pub comparisons: Cell<bool>,
    /// Which stage makes the inputs, for their names.
    pub stage: Cell<&'static str>,
    /// An input of the queue that was changed there.
    pub changed: Cell<Option<usize>>,
}
