//! The project's own assembly, run as it is written.

/// What `aarch64::assembly` has in the image.
pub mod functions {
    use crate::arch::aarch64::fp::FpState;

    pub unsafe fn avisor_copy_page(_to: u64, _from: u64) {}
    pub unsafe fn avisor_zero_lines(_start: u64, _end: u64) {}
    pub unsafe fn avisor_fp_save(_state: *mut FpState) {}
    pub unsafe fn avisor_fp_load(_state: *const FpState) {}
    pub unsafe fn avisor_translate_s1e1r(_va: u64) -> u64 {
        1
    }
    pub unsafe fn avisor_translate_s1e1w(_va: u64) -> u64 {
        1
    }
    pub unsafe fn avisor_translate_s1e0r(_va: u64) -> u64 {
        1
    }
    pub unsafe fn avisor_translate_s1e0w(_va: u64) -> u64 {
        1
    }
    pub unsafe fn avisor_probe(_address: u64) -> u64 {
        u64::MAX
    }
    pub unsafe fn avisor_take_serror() -> u64 {
        0
    }
}
