//! The debug registers: what a guest has of them, and the OS Lock.

use core::arch::asm;

use avisor_guest::Shared;
use avisor_guest::exception::{self, Frame};

use avisor_guest::check::{Outcome, equal};

macro_rules! read {
    ($name:literal) => {{
        let value: u64;
        // SAFETY: reads a system register.
        unsafe { asm!(concat!("mrs {}, ", $name), out(reg) value, options(nostack)) }
        value
    }};
}

macro_rules! write {
    ($name:literal, $value:expr) => {{
        let value: u64 = $value;
        // SAFETY: debug exceptions are masked (PSTATE.D), or have a handler.
        unsafe { asm!(concat!("msr ", $name, ", {}"), "isb", in(reg) value, options(nostack)) }
    }};
}

/// A breakpoint, taken without a change of the exception level.
const BREAKPOINT_EL1: u64 = 0x31;
/// MDSCR_EL1.{KDE, MDE}.
const ENABLED: u64 = 1 << 13 | 1 << 15;
/// DBGBCR0_EL1: all four bytes, at EL1, enabled.
const AT_EL1: u64 = 0xf << 5 | 1 << 1 | 1;

/// Breakpoints that were hit; other exceptions count a hundred.
static HITS: Shared<u64> = Shared::new(0);

fn count(frame: &mut Frame) {
    HITS.set(
        HITS.get()
            + if frame.class() == BREAKPOINT_EL1 {
                1
            } else {
                100
            },
    );
    write!("mdscr_el1", 0);
}

#[inline(never)]
extern "C" fn target() {
    // SAFETY: does nothing; the function is not left out.
    unsafe { asm!("nop", options(nostack)) }
}

/// How often a breakpoint on [`target`] is hit when that is called once.
fn hits() -> u64 {
    HITS.set(0);
    exception::set_handler(count);
    write!("dbgbvr0_el1", target as *const () as u64);
    write!("dbgbcr0_el1", AT_EL1);
    write!("mdscr_el1", ENABLED);
    // SAFETY: PSTATE.D; a debug exception goes to `count`.
    unsafe { asm!("msr daifclr, #8", "isb", options(nostack)) }
    core::hint::black_box(target as extern "C" fn())();
    // SAFETY: as above.
    unsafe { asm!("msr daifset, #8", "isb", options(nostack)) }
    write!("mdscr_el1", 0);
    write!("dbgbcr0_el1", 0);
    exception::reset_handler();
    HITS.get()
}

/// While the lock is locked no breakpoint is hit, and MDSCR_EL1 has no bits of EDSCR.
pub fn os_lock() -> Outcome {
    write!("oslar_el1", 1);
    equal("OSLSR_EL1, locked", 0b1010, read!("oslsr_el1"))?;
    write!("mdscr_el1", u64::MAX);
    equal("MDSCR_EL1, locked", 0xb001, read!("mdscr_el1"))?;
    equal("breakpoints while it is locked", 0, hits())?;
    write!("oslar_el1", 0);
    equal("OSLSR_EL1, open", 0b1000, read!("oslsr_el1"))?;
    write!("mdscr_el1", !1);
    equal("MDSCR_EL1, open", 0xb000, read!("mdscr_el1"))?;
    equal("breakpoints while it is open", 1, hits())
}

/// What serves an external debugger answers, and holds nothing that another VM could read.
pub fn external() -> Outcome {
    macro_rules! nothing {
        ($($name:literal = $label:literal),*) => {$(
            write!($name, u64::MAX);
            equal($label, 0, read!($name))?;
        )*};
    }
    nothing!(
        "S2_0_C0_C0_2" = "OSDTRRX_EL1",
        "S2_0_C0_C2_0" = "MDCCINT_EL1",
        "S2_0_C0_C3_2" = "OSDTRTX_EL1",
        "S2_0_C0_C6_2" = "OSECCR_EL1",
        "S2_3_C0_C5_0" = "DBGDTRRX_EL0"
    );
    equal("MDCCSR_EL0", 0, read!("S2_3_C0_C1_0"))?;
    equal("MDRAR_EL1", 0, read!("mdrar_el1"))
}
