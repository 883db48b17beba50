//! The list registers of a vCPU while it is not loaded.

use crate::device::gic::{self, Interface, ListRegister, VirtualInterface};

/// List registers that are used at the most.
const LISTS: usize = 4;

/// The list registers of a vCPU that is not loaded. They are the vCPU's own until a core syncs them into the GIC model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SavedLrs {
    registers: [ListRegister; LISTS],
    /// The registers that hold an interrupt: bit n for register n.
    used: u32,
    /// GICH_HCR.
    control: u32,
}

impl SavedLrs {
    /// Takes the list registers out of `core`. Those of the core are empty then, and no maintenance interrupt is enabled: that would be
    /// the next vCPU's.
    pub fn take(core: &mut impl VirtualInterface) -> Self {
        let control = core.control();
        if control & gic::control::OWNED != 0 {
            core.set_control(control & !gic::control::OWNED);
        }
        let mut lrs = Self {
            control,
            ..Self::default()
        };
        let mut used = !core.empty() & ((1 << LISTS) - 1);
        while used != 0 {
            let n = used.trailing_zeros() as usize;
            lrs.set_list_register(n, core.list_register(n));
            core.set_list_register(n, ListRegister::EMPTY);
            used &= used - 1;
        }
        lrs
    }

    /// Whether a CPU interface like `interface` signals an interrupt that is in one of them.
    pub fn any_signalled(&self, interface: Interface) -> bool {
        let signalled = |register: &ListRegister| interface.signals_register(*register);
        self.registers.iter().any(signalled)
    }
}

impl VirtualInterface for SavedLrs {
    fn empty(&mut self) -> u32 {
        !self.used & ((1 << LISTS) - 1)
    }

    fn list_register(&mut self, n: usize) -> ListRegister {
        self.registers[n]
    }

    fn set_list_register(&mut self, n: usize, value: ListRegister) {
        self.registers[n] = value;
        self.used = self.used & !(1 << n) | u32::from(value != ListRegister::EMPTY) << n;
    }

    fn control(&mut self) -> u32 {
        self.control
    }

    fn set_control(&mut self, hcr: u32) {
        self.control = hcr;
    }

    // The GIC model asks only for the timer line of a loaded vCPU.
    fn timer_line(&mut self) -> bool {
        true
    }

    fn deactivate_timer(&mut self) {}

    // The GIC model puts no interrupt into saved list registers, and so does not ask for the CPU interface.
    fn interface_state(&mut self) -> Interface {
        Interface::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gic::control::{EOI_COUNT_SHIFT, NPIE};

    #[test]
    fn nothing_of_a_vcpu_stays_in_the_core() {
        let mut core = SavedLrs::default();
        core.set_control(3 << EOI_COUNT_SHIFT | NPIE | 1);
        core.set_list_register(2, ListRegister(0x1000_0021));
        let mut taken = SavedLrs::take(&mut core);
        assert_eq!((core.control(), core.empty()), (1, 0xf));
        assert_eq!(taken.control() >> EOI_COUNT_SHIFT, 3);
        assert_eq!(taken.list_register(2), ListRegister(0x1000_0021));
    }
}
