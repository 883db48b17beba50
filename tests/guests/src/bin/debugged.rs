//! What debuggers look at: it counts for ever, by a function, an atomic addition and an exception, and stores what it counted.

#![no_std]
#![no_main]
#![allow(unsafe_code, reason = "assembly, and symbols with names")]

use core::arch::global_asm;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use avisor_guest::exception::{self, Frame};
use avisor_guest::timer::{self, Timer};
use avisor_guest::{entry, mmu, println};

/// How often it went round.
#[unsafe(no_mangle)]
static ROUNDS: AtomicU64 = AtomicU64::new(0);
/// What it counted: seven for each round.
#[unsafe(no_mangle)]
static COUNTED: AtomicU64 = AtomicU64::new(0);
/// Exceptions that it had.
#[unsafe(no_mangle)]
static EXCEPTIONS: AtomicU64 = AtomicU64::new(0);

// An SVC with a name, and a load exclusive with one.
global_asm!(
    r#"
    .global debugged_svc
    .global debugged_atomic
debugged_svc:
    svc     #7
    ret
    // x0: where to add x1.
debugged_atomic:
    ldaxr   x2, [x0]
    add     x2, x2, x1
    stlxr   w3, x2, [x0]
    cbnz    w3, debugged_atomic
debugged_added:
    ret
"#
);

unsafe extern "C" {
    fn debugged_svc();
    fn debugged_atomic(place: *const AtomicU64, more: u64);
}

entry!(main);

fn main(_device_tree: usize) -> ! {
    mmu::enable();
    exception::set_handler(|frame: &mut Frame| {
        // The SVC's return address is behind it.
        EXCEPTIONS.store(EXCEPTIONS.load(Relaxed) + 1, Relaxed);
        if frame.class() != 0x15 {
            exception::report(frame);
        }
    });
    println!("debugged: runs");
    let mut said = Timer::Virtual.count();
    loop {
        round(7);
        if Timer::Virtual.count() - said > timer::frequency() / 4 {
            said = Timer::Virtual.count();
            println!("debugged: {} rounds", ROUNDS.load(Relaxed));
        }
    }
}

/// One round: adds `more`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn round(more: u64) -> u64 {
    // SAFETY: both keep to the calling convention, and the place is an atomic.
    unsafe {
        debugged_atomic(&raw const COUNTED, more);
        debugged_svc();
    }
    let rounds = ROUNDS.load(Relaxed) + 1;
    ROUNDS.store(rounds, Relaxed);
    rounds
}
