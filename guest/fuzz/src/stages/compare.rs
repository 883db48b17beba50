//! Feeds comparisons back: where a value that the program compared stands in the input, the value that it was compared with takes its place
//! (Redqueen's "input to state"). LibAFL's own way to do so tries places at random; here each is tried, once.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use libafl::events::NopEventManager;
use libafl::inputs::{BytesInput, HasMutatorBytes};
use libafl::stages::Stage;
use libafl::state::HasCurrentTestcase;
use libafl::{Error, Evaluator, ExecutesInput};

use super::{always_runs, draw};
use crate::layout::Comparison;
use crate::rounds::Rounds;
use crate::state::State;
use crate::target::{Output, Target};

/// The most tries for an input; of more, as many are chosen at random.
const TRIES: usize = 1024;

/// The stage. It looks at each input once.
pub struct Compare;

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
        if state.current_testcase()?.scheduled_count() > 0 {
            return Ok(());
        }
        let input = state.current_input_cloned()?;
        rounds.wishes().comparisons.set(true);
        let done = fuzzer.execute_input(state, rounds, events, &input);
        rounds.wishes().comparisons.set(false);
        done?;
        let all = replacements(input.mutator_bytes(), rounds.comparisons());
        let mut left: Vec<_> = all.into_iter().collect();
        rounds.wishes().stage.set("cmp");
        for _ in 0..TRIES {
            let Some((place, bytes)) = draw(&mut left, state) else {
                break;
            };
            let mut changed = input.clone();
            changed.mutator_bytes_mut()[place..place + bytes.len()].copy_from_slice(&bytes);
            fuzzer.evaluate_input(state, rounds, events, &changed)?;
        }
        rounds.wishes().stage.set("havoc");
        Ok(())
    }
}

/// Places in `input`, and what is to stand there. A program may read a short field and compare a long word, and read either byte order.
fn replacements(
    input: &[u8],
    comparisons: impl Iterator<Item = Comparison>,
) -> BTreeSet<(usize, Vec<u8>)> {
    let mut all = BTreeSet::new();
    for Comparison {
        a,
        b,
        bytes,
        constant,
    } in comparisons
    {
        if a == b || !matches!(bytes, 1 | 2 | 4 | 8) {
            continue;
        }
        let fits = |size: &usize| *size > 1 && *size < 8 && (a | b) >> (8 * size) == 0;
        let whole = bytes as usize;
        let sizes = [1, 2, 4, 8].into_iter().filter(|&size| size <= whole);
        for size in sizes.filter(|size| *size == whole || fits(size)) {
            replace(input, b, a, size, &mut all);
            if constant == 0 {
                replace(input, a, b, size, &mut all);
            }
        }
    }
    all
}

/// The places where `from` stands, of which `to` may take the place.
fn replace(input: &[u8], from: u64, to: u64, size: usize, all: &mut BTreeSet<(usize, Vec<u8>)>) {
    let little = |value: u64| value.to_le_bytes()[..size].to_vec();
    let big = |value: u64| value.to_be_bytes()[8 - size..].to_vec();
    for (from, to) in [(little(from), little(to)), (big(from), big(to))] {
        let places = input.windows(size).enumerate();
        let places = places.filter(|(_, bytes)| *bytes == from);
        all.extend(places.map(|(place, _)| (place, to.clone())));
    }
}

#[cfg(test)]
mod tests {
    use super::{Comparison, replacements};

    fn of(input: &[u8], a: u64, b: u64, bytes: u32, constant: u32) -> Vec<(usize, Vec<u8>)> {
        let comparison = Comparison {
            a,
            b,
            bytes,
            constant,
        };
        let all = replacements(input, [comparison].into_iter());
        all.into_iter().collect()
    }

    #[test]
    fn each_place_of_a_value_is_one_to_try() {
        assert_eq!(
            of(b"xaxa", b'z'.into(), b'a'.into(), 1, 1),
            [(1, vec![b'z']), (3, vec![b'z'])]
        );
        assert_eq!(
            of(b"xaz", b'z'.into(), b'a'.into(), 1, 0),
            [(1, vec![b'z']), (2, vec![b'a'])]
        );
        assert_eq!(of(b"aa", 1, 1, 1, 0), [], "equal values teach nothing");
        assert_eq!(of(b"aa", 1, 2, 16, 0), [], "no such comparison");
        assert_eq!(of(b"", 1, 2, 1, 0), []);
    }

    #[test]
    fn of_any_size_that_fits_and_in_both_orders() {
        let big = of(&[9, 0x12, 0x34, 9], 0x5678, 0x1234, 2, 1);
        assert_eq!(big, [(1, vec![0x56, 0x78])]);
        let short = of(&[0x60, 0, 7, 7, 7, 7, 7, 7], 0x64, 0x60, 8, 1);
        assert_eq!(short, [(0, vec![0x64, 0])]);
        let long = of(&[0x60, 0, 0, 0, 0, 0, 0, 0], 1 << 32, 0x60, 8, 1);
        assert_eq!(long, [(0, vec![0, 0, 0, 0, 1, 0, 0, 0])]);
    }
}
