//! A vCPU's self-hosted debug registers in the core: kernels have breakpoints, watchpoints and single-step of their own.

use crate::arch::cpu::features;

/// The core's own side of debug, once: the locks are open, and no vCPU gets at them. With the OS Lock locked, MDSCR_EL1 would act on what
/// EDSCR governs: Debug state, and masks of EL2's interrupts. The debug communications channel interrupts nobody.
pub fn set_up() {
    write_register!("oslar_el1", 0);
    write_register!("osdlr_el1", 0);
    write_register!("mdccint_el1", 0);
    write_register!("mdscr_el1", 0);
}

/// For each comparator that the CPU has; the register's number is part of the instruction.
macro_rules! each {
    ($count:expr, $do:ident) => {
        // Every CPU has at least two of each (D2.8, "Breakpoint and Watchpoint registers").
        each!(@ $count, $do, 0 1 ; 2 3 4 5 6 7 8 9 10 11 12 13 14 15)
    };
    (@ $count:expr, $do:ident, $($first:literal)* ; $($n:literal)*) => {{
        let count = $count;
        $($do!($first);)*
        'all: {
            $(
                if count <= $n {
                    break 'all;
                }
                $do!($n);
            )*
        }
    }};
}

/// Sets MDSCR_EL1. The ERET to the guest synchronizes it.
#[inline]
pub fn load_mdscr(mdscr: u64) {
    write_register!("mdscr_el1", mdscr);
}

/// Puts a vCPU's comparators into the core, value and control of each. Nothing of them acts at EL2: with MDCR_EL2.TDE = 0 debug exceptions go to EL1, from EL1 and EL0.
/// The ERET to the guest synchronizes them.
pub fn load_comparators(
    breakpoint: impl Fn(usize) -> (u64, u64),
    watchpoint: impl Fn(usize) -> (u64, u64),
) {
    macro_rules! load_breakpoint {
        ($n:literal) => {
            let (value, control) = breakpoint($n);
            write_register!(concat!("dbgbvr", $n, "_el1"), value);
            write_register!(concat!("dbgbcr", $n, "_el1"), control)
        };
    }
    macro_rules! load_watchpoint {
        ($n:literal) => {
            let (value, control) = watchpoint($n);
            write_register!(concat!("dbgwvr", $n, "_el1"), value);
            write_register!(concat!("dbgwcr", $n, "_el1"), control)
        };
    }
    let features = features();
    each!(features.breakpoints, load_breakpoint);
    each!(features.watchpoints, load_watchpoint);
}
