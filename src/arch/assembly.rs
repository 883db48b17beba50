//! The functions that are written in assembly, besides the entry and the switch.

use core::arch::global_asm;

use crate::arch::vcpu::TrapKind;

global_asm!(include_str!("memory/page.S"), options(raw));
global_asm!(include_str!("memory/memcpy.S"));
global_asm!(include_str!("vcpu/fp.S"));
global_asm!(
    include_str!("entry/fixup.S"),
    SYNC = const TrapKind::Sync as u64,
    SERROR = const TrapKind::SError as u64,
);

unsafe extern "C" {
    pub(super) fn avisor_copy_page(to: u64, from: u64);
    pub(super) fn avisor_copy_page_cached(to: u64, from: u64);
    pub(super) fn avisor_zero_lines(start: u64, end: u64);

    pub(super) fn avisor_fp_save(state: *mut u8);
    pub(super) fn avisor_fp_load(state: *const u8);

    pub(super) fn avisor_translate_s1e1r(va: u64) -> u64;
    pub(super) fn avisor_translate_s1e1w(va: u64) -> u64;
    pub(super) fn avisor_translate_s1e0r(va: u64) -> u64;
    pub(super) fn avisor_translate_s1e0w(va: u64) -> u64;
    pub(super) fn avisor_probe(address: u64) -> u64;
    pub(super) fn avisor_take_serror() -> u64;
    /// Sets what the CPU's errata ask for. For the boot stub.
    pub(super) fn avisor_mend_cpu();
    /// The instructions of `fixup.S` that may take an exception, and where EL2 goes on. For the vectors.
    pub(super) static avisor_fixups: u8;
}
