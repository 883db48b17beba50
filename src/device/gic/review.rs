//! What of a vCPU changes without a trap, so that it must be reviewed from time to time.

use super::Gich;

/// What of a vCPU must be looked at again, though nothing traps: see [`Gic::review`](super::Gic::review).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Review {
    /// Nothing.
    Nothing,
    /// Nothing either; but list registers have SPIs with several targets, which [`Gic::give_back`](super::Gic::give_back) must look for.
    Held,
    /// The timer's line, which is up: as long as it stays so, nothing changes.
    Timer,
    /// More than that.
    Targets,
}

impl Review {
    /// Whether a look at the vCPU, which is loaded, may find something changed.
    #[inline]
    pub fn is_worthwhile(self, gich: &mut impl Gich) -> bool {
        match self {
            Self::Nothing | Self::Held => false,
            Self::Timer => !gich.vtimer_line(),
            Self::Targets => true,
        }
    }
}
