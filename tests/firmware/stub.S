// Firmware at EL3 that leaves nothing as a reset or a friendly boot loader would: what the Raspberry Pi's may do, at its worst.
//
// It is the first thing that QEMU's `virt` executes with `secure=on`: at address 0, in flash, without a stack. QEMU has put the device tree and
// the image into RAM, and the test has written three addresses behind the first branch. All that an image may not rely on (the arm64 boot protocol, Linux
// Documentation/arch/arm64/booting.rst) is garbage then:
//
// - general and SIMD registers but x0, the device tree's address;
// - every EL1 and EL2 register that the protocol does not name, those of debug, of the timers and of the performance monitors too. MMU and
//   D-cache are off at EL2, the exceptions masked, CNTFRQ_EL0 is right, and nothing more;
// - RAM, but for the image's file and the device tree;
// - the virtual CPU interface of the GIC, list registers and all.
//
// All interrupts are Non-secure, as Non-secure software could not make them so; SMC is disabled (SCR_EL3.SMD).

        .arch_extension fp
        .arch_extension simd
        .section .text.start, "ax"
        .global _start
_start: b       start
        .balign 8
image:      .quad 0     // where the image is
image_end:  .quad 0     // where its file ends
ram_end:    .quad 0

        .set    GICD, 0x08000000
        .set    GICC, 0x08010000
        .set    GICH, 0x08030000
        .set    RAM, 0x40000000
        .set    TREE_END, 0x40100000

        // Writes garbage to them.
        .macro  spoil register:vararg
        .irp    name, \register
        msr     \name, x28
        .endr
        .endm

start:  mrs     x0, mpidr_el1
        and     x0, x0, #0xff
        cbz     x0, 1f
        // A core that nobody starts.
park:   wfi
        b       park

        // NS, RES1, SMD, HCE, RW: EL2 is Non-secure and AArch64.
1:      mov     x0, #0x5b1
        msr     scr_el3, x0
        msr     cptr_el3, xzr
        msr     mdcr_el3, xzr
        isb

        // The GIC: all interrupts Non-secure, both groups forwarded, Non-secure priorities pass.
        ldr     x1, =GICD
        mov     w0, #-1
        add     x2, x1, #0x80           // GICD_IGROUPRn
        mov     x3, #32
2:      str     w0, [x2], #4
        subs    x3, x3, #1
        b.ne    2b
        mov     w0, #3
        str     w0, [x1]                // GICD_CTLR
        ldr     x1, =GICC
        mov     w0, #0x1e7
        str     w0, [x1]                // GICC_CTLR
        mov     w0, #0xff
        str     w0, [x1, #4]            // GICC_PMR

        movz    x28, #0xa5a5
        movk    x28, #0x5aa5, lsl #16
        movk    x28, #0xc33c, lsl #32
        movk    x28, #0x9669, lsl #48

        // The virtual interface: list registers that hold something, active priorities, maintenance interrupts enabled.
        ldr     x1, =GICH
        str     w28, [x1, #0x08]        // GICH_VMCR
        str     w28, [x1, #0xf0]        // GICH_APR
        ldr     w0, =0x3a90041b         // active and pending, INTID 27
        str     w0, [x1, #0x100]        // GICH_LR0
        str     w0, [x1, #0x104]
        str     w0, [x1, #0x108]
        str     w0, [x1, #0x10c]
        mov     w0, #0xff
        str     w0, [x1]                // GICH_HCR

        // RAM, but for the device tree and the image's file.
        ldr     x1, =TREE_END
        ldr     x2, image
        bl      fill
        ldr     x1, image_end
        ldr     x2, ram_end
        bl      fill

        // EL1, through HCR_EL2 as reset left it.
        spoil   ttbr0_el1, ttbr1_el1, tcr_el1, mair_el1, amair_el1, vbar_el1, sctlr_el1, cpacr_el1, contextidr_el1
        spoil   esr_el1, far_el1, afsr0_el1, afsr1_el1, par_el1, elr_el1, spsr_el1, sp_el0, sp_el1, actlr_el1, csselr_el1
        spoil   tpidr_el0, tpidrro_el0, tpidr_el1, spsr_abt, spsr_und, spsr_irq, spsr_fiq
        // Debug: breakpoints and watchpoints on everything, single step, the OS Lock.
        spoil   dbgbvr0_el1, dbgbvr1_el1, dbgwvr0_el1, dbgwvr1_el1, dbgbcr0_el1, dbgbcr1_el1, dbgwcr0_el1, dbgwcr1_el1
        spoil   mdscr_el1, mdccint_el1, osdlr_el1, oslar_el1
        // Performance monitors that count and overflow.
        spoil   pmcr_el0, pmcntenset_el0, pmintenset_el1, pmovsset_el0, pmccntr_el0, pmccfiltr_el0, pmuserenr_el0, pmselr_el0
        // Timers that have fired.
        spoil   cntkctl_el1, cnthctl_el2, cntvoff_el2
        msr     cntp_cval_el0, xzr
        msr     cntv_cval_el0, xzr
        msr     cnthp_cval_el2, xzr
        mov     x0, #1
        msr     cntp_ctl_el0, x0
        msr     cntv_ctl_el0, x0
        msr     cnthp_ctl_el2, x0
        // EL2. Bits of SCTLR_EL2: M, C and EE stay 0.
        mov     x0, #(1 << 0 | 1 << 2)
        orr     x0, x0, #(1 << 25)
        bic     x0, x28, x0
        msr     sctlr_el2, x0
        spoil   hcr_el2, vttbr_el2, vtcr_el2, ttbr0_el2, tcr_el2, mair_el2, amair_el2, vbar_el2, cptr_el2, hstr_el2, mdcr_el2
        spoil   esr_el2, far_el2, hpfar_el2, afsr0_el2, afsr1_el2, tpidr_el2, sp_el2, actlr_el2, vpidr_el2, vmpidr_el2, hacr_el2
        spoil   dacr32_el2, ifsr32_el2, fpexc32_el2
        // SIMD.
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
        dup     v\n\().2d, x28
        .endr
        msr     fpsr, x28
        msr     fpcr, x28

        // To the image, at EL2h with exceptions masked.
        mov     x0, #0x3c9
        msr     spsr_el3, x0
        ldr     x0, image
        msr     elr_el3, x0
        ldr     x0, =RAM
        .irp    n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 29, 30
        mov     x\n, x28
        .endr
        isb
        eret

// Fills x1 to x2.
fill:   add     x3, x28, #1
3:      cmp     x1, x2
        b.hs    4f
        stp     x28, x3, [x1], #16
        b       3b
4:      ret
