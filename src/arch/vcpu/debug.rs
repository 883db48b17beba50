//! A vCPU's self-hosted debug registers in the core: kernels have breakpoints, watchpoints and single-step of their own, and so has who controls a VM.

use crate::arch::cpu::features;
use crate::arch::isa::registers::{MDCR_EL2, ReadWriteable};

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

/// Sets MDSCR_EL1. The ERET to the guest synchronizes it, for what the guest executes; an ISB has to come before the ERET that begins a step.
#[inline]
pub fn load_mdscr(mdscr: u64) {
    write_register!("mdscr_el1", mdscr);
}

/// Sets whether debug exceptions from EL1 and EL0 go to EL2 (MDCR_EL2.TDE). Synchronized as MDSCR_EL1 is ([`load_mdscr`]).
///
/// None comes from EL2 itself either way. With TDE = 0 their target, EL1, is below. With 1 they need MDSCR_EL1.KDE, or a comparator with HMC, and none of the two
/// is ever there together with TDE; what the guest before had of KDE does not act, as PSTATE.D is set at EL2.
pub fn route_to_el2(to_el2: bool) {
    match to_el2 {
        true => MDCR_EL2.modify(MDCR_EL2::TDE::SET),
        false => MDCR_EL2.modify(MDCR_EL2::TDE::CLEAR),
    }
}

/// Puts a vCPU's comparators into the core, value and control of each. None of them acts at EL2. The ERET to the guest synchronizes them.
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
