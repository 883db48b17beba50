//! From the first instruction to `main`.

use core::arch::global_asm;

global_asm!(
    r#"
    .section .text.boot, "ax"
    .global _start
_start:
    msr     daifset, #0xf
    msr     spsel, #1
    // Relative addresses throughout: MMU off, nothing else to know.
    adrp    x1, __stack_top
    add     x1, x1, :lo12:__stack_top
    mov     sp, x1
    adrp    x1, __bss_start
    add     x1, x1, :lo12:__bss_start
    adrp    x2, __bss_end
    add     x2, x2, :lo12:__bss_end
0:  cmp     x1, x2
    b.hs    1f
    stp     xzr, xzr, [x1], #16
    b       0b
1:  adrp    x1, {vectors}
    add     x1, x1, :lo12:{vectors}
    msr     vbar_el1, x1
    isb
    // A debugger's backtrace ends here. x0 is still the device tree.
    mov     x29, xzr
    mov     x30, xzr
    b       {start}
"#,
    vectors = sym crate::exception::avisor_guest_vectors,
    start = sym start,
);

unsafe extern "C" {
    fn avisor_guest_main(device_tree: usize) -> !;
    static __image_end: u8;
    static __stack_top: u8;
}

extern "C" fn start(device_tree: usize) -> ! {
    crate::console::enable();
    // SAFETY: `entry!` defines it with this signature.
    unsafe { avisor_guest_main(device_tree) }
}

/// The first address behind the image, its `.bss` and its stack. From here to the end of RAM lies
/// nothing of the program, but perhaps the device tree.
pub fn image_end() -> usize {
    &raw const __image_end as usize
}

/// Where the stack starts, growing down.
pub fn stack_top() -> usize {
    &raw const __stack_top as usize
}
