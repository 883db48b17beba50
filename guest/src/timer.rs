//! The two generic timers of a CPU at EL1 (Arm DDI 0487, D12), and the counters that they compare with.

use core::arch::asm;

/// A timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// CNTV. On Avisor a restore takes the counters of both timers back.
    Virtual,
    /// CNTP.
    Physical,
}

/// CNTx_CTL: the timer is on.
pub const ENABLE: u64 = 1 << 0;
/// CNTx_CTL: it keeps its interrupt to itself.
pub const IMASK: u64 = 1 << 1;
/// CNTx_CTL: it is on and due.
pub const ISTATUS: u64 = 1 << 2;

/// Reads a register, after everything before it.
macro_rules! read {
    ($register:literal) => {{
        let value: u64;
        // SAFETY: reads a register. Not `nomem`: memory that others write and time have an order.
        unsafe { asm!("isb", concat!("mrs {}, ", $register), out(reg) value, options(nostack, preserves_flags)) }
        value
    }};
}

/// Writes a register, before everything behind it.
macro_rules! write {
    ($register:literal, $value:expr) => {
        // SAFETY: a timer's register: it changes when its interrupt comes.
        unsafe {
            asm!(concat!("msr ", $register, ", {}"), "isb", in(reg) $value, options(nostack, preserves_flags))
        }
    };
}

impl Timer {
    /// Its interrupt, a PPI that stays pending as long as the timer is due.
    pub const fn intid(self) -> u32 {
        match self {
            Self::Virtual => 27,
            Self::Physical => 30,
        }
    }

    /// The counter that it compares with.
    #[inline]
    pub fn count(self) -> u64 {
        match self {
            Self::Virtual => read!("cntvct_el0"),
            Self::Physical => read!("cntpct_el0"),
        }
    }

    /// CNTx_CTL.
    #[inline]
    pub fn control(self) -> u64 {
        match self {
            Self::Virtual => read!("cntv_ctl_el0"),
            Self::Physical => read!("cntp_ctl_el0"),
        }
    }

    /// Writes CNTx_CTL.
    #[inline]
    pub fn set_control(self, value: u64) {
        match self {
            Self::Virtual => write!("cntv_ctl_el0", value),
            Self::Physical => write!("cntp_ctl_el0", value),
        }
    }

    /// CNTx_CVAL: when it is due.
    #[inline]
    pub fn compare(self) -> u64 {
        match self {
            Self::Virtual => read!("cntv_cval_el0"),
            Self::Physical => read!("cntp_cval_el0"),
        }
    }

    /// Writes CNTx_CVAL.
    #[inline]
    pub fn set_compare(self, count: u64) {
        match self {
            Self::Virtual => write!("cntv_cval_el0", count),
            Self::Physical => write!("cntp_cval_el0", count),
        }
    }

    /// CNTx_TVAL: how long until it is due, in 32 bits with a sign.
    pub fn left(self) -> i32 {
        match self {
            Self::Virtual => read!("cntv_tval_el0") as i32,
            Self::Physical => read!("cntp_tval_el0") as i32,
        }
    }

    /// Writes CNTx_TVAL.
    pub fn set_left(self, ticks: i32) {
        match self {
            Self::Virtual => write!("cntv_tval_el0", i64::from(ticks)),
            Self::Physical => write!("cntp_tval_el0", i64::from(ticks)),
        }
    }

    /// Has its interrupt come when its counter reaches `count`.
    #[inline]
    pub fn start(self, count: u64) {
        self.set_compare(count);
        self.set_control(ENABLE);
    }

    /// Has it be silent.
    #[inline]
    pub fn stop(self) {
        self.set_control(0);
    }
}

/// Ticks of the counters in a second.
pub fn frequency() -> u64 {
    read!("cntfrq_el0")
}

/// Ticks of the counters in so many microseconds.
pub fn microseconds(n: u64) -> u64 {
    frequency() * n / 1_000_000
}

/// Does nothing for so many ticks of the virtual counter.
pub fn pause(ticks: u64) {
    let start = Timer::Virtual.count();
    while Timer::Virtual.count() - start < ticks {}
}
