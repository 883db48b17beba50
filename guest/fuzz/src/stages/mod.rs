//! Stages that LibAFL lacks, or has for other needs.

mod compare;
mod insert;
mod shorten;

pub use compare::Compare;
pub use insert::Insert;
pub use shorten::Shorten;

use alloc::vec::Vec;
use core::num::NonZero;

use libafl::state::HasRand;
use libafl_bolts::rands::Rand;

use crate::state::State;

/// One of those that are left, chosen at random; it is taken out.
fn draw<T>(left: &mut Vec<T>, state: &mut State) -> Option<T> {
    let count = NonZero::new(left.len())?;
    Some(left.swap_remove(state.rand_mut().below(count)))
}

/// A stage that may always run: nothing of it survives an end of the fuzzer.
macro_rules! always_runs {
    ($stage:ident) => {
        impl<S> libafl::stages::Restartable<S> for $stage {
            fn should_restart(&mut self, _: &mut S) -> Result<bool, libafl::Error> {
                Ok(true)
            }

            fn clear_progress(&mut self, _: &mut S) -> Result<(), libafl::Error> {
                Ok(())
            }
        }
    };
}
use always_runs;
