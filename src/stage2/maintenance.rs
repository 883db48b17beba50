//! What changing a live translation table demands of the CPU: the seam behind which the fake on the host takes note of it.

use crate::addr::{Ipa, Pa};

/// Barriers, TLB and instruction-cache maintenance for the VM whose VMID is in VTTBR_EL2.
pub trait Maintenance {
    /// Stores to tables are complete: every table walk in the inner-shareable domain sees them (DSB ISHST).
    #[cfg_attr(test, track_caller)]
    fn stores_complete(&mut self);
    /// Invalidations are complete on all cores (DSB ISH).
    #[cfg_attr(test, track_caller)]
    fn invalidations_complete(&mut self);
    /// TLBI IPAS2E1IS: what all cores cached of stage 2 for `ipa`.
    #[cfg_attr(test, track_caller)]
    fn invalidate_ipa(&mut self, ipa: Ipa);
    /// TLBI VMALLE1IS: what all cores cached of stages 1 and 2 combined, which an invalidation by IPA leaves alone
    /// (Arm ARM D8.16, "TLB maintenance instructions that apply to stage 2 only").
    #[cfg_attr(test, track_caller)]
    fn invalidate_stage1(&mut self);
    /// Both for `ipa`, for this core alone, completed.
    #[cfg_attr(test, track_caller)]
    fn invalidate_ipa_here(&mut self, ipa: Ipa);
    /// TLBI VMALLS12E1IS: all that all cores cached for the VM.
    #[cfg_attr(test, track_caller)]
    fn invalidate_vm(&mut self);
    /// No core executes what it fetched before from these `bytes` of memory, a page or a block (IC IVAU or IC IALLUIS, completed).
    #[cfg_attr(test, track_caller)]
    fn invalidate_instructions(&mut self, at: Pa, bytes: u64);
}
