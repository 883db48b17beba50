/*
 * A guest's first instructions: a stack, an empty .bss, then main(device tree). The MMU stays off.
 *
 * They go with guest.ld, and do not mind whether the program is loaded as an ELF file or as a raw binary. A Rust program has
 * them from the library. A C program is built with them in this folder's parent, guest/, by
 *
 *   aarch64-linux-gnu-gcc -std=c99 -O2 -Wall -Wextra -ffreestanding -nostdlib -static -fno-pie -no-pie \
 *       -mgeneral-regs-only -mstrict-align -Wl,--build-id=none -Wl,-zmax-page-size=4096 \
 *       -Iinclude -T guest.ld c/start.S c/hello.c -o hello.elf
 */

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
    // A debugger's backtrace ends here. x0 is still the device tree.
1:  mov     x29, xzr
    bl      main
    // PSCI SYSTEM_OFF.
2:  movz    w0, #0x0008
    movk    w0, #0x8400, lsl #16
    hvc     #0
    b       2b
