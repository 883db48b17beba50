//! Takes note of what was asked of the hardware.

use crate::addr::{Ipa, Pa, Va};
use crate::stage2::Maintenance;
use alloc::vec::Vec;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// DSB ISHST.
    StoresComplete,
    /// DSB ISH.
    InvalidationsComplete,
    /// TLBI IPAS2E1IS.
    InvalidateIpa(Ipa),
    /// TLBI VMALLE1IS.
    InvalidateStage1,
    /// No walks of stage 1 here.
    StopWalks,
    /// TLBI VMALLE1, completed.
    InvalidateStage1Here,
    /// TLBI IPAS2E1, and VAAE1 or VMALLE1, completed.
    InvalidateIpaHere(Ipa, Option<Va>),
    /// TLBI VMALLS12E1IS.
    InvalidateVm,
    /// The instruction caches forgot so many bytes from here on.
    InvalidateInstructions(Pa, u64),
    /// A page was copied.
    Copy {
        /// From here.
        from: Pa,
        /// To there.
        to: Pa,
    },
    /// The same, through the caches alone.
    CopyCached {
        /// From here.
        from: Pa,
        /// To there.
        to: Pa,
    },
    /// So many bytes from here on were filled with zeros.
    Zero(Pa, u64),
    /// So many bytes were written here.
    Write(Pa, u64),
    /// Caches and memory were made to agree on so many bytes from here on.
    CleanAndInvalidate(Pa, u64),
}

/// Takes note, in order; and of what a watched table entry held at each moment.
#[derive(Default)]
pub struct Recorder<F = fn() -> u64> {
    /// What was asked, and the watched value then.
    pub asked: Vec<(Asked, u64)>,
    /// Reads the watched value.
    pub watch: Option<F>,
}

impl<F: Fn() -> u64> Recorder<F> {
    /// Takes note of `asked`.
    pub fn note(&mut self, asked: Asked) {
        let seen = self.watch.as_ref().map_or(0, |watch| watch());
        self.asked.push((asked, seen));
    }
}

impl<F: Fn() -> u64> Maintenance for Recorder<F> {
    #[track_caller]
    fn complete_stores(&mut self) {
        self.note(Asked::StoresComplete);
    }

    #[track_caller]
    fn complete_invalidations(&mut self) {
        self.note(Asked::InvalidationsComplete);
    }

    #[track_caller]
    fn invalidate_ipa(&mut self, ipa: Ipa) {
        self.note(Asked::InvalidateIpa(ipa));
    }

    #[track_caller]
    fn invalidate_stage1(&mut self) {
        self.note(Asked::InvalidateStage1);
    }

    #[track_caller]
    fn stop_walks(&mut self) {
        self.note(Asked::StopWalks);
    }

    #[track_caller]
    fn invalidate_stage1_here(&mut self) {
        self.note(Asked::InvalidateStage1Here);
    }

    #[track_caller]
    fn invalidate_ipa_here(&mut self, ipa: Ipa, va: Option<Va>) {
        self.note(Asked::InvalidateIpaHere(ipa, va));
    }

    #[track_caller]
    fn invalidate_vm(&mut self) {
        self.note(Asked::InvalidateVm);
    }

    #[track_caller]
    fn invalidate_instructions(&mut self, at: Pa, bytes: u64) {
        self.note(Asked::InvalidateInstructions(at, bytes));
    }
}
