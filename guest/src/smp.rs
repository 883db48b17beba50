//! Several CPUs: started by PSCI CPU_ON, each with a stack of its own and the MMU on.
//!
//! The first CPU must have its MMU on ([`mmu::enable`]) before it starts others, as they share memory by caches and
//! atomics, which need it; [`start`] sees to that. A [`Shared`](crate::Shared) is for one CPU only: programs with more use
//! atomics.

use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;
use core::mem::offset_of;

use crate::{exception, mmu, psci};

/// CPUs that a GICv2 can serve.
pub const MOST: usize = 8;
const STACK: usize = 32 << 10;

#[repr(C, align(4096))]
struct Stack(UnsafeCell<[u8; STACK]>);

// SAFETY: each is the stack of one CPU, and nobody else's.
unsafe impl Sync for Stack {}

static STACKS: [Stack; MOST] = [const { Stack(UnsafeCell::new([0; STACK])) }; MOST];

/// What a CPU starts with. It is read with the MMU off, from memory and not from a cache: a line of its own.
#[repr(C, align(64))]
struct Start {
    stack: u64,
    main: u64,
    cpu: u64,
    sctlr: u64,
    root: u64,
}

struct Slot(UnsafeCell<Start>);

// SAFETY: written only while the CPU that it is for is off, by the one that starts it.
unsafe impl Sync for Slot {}

const NOT_STARTED: Start = Start {
    stack: 0,
    main: 0,
    cpu: 0,
    sctlr: 0,
    root: 0,
};
static STARTS: [Slot; MOST] = [const { Slot(UnsafeCell::new(NOT_STARTED)) }; MOST];

/// This CPU's number: Aff0 of its MPIDR_EL1.
#[inline]
pub fn this_cpu() -> usize {
    let mpidr: u64;
    // SAFETY: reads an identification register.
    unsafe { asm!("mrs {}, mpidr_el1", out(reg) mpidr, options(nostack, nomem, preserves_flags)) }
    (mpidr & 0xff) as usize % MOST
}

/// How many CPUs the machine has, on or off: those that PSCI knows.
pub fn count() -> usize {
    let known = |&cpu: &usize| state(cpu) != psci::INVALID_PARAMETERS;
    (0..MOST).take_while(known).count().max(1)
}

/// What PSCI AFFINITY_INFO says of `cpu`: [`psci::ON`], [`psci::OFF`], on its way, or an error.
pub fn state(cpu: usize) -> i32 {
    psci::call(psci::AFFINITY_INFO, [cpu as u64, 0, 0])
}

/// Starts `cpu`, which is off and below [`MOST`], in `main`, which gets its number and runs with the vectors installed, the
/// MMU on, interrupts masked and its stack empty. No two CPUs may start the same one at once. An error is PSCI's.
pub fn start(cpu: usize, main: fn(usize) -> !) -> Result<(), i32> {
    if !mmu::is_on() {
        mmu::enable();
    }
    let stack = STACKS[cpu].0.get() as u64 + STACK as u64;
    let start = Start {
        stack,
        main: main as usize as u64,
        cpu: cpu as u64,
        sctlr: mmu::control(),
        root: mmu::root(),
    };
    let slot = STARTS[cpu].0.get();
    // SAFETY: the CPU that would read it is off. It reads memory, so the line must not stay in a cache.
    unsafe {
        slot.write_volatile(start);
        asm!("dc civac, {}", "dsb sy", in(reg) slot, options(nostack));
    }
    let entry = avisor_guest_secondary as *const () as u64;
    match psci::call(psci::CPU_ON, [cpu as u64, entry, slot as u64]) {
        0 => Ok(()),
        error => Err(error),
    }
}

/// WFE: lets others go first, for some microseconds. For loops that wait for another CPU.
#[inline]
pub fn wait_a_little() {
    /// CNTKCTL_EL1: EVNTEN; EVNTI = 9, so that an event comes every 2^10 ticks of the counter and WFE does not wait for ever.
    const EVENTS: u64 = 1 << 2 | 9 << 4;
    // SAFETY: an event more or less changes nothing but when this returns.
    unsafe {
        asm!("msr cntkctl_el1, {}", "isb", "wfe", in(reg) EVENTS, options(nostack, preserves_flags))
    }
}

/// Where a CPU goes on that has a stack.
extern "C" fn secondary(start: &Start) -> ! {
    exception::install_vectors();
    // SAFETY: `start` stored it, and is what the program gave.
    let main = unsafe { core::mem::transmute::<usize, fn(usize) -> !>(start.main as usize) };
    main(start.cpu as usize)
}

unsafe extern "C" {
    fn avisor_guest_secondary();
}

global_asm!(
    r#"
    // x0: the Start. No store before the MMU is on: what memory holds is not what the caches hold.
    .section .text.avisor_guest_secondary, "ax"
avisor_guest_secondary:
    msr     daifset, #0xf
    msr     spsel, #1
    ldr     x1, [x0, #{root}]
    ldr     x2, [x0, #{sctlr}]
    ldr     x3, ={mair}
    ldr     x4, ={tcr}
    msr     mair_el1, x3
    msr     tcr_el1, x4
    msr     ttbr0_el1, x1
    tlbi    vmalle1
    ic      iallu
    dsb     nsh
    isb
    msr     sctlr_el1, x2
    isb
    ldr     x1, [x0, #{stack}]
    mov     sp, x1
    mov     x29, xzr
    mov     x30, xzr
    b       {secondary}
    .ltorg
"#,
    root = const offset_of!(Start, root),
    sctlr = const offset_of!(Start, sctlr),
    stack = const offset_of!(Start, stack),
    mair = const mmu::MAIR,
    tcr = const mmu::TCR,
    secondary = sym secondary,
);
