//! The guest's virtual counter. It belongs to a VM, not to a vCPU: it is set once, before any vCPU of the VM is loaded.

use aarch64_cpu::asm::barrier;
use aarch64_cpu::registers::{
    CNTP_CTL_EL0, CNTPCT_EL0, CNTV_CTL_EL0, CNTVOFF_EL2, Readable, Writeable,
};

/// What the guest's CNTVCT_EL0 shows now.
pub fn virtual_count() -> u64 {
    // The ISB keeps the counter from being read early (D11.1, "The Generic Timer": reads may be speculated).
    barrier::isb(barrier::SY);
    CNTPCT_EL0.get().wrapping_sub(CNTVOFF_EL2.get())
}

/// The guest's CNTVCT_EL0 goes on from `count`. Its timers are off until [`SystemState::load`](super::SystemState::load) puts theirs in:
/// what is set now knows nothing of the new count, and would fire too early.
pub fn set_virtual_count(count: u64) {
    CNTV_CTL_EL0.set(0);
    CNTP_CTL_EL0.set(0);
    barrier::isb(barrier::SY);
    CNTVOFF_EL2.set(CNTPCT_EL0.get().wrapping_sub(count));
    barrier::isb(barrier::SY);
}
