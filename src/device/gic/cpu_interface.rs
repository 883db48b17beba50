//! What a guest wrote to its CPU interface, as far as that decides which interrupts it is signalled.

use super::{ListRegister, hcr};

/// GICH_VMCR and GICH_APR of a vCPU (IHI 0048B, 5.3.3, 5.3.10). All zeroes, as after a reset: nothing is signalled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CpuInterface {
    /// GICH_VMCR.
    pub vmcr: u32,
    /// GICH_APR: a bit for each active priority of 32, the highest priority lowest.
    pub apr: u32,
}

impl From<[u32; 2]> for CpuInterface {
    fn from([vmcr, apr]: [u32; 2]) -> Self {
        Self { vmcr, apr }
    }
}

impl CpuInterface {
    /// VMCBPR: group 1 has the binary point of group 0.
    const COMMON_BINARY_POINT: u32 = 1 << 4;
    /// VEM: writes to EOIR drop the priority only, those to DIR deactivate.
    const EOI_MODE: u32 = 1 << 9;
    const ALIASED_BINARY_POINT_SHIFT: u32 = 18;
    const BINARY_POINT_SHIFT: u32 = 21;
    const MASK_SHIFT: u32 = 27;

    /// Whether GICC_CTLR.EOImode is 1.
    #[inline]
    pub const fn eoi_mode(self) -> bool {
        self.vmcr & Self::EOI_MODE != 0
    }

    /// Whether the guest has enabled this group.
    #[inline]
    pub const fn enables(self, group1: bool) -> bool {
        self.vmcr >> group1 as u32 & 1 != 0
    }

    /// Bits of GICH_HCR that ask for a maintenance interrupt when the guest changes which groups are enabled.
    pub const fn group_change_bits(self) -> u32 {
        let enabled = self.vmcr & 3;
        // Bits 0 and 2 for what is to be enabled, 1 and 3 for what is to be disabled.
        let watched = [0b0101, 0b0110, 0b1001, 0b1010][enabled as usize];
        watched << hcr::GROUPS_SHIFT
    }

    /// Whether a pending interrupt of this priority (eight bits, of which five count) and group is signalled to the CPU: its group is
    /// enabled, its priority passes the mask, and its group priority is above the running one (3.3.2, 3.3.3).
    pub fn signals(self, priority: u32, group1: bool) -> bool {
        let mask = self.vmcr >> Self::MASK_SHIFT << 3;
        let running = match self.apr {
            0 => 0x100,
            active => active.trailing_zeros() << 3,
        };
        let subpriority = (1 << self.subpriority_bits(group1)) - 1;
        self.enables(group1) && priority & 0xf8 < mask && priority & 0xf8 & !subpriority < running
    }

    /// Bits of a priority that do not count for preemption (3.3.3). For group 1 the register has one more than group 0's would.
    const fn subpriority_bits(self, group1: bool) -> u32 {
        if group1 && self.vmcr & Self::COMMON_BINARY_POINT == 0 {
            self.vmcr >> Self::ALIASED_BINARY_POINT_SHIFT & 7
        } else {
            (self.vmcr >> Self::BINARY_POINT_SHIFT & 7) + 1
        }
    }

    /// Whether the interrupt in a list register is signalled: it is pending, not active, and passes [`signals`](Self::signals).
    pub fn signals_register(self, register: ListRegister) -> bool {
        register.is_pending()
            && !register.is_active()
            && self.signals(register.priority(), register.is_group1())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both groups on, mask, binary points.
    fn interface(mask: u32, point: u32, aliased: u32, apr: u32) -> CpuInterface {
        CpuInterface {
            vmcr: mask >> 3 << 27 | point << 21 | aliased << 18 | 3,
            apr,
        }
    }

    #[test]
    fn a_mask_is_the_first_priority_that_does_not_pass() {
        for (mask, passes) in [(0, false), (0xa0, false), (0xa8, true), (0xff, true)] {
            let interface = interface(mask, 2, 3, 0);
            assert_eq!(interface.signals(0xa0, false), passes, "{mask:#x}");
        }
        assert!(!interface(0xf8, 2, 3, 0).signals(0xf8, true));
    }

    #[test]
    fn each_group_has_its_enable() {
        for vmcr in 0..4 {
            let interface = CpuInterface {
                vmcr: 0x1f << 27 | vmcr,
                apr: 0,
            };
            assert_eq!(interface.signals(0x80, false), vmcr & 1 != 0);
            assert_eq!(interface.signals(0x80, true), vmcr & 2 != 0);
        }
    }

    #[test]
    fn only_a_higher_group_priority_preempts() {
        // 0x80 is active.
        let active = 1 << 16;
        let finest = interface(0xff, 2, 3, active);
        assert!(finest.signals(0x78, false) && finest.signals(0x78, true));
        assert!(!finest.signals(0x80, false) && !finest.signals(0x80, true));
        // Three bits of group priority, that is a group priority of 0x60, and one of 0x80.
        let coarse = interface(0xff, 4, 5, active);
        assert!(coarse.signals(0x78, false) && coarse.signals(0x78, true));
        assert!(!coarse.signals(0x98, false));
        // No bit of group priority: nothing preempts but what has priority 0 as its group.
        let none = interface(0xff, 7, 7, active);
        assert!(none.signals(0xf0, false), "group priority 0");
        let none = interface(0xff, 7, 7, 1);
        assert!(!none.signals(0, false) && !none.signals(0, true));
        // Group 1 by the binary point of group 0.
        let mut common = interface(0xff, 2, 7, 1 << 3);
        assert!(common.signals(0x20, true));
        common.vmcr |= CpuInterface::COMMON_BINARY_POINT;
        assert!(!common.signals(0x20, true));
    }
}
