//! A vCPU's debug registers (Arm ARM DDI 0487, "AArch64 Self-hosted Debug" and "Debug registers").
//!
//! MDCR_EL2.{TDA, TDOSA, TDRA} trap every access. A guest has what self-hosted debug needs: breakpoints, watchpoints, software step, the
//! claim tags and the OS Lock. What serves an external debugger answers 0 and ignores writes, as KVM's and QEMU's do: the debug
//! communications channel, OSECCR_EL1, DBGPRCR_EL1.
//!
//! The OS Lock and the OS Double Lock are of this model only. The physical ones stay open: with OSLK = 1 the guest's MDSCR_EL1.{HDE, TDA,
//! INTdis} would act as EDSCR's do, and send the core to Debug state or mask EL2's interrupts.

use crate::trap::sysreg::DebugRegister;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// How many breakpoints, and how many watchpoints, a core has at the most.
pub const COMPARATORS: usize = 16;

/// Bits of MDSCR_EL1. All others are RES0, of later versions, or of EDSCR: with the OS Lock open a PE has those read-only.
pub(super) mod mdscr {
    pub const SS: u32 = 1 << 0;
    pub const TDCC: u32 = 1 << 12;
    pub const KDE: u32 = 1 << 13;
    pub const MDE: u32 = 1 << 15;
    pub const GUESTS: u32 = SS | TDCC | KDE | MDE;
}

/// DBGBCRn_EL1: E, PMC, BAS, HMC, SSC, LBN, BT.
const BREAKPOINT_CONTROL: u64 = 0x00ff_e1e7;
/// DBGWCRn_EL1: E, PAC, LSC, BAS, HMC, SSC, LBN, WT, MASK.
const WATCHPOINT_CONTROL: u64 = 0x1f1f_ffff;
/// DBGWVRn_EL1.VA begins at bit 2.
const WATCHPOINT_VALUE: u64 = !3;
/// DBGCLAIMSET_EL1 has eight tags.
const CLAIM: u64 = 0xff;
/// In [`DebugState::used`]: a comparator was more than zero.
const USED: u8 = 1 << 0;
/// In [`DebugState::used`]: the VM's controller has put these registers away. Never in a snapshot.
const PUT_AWAY: u8 = 1 << 1;
/// OSLSR_EL1.OSLM: the OS Lock is implemented, and OSLK follows OSLAR_EL1.
const OSLM: u64 = 0b1000;

/// A vCPU's debug registers. Plain data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct DebugState {
    /// DBGBVRn_EL1.
    breakpoint_values: [u64; COMPARATORS],
    /// DBGWVRn_EL1.
    watchpoint_values: [u64; COMPARATORS],
    /// DBGBCRn_EL1.
    breakpoint_controls: [u32; COMPARATORS],
    /// DBGWCRn_EL1.
    watchpoint_controls: [u32; COMPARATORS],
    /// MDSCR_EL1.
    mdscr: u32,
    /// OSLSR_EL1.OSLK, 0 or 1.
    os_lock: u8,
    /// OSDLR_EL1.DLK, 0 or 1.
    os_double_lock: u8,
    /// The claim tags.
    claim: u8,
    /// [`USED`], once a comparator was more than zero: until then all are zero, and [`copy_to`](Self::copy_to) leaves them out. [`PUT_AWAY`] is in the
    /// same byte, so that who loads a vCPU looks at one.
    used: u8,
}

impl DebugState {
    /// As after a Cold reset: the OS Lock is locked, all else is off. What the architecture leaves UNKNOWN is zero.
    pub const RESET: Self = Self {
        breakpoint_values: [0; COMPARATORS],
        watchpoint_values: [0; COMPARATORS],
        breakpoint_controls: [0; COMPARATORS],
        watchpoint_controls: [0; COMPARATORS],
        mdscr: 0,
        os_lock: 1,
        os_double_lock: 0,
        claim: 0,
        used: 0,
    };

    /// Copies this state into a snapshot, `to`, as the guest has it. If no comparator was ever used, their registers are left out, and have any value in
    /// `to`; [`restore_to`](Self::restore_to) does not read them then. Returns whether the registers are put away.
    #[inline]
    pub fn copy_to(&self, to: &mut Self) -> bool {
        if self.used != 0 {
            return self.copy_all_to(to);
        }
        to.mdscr = self.mdscr;
        to.os_lock = self.os_lock;
        to.os_double_lock = self.os_double_lock;
        to.claim = self.claim;
        to.used = 0;
        false
    }

    #[cold]
    #[inline(never)]
    fn copy_all_to(&self, to: &mut Self) -> bool {
        to.as_mut_bytes().copy_from_slice(self.as_bytes());
        to.used = self.used & USED;
        self.is_put_away()
    }

    /// Copies this state, which [`copy_to`](Self::copy_to) made in a snapshot, to a vCPU: `to` is then equal to what the snapshot was made of. What is
    /// put away stays so; returns whether it is.
    #[inline]
    pub fn restore_to(&self, to: &mut Self) -> bool {
        match to.used {
            0 => self.copy_to(to),
            _ => self.restore_all_to(to),
        }
    }

    #[cold]
    #[inline(never)]
    fn restore_all_to(&self, to: &mut Self) -> bool {
        let put_away = to.is_put_away();
        if self.used == 0 {
            *to = Self::RESET;
        }
        self.copy_to(to);
        to.put_away(put_away);
        put_away
    }

    /// As after a Cold reset. What is put away stays so.
    pub fn reset(&mut self) {
        Self::RESET.restore_to(self);
    }

    /// Whether the VM's controller has put these registers away: the guest reads and writes them, and they do not act.
    pub fn is_put_away(&self) -> bool {
        self.used & PUT_AWAY != 0
    }

    /// Puts them away, or has them act again.
    pub fn put_away(&mut self, put_away: bool) {
        self.used = self.used & USED | if put_away { PUT_AWAY } else { 0 };
    }

    /// The bits of MDSCR_EL1 that concern EL0's debug communications channel: they act whoever has the comparators.
    pub fn channel_traps(&self) -> u64 {
        (self.mdscr & mdscr::TDCC).into()
    }

    /// What the guest reads from a register.
    pub fn read(&self, register: DebugRegister) -> u64 {
        match register {
            DebugRegister::Mdscr => self.mdscr.into(),
            // All of UDCCdis, MDBGen and the rest is MDSCR_EL1's; the channel is empty.
            DebugRegister::Dscr => (self.mdscr & (mdscr::TDCC | mdscr::MDE)).into(),
            DebugRegister::OsLockStatus => OSLM | u64::from(self.os_lock) << 1,
            DebugRegister::OsDoubleLock => self.os_double_lock.into(),
            DebugRegister::ClaimSet => CLAIM,
            DebugRegister::ClaimClear => self.claim.into(),
            DebugRegister::BreakpointValue(n) => self.breakpoint_values[n & 15],
            DebugRegister::BreakpointControl(n) => self.breakpoint_controls[n & 15].into(),
            DebugRegister::WatchpointValue(n) => self.watchpoint_values[n & 15],
            DebugRegister::WatchpointControl(n) => self.watchpoint_controls[n & 15].into(),
            DebugRegister::OsLockAccess => 0,
        }
    }

    /// The guest writes `value` to a register. A read-only register stays as it is.
    pub fn write(&mut self, register: DebugRegister, value: u64) {
        if register.is_comparator() && value != 0 {
            self.used |= USED;
        }
        match register {
            DebugRegister::Mdscr => self.mdscr = value as u32 & mdscr::GUESTS,
            DebugRegister::OsLockAccess => self.os_lock = value as u8 & 1,
            DebugRegister::OsDoubleLock => self.os_double_lock = value as u8 & 1,
            DebugRegister::ClaimSet => self.claim |= (value & CLAIM) as u8,
            DebugRegister::ClaimClear => self.claim &= !(value & CLAIM) as u8,
            DebugRegister::BreakpointValue(n) => self.breakpoint_values[n & 15] = value,
            DebugRegister::BreakpointControl(n) => {
                self.breakpoint_controls[n & 15] = (value & BREAKPOINT_CONTROL) as u32;
            }
            DebugRegister::WatchpointValue(n) => {
                self.watchpoint_values[n & 15] = value & WATCHPOINT_VALUE;
            }
            DebugRegister::WatchpointControl(n) => {
                self.watchpoint_controls[n & 15] = (value & WATCHPOINT_CONTROL) as u32;
            }
            DebugRegister::Dscr | DebugRegister::OsLockStatus => {}
        }
    }

    /// Whether all comparators are zero, and were since the vCPU's reset, and nothing is put away.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.used == 0
    }

    /// The value of the core's MDSCR_EL1 while the vCPU runs. A locked OS Lock or Double Lock disables all debug exceptions but that of BRK
    /// (`AArch64.GenerateDebugExceptionsFrom`): as the core's OS Lock is open, MDE and SS are off instead, without which there is
    /// no breakpoint, watchpoint or step.
    pub fn effective_mdscr(&self) -> u64 {
        let masked = if self.os_lock | self.os_double_lock != 0 {
            mdscr::MDE | mdscr::SS
        } else {
            0
        };
        (self.mdscr & !masked).into()
    }

    /// Whether the guest's software step is active in this PSTATE, if these registers act: at EL0; at EL1 with KDE and without PSTATE.D
    /// (`AArch64.GenerateDebugExceptionsFrom`, with EL1 as the target).
    pub fn steps_itself(&self, pstate: u64) -> bool {
        /// PSTATE.D.
        const D: u64 = 1 << 9;
        let mdscr = self.effective_mdscr() as u32;
        let is_el0 = pstate >> 2 & 3 == 0;
        mdscr & mdscr::SS != 0 && (is_el0 || mdscr & mdscr::KDE != 0 && pstate & D == 0)
    }

    /// DBGBVRn_EL1 and DBGBCRn_EL1 for `n` from 0 to 15. Panics for others.
    #[inline]
    pub fn breakpoint(&self, n: usize) -> (u64, u64) {
        (
            self.breakpoint_values[n],
            self.breakpoint_controls[n].into(),
        )
    }

    /// DBGWVRn_EL1 and DBGWCRn_EL1 for `n` from 0 to 15. Panics for others.
    #[inline]
    pub fn watchpoint(&self, n: usize) -> (u64, u64) {
        (
            self.watchpoint_values[n],
            self.watchpoint_controls[n].into(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use DebugRegister::*;

    #[test]
    fn mdscr_has_no_bit_of_an_external_debugger() {
        for locked in [0, 1] {
            let mut debug = DebugState::RESET;
            debug.write(OsLockAccess, locked);
            debug.write(Mdscr, u64::MAX);
            assert_eq!(debug.read(Mdscr), 0xb001, "SS, TDCC, KDE, MDE");
            assert_eq!(debug.read(Dscr), 0x9000);
        }
    }

    #[test]
    fn a_lock_switches_debug_exceptions_off() {
        let mut debug = DebugState::RESET;
        debug.write(Mdscr, 0xb001);
        assert_eq!(debug.read(OsLockStatus), 0b1010, "as after a reset");
        assert_eq!(debug.effective_mdscr(), 0x3000);
        debug.write(OsLockAccess, 0);
        assert_eq!(debug.read(OsLockStatus), 0b1000);
        assert_eq!(debug.effective_mdscr(), 0xb001);
        debug.write(OsDoubleLock, u64::MAX);
        assert_eq!(
            (debug.read(OsDoubleLock), debug.effective_mdscr()),
            (1, 0x3000)
        );
        debug.write(OsDoubleLock, 0);
        debug.write(OsLockAccess, 0xffff_fffe);
        assert_eq!(debug.effective_mdscr(), 0xb001, "only bit 0 counts");
        debug.write(OsLockStatus, u64::MAX);
        assert_eq!(debug.read(OsLockStatus), 0b1000, "read-only");
    }

    #[test]
    fn comparators_are_copied_once_they_are_used() {
        let mut used = DebugState::RESET;
        used.write(WatchpointValue(3), 0x1230);
        let mut other = DebugState::RESET;
        other.write(BreakpointControl(15), 0);
        other.write(Mdscr, 1 << 15);
        // What a snapshot kept has any bytes where there was nothing to keep.
        let mut kept = used;
        other.copy_to(&mut kept);
        let mut state = used;
        kept.restore_to(&mut state);
        assert_eq!(state, other, "zero again");
        used.copy_to(&mut kept);
        kept.restore_to(&mut state);
        assert_eq!(state, used);
    }

    #[test]
    fn claim_tags_are_set_and_cleared() {
        let mut debug = DebugState::RESET;
        debug.write(ClaimSet, 0xf0f);
        debug.write(ClaimClear, 0x3);
        assert_eq!((debug.read(ClaimSet), debug.read(ClaimClear)), (0xff, 0xc));
    }

    #[test]
    fn comparators_keep_what_is_no_reserved_bit() {
        let mut debug = DebugState::RESET;
        for n in 0..COMPARATORS {
            debug.write(BreakpointValue(n), u64::MAX - n as u64);
            debug.write(BreakpointControl(n), u64::MAX);
            debug.write(WatchpointValue(n), u64::MAX);
            debug.write(WatchpointControl(n), u64::MAX);
        }
        for n in 0..COMPARATORS {
            assert_eq!(debug.breakpoint(n), (u64::MAX - n as u64, 0x00ff_e1e7));
            assert_eq!(debug.watchpoint(n), (!3, 0x1f1f_ffff));
            assert_eq!(debug.read(BreakpointValue(n)), debug.breakpoint(n).0);
            assert_eq!(debug.read(BreakpointControl(n)), debug.breakpoint(n).1);
            assert_eq!(debug.read(WatchpointValue(n)), debug.watchpoint(n).0);
            assert_eq!(debug.read(WatchpointControl(n)), debug.watchpoint(n).1);
        }
    }
}
