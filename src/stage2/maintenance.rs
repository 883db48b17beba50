//! What changing a live translation table demands of the CPU. The board performs it; the fake in the tests takes note of it.

use crate::addr::{Ipa, Pa, Va};

/// Barriers, TLB and instruction-cache maintenance for the VM whose VMID is in VTTBR_EL2.
pub trait Maintenance {
    /// Stores to tables are complete: every table walk in the inner-shareable domain sees them (DSB ISHST).
    #[cfg_attr(test, track_caller)]
    fn complete_stores(&mut self);
    /// Invalidations are complete on all cores (DSB ISH).
    #[cfg_attr(test, track_caller)]
    fn complete_invalidations(&mut self);
    /// TLBI IPAS2E1IS: what all cores cached of stage 2 for `ipa`.
    #[cfg_attr(test, track_caller)]
    fn invalidate_ipa(&mut self, ipa: Ipa);
    /// TLBI VMALLE1IS: what all cores cached of stages 1 and 2 combined, which an invalidation by IPA leaves alone
    /// (Arm ARM D8.16, "TLB maintenance instructions that apply to stage 2 only").
    #[cfg_attr(test, track_caller)]
    fn invalidate_stage1(&mut self);
    /// No walk of stage 1 begins on this core from here on, until a vCPU's state is loaded (TCR_EL1.EPD0 and EPD1).
    #[cfg_attr(test, track_caller)]
    fn stop_walks(&mut self);
    /// TLBI VMALLE1, completed: what this core alone cached of stages 1 and 2 combined.
    #[cfg_attr(test, track_caller)]
    fn invalidate_stage1_here(&mut self);
    /// TLBI IPAS2E1 and then VAAE1 or, without `va`, VMALLE1, completed: what this core alone cached for `ipa` of stage 2, and of both stages
    /// combined for the guest's address `va`, or for all of its addresses.
    #[cfg_attr(test, track_caller)]
    fn invalidate_ipa_here(&mut self, ipa: Ipa, va: Option<Va>);
    /// TLBI VMALLS12E1IS: all that all cores cached for the VM.
    #[cfg_attr(test, track_caller)]
    fn invalidate_vm(&mut self);
    /// IC IVAU or IC IALLUIS, completed: no core executes what it fetched before from the `bytes` of memory at `at`, a page or a block.
    #[cfg_attr(test, track_caller)]
    fn invalidate_instructions(&mut self, at: Pa, bytes: u64);
}
