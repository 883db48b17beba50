//! Feeds comparisons back: where the program compared a part of the input with something, the input gets that something (Redqueen's
//! "input to state").

use libafl::corpus::HasCurrentCorpusId;
use libafl::events::NopEventManager;
use libafl::inputs::BytesInput;
use libafl::mutators::{I2SRandReplace, MutationResult, Mutator};
use libafl::observers::cmp::{CmpValues, CmpValuesMetadata};
use libafl::stages::Stage;
use libafl::state::HasCurrentTestcase;
use libafl::{Error, Evaluator, ExecutesInput, HasMetadata};

use super::always_runs;
use crate::layout::Comparison;
use crate::rounds::Rounds;
use crate::state::State;
use crate::target::{Output, Target};

/// The most tries the first time that an input is looked at, and later.
const TRIES: [usize; 2] = [512, 32];

/// The stage.
#[derive(Default)]
pub struct Compare(I2SRandReplace);

always_runs!(Compare);

impl<T, O, Z> Stage<Rounds<'_, T, O>, NopEventManager, State, Z> for Compare
where
    T: Target,
    O: Output,
    Z: for<'a> ExecutesInput<Rounds<'a, T, O>, NopEventManager, BytesInput, State>
        + for<'a> Evaluator<Rounds<'a, T, O>, NopEventManager, BytesInput, State>,
{
    fn perform(
        &mut self,
        fuzzer: &mut Z,
        rounds: &mut Rounds<'_, T, O>,
        state: &mut State,
        events: &mut NopEventManager,
    ) -> Result<(), Error> {
        let input = state.current_input_cloned()?;
        let is_new = state.current_testcase()?.scheduled_count() == 0;
        rounds.wishes().comparisons.set(true);
        let done = fuzzer.execute_input(state, rounds, events, &input);
        rounds.wishes().comparisons.set(false);
        done?;
        let list: alloc::vec::Vec<_> = rounds.comparisons().flat_map(values).collect();
        let tries = TRIES[usize::from(!is_new)].min(16 * list.len());
        state.add_metadata(CmpValuesMetadata { list });
        rounds.wishes().stage.set("cmp");
        for _ in 0..tries {
            let mut changed = input.clone();
            if self.0.mutate(state, &mut changed)? == MutationResult::Mutated {
                fuzzer.evaluate_input(state, rounds, events, &changed)?;
            }
        }
        rounds.wishes().stage.set("havoc");
        debug_assert!(state.current_corpus_id()?.is_some());
        Ok(())
    }
}

/// As LibAFL has it; and as fewer bytes, where both fit into them: programs read short fields, and compare long words. Two values that are
/// equal teach nothing.
fn values(comparison: Comparison) -> impl Iterator<Item = CmpValues> {
    let Comparison {
        a,
        b,
        bytes,
        constant,
    } = comparison;
    let constant = constant != 0;
    let sizes = [1, 2, 4, 8].into_iter().filter(move |&size| {
        let fits = size == bytes || (size > 1 && size < 8 && (a | b) >> (8 * size) == 0);
        a != b && size <= bytes && bytes <= 8 && fits
    });
    sizes.map(move |size| match size {
        1 => CmpValues::U8((a as u8, b as u8, constant)),
        2 => CmpValues::U16((a as u16, b as u16, constant)),
        4 => CmpValues::U32((a as u32, b as u32, constant)),
        _ => CmpValues::U64((a, b, constant)),
    })
}

#[cfg(test)]
mod tests {
    use super::{CmpValues, Comparison, values};

    fn of(a: u64, b: u64, bytes: u32) -> Vec<CmpValues> {
        let comparison = Comparison {
            a,
            b,
            bytes,
            constant: 1,
        };
        values(comparison).collect()
    }

    #[test]
    fn a_word_may_have_been_a_short_field() {
        assert_eq!(of(1, 1, 8), []);
        assert_eq!(of(1, 2, 1), [CmpValues::U8((1, 2, true))]);
        assert_eq!(of(0x1_0000, 2, 4), [CmpValues::U32((0x1_0000, 2, true))]);
        let fits = [
            CmpValues::U16((0x60, 0x64, true)),
            CmpValues::U32((0x60, 0x64, true)),
            CmpValues::U64((0x60, 0x64, true)),
        ];
        assert_eq!(of(0x60, 0x64, 8), fits);
        assert_eq!(of(1 << 32, 2, 8), [CmpValues::U64((1 << 32, 2, true))]);
        assert_eq!(of(1, 2, 16), [], "no such comparison");
    }
}
