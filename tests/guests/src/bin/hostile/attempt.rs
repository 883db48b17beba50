//! Runs a few instructions that may do anything but return, and returns.
//!
//! The instructions are written to a page of code, and run with all registers loaded from an array. Whatever exception
//! comes, the handler goes on behind the instruction, or behind the attempt.

use core::arch::{asm, global_asm};

use avisor_guest::Shared;
use avisor_guest::exception::{self, Frame};

/// x0 to x30; x30 is not the attempt's to choose.
pub type Registers = [u64; 31];

/// Instructions in an attempt: up to three, then `ret`.
const SLOT: usize = 4;
/// Few: an emulator that translates code looks, at each store to a page, through all that it has translated of it.
const SLOTS: usize = 16;
const RET: u32 = 0xd65f_03c0;
const NOP: u32 = 0xd503_201f;

#[repr(C, align(4096))]
#[derive(Clone)]
struct CodePage([u32; SLOT * SLOTS]);

static CODE: Shared<CodePage> = Shared::new(CodePage([0; SLOT * SLOTS]));
static NEXT_SLOT: Shared<usize> = Shared::new(0);
/// Whether an attempt is on. Other exceptions are this program's own mistakes.
static TRYING: Shared<bool> = Shared::new(false);
static EXCEPTIONS: Shared<u64> = Shared::new(0);

/// Registers going in and out, and below them the stack on which exceptions are handled.
#[repr(C, align(16))]
#[derive(Clone)]
struct Area {
    stack: [u64; 1024],
    x: Registers,
    caller_sp: u64,
}

static AREA: Shared<Area> = Shared::new(Area {
    stack: [0; 1024],
    x: [0; 31],
    caller_sp: 0,
});
const X: usize = core::mem::offset_of!(Area, x);

unsafe extern "C" {
    fn avisor_attempt(code: usize, x: usize);
    fn avisor_attempt_back();
}

global_asm!(
    r#"
    // avisor_attempt(code, x): runs code with x0 to x29 from the array at x, and stores them there afterwards.
    .section .text.avisor_attempt, "ax"
avisor_attempt:
"#,
    avisor_guest::save_callee_registers!(),
    r#"
    mov     x2, sp
    str     x2, [x1, #248]
    mov     sp, x1
    mov     x30, x0
    ldp     x0, x1, [sp]
"#,
    avisor_guest::x2_to_x29!("ldp", "sp"),
    r#"
    blr     x30
avisor_attempt_back:
    // The attempt may have unmasked interrupts, or gone over to SP_EL0.
    msr     spsel, #1
    msr     daifset, #0xf
    stp     x0, x1, [sp]
"#,
    avisor_guest::x2_to_x29!("stp", "sp"),
    r#"
    ldr     x0, [sp, #248]
    mov     sp, x0
"#,
    avisor_guest::restore_callee_registers!(),
    r#"
    ret
"#
);

/// EL1 on SP_EL1, interrupts masked.
const EL1H_MASKED: u64 = 0x3c5;

fn back(frame: &mut Frame) {
    frame.elr = avisor_attempt_back as *const () as u64;
    frame.spsr = EL1H_MASKED;
}

/// Goes on behind the instruction, if it is one of the attempt's, and otherwise behind the attempt.
fn recover(frame: &mut Frame) {
    /// Exception classes: illegal execution state.
    const ILLEGAL_STATE: u64 = 0x0e;
    if !TRYING.get() {
        exception::report(frame);
    }
    EXCEPTIONS.set(EXCEPTIONS.get() + 1);
    let synchronous = frame.vector.is_multiple_of(4);
    let at_el1 = frame.vector < 8;
    let code = CODE.address() as u64..(CODE.address() + size_of::<CodePage>()) as u64;
    if !synchronous {
        // An interrupt that the attempt has unmasked: mask it again.
        frame.spsr |= 0x3c0;
    } else if at_el1 && frame.class() != ILLEGAL_STATE && code.contains(&frame.elr) {
        frame.skip();
    } else {
        back(frame);
    }
}

/// Gets ready to recover from anything.
pub fn prepare() {
    exception::set_handler(recover);
    restore_system();
}

/// Writes an attempt's code and returns where it is.
fn write(code: &[u32]) -> usize {
    let slot = NEXT_SLOT.get();
    NEXT_SLOT.set((slot + 1) % SLOTS);
    let at = CODE.address() + slot * SLOT * 4;
    let mut words = [NOP; SLOT];
    words[..code.len()].copy_from_slice(code);
    words[SLOT - 1] = RET;
    // SAFETY: a slot of the page of code, in which nothing runs now; 16 bytes never cross a cache line.
    unsafe {
        (at as *mut [u32; SLOT]).write_volatile(words);
        asm!("dc cvau, {0}", "dsb ish", "ic ivau, {0}", "dsb ish", "isb", in(reg) at, options(nostack));
    }
    at
}

/// Runs `code`, at most three instructions, with `x`, which holds the registers afterwards. Returns whether there was
/// an exception.
pub fn run(code: &[u32], x: &mut Registers) -> bool {
    let at = write(code);
    let before = EXCEPTIONS.get();
    let registers = AREA.address() + X;
    TRYING.set(true);
    // SAFETY: `registers` is the array in AREA, with room for exceptions below. The code is that of a try, which does
    // no harm to this program that `recover` and `restore_system` do not undo.
    unsafe {
        (registers as *mut Registers).write_volatile(*x);
        avisor_attempt(at, registers);
        *x = (registers as *const Registers).read_volatile();
    }
    TRYING.set(false);
    EXCEPTIONS.get() != before
}

/// Whether `address` can be read.
pub fn peek(address: u64) -> bool {
    let mut x = [0; 31];
    x[1] = address;
    // ldr w0, [x1]
    !run(&[0xb940_0020], &mut x)
}

/// What this program needs of the system registers, whatever an attempt did to them.
pub fn restore_system() {
    // The reset value of a CPU without anything newer than Armv8.0: RES1 bits, MMU and caches off.
    const SCTLR: u64 = 0x30d0_0800;
    exception::install_vectors();
    // SAFETY: MMU off, no debug exception, timers off; SIMD allowed, so that its loads and stores reach memory.
    unsafe {
        asm!(
            "msr sctlr_el1, {sctlr}",
            "msr mdscr_el1, xzr",
            "msr cpacr_el1, {cpacr}",
            "msr cntv_ctl_el0, xzr",
            "msr cntp_ctl_el0, xzr",
            "isb",
            sctlr = in(reg) SCTLR,
            cpacr = in(reg) 3_u64 << 20,
            options(nostack),
        );
    }
}
