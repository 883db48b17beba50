//! An exception into the guest's EL1, as `AArch64.TakeException` in the Arm ARM (DDI 0487, shared pseudocode) would
//! have taken it: a pure function from the guest's state to its new state.
//!
//! SError is not here: whether it is taken depends on PSTATE.A from then on, and HCR_EL2.VSE does that in hardware.

use super::esr::Esr;
use super::memory_fault::MemoryFault;
use crate::arch::vcpu::ExceptionState;

/// What the CPU has that an exception's PSTATE depends on. Of the hardware, not of what the VM is shown: the bits act
/// on it either way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PstateFeatures {
    /// FEAT_PAN: PSTATE.PAN.
    pub pan: bool,
    /// FEAT_SSBS: PSTATE.SSBS.
    pub ssbs: bool,
    /// FEAT_MTE2: PSTATE.TCO.
    pub mte: bool,
    /// FEAT_NMI: PSTATE.ALLINT.
    pub nmi: bool,
}

impl PstateFeatures {
    /// From the hardware's ID_AA64MMFR1_EL1 and ID_AA64PFR1_EL1.
    pub const fn from_id_registers(mmfr1: u64, pfr1: u64) -> Self {
        Self {
            pan: mmfr1 >> 20 & 0xf != 0,
            ssbs: pfr1 >> 4 & 0xf != 0,
            mte: pfr1 >> 8 & 0xf >= 2,
            nmi: pfr1 >> 36 & 0xf != 0,
        }
    }
}

/// A synchronous exception that hardware without the thing that was touched would have raised.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GuestException {
    /// An instruction that is undefined here.
    Undefined,
    /// PSTATE.IL was set.
    IllegalState,
    /// The guest's own software step, while the CPU's is another's. Which instruction it was is not in the syndrome (ISV is 0).
    SoftwareStep,
    /// BRK or BKPT.
    BreakpointInstruction {
        /// ESR_EL2 of the same exception: ESR_EL1 has the same fields, IL among them, which says how long the instruction is.
        esr: u64,
    },
    /// Synchronous external abort on a load, store or cache maintenance.
    DataAbort {
        /// FAR_EL1; `None`: not known, ESR_EL1.FnV is set and FAR_EL1 is left alone.
        far: Option<u64>,
        /// ESR_EL1.WnR: the instruction writes, or is cache maintenance.
        write: bool,
        /// ESR_EL1.CM.
        cache_op: bool,
        /// The level (0-3) of the stage 1 table walk that met it; `None`: the access itself did.
        walk_level: Option<u8>,
    },
    /// Synchronous external abort on an instruction fetch.
    InstructionAbort {
        /// As for [`GuestException::DataAbort`].
        far: Option<u64>,
        /// As for [`GuestException::DataAbort`].
        walk_level: Option<u8>,
    },
}

impl GuestException {
    /// The external abort for an access to where the machine has nothing.
    ///
    /// A fault on the guest's own table walk becomes one "on translation table walk". Which stage 1 level it was is
    /// not in the syndrome (that holds stage 2's), so the caller says it: `walk_level`, 0-3, ignored otherwise.
    pub fn external_abort(fault: &MemoryFault, walk_level: u8) -> Self {
        let far = fault.far().map(|va| va.0);
        let walk_level = fault.s1ptw().then_some(walk_level & 3);
        if fault.fetch() {
            Self::InstructionAbort { far, walk_level }
        } else {
            Self::DataAbort {
                far,
                write: fault.wnr(),
                cache_op: fault.cache_op(),
                walk_level,
            }
        }
    }
}

impl ExceptionState {
    /// The state in which the guest continues, in its handler.
    #[must_use]
    pub fn take(self, exception: GuestException, cpu: PstateFeatures) -> Self {
        let origin = Origin::of(self.pstate);
        let (esr, far) = syndrome(exception, origin);
        Self {
            pc: (self.vbar & !0x7ff) + origin.vector_offset(),
            pstate: handler_pstate(self.pstate, self.sctlr, cpu),
            elr: self.pc,
            spsr: self.pstate,
            esr,
            far: far.unwrap_or(self.far),
            ..self
        }
    }
}

/// Where the guest was, as the vector table and EC see it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    El1Sp0,
    El1Sp1,
    El0Aarch64,
    El0Aarch32,
}

impl Origin {
    fn of(pstate: u64) -> Self {
        // PSTATE.M: bit 4 is nRW; EL1 of a VM is always AArch64 (HCR_EL2.RW), so AArch32 is EL0.
        match pstate & 0x1f {
            m if m & 0x10 != 0 => Self::El0Aarch32,
            m if m >> 2 == 0 => Self::El0Aarch64,
            m if m & 1 == 0 => Self::El1Sp0,
            _ => Self::El1Sp1,
        }
    }

    /// Of the synchronous vector from VBAR_EL1.
    fn vector_offset(self) -> u64 {
        match self {
            Self::El1Sp0 => 0x000,
            Self::El1Sp1 => 0x200,
            Self::El0Aarch64 => 0x400,
            Self::El0Aarch32 => 0x600,
        }
    }

    /// EC says whether the exception level changes.
    fn class(self, lower: u8, same: u8) -> u8 {
        match self {
            Self::El0Aarch64 | Self::El0Aarch32 => lower,
            Self::El1Sp0 | Self::El1Sp1 => same,
        }
    }
}

/// ESR_EL1, and FAR_EL1 where the exception has one.
///
/// IL is 1 throughout, but for BKPT: the architecture wants it so for EC 0, aborts without ISV (ESR_EL1 never has it) and the rest
/// here, whatever the instruction's length.
fn syndrome(exception: GuestException, origin: Origin) -> (u64, Option<u64>) {
    const IL: u64 = 1 << 25;
    const FNV: u64 = 1 << 10;
    const CM: u64 = 1 << 8;
    const WNR: u64 = 1 << 6;
    let class = |class: u8| u64::from(class) << 26 | IL;
    let set = |condition: bool, bit: u64| if condition { bit } else { 0 };
    // FSC 0x10: external abort, not on a walk; 0x14 + level: on a walk.
    let status =
        |walk_level: Option<u8>| walk_level.map_or(0x10, |level| 0x14 | u64::from(level & 3));
    match exception {
        GuestException::Undefined => (class(Esr::EC_UNKNOWN), None),
        GuestException::IllegalState => (class(Esr::EC_ILLEGAL_STATE), None),
        GuestException::SoftwareStep => {
            let ec = origin.class(Esr::EC_STEP_LOWER, Esr::EC_STEP_SAME);
            // DFSC: debug exception.
            (class(ec) | 0b10_0010, None)
        }
        GuestException::BreakpointInstruction { esr } => (esr, None),
        GuestException::DataAbort {
            far,
            write,
            cache_op,
            walk_level,
        } => {
            let ec = origin.class(Esr::EC_DATA_ABORT_LOWER, Esr::EC_DATA_ABORT_SAME);
            let iss = set(far.is_none(), FNV) | set(cache_op, CM) | set(write || cache_op, WNR);
            (class(ec) | iss | status(walk_level), far)
        }
        GuestException::InstructionAbort { far, walk_level } => {
            let ec = origin.class(
                Esr::EC_INSTRUCTION_ABORT_LOWER,
                Esr::EC_INSTRUCTION_ABORT_SAME,
            );
            (
                class(ec) | set(far.is_none(), FNV) | status(walk_level),
                far,
            )
        }
    }
}

/// PSTATE at the first instruction of the handler.
///
/// | bits | becomes |
/// | --- | --- |
/// | N, Z, C, V, DIT | kept |
/// | PAN | set if FEAT_PAN and SCTLR_EL1.SPAN = 0, else kept |
/// | SSBS | SCTLR_EL1.DSSBS, if FEAT_SSBS |
/// | TCO | 1, if FEAT_MTE2 |
/// | ALLINT | not SCTLR_EL1.SPINTMASK, if FEAT_NMI |
/// | D, A, I, F | 1 |
/// | SS, IL, UAO, BTYPE, nRW, IT, T, Q, GE, E | 0 |
/// | EL, SP | EL1h |
fn handler_pstate(old: u64, sctlr: u64, cpu: PstateFeatures) -> u64 {
    const NZCV: u64 = 0xf << 28;
    const TCO: u64 = 1 << 25;
    const DIT: u64 = 1 << 24;
    const PAN: u64 = 1 << 22;
    const ALLINT: u64 = 1 << 13;
    const SSBS: u64 = 1 << 12;
    const DAIF: u64 = 0xf << 6;
    const EL1H: u64 = 0b0101;
    const SCTLR_SPAN: u64 = 1 << 23;
    const SCTLR_DSSBS: u64 = 1 << 44;
    const SCTLR_SPINTMASK: u64 = 1 << 62;
    // N, Z, C, V, DIT and PAN have the same places in the AArch32 layout.
    let mut new = old & (NZCV | DIT | PAN) | DAIF | EL1H;
    if cpu.pan && sctlr & SCTLR_SPAN == 0 {
        new |= PAN;
    }
    if cpu.ssbs && sctlr & SCTLR_DSSBS != 0 {
        new |= SSBS;
    }
    if cpu.mte {
        new |= TCO;
    }
    if cpu.nmi && sctlr & SCTLR_SPINTMASK == 0 {
        new |= ALLINT;
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trap::Exit;

    const NONE: PstateFeatures = PstateFeatures {
        pan: false,
        ssbs: false,
        mte: false,
        nmi: false,
    };
    const ALL: PstateFeatures = PstateFeatures {
        pan: true,
        ssbs: true,
        mte: true,
        nmi: true,
    };
    const ABORT: GuestException = GuestException::DataAbort {
        far: Some(0xbad),
        write: true,
        cache_op: false,
        walk_level: None,
    };

    fn guest(pstate: u64) -> ExceptionState {
        ExceptionState {
            pc: 0x4008_0010,
            pstate,
            vbar: 0x4100_07ff,
            far: 0xfa,
            ..Default::default()
        }
    }

    #[test]
    fn vector_and_class_follow_where_the_guest_was() {
        for (pstate, offset, data, fetch) in [
            (0x3c4, 0x000, 0x25, 0x21), // EL1t
            (0x3c5, 0x200, 0x25, 0x21), // EL1h
            (0x000, 0x400, 0x24, 0x20), // EL0, AArch64
            (0x010, 0x600, 0x24, 0x20), // EL0, A32
            (0x030, 0x600, 0x24, 0x20), // EL0, T32
        ] {
            let before = guest(pstate);
            let after = before.take(ABORT, NONE);
            assert_eq!(after.pc, 0x4100_0000 + offset, "{pstate:#x}");
            assert_eq!(
                after.esr,
                data << 26 | 1 << 25 | 1 << 6 | 0x10,
                "{pstate:#x}"
            );
            assert_eq!(
                (after.elr, after.spsr, after.far),
                (before.pc, pstate, 0xbad)
            );
            assert_eq!((after.vbar, after.sctlr), (before.vbar, before.sctlr));
            let prefetch = GuestException::InstructionAbort {
                far: Some(1),
                walk_level: Some(2),
            };
            assert_eq!(
                before.take(prefetch, NONE).esr,
                fetch << 26 | 1 << 25 | 0x16
            );
        }
    }

    #[test]
    fn syndromes() {
        let undefined = guest(0x3c5).take(GuestException::Undefined, NONE);
        assert_eq!((undefined.esr, undefined.far), (0x0200_0000, 0xfa));
        assert_eq!(
            guest(0).take(GuestException::IllegalState, NONE).esr,
            0x3a00_0000
        );
        let unknown = GuestException::DataAbort {
            far: None,
            write: false,
            cache_op: true,
            walk_level: None,
        };
        let state = guest(0x3c5).take(unknown, NONE);
        assert_eq!(
            (state.esr, state.far),
            (0x9600_0000 | 1 << 10 | 1 << 8 | 1 << 6 | 0x10, 0xfa)
        );
    }

    #[test]
    fn pstate_of_the_handler() {
        let (span, dssbs, spintmask) = (1 << 23, 1 << 44, 1 << 62);
        for (old, sctlr, cpu, new) in [
            (0xf000_0000, 0, NONE, 0xf000_03c5),
            // DIT and PAN stay; TCO, UAO, SS, IL, ALLINT, SSBS, BTYPE go.
            (0x03f0_3c05, 0, NONE, 0x0140_03c5),
            (0, 0, ALL, 0x0240_23c5),
            (0x0040_0000, 0, ALL, 0x0240_23c5),
            (0, span | dssbs | spintmask, ALL, 0x0200_13c5),
            (
                0x0040_0000,
                span | spintmask,
                PstateFeatures { mte: false, ..ALL },
                0x0040_03c5,
            ),
            // A32: Q, IT, GE, E, T go; SSBS (bit 23 there) too.
            (0xffbf_fe30, 0, NONE, 0xf100_03c5),
        ] {
            let state = ExceptionState {
                sctlr,
                ..guest(old)
            };
            assert_eq!(state.take(ABORT, cpu).pstate, new, "{old:#x} {sctlr:#x}");
        }
    }

    #[test]
    fn features_come_from_the_id_registers() {
        let features = PstateFeatures::from_id_registers;
        assert_eq!(features(0, 0x100), NONE);
        assert_eq!(features(2 << 20, 1 << 36 | 2 << 8 | 2 << 4), ALL);
    }

    #[test]
    fn a_fault_becomes_the_external_abort_of_a_machine_without_that_address() {
        let abort = |esr| match Exit::decode(Esr(esr), 0xbad, 0) {
            Exit::MemoryFault(fault) => GuestException::external_abort(&fault, 1),
            other => panic!("{other:?}"),
        };
        assert_eq!(abort(0x24 << 26 | 1 << 6 | 0x07), ABORT);
        let (far, walk_level) = (Some(0xbad), Some(1));
        let walk = GuestException::InstructionAbort { far, walk_level };
        assert_eq!(abort(0x20 << 26 | 1 << 7 | 0x07), walk);
    }
}
