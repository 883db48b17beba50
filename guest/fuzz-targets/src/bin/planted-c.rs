//! The bug of `planted` in C: the harness is libFuzzer's, in c/planted.c.

#![no_std]
#![no_main]

unsafe extern "C" {
    fn LLVMFuzzerTestOneInput(data: *const u8, size: usize) -> i32;
}

avisor_guest::fuzz_target!(|input: &[u8]| {
    // SAFETY: the harness reads `size` bytes at `data`, and if it does not, that is what is looked for.
    unsafe { LLVMFuzzerTestOneInput(input.as_ptr(), input.len()) };
});
