//! Fights who debugs it, with all that a guest has: its own breakpoints, watchpoints and steps, the locks of the debug registers, masks, and the BRK
//! that the debugger uses itself. `COMMAND` has it reset itself, or switch itself off.

#![no_std]
#![no_main]
#![allow(unsafe_code, reason = "debug registers, and symbols with names")]

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use avisor_guest::exception::{self, Frame};
use avisor_guest::psci::{self, SYSTEM_RESET};
use avisor_guest::timer::{self, Timer};
use avisor_guest::{entry, mmu, power_off, println};

/// 1: it resets itself; 2: it switches itself off. A debugger writes this.
#[unsafe(no_mangle)]
static COMMAND: AtomicU64 = AtomicU64::new(0);
/// Rounds that it fought.
#[unsafe(no_mangle)]
static FOUGHT: AtomicU64 = AtomicU64::new(0);
/// Debug exceptions of its own that it had: breakpoints, watchpoints, steps.
static EXCEPTIONS: AtomicU64 = AtomicU64::new(0);
/// BRKs that it had.
static BRKS: AtomicU64 = AtomicU64::new(0);

entry!(main);

macro_rules! write {
    ($name:literal, $value:expr) => {{
        let value: u64 = $value;
        // SAFETY: a debug register of this guest's own: the exceptions that follow go to `handle`, which ends them.
        unsafe { asm!(concat!("msr ", $name, ", {}"), "isb", in(reg) value, options(nostack)) }
    }};
}

fn handle(frame: &mut Frame) {
    match frame.class() {
        // Breakpoint, software step, watchpoint of EL1's: none more until the next round.
        0x31 | 0x33 | 0x35 => {
            EXCEPTIONS.fetch_add(1, Relaxed);
            write!("mdscr_el1", 0);
        }
        0x3c => {
            BRKS.fetch_add(1, Relaxed);
            frame.skip();
        }
        _ => exception::report(frame),
    }
}

/// Takes all debug registers; every other round with all that can be masked masked.
fn fight(round: u64) {
    const BREAKPOINT: u64 = 0xf << 5 | 1 << 1 | 1;
    const STORES: u64 = 0xff << 5 | 2 << 3 | 1 << 1 | 1;
    const KDE_AND_MDE: u64 = 1 << 13 | 1 << 15;
    let is_open = round.is_multiple_of(2);
    write!("oslar_el1", round >> 1 & 1);
    write!("osdlr_el1", round >> 2 & 1);
    write!("dbgbvr0_el1", fought as extern "C" fn() as usize as u64);
    write!("dbgbcr0_el1", BREAKPOINT);
    write!("dbgbcr1_el1", if is_open { 0 } else { u64::MAX });
    write!("dbgwvr0_el1", FOUGHT.as_ptr() as u64);
    write!("dbgwcr0_el1", STORES);
    write!("dbgwcr1_el1", if is_open { 0 } else { u64::MAX });
    let step = round >> 3 & 1;
    write!(
        "mdscr_el1",
        if is_open {
            KDE_AND_MDE | step
        } else {
            u64::MAX
        }
    );
    // SAFETY: PSTATE.D and the others; nothing but debug exceptions comes, which `handle` ends. The BRK goes there, too.
    unsafe {
        match is_open {
            true => asm!("msr daifclr, #8", "isb", "brk #0x4156", options(nostack)),
            false => asm!("msr daifset, #0xf", "isb", "brk #0x4156", options(nostack)),
        }
    }
}

/// A round is over.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn fought() {
    FOUGHT.fetch_add(1, Relaxed);
}

fn main(_device_tree: usize) -> ! {
    mmu::enable();
    exception::set_handler(handle);
    println!("fighter: fights");
    let mut said = Timer::Virtual.count();
    for round in 0.. {
        fight(round);
        fought();
        match COMMAND.load(Relaxed) {
            1 => {
                psci::call(SYSTEM_RESET, [0; 3]);
            }
            2 => power_off(),
            _ => {}
        }
        if Timer::Virtual.count() - said > timer::frequency() / 4 {
            said = Timer::Virtual.count();
            let is_hit = EXCEPTIONS.swap(0, Relaxed) != 0;
            let has_brks = BRKS.swap(0, Relaxed) != 0;
            println!("fighter: fights on, debug exceptions: {is_hit}, BRKs: {has_brks}");
        }
    }
    power_off()
}
