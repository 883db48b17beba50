//! Exceptions: vectors that save everything and call one handler, which a program may replace.
//!
//! Unless it does, an exception is a bug: it is printed, and the machine is switched off. Interrupts (IRQ) have a handler of
//! their own, or else are exceptions like the others. A handler may let itself be interrupted: all that an exception
//! overwrites is in its [`Frame`].

use core::arch::{asm, global_asm};
use core::fmt;
use core::sync::atomic::{AtomicPtr, Ordering};

use crate::{power_off, println};

/// The interrupted program. What a handler changes here is what the program continues with.
#[repr(C)]
#[derive(Clone, Debug)]
pub struct Frame {
    /// x0 to x30.
    pub x: [u64; 31],
    /// ELR_EL1: where the program continues.
    pub elr: u64,
    /// SPSR_EL1: its PSTATE.
    pub spsr: u64,
    /// ESR_EL1: what happened.
    pub esr: u64,
    /// FAR_EL1: at which address, where there is one.
    pub far: u64,
    /// Which of the 16 vectors was taken: offset / 0x80.
    pub vector: u64,
}

const _: () = assert!(size_of::<Frame>() == 288 && size_of::<Frame>().is_multiple_of(16));

impl Frame {
    /// ESR_EL1.EC: the exception class.
    pub fn class(&self) -> u64 {
        self.esr >> 26 & 0x3f
    }

    /// Whether it is an interrupt (IRQ).
    pub fn is_interrupt(&self) -> bool {
        self.vector & 3 == 1
    }

    /// Continues behind the instruction that faulted.
    pub fn skip(&mut self) {
        self.elr += 4;
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Frame {
            elr,
            spsr,
            esr,
            far,
            vector,
            ..
        } = self;
        write!(
            f,
            "vector {:#x}, ESR {esr:#x} (EC {:#x}), ELR {elr:#x}, FAR {far:#x}, SPSR {spsr:#x}",
            vector * 0x80,
            self.class(),
        )
    }
}

/// What is called on an exception. It runs on SP_EL1, with interrupts masked.
pub type Handler = fn(&mut Frame);

static HANDLER: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());
static INTERRUPT_HANDLER: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Makes `handler` what is called on every exception from now on.
pub fn set_handler(handler: Handler) {
    HANDLER.store(handler as *mut (), Ordering::Relaxed);
}

/// Goes back to the default: print and switch off.
pub fn reset_handler() {
    HANDLER.store(core::ptr::null_mut(), Ordering::Relaxed);
}

/// Makes `handler` what is called on every interrupt from now on, on all CPUs. What it interrupts goes on when it returns;
/// it runs with interrupts masked.
pub fn set_interrupt_handler(handler: Handler) {
    INTERRUPT_HANDLER.store(handler as *mut (), Ordering::Relaxed);
}

/// Lets interrupts (IRQ) in.
#[inline]
pub fn unmask_interrupts() {
    // SAFETY: PSTATE.I; what comes goes to the handler.
    unsafe { asm!("msr daifclr, #2", options(nostack)) }
}

/// Keeps interrupts (IRQ) out. Returns whether they were let in before.
#[inline]
pub fn mask_interrupts() -> bool {
    const I: u64 = 1 << 7;
    let before: u64;
    // SAFETY: PSTATE.I; nothing comes from now on.
    unsafe { asm!("mrs {}, daif", "msr daifset, #2", out(reg) before, options(nostack)) }
    before & I == 0
}

/// `f` without interrupts.
pub fn without_interrupts<T>(f: impl FnOnce() -> T) -> T {
    let unmask = mask_interrupts();
    let result = f();
    if unmask {
        unmask_interrupts();
    }
    result
}

/// WFI: waits until there is an interrupt, masked or not. It may return earlier.
#[inline]
pub fn wait_for_interrupt() {
    // SAFETY: waits.
    unsafe { asm!("dsb sy", "wfi", options(nostack)) }
}

/// Points VBAR_EL1 at this module's vectors; every program starts so.
pub fn install_vectors() {
    let address = vectors();
    // SAFETY: the table is complete and at a fixed place; exceptions only ever came here.
    unsafe { asm!("msr vbar_el1, {}", "isb", in(reg) address, options(nostack, preserves_flags)) }
}

/// The address of this module's vectors.
pub fn vectors() -> usize {
    avisor_guest_vectors as *const () as usize
}

/// Prints an exception that should not have come, and switches the machine off.
pub fn report(frame: &Frame) -> ! {
    println!("GUEST EXCEPTION: {frame}");
    power_off()
}

extern "C" fn handle(frame: &mut Frame) {
    let mut handler = HANDLER.load(Ordering::Relaxed);
    if frame.is_interrupt() {
        let own = INTERRUPT_HANDLER.load(Ordering::Relaxed);
        if !own.is_null() {
            handler = own;
        }
    }
    if handler.is_null() {
        report(frame);
    }
    // SAFETY: a pointer that is not null was stored by one of the setters and is a `Handler`.
    let handler = unsafe { core::mem::transmute::<*mut (), Handler>(handler) };
    handler(frame);
}

unsafe extern "C" {
    pub(crate) fn avisor_guest_vectors();
}

global_asm!(
    r#"
    .macro avisor_guest_vector number
    .balign 0x80
    sub     sp, sp, #288
    stp     x0, x1, [sp, #0]
    mov     x0, #\number
    b       avisor_guest_exception
    .endm

    .section .text.avisor_guest_vectors, "ax"
    .balign 0x800
    .global avisor_guest_vectors
avisor_guest_vectors:
    .irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    avisor_guest_vector \number
    .endr

    // sp: the frame, with x0 and x1 in it. x0: the vector's number.
avisor_guest_exception:
"#,
    crate::x2_to_x29!("stp", "sp"),
    r#"
    mrs     x1, elr_el1
    stp     x30, x1, [sp, #240]
    mrs     x1, spsr_el1
    mrs     x2, esr_el1
    stp     x1, x2, [sp, #256]
    mrs     x1, far_el1
    stp     x1, x0, [sp, #272]
    mov     x0, sp
    bl      {handle}
    ldp     x30, x1, [sp, #240]
    msr     elr_el1, x1
    ldr     x1, [sp, #256]
    msr     spsr_el1, x1
"#,
    crate::x2_to_x29!("ldp", "sp"),
    r#"
    ldp     x0, x1, [sp, #0]
    add     sp, sp, #288
    eret
"#,
    handle = sym handle,
);
