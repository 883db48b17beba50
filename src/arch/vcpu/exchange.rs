//! A vCPU's registers as another VM sees them: REGISTERS and SET_REGISTERS.

use super::Registers;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What [`VcpuRegisters::version`] says: it grows when something is added at the end.
pub const VERSION: u64 = 1;

/// A vCPU's registers, all but its timer of the physical count, its debug registers, and those of the interrupt controller. The guests' crate and its
/// C header have the same structure.
#[repr(C, align(16))]
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct VcpuRegisters {
    /// [`VERSION`].
    pub version: u64,
    /// 0: off, and all that follows is zero; 1: on; 2: it waits for an interrupt. Not to be set.
    pub state: u64,
    /// x0 to x30, pc, PSTATE.
    pub registers: Registers,
    /// SP_EL0, SP_EL1, ELR_EL1, SPSR_EL1, ESR_EL1, FAR_EL1, AFSR0_EL1, AFSR1_EL1, PAR_EL1, VBAR_EL1, CPACR_EL1, TTBR0_EL1, TTBR1_EL1, MAIR_EL1,
    /// AMAIR_EL1, CONTEXTIDR_EL1, TPIDR_EL0, TPIDRRO_EL0, TPIDR_EL1, CSSELR_EL1, CNTKCTL_EL1, CNTV_CVAL_EL0, CNTV_CTL_EL0.
    pub el1: [u64; 23],
    /// SCTLR_EL1.
    pub sctlr: u64,
    /// TCR_EL1.
    pub tcr: u64,
    /// The keys of pointer authentication, low half first: IA, IB, DA, DB, GA.
    pub keys: [u64; 10],
    /// q0 to q31.
    pub q: [u128; 32],
    /// FPCR.
    pub fpcr: u64,
    /// FPSR.
    pub fpsr: u64,
}

const _: () = assert!(size_of::<VcpuRegisters>() == 1088);

/// Bits of PSTATE that an exception return from EL1 to AArch64 can set (Arm ARM DDI 0487, "SPSR_EL1"): NZCV, TCO, DIT, UAO, PAN, SS, IL, ALLINT, SSBS,
/// BTYPE, DAIF. One that the CPU does not have is RES0 in SPSR_EL2, too.
const AARCH64: u64 = 0xf000_0000 | 0x3f << 20 | 1 << 13 | 1 << 12 | 3 << 10 | 0xf << 6;
/// M: EL0t, EL1t, EL1h.
const MODES: [u64; 3] = [0b0_0000, 0b0_0100, 0b0_0101];
const MODE: u64 = 0x1f;
/// M of EL0 in AArch32.
const USER: u64 = 0b1_0000;

/// Whether a guest whose PSTATE is `now` could have come to have `wanted`: an exception return of EL2 with anything else would be illegal, or
/// lead to EL2.
pub fn is_pstate(wanted: u64, now: u64) -> bool {
    match wanted & MODE {
        // Only where EL0 has AArch32, as the vCPU has by now.
        USER => now & MODE == USER && wanted >> 32 == 0,
        mode => MODES.contains(&mode) && wanted & !(AARCH64 | MODE) == 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pstate_is_one_of_el1_or_el0() {
        for mode in 0..32 {
            let is_one = [0, 4, 5].contains(&mode);
            assert_eq!(is_pstate(0x3c0 | mode, 0x3c5), is_one, "{mode:#b}");
            assert_eq!(is_pstate(0x3c0 | mode, 0x10), is_one || mode == 0x10);
        }
        for bit in 5..64 {
            let is_settable = matches!(bit, 6..=13 | 20..=25 | 28..=31);
            assert_eq!(is_pstate(1 << bit | 5, 5), is_settable, "{bit}");
            assert_eq!(is_pstate(1 << bit | 0x10, 0x10), bit < 32);
        }
    }
}
