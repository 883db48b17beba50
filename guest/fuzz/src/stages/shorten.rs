//! Makes an input of the queue shorter, as long as it takes the same edges equally often: rounds with it are faster, and changes hit what matters.

use alloc::vec::Vec;

use libafl::corpus::{Corpus, HasCurrentCorpusId};
use libafl::events::NopEventManager;
use libafl::executors::ExitKind;
use libafl::inputs::BytesInput;
use libafl::stages::Stage;
use libafl::state::{HasCorpus, HasCurrentTestcase};
use libafl::{Error, ExecutesInput, HasScheduler};

use super::always_runs;
use crate::rounds::Rounds;
use crate::state::State;
use crate::target::{Output, Target};

/// The most rounds for one input.
const ROUNDS: usize = 256;

/// The stage. It looks at each input once.
pub struct Shorten;

always_runs!(Shorten);

impl<T, O, Z> Stage<Rounds<'_, T, O>, NopEventManager, State, Z> for Shorten
where
    T: Target,
    O: Output,
    Z: for<'a> ExecutesInput<Rounds<'a, T, O>, NopEventManager, BytesInput, State>
        + HasScheduler<BytesInput, State>,
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
        let whole: Vec<u8> = state.current_input_cloned()?.into();
        fuzzer.execute_input(state, rounds, events, &BytesInput::new(whole.clone()))?;
        let wanted = rounds.map().to_vec();
        let short = shortened(&whole, ROUNDS, |bytes| {
            let input = BytesInput::new(bytes.to_vec());
            let exit = fuzzer.execute_input(state, rounds, events, &input)?;
            Ok::<_, Error>(exit == ExitKind::Ok && rounds.map() == wanted)
        })?;
        if short.len() < whole.len() {
            let id = state
                .current_corpus_id()?
                .ok_or_else(|| Error::illegal_state("no current input"))?;
            state
                .corpus()
                .get(id)?
                .borrow_mut()
                .set_input(BytesInput::new(short));
            state
                .corpus()
                .get(id)?
                .borrow_mut()
                .load_len(state.corpus())?;
            rounds.wishes().changed.set(Some(id.into()));
        }
        Ok(())
    }
}

/// The shortest that is found of `whole` with parts left out, of which `is_good` still holds; with at most so many questions. Larger parts
/// are tried first. What is empty is not asked for.
fn shortened<E>(
    whole: &[u8],
    mut questions: usize,
    mut is_good: impl FnMut(&[u8]) -> Result<bool, E>,
) -> Result<Vec<u8>, E> {
    let mut best = whole.to_vec();
    let mut part = (whole.len() / 2).next_power_of_two();
    while part > 0 {
        // From the end: what is behind a part that goes stays where it was looked at.
        let mut end = best.len();
        while end > 0 && best.len() > 1 {
            if questions == 0 {
                return Ok(best);
            }
            let start = end.saturating_sub(part);
            let mut without = best.clone();
            without.drain(start..end);
            end = start;
            if without.is_empty() {
                continue;
            }
            questions -= 1;
            if is_good(&without)? {
                best = without;
            }
        }
        part /= 2;
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use super::shortened;
    use std::collections::VecDeque;

    fn kept(whole: &[u8], questions: usize, needed: &[u8]) -> Vec<u8> {
        shortened(whole, questions, |bytes| {
            let mut left: VecDeque<_> = needed.iter().collect();
            for byte in bytes {
                if left.front() == Some(&byte) {
                    left.pop_front();
                }
            }
            Ok::<_, ()>(left.is_empty())
        })
        .unwrap()
    }

    #[test]
    fn what_is_needed_stays_and_nothing_else() {
        assert_eq!(kept(b"..a....b.c......", 256, b"abc"), b"abc");
        assert_eq!(kept(b"abc", 256, b"abc"), b"abc");
        assert_eq!(kept(b"x", 256, b""), b"x", "nothing is never asked for");
        assert_eq!(kept(b"", 256, b""), b"");
        let long = [b'.'; 5000];
        assert_eq!(kept(&long, 256, b"").len(), 1);
    }

    #[test]
    fn it_asks_no_more_than_it_may() {
        let mut asked = 0;
        let whole = [1; 1000];
        let result = shortened(&whole, 7, |_| {
            asked += 1;
            Ok::<_, ()>(false)
        });
        assert_eq!((result.unwrap().len(), asked), (1000, 7));
    }
}
