//! The EL1 physical timer and counter, emulated (Arm ARM DDI 0487, "The Generic Timer in AArch64 state"): they show virtual time, so
//! that a restore takes them back.
//!
//! All counts here are ticks of the VM's virtual counter, `now` what it shows at the moment of the access. EL0's accesses come here too:
//! those that the guest's CNTKCTL_EL1 forbids trap to its own EL1 before they would trap to EL2.

use crate::trap::sysreg::TimerRegister;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bits of CNTP_CTL_EL0.
mod control {
    pub const ENABLE: u64 = 1 << 0;
    pub const IMASK: u64 = 1 << 1;
    pub const ISTATUS: u64 = 1 << 2;
}

/// The registers of a vCPU's physical timer. Plain data; a copy is a snapshot.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct PhysicalTimer {
    /// ENABLE and IMASK.
    control: u64,
    /// CNTP_CVAL_EL0.
    compare: u64,
}

impl PhysicalTimer {
    /// What the guest reads from a register when the counter is at `now`.
    pub fn read(&self, register: TimerRegister, now: u64) -> u64 {
        match register {
            TimerRegister::Count => now,
            TimerRegister::Compare => self.compare,
            // The low 32 bits of what is left.
            TimerRegister::Value => self.compare.wrapping_sub(now) & 0xffff_ffff,
            TimerRegister::Control => {
                // With the timer off ISTATUS is UNKNOWN; 0 here.
                let met = self.control & control::ENABLE != 0 && self.is_met(now);
                self.control | if met { control::ISTATUS } else { 0 }
            }
        }
    }

    /// The guest writes `value` to a register when the counter is at `now`. A write to the counter itself is ignored.
    pub fn write(&mut self, register: TimerRegister, value: u64, now: u64) {
        match register {
            TimerRegister::Count => {}
            TimerRegister::Compare => self.compare = value,
            // Signed.
            TimerRegister::Value => self.compare = now.wrapping_add(value as i32 as u64),
            TimerRegister::Control => {
                self.control = value & (control::ENABLE | control::IMASK);
            }
        }
    }

    /// Whether its interrupt line (PPI 30, level-sensitive) is up when the counter is at `now`.
    pub fn line(&self, now: u64) -> bool {
        self.is_on() && self.is_met(now)
    }

    /// The count from which on the line is up, which may lie in the past; `None` if it stays down, being off or masked.
    pub fn deadline(&self) -> Option<u64> {
        self.is_on().then_some(self.compare)
    }

    fn is_on(&self) -> bool {
        self.control & (control::ENABLE | control::IMASK) == control::ENABLE
    }

    /// Unsigned, as `IsTimerConditionMet` in the Arm ARM's pseudocode: a compare value "before 0" is far in the future.
    fn is_met(&self, now: u64) -> bool {
        now >= self.compare
    }
}

/// [`PhysicalTimer::deadline`] of the virtual timer, from CNTV_CTL_EL0 and CNTV_CVAL_EL0 as a vCPU that is not loaded has them.
pub fn virtual_deadline(control: u64, compare: u64) -> Option<u64> {
    PhysicalTimer { control, compare }.deadline()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_up_from_the_compare_value_on() {
        let mut timer = PhysicalTimer::default();
        timer.write(TimerRegister::Compare, 100, 0);
        assert_eq!((timer.line(200), timer.deadline()), (false, None));
        timer.write(TimerRegister::Control, 1, 0);
        assert_eq!(timer.deadline(), Some(100));
        assert!(!timer.line(99) && timer.line(100) && timer.line(u64::MAX));
        assert_eq!(timer.read(TimerRegister::Control, 99), 1);
        assert_eq!(timer.read(TimerRegister::Control, 100), 5);
        timer.write(TimerRegister::Control, 0xffff_ffff, 0);
        assert_eq!(
            timer.read(TimerRegister::Control, 100),
            7,
            "masked, but met"
        );
        assert_eq!((timer.line(100), timer.deadline()), (false, None));
    }

    #[test]
    fn what_is_left_is_signed_and_has_32_bits() {
        let mut timer = PhysicalTimer::default();
        timer.write(TimerRegister::Value, 50, 1 << 40);
        assert_eq!(timer.read(TimerRegister::Compare, 0), (1 << 40) + 50);
        assert_eq!(
            timer.read(TimerRegister::Value, (1 << 40) + 60),
            0xffff_fff6
        );
        timer.write(TimerRegister::Value, 0xffff_ffff, 1000);
        assert_eq!(timer.read(TimerRegister::Compare, 0), 999);
        // Before the beginning is far in the future: the comparison is unsigned.
        timer.write(TimerRegister::Value, 0xffff_ff00, 5);
        timer.write(TimerRegister::Control, 1, 5);
        assert!(!timer.line(5));
    }

    #[test]
    fn the_counter_is_the_time() {
        let mut timer = PhysicalTimer::default();
        timer.write(TimerRegister::Count, 7, 7);
        assert_eq!(timer, PhysicalTimer::default());
        assert_eq!(timer.read(TimerRegister::Count, 1234), 1234);
    }
}
