//! On the board: the instructions themselves.

use core::arch::asm;
use core::sync::atomic::{AtomicU32, Ordering};

use super::TableEntry;
use crate::addr::{Ipa, PAGE_SIZE, Pa, Va};
use crate::arch::assembly::avisor_copy_page_cached;

#[macro_use]
mod register;

pub use aarch64_cpu::asm::wfi;
pub use aarch64_cpu::registers;

macro_rules! barriers {
    ($($(#[$doc:meta])* $name:ident: $instruction:literal)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub fn $name() {
            // SAFETY: a barrier changes neither registers nor memory. Not `nomem`: the compiler moves no access across it either.
            unsafe { asm!($instruction, options(nostack, preserves_flags)) };
        }
    )*};
}

barriers! {
    /// Everything before it is complete, for the full system.
    dsb_sy: "dsb sy"
    /// Everything before it is complete, maintenance of TLBs and caches on all cores included, in the inner-shareable domain.
    dsb_ish: "dsb ish"
    /// Stores before it are complete in the inner-shareable domain: every table walk sees them.
    dsb_ishst: "dsb ishst"
    /// Everything before it is complete, as far as this core is concerned.
    dsb_nsh: "dsb nsh"
    /// Loads before it are done before what follows, as seen in the inner-shareable domain.
    dmb_ishld: "dmb ishld"
    /// Stores before it are seen in the inner-shareable domain before those that follow.
    dmb_ishst: "dmb ishst"
    /// A context synchronization event: what follows sees system registers and translations as they are now.
    isb: "isb"
}

macro_rules! maintenance {
    ($($(#[$doc:meta])* $name:ident: $instruction:literal)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub fn $name() {
            // SAFETY: an invalidation makes TLBs and instruction caches, which hold copies only, forget.
            unsafe { asm!($instruction, options(nostack, preserves_flags)) };
        }
    )*};
}

maintenance! {
    /// Stage 1 and combined entries of the VMID in VTTBR_EL2, on all cores.
    tlbi_vmalle1is: "tlbi vmalle1is"
    /// The same, on this core.
    tlbi_vmalle1: "tlbi vmalle1"
    /// Both stages of the VMID in VTTBR_EL2, on all cores.
    tlbi_vmalls12e1is: "tlbi vmalls12e1is"
    /// All of the EL1&0 regime, of all VMIDs, on this core.
    tlbi_alle1: "tlbi alle1"
    /// All instruction caches of the inner-shareable domain.
    ic_ialluis: "ic ialluis"
    /// This core's instruction cache.
    ic_iallu: "ic iallu"
}

/// Stage 2 entries for `ipa` of the VMID in VTTBR_EL2, at all levels, on all cores. Entries that combine both stages stay (D8.16, "TLBI IPAS2").
#[inline(always)]
pub fn tlbi_ipas2e1is(ipa: Ipa) {
    // SAFETY: as above; operand: IPA[47:12] in 35:0.
    unsafe { asm!("tlbi ipas2e1is, {}", in(reg) ipa.0 >> 12, options(nostack, preserves_flags)) };
}

/// The same, on this core.
#[inline(always)]
pub fn tlbi_ipas2e1(ipa: Ipa) {
    // SAFETY: as above.
    unsafe { asm!("tlbi ipas2e1, {}", in(reg) ipa.0 >> 12, options(nostack, preserves_flags)) };
}

/// Stage 1 and combined entries of the VMID in VTTBR_EL2 that translate `va`, of all ASIDs, on this core.
#[inline(always)]
pub fn tlbi_vaae1(va: Va) {
    // VA[55:12] in 43:0; TTL, in 47:44, is 0: no hint.
    let operand = va.0 >> 12 & ((1 << 44) - 1);
    // SAFETY: as above.
    unsafe { asm!("tlbi vaae1, {}", in(reg) operand, options(nostack, preserves_flags)) };
}

/// EL2's own entries for the page at `address`, on all cores.
#[inline(always)]
pub fn tlbi_vae2is(address: u64) {
    // SAFETY: as above; operand: VA[55:12] in 43:0.
    unsafe { asm!("tlbi vae2is, {}", in(reg) address >> 12, options(nostack, preserves_flags)) };
}

/// The line of `address`, cleaned and invalidated to the point of coherency.
#[inline(always)]
pub fn dc_civac(address: u64) {
    // SAFETY: cleaning and invalidating a line changes nothing that a coherent observer sees.
    unsafe { asm!("dc civac, {}", in(reg) address, options(nostack, preserves_flags)) };
}

/// The line of `address`, cleaned to the point of unification.
#[inline(always)]
pub fn dc_cvau(address: u64) {
    // SAFETY: as above.
    unsafe { asm!("dc cvau, {}", in(reg) address, options(nostack, preserves_flags)) };
}

/// What instruction caches hold of the line of `address`, in the inner-shareable domain.
#[inline(always)]
pub fn ic_ivau(address: u64) {
    // SAFETY: as above; EL2 maps the address.
    unsafe { asm!("ic ivau, {}", in(reg) address, options(nostack, preserves_flags)) };
}

/// An error synchronization event where there is FEAT_RAS: an SError that is pending and masked is deferred to DISR_EL1. Else a NOP.
#[inline(always)]
pub fn esb() {
    // SAFETY: a hint; it writes DISR_EL1 only, which nothing else uses at EL2. An exception that it leads to ends the run.
    unsafe { asm!("hint #16", options(nostack, preserves_flags)) };
}

/// SErrors wait.
#[inline(always)]
pub fn mask_serrors() {
    // SAFETY: PSTATE.A.
    unsafe { asm!("msr daifset, #4", options(nostack, preserves_flags)) };
}

/// SErrors are taken.
#[inline(always)]
pub fn unmask_serrors() {
    // SAFETY: PSTATE.A; the vector reports the error and ends the run.
    unsafe { asm!("msr daifclr, #4", options(nostack, preserves_flags)) };
}

/// Fills a translation table that no walk reaches: entry `i` becomes `first` + `i` * `step`.
#[inline(always)]
pub fn fill_entries(table: &[TableEntry; 512], first: u64, step: u64) {
    unsafe extern "C" {
        /// See `memory/page.S`.
        fn avisor_fill_entries(table: *mut u64, first: u64, step: u64);
    }
    let at = table.as_ptr().cast::<u64>().cast_mut();
    // SAFETY: the assembly writes the 4 KiB of the table, whose entries are atomics, which may be written through a shared reference; nobody
    // else writes them meanwhile, as the table is not linked. All else that it uses it puts back.
    unsafe { avisor_fill_entries(at, first, step) };
}

/// The word at `at`, by EL2's cacheable mapping.
///
/// # Safety
/// A multiple of 4 in RAM of EL2's map.
#[inline(always)]
pub unsafe fn load(at: Pa) -> u32 {
    // SAFETY: the caller's promise. The guest's vCPUs may write the word meanwhile, so the load is atomic.
    unsafe { AtomicU32::from_ptr(at.0 as *mut u32) }.load(Ordering::Relaxed)
}

/// Reads `to.len()` bytes from `at` on, by EL2's cacheable mapping, where guests may be at work.
///
/// # Safety
/// RAM of EL2's map.
pub unsafe fn load_beside_guests(at: Pa, to: &mut [u8]) {
    // SAFETY: the caller's promise; `to` is the caller's alone.
    unsafe { copy(to.as_mut_ptr() as u64, at.0, to.len()) };
}

/// Writes `bytes` from `at` on, by EL2's cacheable mapping, where guests may be at work.
///
/// # Safety
/// RAM of EL2's map, into which no Rust reference points.
pub unsafe fn store_beside_guests(at: Pa, bytes: &[u8]) {
    // SAFETY: the caller's promise; nobody changes `bytes`.
    unsafe { copy(at.0, bytes.as_ptr() as u64, bytes.len()) };
}

/// Copies `bytes` bytes from `from` to `to`, which do not overlap, by EL2's cacheable mapping, where guests may be at work.
///
/// # Safety
/// RAM of EL2's map, into which no Rust reference points.
pub unsafe fn copy_beside_guests(from: Pa, to: Pa, bytes: u64) {
    // SAFETY: the caller's promise.
    unsafe { copy(to.0, from.0, bytes as usize) };
}

/// Copies bytes of Normal memory, whatever they are aligned to (SCTLR_EL2.A is 0). What both sides are aligned to, up to a doubleword, is accessed at once,
/// and each byte at least (DDI 0487 B2.2.1): whoever else accesses it meanwhile sees it as before or as after.
///
/// # Safety
/// The bytes from `from` on may be read, and those from `to` on written, by assembly: no Rust reference points to them but the caller's own. They do not
/// overlap.
#[inline(never)]
unsafe fn copy(to: u64, from: u64, bytes: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "subs {left}, {left}, #64",
            "b.lo 3f",
            "2: ldp {a}, {b}, [{from}], #16",
            "ldp {c}, {d}, [{from}], #16",
            "stp {a}, {b}, [{to}], #16",
            "stp {c}, {d}, [{to}], #16",
            "ldp {a}, {b}, [{from}], #16",
            "ldp {c}, {d}, [{from}], #16",
            "stp {a}, {b}, [{to}], #16",
            "stp {c}, {d}, [{to}], #16",
            "subs {left}, {left}, #64",
            "b.hs 2b",
            // It is 64 less than what is left: its low six bits are that.
            "3: tbz {left}, #5, 9f",
            "ldp {a}, {b}, [{from}], #16",
            "ldp {c}, {d}, [{from}], #16",
            "stp {a}, {b}, [{to}], #16",
            "stp {c}, {d}, [{to}], #16",
            "9: tbz {left}, #4, 4f",
            "ldp {a}, {b}, [{from}], #16",
            "stp {a}, {b}, [{to}], #16",
            "4: tbz {left}, #3, 5f",
            "ldr {a}, [{from}], #8",
            "str {a}, [{to}], #8",
            "5: tbz {left}, #2, 6f",
            "ldr {a:w}, [{from}], #4",
            "str {a:w}, [{to}], #4",
            "6: tbz {left}, #1, 7f",
            "ldrh {a:w}, [{from}], #2",
            "strh {a:w}, [{to}], #2",
            "7: tbz {left}, #0, 8f",
            "ldrb {a:w}, [{from}]",
            "strb {a:w}, [{to}]",
            "8:",
            to = inout(reg) to => _,
            from = inout(reg) from => _,
            left = inout(reg) bytes => _,
            a = out(reg) _,
            b = out(reg) _,
            c = out(reg) _,
            d = out(reg) _,
            options(nostack)
        );
    }
}

/// Writes `bytes` from `at` on, by EL2's cacheable mapping.
///
/// # Safety
/// RAM of EL2's map, which nobody else uses meanwhile, and into which no Rust reference points.
#[inline(always)]
pub unsafe fn store(at: Pa, bytes: &[u8]) {
    let from = bytes.as_ptr() as u64;
    // Images are loaded by pages.
    if bytes.len() as u64 == PAGE_SIZE && (at.0 | from).is_multiple_of(8) {
        // SAFETY: the caller's promise, and `bytes` are as many as the assembly reads. It loads and stores doublewords, which both are aligned to.
        return unsafe { avisor_copy_page_cached(at.0, from) };
    }
    // SAFETY: the caller's promise.
    unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), at.0 as *mut u8, bytes.len()) };
}
