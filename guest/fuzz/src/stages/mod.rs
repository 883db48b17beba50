//! Stages that LibAFL lacks, or has for other needs.

mod compare;
mod insert;
mod shorten;

pub use compare::Compare;
pub use insert::Insert;
pub use shorten::Shorten;

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
