//! All registers that instructions use, loaded at once, and stored at once behind a hypercall.
//!
//! Not one register is free to hold an address behind the call; only SP is, for it has to hold one anyway:
//! it points at the [`Context`] that takes what came back.

use core::arch::global_asm;
use core::fmt;
use core::mem::offset_of;

use avisor_guest::Shared;
use avisor_guest::println;

use avisor_guest::check::{Failure, Outcome};
use avisor_guest::random::pattern;

/// Registers as they go in or come out.
#[repr(C, align(16))]
#[derive(Clone)]
pub struct Context {
    /// x0 to x30.
    pub x: [u64; 31],
    /// SP of the code that stores; where the context itself is.
    pub sp: u64,
    pub sp_el0: u64,
    pub sp_el1: u64,
    pub nzcv: u64,
    /// Interrupt masks, as `msr daif` takes them. EL1 only, as are the next.
    pub daif: u64,
    pub spsel: u64,
    pub fpcr: u64,
    pub fpsr: u64,
    pub v: [u128; 32],
}

impl Context {
    pub const ZERO: Context = Context {
        x: [0; 31],
        sp: 0,
        sp_el0: 0,
        sp_el1: 0,
        nzcv: 0,
        daif: 0,
        spsel: 0,
        fpcr: 0,
        fpsr: 0,
        v: [0; 32],
    };

    /// What is checkpointed: a pattern in each register. `sp` must be set.
    pub fn wanted() -> Context {
        Context {
            nzcv: 0xa000_0000,
            // D and I.
            daif: 0x280,
            spsel: 1,
            // Flush to zero, round down.
            fpcr: 0x0180_0000,
            fpsr: 0x0800_009f,
            ..Context::filled(0)
        }
    }

    /// What it is overwritten with: everything is different.
    pub fn scrambled() -> Context {
        Context {
            nzcv: 0x5000_0000,
            // A and F. No interrupt is enabled anywhere.
            daif: 0x140,
            spsel: 1,
            // Default NaN, round up.
            fpcr: 0x0240_0000,
            fpsr: 0,
            ..Context::filled(1000)
        }
    }

    fn filled(seed: u64) -> Context {
        let mut context = Context::ZERO;
        for (n, x) in context.x.iter_mut().enumerate() {
            *x = pattern(seed + n as u64);
        }
        for (n, v) in context.v.iter_mut().enumerate() {
            let n = seed + 100 + 2 * n as u64;
            *v = u128::from(pattern(n)) << 64 | u128::from(pattern(n + 1));
        }
        // Stack pointers are addresses, 16-byte aligned.
        context.sp_el0 = pattern(seed + 200) & 0x7fff_fff0;
        context.sp_el1 = pattern(seed + 201) & 0x7fff_fff0;
        context
    }

    /// Prints each register that differs in `got`, from x`first` on.
    pub fn compare(&self, got: &Context, first: usize) -> Outcome {
        let mut different = false;
        let mut check = |name: fmt::Arguments, want: u128, got: u128| {
            if want != got {
                println!("self-test:   {name}: want {want:#x}, got {got:#x}");
                different = true;
            }
        };
        for n in first..31 {
            check(format_args!("x{n}"), self.x[n].into(), got.x[n].into());
        }
        for n in 0..32 {
            check(format_args!("v{n}"), self.v[n], got.v[n]);
        }
        for (name, want, got) in [
            ("SP", self.sp, got.sp),
            ("SP_EL0", self.sp_el0, got.sp_el0),
            ("SP_EL1", self.sp_el1, got.sp_el1),
            ("NZCV", self.nzcv, got.nzcv),
            ("DAIF", self.daif, got.daif),
            ("SPSel", self.spsel, got.spsel),
            ("FPCR", self.fpcr, got.fpcr),
            ("FPSR", self.fpsr, got.fpsr),
        ] {
            check(format_args!("{name}"), want.into(), got.into());
        }
        if different {
            return Err(Failure::Says("registers differ, see above"));
        }
        Ok(())
    }
}

unsafe extern "C" {
    /// Loads the context, then `hvc #1`, then stores all registers at SP.
    pub fn avisor_checkpoint_hvc(context: usize);
    /// The same with `hvc #0`: an SMCCC call with x0 to x3 from the context.
    pub fn avisor_checkpoint_smccc(context: usize);
    /// Loads the context, then `hvc #2`.
    pub fn avisor_restore_hvc(context: usize);
    /// The same with `hvc #0`.
    pub fn avisor_restore_smccc(context: usize);
}

global_asm!(
    r#"
    .arch_extension fp
    .arch_extension simd

    // Loads (ldp) or stores (stp) x2 to x29 and all of v0 to v31.
    .macro avisor_registers op, base
    \op     q0, q1, [\base, #{v}]
    \op     q2, q3, [\base, #{v} + 32]
    \op     q4, q5, [\base, #{v} + 64]
    \op     q6, q7, [\base, #{v} + 96]
    \op     q8, q9, [\base, #{v} + 128]
    \op     q10, q11, [\base, #{v} + 160]
    \op     q12, q13, [\base, #{v} + 192]
    \op     q14, q15, [\base, #{v} + 224]
    \op     q16, q17, [\base, #{v} + 256]
    \op     q18, q19, [\base, #{v} + 288]
    \op     q20, q21, [\base, #{v} + 320]
    \op     q22, q23, [\base, #{v} + 352]
    \op     q24, q25, [\base, #{v} + 384]
    \op     q26, q27, [\base, #{v} + 416]
    \op     q28, q29, [\base, #{v} + 448]
    \op     q30, q31, [\base, #{v} + 480]
"#,
    avisor_guest::x2_to_x29!("\\op", "\\base"),
    r#"
    .endm

    // x0: a Context. What every exception level has; x0 and x1 last.
    .macro avisor_load
    ldr     x1, [x0, #{fpcr}]
    msr     fpcr, x1
    ldr     x1, [x0, #{fpsr}]
    msr     fpsr, x1
    ldr     x1, [x0, #{nzcv}]
    msr     nzcv, x1
    avisor_registers ldp, x0
    ldr     x30, [x0, #240]
    ldp     x0, x1, [x0]
    .endm

    // SP: where to; x0 has it afterwards.
    .macro avisor_store
    stp     x0, x1, [sp]
    str     x30, [sp, #240]
    avisor_registers stp, sp
    mov     x0, sp
    str     x0, [x0, #{sp}]
    mrs     x1, nzcv
    str     x1, [x0, #{nzcv}]
    mrs     x1, fpcr
    str     x1, [x0, #{fpcr}]
    mrs     x1, fpsr
    str     x1, [x0, #{fpsr}]
    .endm

    // Saves what the Rust caller needs, and loads the Context at x0, the EL1 part first.
    .macro avisor_enter
"#,
    avisor_guest::save_callee_registers!(),
    r#"
    mov     x1, sp
    mrs     x2, daif
    adrp    x3, {caller}
    add     x3, x3, :lo12:{caller}
    stp     x1, x2, [x3]
    ldr     x1, [x0, #{sp_el0}]
    msr     sp_el0, x1
    ldr     x1, [x0, #{sp_el1}]
    mov     sp, x1
    ldr     x1, [x0, #{daif}]
    msr     daif, x1
    ldr     x1, [x0, #{spsel}]
    msr     spsel, x1
    avisor_load
    .endm

    .section .text.avisor_exchange, "ax"
avisor_checkpoint_hvc:
    avisor_enter
    hvc     #1
    b       avisor_back
avisor_checkpoint_smccc:
    avisor_enter
    hvc     #0
avisor_back:
    avisor_store
    mrs     x1, daif
    str     x1, [x0, #{daif}]
    mrs     x1, spsel
    str     x1, [x0, #{spsel}]
    msr     spsel, #1
    mov     x1, sp
    str     x1, [x0, #{sp_el1}]
    mrs     x1, sp_el0
    str     x1, [x0, #{sp_el0}]
avisor_leave:
    adrp    x3, {caller}
    add     x3, x3, :lo12:{caller}
    ldp     x1, x2, [x3]
    mov     sp, x1
    msr     daif, x2
"#,
    avisor_guest::restore_callee_registers!(),
    r#"
    ret

    // Behind these hypercalls nobody continues, unless they were refused.
avisor_restore_hvc:
    avisor_enter
    hvc     #2
    b       avisor_leave
avisor_restore_smccc:
    avisor_enter
    hvc     #0
    b       avisor_leave

    // For EL0, which asks EL1 by SVC. A page of its own, that EL0 alone may be given.
    .section .text.avisor_el0, "ax"
    .balign 4096
    .global avisor_el0_page, avisor_el0_checkpoint, avisor_el0_restore
    .global avisor_el0_load, avisor_el0_jump, avisor_el0_hvc, avisor_el0_mrs
avisor_el0_page:
avisor_el0_checkpoint:
    avisor_load
    svc     #1
    avisor_store
    svc     #0
avisor_el0_restore:
    avisor_load
    svc     #2
    svc     #0
avisor_el0_load:
    ldr     w1, [x0]
    svc     #0
avisor_el0_jump:
    br      x0
avisor_el0_hvc:
    hvc     #1
    svc     #0
avisor_el0_mrs:
    mrs     x1, sctlr_el1
    svc     #0
    .balign 4096
"#,
    v = const offset_of!(Context, v),
    fpcr = const offset_of!(Context, fpcr),
    fpsr = const offset_of!(Context, fpsr),
    nzcv = const offset_of!(Context, nzcv),
    sp = const offset_of!(Context, sp),
    sp_el0 = const offset_of!(Context, sp_el0),
    sp_el1 = const offset_of!(Context, sp_el1),
    daif = const offset_of!(Context, daif),
    spsel = const offset_of!(Context, spsel),
    caller = sym CALLER,
);

/// The caller's SP and DAIF, for the time when no register has them.
static CALLER: Shared<[u64; 2]> = Shared::new([0; 2]);
