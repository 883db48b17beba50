//! The core's timers (D12, "The Generic Timer in AArch64 state"): the counter, EL2's own timer, and the virtual one of the vCPU that
//! is loaded. The virtual counter belongs to a VM, not to a vCPU.

use crate::arch::isa;
use crate::arch::isa::registers::{
    CNTFRQ_EL0, CNTPCT_EL0, CNTV_CTL_EL0, CNTVOFF_EL2, Readable, Writeable,
};

/// CNT*_CTL: the timer is on and may interrupt.
const ENABLE: u64 = 1 << 0;
/// It does not interrupt.
const IMASK: u64 = 1 << 1;
/// Its condition is met.
const ISTATUS: u64 = 1 << 2;

/// The board's counter: ticks since it was started, the same on all cores.
#[inline]
pub fn count() -> u64 {
    // The ISB keeps the counter from being read early (D12.1: reads may be speculated).
    isa::isb();
    CNTPCT_EL0.get()
}

/// Ticks in a second.
#[inline]
pub fn frequency() -> u64 {
    CNTFRQ_EL0.get()
}

/// This core is interrupted once [`count`] has come to `at`, or at once if that is past; with `None`, not at all.
#[inline]
pub fn set_alarm(at: Option<u64>) {
    if let Some(at) = at {
        write_register!("cnthp_cval_el2", at);
        write_register!("cnthp_ctl_el2", ENABLE);
    } else {
        write_register!("cnthp_ctl_el2", 0);
    }
    // In effect now: the core may be about to sleep, or the interrupt about to be deactivated.
    isa::isb();
}

/// The guest's CNTVCT_EL0 is [`count`] less `offset` once this is synchronized. Its timer is off ([`switch_off_virtual_timer`]) until a vCPU's state is loaded:
/// what was set knows nothing of the new count, and could fire too early. So does the one that is loaded, behind this: so there is an ISB here.
#[inline]
pub fn set_virtual_offset(offset: u64) {
    CNTVOFF_EL2.set(offset);
    isa::isb();
}

/// Whether the virtual timer of the vCPU that is loaded asserts its interrupt.
#[inline]
pub fn virtual_timer_line() -> bool {
    CNTV_CTL_EL0.get() & (ENABLE | IMASK | ISTATUS) == ENABLE | ISTATUS
}

/// Switches off the virtual timer of the vCPU that was loaded. Its interrupt goes, and has gone behind the next ISB, which the caller has before it
/// deactivates that.
#[inline]
pub fn switch_off_virtual_timer() {
    CNTV_CTL_EL0.set(0);
}
