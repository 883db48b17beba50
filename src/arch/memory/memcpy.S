// memcpy, memmove and memset for the sizes that Avisor has: registers and records, a few hundred bytes. compiler_builtins' own are
// written for every size and alignment, and take three times as many instructions here.
// Only aligned accesses: the boot stub's memory is Device memory until the MMU is on.
.section .text.memcpy, "ax"
.balign 16
.global memcpy
memcpy:                                 // (to, from, bytes) -> to
    orr     x4, x0, x1
    mov     x3, x0
    tst     x4, #7
    b.ne    3f
    subs    x2, x2, #64
    b.lo    2f
9:  ldp     x4, x5, [x1], #16
    ldp     x6, x7, [x1], #16
    ldp     x8, x9, [x1], #16
    ldp     x10, x11, [x1], #16
    stp     x4, x5, [x3], #16
    stp     x6, x7, [x3], #16
    stp     x8, x9, [x3], #16
    stp     x10, x11, [x3], #16
    subs    x2, x2, #64
    b.hs    9b
2:  tbz     x2, #5, 8f                  // x2 is 64 less than what is left: its low six bits are that
    ldp     x4, x5, [x1], #16
    ldp     x6, x7, [x1], #16
    stp     x4, x5, [x3], #16
    stp     x6, x7, [x3], #16
8:
    tbz     x2, #4, 4f
    ldp     x4, x5, [x1], #16
    stp     x4, x5, [x3], #16
4:  tbz     x2, #3, 5f
    ldr     x4, [x1], #8
    str     x4, [x3], #8
5:  and     x2, x2, #7
3:  cbz     x2, 7f
6:  ldrb    w4, [x1], #1
    strb    w4, [x3], #1
    subs    x2, x2, #1
    b.ne    6b
7:  ret

// memmove, which copies between records that the compiler cannot tell apart become. A copy from the bottom up is right unless the end of
// `from` would be written before it is read.
.balign 16
.global memmove
memmove:                                // (to, from, bytes) -> to
    sub     x4, x0, x1
    cmp     x4, x2
    b.hs    memcpy
1:  cbz     x2, 2f
    sub     x2, x2, #1
    ldrb    w4, [x1, x2]
    strb    w4, [x0, x2]
    b       1b
2:  ret

.balign 16
.global memset
memset:                                 // (to, byte, bytes) -> to
    and     x1, x1, #0xff
    mov     x4, #0x0101010101010101
    mul     x4, x1, x4
    mov     x3, x0
    tst     x0, #7
    b.ne    3f
    subs    x2, x2, #32
    b.lo    2f
1:  stp     x4, x4, [x3], #16
    stp     x4, x4, [x3], #16
    subs    x2, x2, #32
    b.hs    1b
2:  tbz     x2, #4, 4f                  // as above, with five bits
    stp     x4, x4, [x3], #16
4:  tbz     x2, #3, 5f
    str     x4, [x3], #8
5:  and     x2, x2, #7
3:  cbz     x2, 7f
6:  strb    w4, [x3], #1
    subs    x2, x2, #1
    b.ne    6b
7:  ret
