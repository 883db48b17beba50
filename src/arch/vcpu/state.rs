//! What a snapshot saves of a vCPU beyond its general registers. It stays in the CPU from trap to trap; only a
//! checkpoint, a restore or another vCPU on the same core moves it.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::fp::FpState;
use super::walks::SCTLR_RESET;
use crate::arch::cpu::features;
use crate::arch::isa;
use crate::arch::isa::registers::{HCR_EL2, Readable, SCTLR_EL1, TCR_EL1, Writeable};
use crate::arch::vcpu::Registers;
use crate::arch::vcpu::exchange::VcpuRegisters;

/// Registers that are saved and loaded in the order of this list, straight through.
macro_rules! register_block {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $field:ident: $register:literal),* $(,)? }) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Debug, Clone, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
        pub struct $name {
            $($(#[$doc])* #[doc = concat!("`", $register, "`")] pub $field: u64,)*
        }

        impl $name {
            const ZERO: Self = Self { $($field: 0),* };

            fn save(&mut self) {
                each_pair!(save_pair, self, $($field: $register)*);
            }

            fn load(&self) {
                each_pair!(load_pair, self, $($field: $register)*);
            }
        }
    };
}

/// Two registers at a time: one instruction stores or loads both.
macro_rules! each_pair {
    ($do:ident, $state:expr, $a:ident: $first:literal $b:ident: $second:literal $($rest:tt)*) => {
        $do!($state, $a: $first, $b: $second);
        each_pair!($do, $state, $($rest)*);
    };
    ($do:ident, $state:expr, $a:ident: $only:literal) => {
        $do!($state, $a: $only);
    };
    ($do:ident, $state:expr,) => {};
}

macro_rules! save_pair {
    ($state:expr, $($field:ident: $register:literal),*) => {
        $(let $field = read_register!($register);)*
        $($state.$field = $field;)*
    };
}

macro_rules! load_pair {
    ($state:expr, $($field:ident: $register:literal),*) => {
        $(let $field = $state.$field;)*
        $(write_register!($register, $field);)*
    };
}

register_block! {
    /// EL1 and EL0 system registers, all but SCTLR_EL1 and TCR_EL1.
    El1State {
        sp_el0: "sp_el0",
        sp_el1: "sp_el1",
        elr: "elr_el1",
        spsr: "spsr_el1",
        esr: "esr_el1",
        far: "far_el1",
        afsr0: "afsr0_el1",
        afsr1: "afsr1_el1",
        par: "par_el1",
        vbar: "vbar_el1",
        cpacr: "cpacr_el1",
        ttbr0: "ttbr0_el1",
        ttbr1: "ttbr1_el1",
        mair: "mair_el1",
        amair: "amair_el1",
        contextidr: "contextidr_el1",
        tpidr_el0: "tpidr_el0",
        tpidrro_el0: "tpidrro_el0",
        tpidr_el1: "tpidr_el1",
        csselr: "csselr_el1",
        cntkctl: "cntkctl_el1",
        // A timer is on only once it knows when it fires.
        cntv_cval: "cntv_cval_el0",
        cntv_ctl: "cntv_ctl_el0",
    }
}

register_block! {
    /// FEAT_PAuth's keys (named by encoding: the assembler knows their names only with the extension on).
    Keys {
        ia_low: "S3_0_C2_C1_0",
        ia_high: "S3_0_C2_C1_1",
        ib_low: "S3_0_C2_C1_2",
        ib_high: "S3_0_C2_C1_3",
        da_low: "S3_0_C2_C2_0",
        da_high: "S3_0_C2_C2_1",
        db_low: "S3_0_C2_C2_2",
        db_high: "S3_0_C2_C2_3",
        ga_low: "S3_0_C2_C3_0",
        ga_high: "S3_0_C2_C3_1",
    }
}

/// VDISR_EL2: what a guest sees as DISR_EL1, with FEAT_RAS.
macro_rules! vdisr_el2 {
    () => {
        "S3_4_C12_C1_1"
    };
}

/// The state of a vCPU besides [`Registers`], its debug registers ([`super::debug`]) and the VM's counter ([`timer`](crate::arch::timer)). Not in it, because a guest
/// has no way to it: what HCR_EL2, CPTR_EL2, MDCR_EL2 and HCRX_EL2 trap or keep off (see [`super::control`]).
#[repr(C)]
#[derive(Debug, Clone, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SystemState {
    /// SCTLR_EL1.
    pub sctlr: u64,
    /// TCR_EL1.
    pub tcr: u64,
    /// VDISR_EL2.
    pub vdisr: u64,
    /// HCR_EL2. Two bits belong to the vCPU: VSE (an SError is pending) and TVM (writes of its stage 1 registers trap).
    pub hcr: u64,
    /// System registers.
    pub el1: El1State,
    /// Pointer authentication.
    pub keys: Keys,
    /// Nothing: `fp` is aligned to 16.
    reserved: u64,
    /// SIMD and floating point.
    pub fp: FpState,
}

// A snapshot holds one of each for every vCPU.
const _: () = assert!(size_of::<SystemState>() + size_of::<Registers>() <= 1900);

const HCR_VSE: u64 = 1 << 8;
const HCR_TVM: u64 = 1 << 26;

impl SystemState {
    /// As after a reset, with the caches watched, as they are off. What the architecture leaves UNKNOWN is zero.
    pub const fn reset() -> Self {
        Self {
            sctlr: SCTLR_RESET,
            tcr: 0,
            vdisr: 0,
            hcr: HCR_TVM,
            el1: El1State::ZERO,
            keys: Keys::ZERO,
            reserved: 0,
            fp: FpState::reset(),
        }
    }

    /// Has the vCPU's writes of stage 1 registers trap, once it is loaded.
    pub fn trap_stage1_registers(&mut self) {
        self.hcr |= HCR_TVM;
    }

    /// Takes it out for another VM.
    pub fn export(&self, to: &mut VcpuRegisters) {
        to.el1.as_mut_bytes().copy_from_slice(self.el1.as_bytes());
        (to.sctlr, to.tcr) = (self.sctlr, self.tcr);
        to.keys.as_mut_bytes().copy_from_slice(self.keys.as_bytes());
        (to.q, to.fpcr, to.fpsr) = (self.fp.q, self.fp.fpcr, self.fp.fpsr);
    }

    /// Takes over what another VM sets. The vCPU's caches are watched afterwards, as after a reset, whatever they are.
    pub fn import(&mut self, from: &VcpuRegisters) {
        self.el1.as_mut_bytes().copy_from_slice(from.el1.as_bytes());
        (self.sctlr, self.tcr) = (from.sctlr, from.tcr);
        self.keys
            .as_mut_bytes()
            .copy_from_slice(from.keys.as_bytes());
        (self.fp.q, self.fp.fpcr, self.fp.fpsr) = (from.q, from.fpcr, from.fpsr);
        self.trap_stage1_registers();
    }

    /// Takes over what is in the CPU.
    pub fn save(&mut self) {
        let features = features();
        self.sctlr = SCTLR_EL1.get();
        self.tcr = TCR_EL1.get();
        self.el1.save();
        if features.pac {
            self.keys.save();
        }
        if features.ras {
            self.vdisr = read_register!(vdisr_el2!());
        }
        self.hcr = HCR_EL2.get();
        self.fp.save();
    }

    /// Puts it into the CPU, in which no walk starts, as none may see registers half of one state, half of the other: no vCPU is loaded
    /// ([`put_context`](super::walks::put_context)), or one is that this takes the place of ([`begin_replacement`](super::walks::begin_replacement)).
    /// The TLBs are the caller's business: they may hold translations of the state before under the same VMID. A vCPU that was not loaded needs its
    /// stage 2 first ([`set_stage2`](super::walks::set_stage2)), for this ends with walks enabled; and its virtual counter, with which the timer that is
    /// loaded here is compared.
    pub fn load(&self) {
        let features = features();
        self.el1.load();
        if features.pac {
            self.keys.load();
        }
        if features.ras {
            write_register!(vdisr_el2!(), self.vdisr);
        }
        const OWN: u64 = HCR_VSE | HCR_TVM;
        HCR_EL2.set(HCR_EL2.get() & !OWN | self.hcr & OWN);
        self.fp.load();
        isa::isb();
        SCTLR_EL1.set(self.sctlr);
        isa::isb();
        // The ERET synchronizes it, and a store-exclusive of the new state fails behind that (AArch64.ExceptionReturn clears the monitor).
        TCR_EL1.set(self.tcr);
    }
}
