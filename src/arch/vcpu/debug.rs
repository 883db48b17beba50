//! A vCPU's self-hosted debug registers in the core: kernels have breakpoints, watchpoints and single-step of their own, and so has who controls a VM.

use crate::arch::cpu::features;
use crate::arch::isa::registers::{MDCR_EL2, ReadWriteable};
use crate::device::caught::VcpuDebug;

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

/// What a core has of the comparators, and of MDCR_EL2.TDE, besides the loaded vCPU's MDSCR_EL1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Comparators {
    /// Whatever the board came with.
    #[default]
    Unknown,
    /// Zeros, and TDE is 0.
    Plain,
    /// Those of a vCPU that uses some, or whose controller does.
    Used,
}

/// Puts a vCPU's debug registers into the core, which has `comparators`. The ERET to the guest synchronizes them.
///
/// Nothing of them acts at EL2. With MDCR_EL2.TDE = 0 debug exceptions go to EL1, from EL1 and EL0. With 1 they go to EL2, and from EL2 itself none comes: no
/// comparator has HMC, MDSCR_EL1.KDE is 0, and so is KDE of the guest's while PSTATE.D is set, as it is at EL2 always.
#[inline]
pub fn load(from: &VcpuDebug, comparators: &mut Comparators) {
    // Nearly no guest uses any: then they are loaded once, all zero.
    match from.is_plain() && *comparators == Comparators::Plain {
        true => write_register!("mdscr_el1", from.own_mdscr()),
        false => load_all(from, comparators),
    }
}

#[cold]
#[inline(never)]
fn load_all(from: &VcpuDebug, comparators: &mut Comparators) {
    load_comparators(from);
    match from.is_caught() {
        true => MDCR_EL2.modify(MDCR_EL2::TDE::SET),
        false => MDCR_EL2.modify(MDCR_EL2::TDE::CLEAR),
    }
    write_register!("mdscr_el1", from.mdscr());
    *comparators = match from.is_plain() {
        true => Comparators::Plain,
        false => Comparators::Used,
    };
}

/// Puts a vCPU's comparators into the core, value and control of each.
fn load_comparators(from: &VcpuDebug) {
    macro_rules! load_breakpoint {
        ($n:literal) => {
            let (value, control) = from.breakpoint($n);
            write_register!(concat!("dbgbvr", $n, "_el1"), value);
            write_register!(concat!("dbgbcr", $n, "_el1"), control)
        };
    }
    macro_rules! load_watchpoint {
        ($n:literal) => {
            let (value, control) = from.watchpoint($n);
            write_register!(concat!("dbgwvr", $n, "_el1"), value);
            write_register!(concat!("dbgwcr", $n, "_el1"), control)
        };
    }
    let features = features();
    each!(features.breakpoints, load_breakpoint);
    each!(features.watchpoints, load_watchpoint);
}
