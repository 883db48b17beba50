//! Its own debug registers, which keep what it wrote whatever it does to its target's.

use core::arch::asm;

use avisor_guest::random::pattern;

/// MDSCR_EL1.KDE; and comparators that are not enabled.
const MDSCR: u64 = 1 << 13;
const BREAKPOINT: u64 = 0x1e6;
const WATCHPOINT: u64 = 0x1ffe;
const CLAIM: u64 = 0xa5;

macro_rules! registers {
    ($($name:literal = $value:expr),* $(,)?) => {
        /// Writes them.
        pub fn set() {
            $(
                let value: u64 = $value;
                // SAFETY: the comparators are not enabled, and so nothing comes of them.
                unsafe { asm!(concat!("msr ", $name, ", {}"), in(reg) value, options(nostack)) }
            )*
            // SAFETY: claim tags are memory.
            unsafe { asm!("msr dbgclaimset_el1, {}", in(reg) CLAIM, options(nostack)) }
        }

        /// Which of them has another value, if one has.
        pub fn check() -> Result<(), &'static str> {
            let mut value: u64;
            $(
                // SAFETY: reads a system register.
                unsafe { asm!(concat!("mrs {}, ", $name), out(reg) value, options(nostack)) }
                if value != $value {
                    return Err($name);
                }
            )*
            // SAFETY: reads a system register.
            unsafe { asm!("mrs {}, dbgclaimclr_el1", out(reg) value, options(nostack)) }
            match value {
                CLAIM => Ok(()),
                _ => Err("the claim tags"),
            }
        }
    };
}

registers! {
    "mdscr_el1" = MDSCR,
    "dbgbvr0_el1" = pattern(0) & !3,
    "dbgbcr0_el1" = BREAKPOINT,
    "dbgbvr1_el1" = pattern(1) & !3,
    "dbgbcr1_el1" = BREAKPOINT,
    "dbgwvr0_el1" = pattern(2) & !7,
    "dbgwcr0_el1" = WATCHPOINT,
}
