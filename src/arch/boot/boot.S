// Entry, from a boot loader that follows Linux's Documentation/arch/arm64/booting.rst: x0 = device tree, MMU off,
// the image clean to the point of coherency; any exception level, because a wrong one must be reported.

// The range [x0, x1), in whole pages, invalidated in all caches to the point of coherency, so that no line that an
// earlier boot stage left behind shadows, or is written back over, what was stored with the MMU off. Those stores are
// to Device memory, and maintenance of Normal memory is not ordered behind them: the first DSB sees to it. Clobbers x2, x3.
.macro invalidate_x0_to_x1
    dsb     sy
    mrs     x2, ctr_el0
    ubfx    x2, x2, #16, #4             // DminLine: log2 of the words in the smallest line
    mov     x3, #4
    lsl     x2, x3, x2
1:  dc      ivac, x0
    add     x0, x0, x2
    cmp     x0, x1
    b.lo    1b
    dsb     sy
.endm

// Does `action` with each word that is relocated, whose address is in x6. They are named by [x1, x2) (ELF gABI, "Relative Relocation Table"): an
// even entry is the distance of one from x0; an odd one has a bit for each of the 63 words that follow. Clobbers x1, x3 to x6.
.macro each_relocated action
1:  cmp     x1, x2
    b.hs    5f
    ldr     x3, [x1], #8
    ubfx    x4, x3, #0, #1
    cbnz    x4, 2f
    add     x6, x0, x3
    \action
    add     x5, x6, #8                  // the first that the next entry has a bit for
    b       1b
2:  mov     x6, x5
    add     x5, x5, #504
3:  ubfx    x3, x3, #1, #63
    cbz     x3, 1b
    ubfx    x4, x3, #0, #1
    cbz     x4, 4f
    \action
4:  add     x6, x6, #8
    b       3b
5:
.endm

.macro relocate_word
    ldr     x4, [x6]
    add     x4, x4, x0
    str     x4, [x6]
.endm

.macro invalidate_word
    dc      ivac, x6
.endm

// The image, which begins at x0, is linked at 0: each of these words is an address in it.
.macro relocate
    each_relocated relocate_word
.endm

// As `invalidate_x0_to_x1`, which comes next and whose first DSB completes this, for the words that were relocated.
.macro invalidate_relocated
    dsb     sy
    each_relocated invalidate_word
.endm

.macro address register, symbol
    adrp    \register, \symbol
    add     \register, \register, :lo12:\symbol
.endm

// EL2 of the core whose Cpu is at x20, apart from its translation. All of it is in effect behind the ISB, E2H off too, with which CPTR_EL2,
// TCR_EL2 and CNTHCTL_EL2 have another layout: until then nothing is done that depends on one. Clobbers x0.
.macro set_up_el2
    ldr     x0, ={HCR_START}
    msr     hcr_el2, x0
    msr     tpidr_el2, x20
    address x0, {vectors}
    msr     vbar_el2, x0
    mov     x0, #{CPTR_RES1}            // no trap on FP/SIMD: copy_page and the vCPU state use it
    msr     cptr_el2, x0
    isb
.endm

// MMU and caches on, through the tables at x4. Clobbers x0 to x2.
.macro switch_translation_on
    ldr     x0, ={MAIR}
    msr     mair_el2, x0
    ldr     x0, ={TCR}
    mrs     x1, id_aa64mmfr0_el1        // PARange, at most 48 bits, is TCR_EL2.PS
    and     x1, x1, #0xf
    mov     x2, #5
    cmp     x1, x2
    csel    x1, x1, x2, lo
    bfi     x0, x1, #16, #3
    msr     tcr_el2, x0
    msr     ttbr0_el2, x4
    isb                                 // TLBs may have kept what these said before: they are new when that goes (D8, "TLB maintenance")
    tlbi    alle2                       // whatever the firmware left of ours; of guests: `control::set_up`
    ic      iallu
    dsb     nsh                         // the MSR waits for it, and fetches are translated from the last ISB on
    ldr     x0, ={SCTLR}
    msr     sctlr_el2, x0
    isb
.endm

.section .head, "ax"
.global image_header
image_header:
    b       start
    .long   0
    .quad   0                           // text_offset: any 2 MiB boundary will do
    .quad   image_size                  // with bss and stacks
    .quad   0xa                         // little-endian, 4 KiB pages, anywhere in memory
    .quad   0, 0, 0
    .ascii  "ARM\x64"
    .long   0

.section .text.boot, "ax"
start:
    msr     daifset, #0xf
    msr     spsel, #1
    mov     x19, x0

    // bss and the stacks are in no file, so the protocol does not promise that they are clean.
    address x0, bss_start
    address x1, image_end
    invalidate_x0_to_x1

    address x0, bss_start
    address x1, bss_end
2:  stp     xzr, xzr, [x0], #16
    cmp     x0, x1
    b.lo    2b

    address x0, image_start
    address x1, relr_start
    address x2, relr_end
    relocate

    address x20, {cpus}                 // the boot core is number 0
    address x0, {stacks}
    add     x1, x0, #{EMERGENCY_TOP}
    str     x1, [x20, #{CPU_EMERGENCY}]
    add     x0, x0, #{MAIN_TOP}
    mov     sp, x0
    mov     x29, xzr
    mov     x30, xzr

    mrs     x1, CurrentEL
    cmp     x1, #(2 << 2)
    b.eq    5f
    mov     x0, x19
    lsr     x1, x1, #2
    bl      {wrong_level}

5:  set_up_el2
    bl      {mend_cpu}

    mov     x0, x19
    bl      {map_image}                 // x0: TTBR0_EL2

    // All that was stored with the MMU off: lines fetched speculatively meanwhile are stale. In front of the data that is what was relocated; the
    // rest there is clean still, and may be large: the guests' images.
    mov     x21, x0
    address x0, image_start
    address x1, relr_start
    address x2, relr_end
    invalidate_relocated
    address x0, data_start
    address x1, image_end
    invalidate_x0_to_x1

    mov     x4, x21
    switch_translation_on

    mov     x0, x19
    bl      {main}

// Where the other cores come in, from PSCI CPU_ON or a spin table: position independent, MMU and caches off, which is why what they read
// here must be clean to the point of coherency. Only the affinity says which core it is: a spin table passes nothing.
.global secondary
secondary:
    msr     daifset, #0xf
    msr     spsel, #1
    mrs     x0, CurrentEL
    cmp     x0, #(2 << 2)
    b.ne    park
    mrs     x0, mpidr_el1
    ldr     x1, ={AFFINITY}
    and     x0, x0, x1
    address x20, {cpus}
    mov     x1, #{CORES}
7:  ldr     x2, [x20, #{CPU_AFFINITY}]
    cmp     x2, x0
    b.eq    8f
    add     x20, x20, #{CPU_SIZE}
    subs    x1, x1, #1
    b.ne    7b
    b       park                        // nobody called this one
8:  set_up_el2
    ldr     x0, [x20, #{CPU_STACK}]
    mov     sp, x0
    mov     x29, xzr
    bl      {mend_cpu}
    mov     x30, xzr
    ldr     x4, [x20, #{CPU_TABLES}]
    switch_translation_on
    bl      {secondary_main}
    .ltorg

// Where cores go that are not used: they sleep. Position independent, needs no stack, no MMU and no exception level.
.balign 64
.global park
park:
    msr     daifset, #0xf
6:  wfi
    b       6b
