//! The list registers of a vCPU while it is not loaded.

use crate::device::gic::{self, CpuInterface, Gich, ListRegister};

/// The list registers of a vCPU that is not loaded. They are the vCPU's own until a core syncs them into the GIC model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SavedLrs {
    registers: [ListRegister; gic::LRS_MAX],
    /// The registers that hold an interrupt: bit n for register n.
    used: u32,
    /// GICH_HCR.
    control: u32,
}

impl SavedLrs {
    /// The vCPU has nothing in its list registers.
    #[inline]
    pub fn clear(&mut self) {
        self.control = 0;
        if self.used != 0 {
            *self = Self::default();
        }
    }

    /// Takes the list registers out of `core`, in place of what was here. Those of the core are empty then, and no maintenance interrupt is enabled: that would
    /// be the next vCPU's.
    #[inline]
    pub fn take_from(&mut self, core: &mut impl Gich) {
        let control = core.hcr();
        if control & gic::hcr::OWNED != 0 {
            core.set_hcr(control & !gic::hcr::OWNED);
        }
        self.clear();
        self.control = control;
        let mut used = !core.empty_lrs() & gic::LRS_MASK;
        while used != 0 {
            let n = used.trailing_zeros() as usize;
            self.set_list_register(n, core.list_register(n));
            core.set_list_register(n, ListRegister::EMPTY);
            used &= used - 1;
        }
    }

    /// Whether a CPU interface like `interface` signals an interrupt that is in one of them.
    pub fn any_signalled(&self, interface: CpuInterface) -> bool {
        let signalled = |register: &ListRegister| interface.signals_register(*register);
        self.used != 0 && self.registers.iter().any(signalled)
    }
}

impl Gich for SavedLrs {
    fn empty_lrs(&mut self) -> u32 {
        !self.used & gic::LRS_MASK
    }

    fn list_register(&mut self, n: usize) -> ListRegister {
        self.registers[n]
    }

    fn set_list_register(&mut self, n: usize, value: ListRegister) {
        self.registers[n] = value;
        self.used = self.used & !(1 << n) | u32::from(value != ListRegister::EMPTY) << n;
    }

    fn hcr(&mut self) -> u32 {
        self.control
    }

    fn set_hcr(&mut self, hcr: u32) {
        self.control = hcr;
    }

    // The GIC model asks only for the timer line of a loaded vCPU.
    fn vtimer_line(&mut self) -> bool {
        true
    }

    fn deactivate_vtimer(&mut self) {}

    // The GIC model puts no interrupt into saved list registers, and so does not ask for the CPU interface.
    fn cpu_interface(&mut self) -> CpuInterface {
        CpuInterface::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gic::hcr::{EOI_COUNT_SHIFT, NPIE};

    #[test]
    fn nothing_of_a_vcpu_stays_in_the_core() {
        let mut core = SavedLrs::default();
        core.set_hcr(3 << EOI_COUNT_SHIFT | NPIE | 1);
        core.set_list_register(2, ListRegister(0x1000_0021));
        let mut taken = SavedLrs::default();
        // Of a time before.
        taken.set_list_register(0, ListRegister(0x1000_0022));
        taken.set_list_register(2, ListRegister(0x1000_0023));
        taken.take_from(&mut core);
        assert_eq!((core.hcr(), core.empty_lrs()), (1, 0xf));
        assert_eq!(taken.hcr() >> EOI_COUNT_SHIFT, 3);
        assert_eq!(taken.list_register(2), ListRegister(0x1000_0021));
        assert_eq!(taken.list_register(0), ListRegister::EMPTY);
        assert_eq!(taken.empty_lrs(), 0xb);
    }
}
