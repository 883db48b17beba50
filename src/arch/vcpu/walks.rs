//! Whose stage 2 the core is in, and whether it walks there: the few EL2 registers that name the guest, and the order in which they change.

use crate::addr::Pa;
use crate::arch::isa;
use crate::arch::isa::registers::{
    Readable, SCTLR_EL1, TCR_EL1, TTBR0_EL1, TTBR1_EL1, VMPIDR_EL2, VTTBR_EL2, Writeable,
};
use crate::arch::memory::table::Table;
use crate::arch::memory::tlb;
use crate::arch::timer;

/// SCTLR_EL1 at reset: MMU, caches and alignment checks off, RES1 bits of ARMv8.0, and what Cortex-A cores and QEMU
/// have on besides: SA, SA0, CP15BEN, nTWI, nTWE.
pub(in crate::arch) const SCTLR_RESET: u64 = 0x30d5_0838;
const SCTLR_M: u64 = 1 << 0;
/// TCR_EL1: no walks from TTBR0, TTBR1.
const TCR_EPD: u64 = 1 << 7 | 1 << 23;

/// The core shows itself to the guest as its vCPU `number`.
fn set_vcpu_number(number: u32) {
    // Bit 31 is RES1; affinity level 0 counts the vCPUs.
    VMPIDR_EL2.set(1 << 31 | u64::from(number));
}

/// A level 1 table without entries: stage 2 while no vCPU is loaded, under VMID 0.
static NO_ENTRIES: Table = Table::empty();

/// Stage 2 goes through the table at `root` from now on, with entries tagged `vmid`. No vCPU is loaded: no walk can start.
#[inline]
pub fn set_stage2(root: Pa, vmid: u8) {
    VTTBR_EL2.set(u64::from(vmid) << 48 | root.0);
    isa::isb();
}

/// Stage 2 leads nowhere, for no VM.
#[inline]
pub fn leave_stage2() {
    set_stage2(NO_ENTRIES.at(), 0);
}

/// No walk of the EL1&0 regime starts from here on, until a vCPU's state is loaded. With the tables of stage 2 about to change or to go,
/// Cortex-A72's erratum 1319367 (A57: 1319537) would let a speculative AT walk half in one state and half in the other, and keep what it
/// found in the TLB. With stage 1 on and its walks disabled there is nothing to walk. In this order, each step in effect before the next.
#[inline]
pub fn stop_walks() {
    TCR_EL1.set(TCR_EL1.get() | TCR_EPD);
    isa::isb();
    SCTLR_EL1.set(SCTLR_EL1.get() | SCTLR_M);
    isa::isb();
}

/// What [`borrow_stage2`] puts aside.
pub struct Lent {
    sctlr: u64,
    tcr: u64,
    vttbr: u64,
}

/// Stage 2 goes through the table at `root`, with entries tagged `vmid`, until [`return_stage2`]. A vCPU of another VM is loaded, which has to have no
/// walks meanwhile: they would go through its stage 1 and somebody else's stage 2.
#[must_use]
pub fn borrow_stage2(root: Pa, vmid: u8) -> Lent {
    let lent = Lent {
        sctlr: SCTLR_EL1.get(),
        tcr: TCR_EL1.get(),
        vttbr: VTTBR_EL2.get(),
    };
    stop_walks();
    set_stage2(root, vmid);
    lent
}

/// Puts back what [`borrow_stage2`] put aside. In the order of [`SystemState::load`](super::SystemState::load): walks come last.
pub fn return_stage2(lent: Lent) {
    VTTBR_EL2.set(lent.vttbr);
    isa::isb();
    SCTLR_EL1.set(lent.sctlr);
    isa::isb();
    TCR_EL1.set(lent.tcr);
    // Unlike there, what follows may be more of EL2's work with this vCPU, and no ERET.
    isa::isb();
}

/// Nothing is live in the EL1&0 regime from here on, whatever was in its registers before, and no walk starts, until a vCPU's state is loaded:
/// erratum 1319367 again, and speculation in general, which may use these registers at any time.
pub fn clear_el1_regime() {
    stop_walks();
    TCR_EL1.set(TCR_EPD);
    SCTLR_EL1.set(SCTLR_RESET | SCTLR_M);
    TTBR0_EL1.set(0);
    TTBR1_EL1.set(0);
    leave_stage2();
}

/// The core is that of vCPU `number` of the VM whose level 1 table is `root` from here on. `is_another` says that a vCPU of that VM ran here
/// last that was not this one.
#[inline]
pub fn load_stage2_context(root: Pa, vmid: u8, number: u32, is_another: bool) {
    set_vcpu_number(number);
    set_stage2(root, vmid);
    if is_another {
        tlb::flush_vcpu_context();
    }
}

/// The vCPU that was loaded, whose state has been saved, has left: no walk starts until another one's state is loaded, and its timer does not
/// interrupt. What its registers of stage 1 still hold is not looked at: TTBR0_EL1 and TTBR1_EL1 are for walks, of which TCR_EL1.{EPD0, EPD1} leave none
/// (their register descriptions), and no TLB has anything of VMID 0, for which stage 2 leads nowhere.
#[inline]
pub fn put_context() {
    stop_walks();
    // Behind the timer, too, an ISB.
    timer::switch_off_virtual_timer();
    leave_stage2();
}

/// Other registers are about to take the place of those of the vCPU that is loaded: no walk starts, and its timer does not interrupt, until they are
/// loaded.
#[inline]
pub fn begin_replacement() {
    timer::switch_off_virtual_timer();
    stop_walks();
}
