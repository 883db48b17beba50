//! The physical core that this runs on: what the CPU can do, and sleep.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::arch::isa;
use crate::arch::isa::registers::{
    ID_AA64DFR0_EL1, ID_AA64ISAR1_EL1, ID_AA64MMFR1_EL1, ID_AA64PFR0_EL1, MIDR_EL1, Readable,
};

/// This core sleeps until something wants it: an interrupt that [`acknowledge`](crate::vm::Core::acknowledge) will find, though
/// none is taken, as EL2 has them masked. One that came before makes it return at once.
#[inline]
pub fn idle() {
    // What was stored or sent to devices before is out before the core sleeps, perhaps for long (D1, "Wait for Interrupt").
    isa::dsb_sy();
    isa::wfi();
}

/// The affinity fields of MPIDR_EL1.
pub(super) const AFFINITY: u64 = 0xff_00ff_ffff;

/// This core's number as a device tree writes it: the affinity fields of MPIDR_EL1.
pub fn affinity() -> u64 {
    read_register!("mpidr_el1") & AFFINITY
}

/// What optional parts of the architecture the CPU has, as far as the state of a vCPU depends on them.
/// All cores of a board are taken to be alike.
#[derive(Debug, Clone, Copy)]
pub struct Features {
    /// FEAT_PAuth: keys that belong to the vCPU.
    pub pac: bool,
    /// FEAT_RAS: VDISR_EL2.
    pub ras: bool,
    /// Performance monitors.
    pub pmu: bool,
    /// FEAT_FGT: trap registers with an UNKNOWN value at reset.
    pub fgt: bool,
    /// FEAT_HCX: HCRX_EL2.
    pub hcx: bool,
    /// FEAT_MPAM: MPAM2_EL2, whose traps may be open at reset.
    pub mpam: bool,
    /// Breakpoints, 2 to 16.
    pub breakpoints: usize,
    /// Watchpoints, 2 to 16.
    pub watchpoints: usize,
}

/// [`Features::to_bits`]; 0: not read yet. Each core that reads finds the same.
static FEATURES: AtomicU32 = AtomicU32::new(0);

impl Features {
    /// A bit that is always set.
    const READ: u32 = 1 << 31;

    #[inline]
    const fn from_bits(bits: u32) -> Self {
        Self {
            pac: bits & 1 != 0,
            ras: bits >> 1 & 1 != 0,
            pmu: bits >> 2 & 1 != 0,
            fgt: bits >> 3 & 1 != 0,
            hcx: bits >> 4 & 1 != 0,
            mpam: bits >> 5 & 1 != 0,
            breakpoints: (bits >> 8 & 0xff) as usize,
            watchpoints: (bits >> 16 & 0xff) as usize,
        }
    }

    /// What [`from_bits`](Self::from_bits) is made of.
    const fn to_bits(self) -> u32 {
        self.pac as u32
            | (self.ras as u32) << 1
            | (self.pmu as u32) << 2
            | (self.fgt as u32) << 3
            | (self.hcx as u32) << 4
            | (self.mpam as u32) << 5
            | (self.breakpoints as u32) << 8
            | (self.watchpoints as u32) << 16
            | Self::READ
    }
}

/// The CPU's features, read from its ID registers once.
#[inline]
pub fn features() -> Features {
    let bits = FEATURES.load(Ordering::Relaxed);
    Features::from_bits(if bits == 0 { read_features() } else { bits })
}

#[cold]
#[inline(never)]
fn read_features() -> u32 {
    let pfr0 = ID_AA64PFR0_EL1.get();
    let pfr1 = read_register!("id_aa64pfr1_el1");
    let isar1 = ID_AA64ISAR1_EL1.get();
    let isar2 = read_register!("S3_0_C0_C6_2");
    let mmfr0 = read_register!("id_aa64mmfr0_el1");
    let mmfr1 = ID_AA64MMFR1_EL1.get();
    let dfr0 = ID_AA64DFR0_EL1.get();
    let field = |register: u64, shift: u32| register >> shift & 0xf;
    let features = Features {
        // APA, API, GPA, GPI; APA3, GPA3.
        pac: isar1 & 0xff00_0ff0 != 0 || isar2 & 0xff00 != 0,
        ras: field(pfr0, 28) != 0,
        pmu: !matches!(field(dfr0, 8), 0 | 0xf),
        fgt: field(mmfr0, 56) != 0,
        hcx: field(mmfr1, 40) != 0,
        // Version 0.1 says so in ID_AA64PFR1_EL1.MPAM_frac alone.
        mpam: field(pfr0, 40) != 0 || field(pfr1, 16) != 0,
        breakpoints: field(dfr0, 12) as usize + 1,
        watchpoints: field(dfr0, 20) as usize + 1,
    };
    let bits = features.to_bits();
    FEATURES.store(bits, Ordering::Relaxed);
    bits
}

/// MIDR_EL1.PartNum of a Cortex-A72.
pub const CORTEX_A72: u64 = 0xd08;
/// MIDR_EL1.PartNum of a Cortex-A53.
pub const CORTEX_A53: u64 = 0xd03;

/// What kind of core this is: MIDR_EL1.PartNum.
pub fn part() -> u64 {
    MIDR_EL1.get() >> 4 & 0xfff
}
