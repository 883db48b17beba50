// The way into a guest and back, and the vectors.

.macro general_registers_2_to_29 operation, base
    \operation  x2, x3, [\base, #{X} + 16 * 1]
    \operation  x4, x5, [\base, #{X} + 16 * 2]
    \operation  x6, x7, [\base, #{X} + 16 * 3]
    \operation  x8, x9, [\base, #{X} + 16 * 4]
    \operation  x10, x11, [\base, #{X} + 16 * 5]
    \operation  x12, x13, [\base, #{X} + 16 * 6]
    \operation  x14, x15, [\base, #{X} + 16 * 7]
    \operation  x16, x17, [\base, #{X} + 16 * 8]
    \operation  x18, x19, [\base, #{X} + 16 * 9]
    \operation  x20, x21, [\base, #{X} + 16 * 10]
    \operation  x22, x23, [\base, #{X} + 16 * 11]
    \operation  x24, x25, [\base, #{X} + 16 * 12]
    \operation  x26, x27, [\base, #{X} + 16 * 13]
    \operation  x28, x29, [\base, #{X} + 16 * 14]
.endm

// avisor_switch: x0 = registers: *mut Registers -> x0 = TrapKind
// Not a function as AAPCS64 has it: it preserves x19, x29 and the stack pointer only, which Rust cannot say that it changes. What its caller needs of the others,
// which is little, the compiler keeps on the stack. Between entry and exit the stack has, from low to high addresses: x29, x19, x30, `registers`.
.section .text.switch, "ax"
.balign 64
.global avisor_switch
avisor_switch:
    stp     x29, x19, [sp, #-32]!
    stp     x30, x0, [sp, #16]
    mrs     x2, tpidr_el2
    str     x0, [x2, #{CPU_REGISTERS}]  // for EL2's own faults
    ldp     x30, x2, [x0, #{X} + 8 * 30]    // x30 and pc
    ldr     x3, [x0, #{PSTATE}]
    msr     elr_el2, x2
    msr     spsr_el2, x3
    general_registers_2_to_29 ldp, x0
    ldp     x0, x1, [x0, #{X}]
    eret                                // synchronizes the context, and clears the exclusive monitor
    dsb     nsh                         // no speculation past the ERET (Arm's advice on straight-line speculation)
    isb

// From the vectors: guest's x0, x1 on the stack, x0 = TrapKind.
.balign 64
from_guest:
    ldr     x1, [sp, #16 + 24]          // registers
    general_registers_2_to_29 stp, x1
    ldp     x2, x3, [sp], #16
    stp     x2, x3, [x1, #{X}]
    mrs     x2, elr_el2
    mrs     x3, spsr_el2
    stp     x30, x2, [x1, #{X} + 8 * 30]
    str     x3, [x1, #{PSTATE}]
    ldr     x30, [sp, #16]
    ldp     x29, x19, [sp], #32
    ret

// From the vectors: x0 = TrapKind. An exception that `fixup.S` expects, of this kind, goes on there: its functions have nothing in x0 to x3 then. Any other is EL2's
// own fault, from which nothing returns: no register needs saving, and the stack pointer, which may be what faulted, is given up.
from_el2:
    mrs     x1, elr_el2
    adrp    x2, {fixups}
    add     x2, x2, :lo12:{fixups}
1:  ldrsw   x3, [x2]
    cbz     x3, 2f
    add     x3, x3, x2
    cmp     x3, x1
    ldr     w3, [x2, #8]
    ccmp    x3, x0, #0, eq
    ldrsw   x3, [x2, #4]!
    add     x3, x3, x2
    add     x2, x2, #8
    b.ne    1b
    br      x3
2:  mov     x1, sp
    mov     x2, x30
    mrs     x3, tpidr_el2
    ldr     x3, [x3, #{CPU_EMERGENCY}]
    mov     sp, x3
    mov     x29, xzr
    bl      {el2_fault}

.macro vector_el2 kind
    .balign 0x80
    mov     x0, #\kind
    b       from_el2
.endm

.macro vector_guest kind
    .balign 0x80
    stp     x0, x1, [sp, #-16]!
    mov     x0, #\kind
    b       from_guest
.endm

.balign 0x800
.global avisor_vectors
avisor_vectors:
    // Current EL with SP_EL0 (never used), then with SP_EL2.
    vector_el2   {SYNC}
    vector_el2   {IRQ}
    vector_el2   {FIQ}
    vector_el2   {SERROR}
    vector_el2   {SYNC}
    vector_el2   {IRQ}
    vector_el2   {FIQ}
    vector_el2   {SERROR}
    // Lower EL: AArch64, then AArch32, which EL0 may be.
    vector_guest {SYNC}
    vector_guest {IRQ}
    vector_guest {FIQ}
    vector_guest {SERROR}
    vector_guest {SYNC}
    vector_guest {IRQ}
    vector_guest {FIQ}
    vector_guest {SERROR}
    .balign 0x80
