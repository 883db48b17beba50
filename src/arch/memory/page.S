// Page contents. Softfloat code holds nothing in q-registers, but the guest does: those used here are put back.
.arch_extension fp
.arch_extension simd

// One line of 64 bytes. The accesses to one line need no barrier between them: a DC by address is executed in program
// order relative to loads and stores to the same line of Normal write-back memory (D7.5, "Ordering and completion of
// data and instruction cache instructions"). What was read goes again: a guest that keeps that page stores to it around the
// caches next, and the line would be stale.
.macro copy_line
    dc      civac, x1
    ld1     {v0.2d-v3.2d}, [x1]
    st1     {v0.2d-v3.2d}, [x0]
    dc      civac, x1
    dc      civac, x0
    add     x1, x1, #64
    add     x0, x0, #64
.endm

// avisor_copy_page(to, from): 4 KiB, lines of 64 bytes.
.section .text.page, "ax"
.balign 64
.global avisor_copy_page
avisor_copy_page:
    stp     q0, q1, [sp, #-64]!
    stp     q2, q3, [sp, #32]
    add     x2, x1, #4096
    dsb     sy                          // the guest's own uncached stores are done before its lines are dropped
1:
    .rept 8
    copy_line
    .endr
    cmp     x1, x2
    b.ne    1b
    dsb     sy                          // in memory, for whoever reads around the caches
    ldp     q2, q3, [sp, #32]
    ldp     q0, q1, [sp], #64
    ret

// avisor_copy_page_cached(to, from): 4 KiB, through the caches alone: whoever reads or writes either page does so through them too.
.balign 64
.global avisor_copy_page_cached
avisor_copy_page_cached:
    stp     q0, q1, [sp, #-64]!
    stp     q2, q3, [sp, #32]
    .rept 64                            // no loop: its steps would be a twelfth of all
    ld1     {v0.2d-v3.2d}, [x1], #64
    st1     {v0.2d-v3.2d}, [x0], #64
    .endr
    dmb     ishld                       // all of it is read before the caller lets other cores store to the page
    ldp     q2, q3, [sp, #32]
    ldp     q0, q1, [sp], #64
    ret

// avisor_fill_entries(table, first, step): the 512 entries of a translation table, the first of them `first`, each `step` more than the one
// before it. No walk reaches the table yet: whoever links it has a barrier of its own.
.balign 64
.global avisor_fill_entries
avisor_fill_entries:
    stp     q0, q1, [sp, #-96]!
    stp     q2, q3, [sp, #32]
    str     q4, [sp, #64]
    add     x3, x1, x2
    mov     v0.d[0], x1
    mov     v0.d[1], x3
    lsl     x2, x2, #1
    dup     v4.2d, x2                   // two steps
    add     v1.2d, v0.2d, v4.2d
    add     v2.2d, v1.2d, v4.2d
    add     v3.2d, v2.2d, v4.2d
    shl     v4.2d, v4.2d, #2            // eight
    add     x2, x0, #4096
1:
    .rept 8
    st1     {v0.2d-v3.2d}, [x0], #64
    add     v0.2d, v0.2d, v4.2d
    add     v1.2d, v1.2d, v4.2d
    add     v2.2d, v2.2d, v4.2d
    add     v3.2d, v3.2d, v4.2d
    .endr
    cmp     x0, x2
    b.ne    1b
    ldr     q4, [sp, #64]
    ldp     q2, q3, [sp, #32]
    ldp     q0, q1, [sp], #96
    ret

// avisor_zero_lines(start, end): whole lines of 64 bytes that DC ZVA clears one at a time; start and end on 1 KiB.
.balign 64
.global avisor_zero_lines
avisor_zero_lines:
    dsb     sy                          // what a guest stored here around the caches is done before its lines are dropped
1:
    .rept 16
    dc      zva, x0
    dc      civac, x0
    add     x0, x0, #64
    .endr
    cmp     x0, x1
    b.lo    1b
    dsb     sy                          // as above
    ret
