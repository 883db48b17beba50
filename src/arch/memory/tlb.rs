//! TLB maintenance that takes more than one instruction: the sequence that the Arm ARM gives for one purpose. Single ones are in [`isa`];
//! who asks for them in which order is `stage2`'s business, which asserts that order in its tests.

use crate::addr::{Ipa, Va};
use crate::arch::isa;

/// Invalidates what this core's TLB and instruction cache hold for the VMID in VTTBR_EL2. Called when the vCPU that is being loaded is not the
/// one of its VM that this core had last: what was cached for that one must not serve this one. A guest may give an ASID to one table on one vCPU and to another on another (it is a TLB of each vCPU's own, so
/// that is its right), and both run under one VMID; and one that has its MMU off fetches instructions
/// from memory, past what another has only in its data cache, and leaves them in the instruction cache. The guest's own maintenance for one
/// core is done on this core, which is the only one that a vCPU runs on, and goes for the whole VMID: a vCPU that comes back with no other
/// of its VM in between finds nothing stale. No table was written: no DSB before. No ISB behind: the ERET is one for the vCPU.
#[inline]
pub fn flush_vcpu_context() {
    isa::tlbi_vmalle1();
    isa::ic_iallu();
    isa::dsb_nsh();
}

/// Invalidates what this core's TLB holds of stages 1 and 2 combined for the VMID in VTTBR_EL2, completely.
#[inline]
pub fn invalidate_stage1_here() {
    isa::tlbi_vmalle1();
    isa::dsb_nsh();
}

/// Invalidates what this core's TLB holds for `ipa` of the VMID in VTTBR_EL2, completely: of stage 2, and of both stages combined for `va`, or
/// for all addresses.
#[inline]
pub fn invalidate_ipa_here(ipa: Ipa, va: Option<Va>) {
    isa::tlbi_ipas2e1(ipa);
    // Stage 2 must be forgotten before the combined entries go, or they could come back from it.
    isa::dsb_nsh();
    match va {
        Some(va) => isa::tlbi_vaae1(va),
        None => isa::tlbi_vmalle1(),
    }
    isa::dsb_nsh();
}

/// EL2's own entry for the page at `address`, whose descriptor is invalid now and which nobody uses, on all cores. No ISB behind: who maps
/// the page again has one of its own ([`super::mmu::map`]).
pub(in crate::arch) fn invalidate_el2_page(address: u64) {
    isa::dsb_ishst();
    isa::tlbi_vae2is(address);
    isa::dsb_ish();
}
