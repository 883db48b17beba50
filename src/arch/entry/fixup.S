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
    dsb     nsh                         // the ERET is the context synchronization event before the guest's access
    mov     x0, #1
    ret

// avisor_probe(address) -> the word there, or -1 if nothing answers: a translation fault, or an External abort, synchronous or an SError (as
// Cortex-A72 may report it). PSTATE.A is what it was afterwards. If it was clear, an SError from before the load is EL2's own, as ever; if it was
// set, as during start-up, such an SError is dropped, for it would be taken for the load's. At another level than EL2 the load alone is done.
.balign 16
.global avisor_probe
avisor_probe:
    mrs     x4, CurrentEL
    cmp     x4, #(2 << 2)
    b.ne    load_only
    mov     x5, x0                      // x4 and x5 are not the vectors'
    mrs     x4, daif
    dsb     sy
    isb                                 // not in the table
    msr     daifclr, #4
probe_before:
    isb
probe_before_end:
    msr     daifset, #4
probing:
    ldr     w0, [x5]
    dsb     sy                          // the load is done, and has had its SError
    msr     daifclr, #4
probe_after:
    isb
probe_after_end:
    msr     daif, x4
    ret
nobody_answered:
    msr     daif, x4
    mov     x0, #-1
    ret
load_only:
    ldr     w0, [x0]
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
// or where the write is undefined at EL2, is left at that. Where ACTLR_EL3[0] is 0 the write traps to EL3, and firmware decides what becomes of
// it: EL2 goes on only if that returns, or has EL2 take an exception.
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
    msr     s3_1_c15_c2_0, x0           // in effect before the MMU goes on: there is an ISB in front of that
cpu_left:
    ret
    .ltorg

// Where an exception is expected, and where EL2 goes on: each relative to its word, as the image runs where it was put; and which kind of
// exception that is, a TrapKind: any other there is EL2's own. Ends with 0.
.macro expected kind, at, then
    .long   \at - .
    .long   \then - .
    .long   \kind
.endm
.balign 8
.global avisor_fixups
avisor_fixups:
    expected {SYNC}, translation_s1e1r, translation_aborted
    expected {SYNC}, translation_s1e1w, translation_aborted
    expected {SYNC}, translation_s1e0r, translation_aborted
    expected {SYNC}, translation_s1e0w, translation_aborted
    expected {SERROR}, probe_before, probing
    expected {SERROR}, probe_before_end, probing
    expected {SYNC}, probing, nobody_answered
    expected {SERROR}, probe_after, nobody_answered
    expected {SERROR}, probe_after_end, nobody_answered
    expected {SERROR}, serror_window, serror_taken
    expected {SERROR}, serror_window_end, serror_taken
    expected {SYNC}, cpuactlr_read, cpu_left
    expected {SYNC}, cpuactlr_write, cpu_left
    .long   0
