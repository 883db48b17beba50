//! TLB maintenance and barriers. Each function is one instruction, or the sequence that the Arm ARM gives for one
//! purpose; who calls them in which order is `stage2`'s business, which asserts that order in its tests.

use core::arch::asm;

use aarch64_cpu::asm::barrier;

use crate::addr::Ipa;

/// Invalidates what the TLBs of all cores hold of stage 2 for `ipa` under the VMID in VTTBR_EL2, at all levels.
/// Entries that combine both stages stay: [`invalidate_stage1`] must follow, after a DSB (D8.16, "TLBI IPAS2").
#[inline]
pub fn invalidate_ipa(ipa: Ipa) {
    // SAFETY: a TLB invalidation makes the hardware forget, never believe, a translation; operand: IPA[47:12] in 35:0.
    unsafe { asm!("tlbi ipas2e1is, {}", in(reg) ipa.0 >> 12, options(nostack, preserves_flags)) };
}

/// Invalidates stage 1 and combined entries of the VMID in VTTBR_EL2 on all cores.
#[inline]
pub fn invalidate_stage1() {
    // SAFETY: as above.
    unsafe { asm!("tlbi vmalle1is", options(nostack, preserves_flags)) };
}

/// Invalidates stage 1 and combined entries of the VMID in VTTBR_EL2 on this core only.
#[inline]
pub fn invalidate_stage1_local() {
    // SAFETY: as above.
    unsafe { asm!("tlbi vmalle1", options(nostack, preserves_flags)) };
}

/// Another vCPU of the VM whose stage 2 is in place ran on this core before the one that comes: what this core cached for that one
/// must not serve this one. A guest may give an ASID to one table on one vCPU and to another on another (it is a TLB of each vCPU's own, so
/// that is its right), and both run under one VMID; and one that has its MMU off fetches instructions
/// from memory, past what another has only in its data cache, and leaves them in the instruction cache. The guest's own maintenance for one
/// core is done on this core, which is the only one that a vCPU runs on, and goes for the whole VMID: a vCPU that comes back with no other
/// of its VM in between finds nothing stale. No table was written: no DSB before.
#[inline]
pub fn forget_vcpu() {
    // SAFETY: as above; instruction caches hold copies only.
    unsafe {
        asm!(
            "tlbi vmalle1",
            "ic iallu",
            options(nostack, preserves_flags)
        )
    };
    dsb_nsh();
    isb();
}

/// Invalidates stage 2 entries for `ipa` of the VMID in VTTBR_EL2 on this core only; see [`invalidate_ipa`].
#[inline]
pub fn invalidate_ipa_local(ipa: Ipa) {
    // SAFETY: as above.
    unsafe { asm!("tlbi ipas2e1, {}", in(reg) ipa.0 >> 12, options(nostack, preserves_flags)) };
}

/// Invalidates both stages of the VMID in VTTBR_EL2 on all cores.
#[inline]
pub fn invalidate_vm() {
    // SAFETY: as above.
    unsafe { asm!("tlbi vmalls12e1is", options(nostack, preserves_flags)) };
}

/// Invalidates everything of all VMIDs on this core only.
pub fn invalidate_all_here() {
    // SAFETY: as above.
    unsafe { asm!("tlbi alle1", options(nostack, preserves_flags)) };
}

/// EL2's own entry for the page at `address`, whose descriptor is invalid now, on all cores.
pub(super) fn invalidate_el2_page(address: u64) {
    dsb_ishst();
    // SAFETY: as above; operand: VA[55:12] in 43:0.
    unsafe { asm!("tlbi vae2is, {}", in(reg) address >> 12, options(nostack, preserves_flags)) };
    dsb_ish();
    isb();
}

/// Stores to tables before it are seen by the walkers of all cores before what follows.
#[inline]
pub fn dsb_ishst() {
    barrier::dsb(barrier::ISHST);
}

/// Everything before it, TLB and cache maintenance on all cores included, has completed.
#[inline]
pub fn dsb_ish() {
    barrier::dsb(barrier::ISH);
}

/// The same, for this core only.
#[inline]
pub fn dsb_nsh() {
    barrier::dsb(barrier::NSH);
}

/// What follows sees the system registers and translations as they are now.
#[inline]
pub fn isb() {
    barrier::isb(barrier::SY);
}

/// Loads before it are done before what follows, as seen in the inner-shareable domain.
#[inline]
pub fn dmb_ishld() {
    barrier::dmb(barrier::ISHLD);
}
