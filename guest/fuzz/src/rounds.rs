//! Runs one input: LibAFL's executor.

use alloc::rc::Rc;

use libafl::Error;
use libafl::executors::{Executor, ExitKind, HasObservers};
use libafl::inputs::{BytesInput, HasMutatorBytes};
use libafl::state::HasExecutions;
use libafl_bolts::tuples::RefIndexable;

use crate::endings::{Endings, Last};
use crate::keep::Keeper;
use crate::layout::{Comparison, INPUT_BYTES, KEPT, SITES};
use crate::state::{Observers, State, Wishes};
use crate::target::{Ending, Output, Target};

/// The executor.
pub struct Rounds<'a, T, O> {
    target: &'a mut T,
    observers: Observers,
    endings: Rc<Endings>,
    wishes: Rc<Wishes>,
    map_bytes: usize,
    keeper: Keeper<'a, O>,
}

impl<'a, T: Target, O: Output> Rounds<'a, T, O> {
    /// Rounds of `target`, which uses `map_bytes` of its map, seen by `observers`. What they find goes to `keeper`.
    pub fn new(
        target: &'a mut T,
        map_bytes: usize,
        observers: Observers,
        endings: Rc<Endings>,
        wishes: Rc<Wishes>,
        keeper: Keeper<'a, O>,
    ) -> Self {
        Self {
            target,
            observers,
            endings,
            wishes,
            map_bytes,
            keeper,
        }
    }

    /// See [`Wishes`].
    pub fn wishes(&self) -> &Wishes {
        &self.wishes
    }

    /// The map as the last round left it, with LibAFL's classes of how often.
    pub fn map(&self) -> &[u8] {
        // SAFETY: within the window, which nobody else touches between rounds.
        unsafe { core::slice::from_raw_parts(self.target.window().map(), self.map_bytes) }
    }

    /// The comparisons of the last round, if it was to keep them.
    pub fn comparisons(&self) -> impl Iterator<Item = Comparison> + '_ {
        let window = self.target.window();
        (0..SITES).flat_map(move |site| {
            // SAFETY: within the window, which nobody else touches between rounds.
            let made = unsafe { window.counts().add(site).read() };
            (0..KEPT.min(made.into())).map(move |place| {
                // SAFETY: as above; any bytes are a comparison.
                unsafe { window.comparisons().add(site * KEPT + place).read() }
            })
        })
    }

    /// Keeps what was found since the last time; shows figures if it is time, or `now`. An error if the run is to end.
    pub fn keep(&mut self, state: &State, now: bool) -> Result<(), Error> {
        self.keeper.keep(state, &self.endings, &self.wishes);
        let (time, costs) = (self.target.now(), self.target.costs());
        let goes_on = self.keeper.report(state, time, costs, now);
        goes_on.then_some(()).ok_or_else(Error::shutting_down)
    }

    /// A file of this name is tried next, see [`Keeper::begin_seed`].
    pub fn begin_seed(&mut self, name: &str, is_old: bool) {
        self.keeper.begin_seed(name, is_old);
    }

    /// See [`Keeper::take_given`].
    pub fn take_given(&mut self) -> Option<alloc::vec::Vec<u8>> {
        self.keeper.take_given()
    }

    /// All seeds were tried.
    pub fn end_seeds(&mut self) {
        self.keeper.end_seeds();
    }

    /// Puts the input and what is wished into the window, and clears what the target adds to. LibAFL clears the map.
    fn prepare(&mut self, input: &[u8]) {
        let window = self.target.window();
        let header = window.header();
        let bytes = input.len().min(INPUT_BYTES);
        let wants_comparisons = self.wishes.comparisons.get();
        // SAFETY: all within the window, which nobody else touches between rounds.
        unsafe {
            window
                .input()
                .copy_from_nonoverlapping(input.as_ptr(), bytes);
            (&raw mut (*header).input_bytes).write_volatile(bytes as u32);
            (&raw mut (*header).wants_comparisons).write_volatile(wants_comparisons.into());
            if wants_comparisons {
                window.counts().write_bytes(0, SITES);
            }
        }
    }
}

impl<T: Target, O: Output, EM, Z> Executor<EM, BytesInput, State, Z> for Rounds<'_, T, O> {
    fn run_target(
        &mut self,
        _: &mut Z,
        state: &mut State,
        _: &mut EM,
        input: &BytesInput,
    ) -> Result<ExitKind, Error> {
        self.keep(state, false)?;
        *state.executions_mut() += 1;
        self.prepare(input.mutator_bytes());
        let ending = self.target.round();
        let edges = match ending {
            Ending::Done => 0,
            _ => which(self.map()),
        };
        self.endings.set(Last { ending, edges });
        self.keeper.count(ending);
        Ok(match ending {
            Ending::Done => ExitKind::Ok,
            Ending::Hang => ExitKind::Timeout,
            Ending::Crash { .. } | Ending::Reset | Ending::Off => ExitKind::Crash,
        })
    }
}

impl<T, O> HasObservers for Rounds<'_, T, O> {
    type Observers = Observers;

    fn observers(&self) -> RefIndexable<&Observers, Observers> {
        RefIndexable::from(&self.observers)
    }

    fn observers_mut(&mut self) -> RefIndexable<&mut Observers, Observers> {
        RefIndexable::from(&mut self.observers)
    }
}

/// A number for the set of edges in a map, whatever their counts (FNV-1a of their numbers).
fn which(map: &[u8]) -> u64 {
    let taken = map.iter().enumerate().filter(|(_, count)| **count != 0);
    taken.fold(0xcbf2_9ce4_8422_2325, |hash, (number, _)| {
        (hash ^ number as u64).wrapping_mul(0x100_0000_01b3)
    })
}
