//! The virtual interface control registers (IHI 0048B, 5.3): list registers, and the guest's CPU interface.

use super::Gic;
use crate::arch::memory::mmio::Block;

const GICH_HCR: u64 = 0x000;
const GICH_VTR: u64 = 0x004;
const GICH_VMCR: u64 = 0x008;
const GICH_ELRSR: u64 = 0x030;
const GICH_APR: u64 = 0x0f0;
const GICH_LR: u64 = 0x100;
const GICH_ENABLE: u32 = 1 << 0;

/// List registers that are used, of those that there are.
pub const LRS_MAX: usize = 4;

/// How many list registers are used, of a GIC with these registers.
pub(super) fn list_registers(control: Block<0x200>) -> usize {
    let existing = (control.read(GICH_VTR) & 0x3f) as usize + 1;
    existing.min(LRS_MAX)
}

impl Gic {
    /// Empties this core's list registers and its guest's CPU interface, and switches that on.
    pub(super) fn init_virtual_interface(&self) {
        let gich = self.control;
        gich.write(GICH_HCR, 0);
        gich.write(GICH_VMCR, 0);
        gich.write(GICH_APR, 0);
        (0..self.list_registers).for_each(|n| self.set_list_register(n, 0));
        gich.write(GICH_HCR, GICH_ENABLE);
    }

    /// The list registers that are empty, a bit for each (GICH_ELRSR0).
    #[inline]
    pub fn empty_lrs(&self) -> u32 {
        self.control.read(GICH_ELRSR) & ((1 << self.list_registers) - 1)
    }

    /// GICH_LR`n`.
    #[inline]
    pub fn list_register(&self, n: usize) -> u32 {
        self.control.read(list_register_at(n))
    }

    /// Writes GICH_LR`n`.
    #[inline]
    pub fn set_list_register(&self, n: usize, value: u32) {
        self.control.write(list_register_at(n), value);
    }

    /// GICH_HCR.
    #[inline]
    pub fn hcr(&self) -> u32 {
        self.control.read(GICH_HCR)
    }

    /// Writes GICH_HCR.
    #[inline]
    pub fn set_hcr(&self, value: u32) {
        self.control.write(GICH_HCR, value);
    }

    /// GICH_VMCR: what the guest wrote to its CPU interface, besides active priorities.
    #[inline]
    pub fn vmcr(&self) -> u32 {
        self.control.read(GICH_VMCR)
    }

    /// Writes GICH_VMCR.
    #[inline]
    pub fn set_vmcr(&self, value: u32) {
        self.control.write(GICH_VMCR, value);
    }

    /// GICH_APR: the guest's active priorities.
    #[inline]
    pub fn apr(&self) -> u32 {
        self.control.read(GICH_APR)
    }

    /// Writes GICH_APR.
    #[inline]
    pub fn set_apr(&self, value: u32) {
        self.control.write(GICH_APR, value);
    }
}

#[inline]
fn list_register_at(n: usize) -> u64 {
    // So that the compiler sees it too.
    GICH_LR + 4 * (n % LRS_MAX) as u64
}
