//! What `debugger` debugs: it says where its code is, and does whatever its pc is set to. Its second CPU counts.

#![no_std]
#![no_main]
// Its code is for a debugger: assembly, and registers.
#![allow(unsafe_code)]

use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use avisor_guest::control::event;
use avisor_guest::exception::{self, Frame};
use avisor_guest::psci::{self, SYSTEM_RESET};
use avisor_guest::timer::Timer;
use avisor_guest::{entry, gic, mmu, power_off, println, smp};

/// What the debugger finds here, each where it is: the same order as in `debugger`'s `Code`.
static CODE: [extern "C" fn(); 11] = [
    plain,
    exclusive,
    traps,
    brks,
    own,
    fights,
    resets,
    spins,
    translates,
    steps_itself,
    steps_interrupted,
];

/// A word with a page of its own.
#[repr(align(4096))]
struct Page(AtomicU64);

/// What `plain` stores to.
static PAGE: Page = Page(AtomicU64::new(0));
/// Counts as long as the second CPU runs.
static COUNT: AtomicU64 = AtomicU64::new(0);
/// Its own exceptions: BRK and SVC count 1, a breakpoint 100, all others 10,000. Software steps count 1 << 32, and those without an instruction 1 << 48.
static EXCEPTIONS: AtomicU64 = AtomicU64::new(0);
/// Where its last software step was.
static STEPPED: AtomicU64 = AtomicU64::new(0);

/// SPSR_EL1.SS.
const SS: u64 = 1 << 21;

entry!(main);

unsafe extern "C" {
    safe fn plain();
    safe fn exclusive();
    safe fn traps();
    safe fn brks();
    safe fn spins();
    safe fn translates();
    safe fn stepped();
    safe fn stepped_end();
}

// Each is entered with x1 the address of that word, and all but `spins` end with `landing`, which tells x0.
global_asm!(
    r#"
    .section .text.debuggee, "ax"
plain:
    nop
    add     x0, x0, #1
    str     x0, [x1]
    ldr     x2, [x1]
    b       {landing}

exclusive:
1:  ldxr    x2, [x1]
    add     x2, x2, #1
    stxr    w3, x2, [x1]
    cbnz    w3, 1b
    mov     x0, x2
    b       {landing}

    // Each is executed by EL2, or waits; x4 is the UART, x5 RAM that was not touched.
traps:
    mrs     x0, id_aa64pfr0_el1
    hvc     #3
    ldr     w0, [x4, #0x18]
    wfi
    str     x0, [x5]
    wfe
    b       {landing}

brks:
    brk     #0x1234
    brk     #7
    svc     #0
    b       {landing}

spins:
    b       spins

    // What it steps by itself; x4 is the UART.
stepped:
    add     x0, x0, #1
    add     x0, x0, #1
    svc     #0
    mrs     x2, id_aa64pfr0_el1
    ldr     w2, [x4, #0x18]
    add     x0, x0, #1
stepped_end:
    b       {landing}

translates:
    at      s1e1r, x0
    isb
    mrs     x0, par_el1
    b       {landing}
"#,
    landing = sym landing,
);

/// What cannot be refused.
fn say(code: u64, a: u64, b: u64) {
    if let Err(error) = event(code, a, b) {
        println!("debuggee: event {code}: {error}");
        power_off();
    }
}

extern "C" fn landing(x0: u64) -> ! {
    loop {
        say(200, x0, EXCEPTIONS.load(Relaxed));
    }
}

macro_rules! write {
    ($name:literal, $value:expr) => {{
        let value: u64 = $value;
        // SAFETY: debug exceptions are masked (PSTATE.D), or have a handler.
        unsafe { asm!(concat!("msr ", $name, ", {}"), "isb", in(reg) value, options(nostack)) }
    }};
}

/// A breakpoint of its own on `plain`, as a kernel would have it: by its registers, and the masks open.
fn set_own() {
    write!("oslar_el1", 0);
    write!("dbgbvr0_el1", plain as extern "C" fn() as usize as u64);
    write!("dbgbcr0_el1", 0xf << 5 | 1 << 1 | 1);
    write!("mdscr_el1", 1 << 13 | 1 << 15);
    // SAFETY: PSTATE.D; a debug exception goes to `handle`.
    unsafe { asm!("msr daifclr, #8", "isb", options(nostack)) }
}

/// Goes to `plain` with x0 0.
fn go_plain() -> ! {
    // SAFETY: `plain` never returns, and needs no stack.
    unsafe {
        asm!("mov x0, xzr", "b {}", sym plain, in("x1") PAGE.0.as_ptr(), options(noreturn));
    }
}

extern "C" fn own() {
    set_own();
    go_plain()
}

/// All that a guest can do against a debugger.
extern "C" fn fights() {
    set_own();
    write!("dbgwcr0_el1", u64::MAX);
    write!("dbgbcr1_el1", u64::MAX);
    write!("mdscr_el1", u64::MAX);
    write!("osdlr_el1", 1);
    write!("oslar_el1", 1);
    // SAFETY: PSTATE.D and the others: masks all that there is.
    unsafe { asm!("msr daifset, #0xf", "isb", options(nostack)) }
    go_plain()
}

extern "C" fn resets() {
    psci::call(SYSTEM_RESET, [0; 3]);
}

/// A kernel that steps itself, by the masks and PSTATE.SS.
extern "C" fn steps_itself() {
    steps_with(SS | 0x1c5)
}

/// The same, with interrupts: one that waits comes behind the exception return.
extern "C" fn steps_interrupted() {
    steps_with(SS | 0x145)
}

/// Goes to `stepped` with this PSTATE.
fn steps_with(pstate: u64) {
    write!("oslar_el1", 0);
    write!("mdscr_el1", 1 << 13 | 1);
    let there = stepped as extern "C" fn() as usize as u64;
    STEPPED.store(there, Relaxed);
    // SAFETY: goes there by an exception return, with PSTATE.D clear; `stepped` never returns, and needs no stack.
    unsafe {
        asm!(
            "msr elr_el1, {there}", "msr spsr_el1, {pstate}", "isb", "eret",
            there = in(reg) there,
            pstate = in(reg) pstate,
            in("x0") 41, in("x4") 0x0900_0000_u64,
            options(noreturn),
        );
    }
}

/// An exception of its own. Not by an atomic addition, which never ends when it is stepped.
fn had(worth: u64) {
    EXCEPTIONS.store(EXCEPTIONS.load(Relaxed) + worth, Relaxed);
}

/// A software step of its own. The next instruction is stepped, too.
fn step(frame: &mut Frame) {
    let executed = frame.elr == STEPPED.load(Relaxed) + 4;
    STEPPED.store(frame.elr, Relaxed);
    had(if executed { 1 << 32 } else { 1 << 48 });
    if frame.elr == stepped_end as extern "C" fn() as usize as u64 {
        write!("mdscr_el1", 0);
    } else {
        frame.spsr |= SS;
    }
}

fn handle(frame: &mut Frame) {
    if frame.class() == 0x33 {
        return step(frame);
    }
    let (worth, skips) = match frame.class() {
        0x15 => (1, false),
        0x3c => (1, true),
        0x31 => (100, false),
        _ => (10_000, true),
    };
    had(worth);
    if worth == 100 {
        write!("mdscr_el1", 0);
    }
    if skips {
        frame.skip();
    }
}

fn handle_interrupt(_frame: &mut Frame) {
    Timer::Virtual.stop();
    gic::end(gic::acknowledge());
    had(1_000_000);
}

fn second(_cpu: usize) -> ! {
    loop {
        COUNT.fetch_add(1, Relaxed);
    }
}

fn main(_device_tree: usize) -> ! {
    mmu::enable();
    exception::set_handler(handle);
    exception::set_interrupt_handler(handle_interrupt);
    gic::enable();
    gic::enable_cpu();
    gic::enable_interrupt(Timer::Virtual.intid());
    if let Err(error) = smp::start(1, second) {
        println!("debuggee: no second CPU: {error}");
        power_off();
    }
    while COUNT.load(Relaxed) == 0 {
        core::hint::spin_loop();
    }
    say(100, &raw const CODE as u64, exception::vectors() as u64);
    say(101, PAGE.0.as_ptr() as u64, COUNT.as_ptr() as u64);
    loop {
        say(102, main as fn(usize) -> ! as usize as u64, 0);
    }
}
