//! A vCPU's self-hosted debug registers: kernels have breakpoints, watchpoints and single-step of their own.

use super::cpu::features;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Breakpoints, watchpoints and what governs them. Not in it is what serves an external debugger and has no part in the guest's own
/// debugging (OSECCR_EL1, DBGPRCR_EL1, the DTR registers): no snapshot takes that back.
#[repr(C)]
#[derive(Debug, Clone, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct DebugState {
    /// MDSCR_EL1.
    pub mdscr: u64,
    /// MDCCINT_EL1.
    pub mdccint: u64,
    /// OSLSR_EL1.OSLK, as OSLAR_EL1 takes it.
    pub os_lock: u64,
    /// OSDLR_EL1.
    pub os_double_lock: u64,
    /// The claim tags.
    pub claim: u64,
    /// DBGBVRn_EL1 and DBGBCRn_EL1.
    pub breakpoints: [Pair; 16],
    /// DBGWVRn_EL1 and DBGWCRn_EL1.
    pub watchpoints: [Pair; 16],
}

/// A comparator's value and control.
#[repr(C)]
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Pair {
    /// Address or context to compare with.
    pub value: u64,
    /// When to compare.
    pub control: u64,
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

impl DebugState {
    /// All off; the OS lock set, as after a cold reset.
    pub const fn reset() -> Self {
        const NONE: Pair = Pair {
            value: 0,
            control: 0,
        };
        Self {
            mdscr: 0,
            mdccint: 0,
            os_lock: 1,
            os_double_lock: 0,
            claim: 0,
            breakpoints: [NONE; 16],
            watchpoints: [NONE; 16],
        }
    }

    /// Takes over what is in the CPU.
    pub fn save(&mut self) {
        self.mdscr = read_register!("mdscr_el1");
        self.mdccint = read_register!("mdccint_el1");
        self.os_lock = read_register!("oslsr_el1") >> 1 & 1;
        self.os_double_lock = read_register!("osdlr_el1");
        self.claim = read_register!("dbgclaimclr_el1");
        macro_rules! breakpoint {
            ($n:literal) => {
                self.breakpoints[$n] = Pair {
                    value: read_register!(concat!("dbgbvr", $n, "_el1")),
                    control: read_register!(concat!("dbgbcr", $n, "_el1")),
                }
            };
        }
        macro_rules! watchpoint {
            ($n:literal) => {
                self.watchpoints[$n] = Pair {
                    value: read_register!(concat!("dbgwvr", $n, "_el1")),
                    control: read_register!(concat!("dbgwcr", $n, "_el1")),
                }
            };
        }
        let features = features();
        each!(features.breakpoints, breakpoint);
        each!(features.watchpoints, watchpoint);
    }

    /// Puts it into the CPU. Nothing of it acts at EL2: with MDCR_EL2.TDE = 0 debug exceptions go to EL1, from EL1
    /// and EL0.
    pub fn load(&self) {
        macro_rules! breakpoint {
            ($n:literal) => {
                write_register!(concat!("dbgbvr", $n, "_el1"), self.breakpoints[$n].value);
                write_register!(concat!("dbgbcr", $n, "_el1"), self.breakpoints[$n].control)
            };
        }
        macro_rules! watchpoint {
            ($n:literal) => {
                write_register!(concat!("dbgwvr", $n, "_el1"), self.watchpoints[$n].value);
                write_register!(concat!("dbgwcr", $n, "_el1"), self.watchpoints[$n].control)
            };
        }
        let features = features();
        each!(features.breakpoints, breakpoint);
        each!(features.watchpoints, watchpoint);
        write_register!("dbgclaimclr_el1", 0xff);
        write_register!("dbgclaimset_el1", self.claim);
        write_register!("mdccint_el1", self.mdccint);
        write_register!("mdscr_el1", self.mdscr);
        write_register!("osdlr_el1", self.os_double_lock);
        write_register!("oslar_el1", self.os_lock);
    }
}
