//! A core's virtual CPU interface: GICH for the hypervisor, GICV for the guest (IHI 0048B, 4.4, 5.3, 5.5).

use super::super::{CpuInterface, Gich, ListRegister, VTIMER_PPI, hcr};

/// What IAR says when there is nothing.
pub const SPURIOUS: u32 = 1023;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hardware {
    pub lists: [ListRegister; 4],
    pub hcr: u32,
    /// GICV_CTLR: group enables, EOImode.
    pub enabled: [bool; 2],
    pub split: bool,
    /// GICV_PMR.
    pub mask: u32,
    /// GICH_APR: a bit for each of 32 priorities.
    pub active: u32,
    /// The physical timer interrupt's state, and the timer's line.
    pub timer_active: bool,
    pub timer_line: bool,
    /// Accesses to GICH.
    pub accesses: usize,
    /// Whether this is a core. Or else it is what was saved of one: its timer cannot be asked, nor its interrupt changed.
    pub is_core: bool,
}

impl Default for Hardware {
    fn default() -> Self {
        Self {
            lists: [ListRegister::EMPTY; 4],
            hcr: 1,
            enabled: [true; 2],
            split: false,
            mask: 0xff,
            active: 0,
            timer_active: false,
            timer_line: false,
            accesses: 0,
            is_core: true,
        }
    }
}

impl Hardware {
    /// Priority that an interrupt must beat.
    pub fn running(&self) -> u32 {
        match self.active {
            0 => 0x100,
            levels => levels.trailing_zeros() << 3,
        }
    }

    /// Whether an interrupt of this priority and group would be signalled.
    pub fn lets_through(&self, priority: u32, group1: bool) -> bool {
        self.enabled[usize::from(group1)]
            && priority < self.mask & 0xf8
            && priority < self.running()
    }

    /// The list register that IAR would acknowledge.
    fn best(&self) -> Option<usize> {
        (0..4)
            .filter(|&n| {
                let register = self.lists[n];
                register.is_pending()
                    && !register.is_active()
                    && self.lets_through(register.priority(), register.is_group1())
            })
            .min_by_key(|&n| self.lists[n].priority())
    }

    /// GICV_IAR, and GICV_AIAR in one: INTID and sender.
    pub fn acknowledge(&mut self) -> u32 {
        let Some(n) = self.best() else {
            return SPURIOUS;
        };
        let register = self.lists[n];
        self.active |= 1 << (register.priority() >> 3);
        self.lists[n] = ListRegister(register.0 & !(1 << 28) | 1 << 29);
        let sender = if register.intid() < 16 {
            register.sender() << 10
        } else {
            0
        };
        register.intid() | sender
    }

    /// GICV_EOIR.
    pub fn end(&mut self, intid: u32) {
        let dropped = self.active != 0;
        self.active &= self.active.wrapping_sub(1);
        if !self.split {
            self.deactivate_listed(intid, dropped);
        }
    }

    fn deactivate_listed(&mut self, intid: u32, counts: bool) {
        let found = self.lists.iter_mut().find(|register| {
            register.is_active()
                && register.intid() == intid & 0x3ff
                && (register.intid() >= 16 || register.sender() == intid >> 10)
        });
        match found {
            Some(register) => {
                if register.is_linked() {
                    assert_eq!(register.linked_intid(), VTIMER_PPI);
                    assert!(self.timer_active, "a link to an inactive interrupt");
                    self.timer_active = false;
                }
                register.0 &= !(1 << 29);
            }
            None if counts => self.hcr = self.hcr.wrapping_add(1 << hcr::EOI_COUNT_SHIFT),
            None => {}
        }
    }

    /// GICH_MISR is not 0.
    pub fn maintenance(&self) -> bool {
        let none_pending = !self.lists.iter().any(|r| r.is_pending() && !r.is_active());
        self.hcr & hcr::NPIE != 0 && none_pending
            || self.hcr & hcr::LRENPIE != 0 && self.hcr >> hcr::EOI_COUNT_SHIFT != 0
            || self
                .lists
                .iter()
                .any(|r| r.is_done() && r.has_eoi_maintenance())
            || self.groups_changed()
    }

    /// VGrp0E to VGrp1D of GICH_MISR.
    fn groups_changed(&self) -> bool {
        let watched = self.hcr >> hcr::GROUPS_SHIFT;
        let [enabled, disabled] = [watched & 0b0101, watched >> 1 & 0b0101];
        let now = u32::from(self.enabled[0]) | u32::from(self.enabled[1]) << 2;
        now & enabled | !now & disabled != 0
    }

    /// Whether no list register is used, and GICH_HCR enables no maintenance interrupt.
    pub fn is_synced(&self) -> bool {
        let enables = hcr::OWNED & !(0x1f << hcr::EOI_COUNT_SHIFT);
        self.lists
            .iter()
            .all(|r| r.is_done() && !r.has_eoi_maintenance())
            && self.hcr & enables == 0
    }
}

impl Gich for Hardware {
    fn empty_lrs(&mut self) -> u32 {
        self.accesses += 1;
        let empty = |n: &usize| self.lists[*n].is_done() && !self.lists[*n].has_eoi_maintenance();
        (0..4).filter(empty).map(|n| 1 << n).sum()
    }

    fn list_register(&mut self, n: usize) -> ListRegister {
        self.accesses += 1;
        self.lists[n]
    }

    fn set_list_register(&mut self, n: usize, value: ListRegister) {
        self.accesses += 1;
        if value != ListRegister::EMPTY {
            assert!(!value.is_done(), "{value:x?} has no state");
            assert!(
                self.lists[n].is_done(),
                "{value:x?} overwrites {:x?}",
                self.lists[n]
            );
            let twice = self
                .lists
                .iter()
                .any(|r| !r.is_done() && r.intid() == value.intid());
            assert!(!twice, "{value:x?} is there already");
            assert!(!(value.is_linked() && value.is_pending() && value.is_active()));
        }
        self.lists[n] = value;
    }

    fn hcr(&mut self) -> u32 {
        self.accesses += 1;
        self.hcr
    }

    fn set_hcr(&mut self, hcr: u32) {
        self.accesses += 1;
        self.hcr = hcr;
    }

    fn vtimer_line(&mut self) -> bool {
        self.timer_line || !self.is_core
    }

    fn cpu_interface(&mut self) -> CpuInterface {
        let enables = u32::from(self.enabled[0]) | u32::from(self.enabled[1]) << 1;
        CpuInterface {
            vmcr: enables | u32::from(self.split) << 9 | 2 << 21 | 3 << 18 | self.mask >> 3 << 27,
            apr: self.active,
        }
    }

    fn deactivate_vtimer(&mut self) {
        assert!(!self.is_core || self.timer_active, "it is not active");
        self.timer_active = false;
    }
}
