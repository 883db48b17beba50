// Instructions of EL2 that may take an exception through no fault of EL2's own, and the table that says where EL2 goes on then.
// Each is in a function of its own, called as AAPCS64 has it: the vectors change x1 to x3 and the flags, never x30 nor the stack.
// On entry of the exception PSTATE.DAIF is set, and the exception level and stack pointer stay what they are: a branch leads back.
.section .text.fixup, "ax"

// avisor_translate_OPERATION(va) -> PAR_EL1. The table walk of an AT may take a synchronous External abort, or the lookup a TLB conflict
// abort, and these are taken as exceptions, not reported in PAR_EL1 (D8.15, "Address translation instructions"). The result then is
// PAR_EL1.F alone. What the TLB has of the VM goes: the guest's own access walks again, and takes the abort itself.
.macro translate operation
.balign 16
.global avisor_translate_\operation
avisor_translate_\operation:
translation_\operation:
    at      \operation, x0
    b       translated
.endm
translate s1e1r
translate s1e1w
translate s1e0r
translate s1e0w
translated:
    isb                                 // PAR_EL1 is written when the AT is synchronized (D8.15)
    mrs     x0, par_el1
    ret
translation_aborted:
    tlbi    vmalle1
    dsb     nsh
    isb
    mov     x0, #1
    ret

// avisor_probe(address) -> the word there, or -1 if nothing answers: a translation fault, or a synchronous External abort.
.balign 16
.global avisor_probe
avisor_probe:
probing:
    ldr     w0, [x0]
    ret
nobody_answered:
    mov     x0, #-1
    ret

// avisor_take_serror() -> ESR_EL2 of the SError that was pending, or 0. PSTATE.A must be set, and is set afterwards. A pending SError is
// taken between the MSR and the end of the ISB (D1.3.5, "Asynchronous exception types": by a context synchronization event).
.balign 16
.global avisor_take_serror
avisor_take_serror:
    msr     daifclr, #4
serror_window:
    isb
serror_window_end:
    msr     daifset, #4
    mov     x0, xzr
    ret
serror_taken:
    mrs     x0, esr_el2
    ret

// avisor_mend_cpu(): erratum 859971 of Cortex-A72 before r1p0 (the Raspberry Pi 4 has r0p3): a fetch that runs ahead over the end of a
// page can get what is not there. CPUACTLR_EL1[32] switches that prefetch off; the MMU must be off. Firmware that did it already,
// or that leaves no access to EL2 (ACTLR_EL3[0]: then the write is undefined), is left at that.
.balign 16
.global avisor_mend_cpu
avisor_mend_cpu:
    mrs     x0, midr_el1
    ldr     x1, =0xfff0fff0             // implementer, variant, part; not the architecture, not the revision
    and     x0, x0, x1
    ldr     x1, =0x4100d080             // Arm, r0, Cortex-A72
    cmp     x0, x1
    b.ne    cpu_left
cpuactlr_read:
    mrs     x0, s3_1_c15_c2_0           // CPUACTLR_EL1
    tbnz    x0, #32, cpu_left
    orr     x0, x0, #(1 << 32)
cpuactlr_write:
    msr     s3_1_c15_c2_0, x0
    isb                                 // no fetch ahead from here on
cpu_left:
    ret
    .ltorg

// Where an exception is expected, and where EL2 goes on: each relative to its word, as the image runs where it was put. Ends with 0.
.macro expected at, then
    .long   \at - .
    .long   \then - .
.endm
.balign 8
.global avisor_fixups
avisor_fixups:
    expected translation_s1e1r, translation_aborted
    expected translation_s1e1w, translation_aborted
    expected translation_s1e0r, translation_aborted
    expected translation_s1e0w, translation_aborted
    expected probing, nobody_answered
    expected serror_window, serror_taken
    expected serror_window_end, serror_taken
    expected cpuactlr_read, cpu_left
    expected cpuactlr_write, cpu_left
    .long   0
