//! Puts each token of the dictionary into each place of a new input, once, as AFL's "user extras" do: by chance that takes long.

use alloc::vec::Vec;

use libafl::events::NopEventManager;
use libafl::inputs::{BytesInput, HasMutatorBytes, ResizableMutator};
use libafl::mutators::Tokens;
use libafl::stages::Stage;
use libafl::state::{HasCurrentTestcase, HasMaxSize};
use libafl::{Error, Evaluator, HasMetadata};

use super::{always_runs, draw};
use crate::rounds::Rounds;
use crate::state::State;
use crate::target::{Output, Target};

/// The most tries for an input; of more, as many are chosen at random.
const TRIES: usize = 2048;

/// The stage. It looks at each input once.
pub struct Insert;

always_runs!(Insert);

impl<T, O, Z> Stage<Rounds<'_, T, O>, NopEventManager, State, Z> for Insert
where
    T: Target,
    O: Output,
    Z: for<'a> Evaluator<Rounds<'a, T, O>, NopEventManager, BytesInput, State>,
{
    fn perform(
        &mut self,
        fuzzer: &mut Z,
        rounds: &mut Rounds<'_, T, O>,
        state: &mut State,
        events: &mut NopEventManager,
    ) -> Result<(), Error> {
        if state.current_testcase()?.scheduled_count() > 0 {
            return Ok(());
        }
        let input = state.current_input_cloned()?;
        let tokens: Vec<_> = state.metadata::<Tokens>()?.tokens().to_vec();
        let places = 0..=input.mutator_bytes().len();
        let mut left: Vec<_> = (0..tokens.len())
            .flat_map(|token| places.clone().map(move |place| (token, place)))
            .collect();
        rounds.wishes().stage.set("token");
        for _ in 0..TRIES {
            let Some((token, place)) = draw(&mut left, state) else {
                break;
            };
            let mut changed = input.clone();
            drop(changed.splice(place..place, tokens[token].iter().copied()));
            if changed.mutator_bytes().len() <= state.max_size() {
                fuzzer.evaluate_input(state, rounds, events, &changed)?;
            }
        }
        rounds.wishes().stage.set("havoc");
        Ok(())
    }
}
