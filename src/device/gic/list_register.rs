//! A list register of the virtual CPU interface.

/// GICH_LRn (IHI 0048B, 5.3.11): one virtual interrupt in flight. All zeroes: empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub struct ListRegister(pub u32);

impl ListRegister {
    /// No interrupt.
    pub const EMPTY: Self = Self(0);

    const HARDWARE: u32 = 1 << 31;
    const GROUP1: u32 = 1 << 30;
    const ACTIVE: u32 = 1 << 29;
    const PENDING: u32 = 1 << 28;
    /// Bits 27:23 hold the upper five of a priority's eight bits.
    const PRIORITY_SHIFT: u32 = 20;
    /// A maintenance interrupt when the guest has deactivated it; not with `HARDWARE`.
    const EOI: u32 = 1 << 19;
    const SENDER_SHIFT: u32 = 10;
    const LINKED_SHIFT: u32 = 10;
    const INTID: u32 = 0x3ff;

    /// The interrupt `intid`, neither pending nor active yet. `priority` has eight bits, of which five count.
    #[inline]
    pub const fn new(intid: u32, priority: u32, group1: bool) -> Self {
        Self(
            intid & Self::INTID
                | (priority & 0xf8) << Self::PRIORITY_SHIFT
                | if group1 { Self::GROUP1 } else { 0 },
        )
    }

    /// With the pending bit set.
    #[inline]
    pub const fn pending(self) -> Self {
        Self(self.0 | Self::PENDING)
    }

    /// With the active bit set.
    #[inline]
    pub const fn active(self) -> Self {
        Self(self.0 | Self::ACTIVE)
    }

    /// An SGI from the vCPU `sender`.
    #[inline]
    pub const fn sent_by(self, sender: u32) -> Self {
        Self(self.0 | (sender & 7) << Self::SENDER_SHIFT)
    }

    /// Linked to the hardware's interrupt `intid` (HW = 1): the guest's deactivation deactivates that too.
    #[inline]
    pub const fn linked_to(self, intid: u32) -> Self {
        Self(self.0 | Self::HARDWARE | (intid & Self::INTID) << Self::LINKED_SHIFT)
    }

    /// With a maintenance interrupt when the guest has deactivated it (EOI). Not together with [`Self::linked_to`].
    #[inline]
    pub const fn with_eoi_maintenance(self) -> Self {
        Self(self.0 | Self::EOI)
    }

    /// Number of the virtual interrupt.
    #[inline]
    pub const fn intid(self) -> u32 {
        self.0 & Self::INTID
    }

    /// Whether it waits to be acknowledged; it can be active at the same time.
    #[inline]
    pub const fn is_pending(self) -> bool {
        self.0 & Self::PENDING != 0
    }

    /// Whether the guest has acknowledged it and not deactivated it yet.
    #[inline]
    pub const fn is_active(self) -> bool {
        self.0 & Self::ACTIVE != 0
    }

    /// Neither pending nor active: the guest is done with it, or there never was one.
    #[inline]
    pub const fn is_done(self) -> bool {
        self.0 & (Self::PENDING | Self::ACTIVE) == 0
    }

    /// Whether it is linked to a hardware interrupt.
    #[inline]
    pub const fn is_linked(self) -> bool {
        self.0 & Self::HARDWARE != 0
    }

    /// Whether a maintenance interrupt follows the guest's deactivation.
    #[inline]
    #[cfg(test)]
    pub const fn has_eoi_maintenance(self) -> bool {
        self.0 & (Self::HARDWARE | Self::EOI) == Self::EOI
    }

    /// Whether it is of group 1.
    #[inline]
    pub const fn is_group1(self) -> bool {
        self.0 & Self::GROUP1 != 0
    }

    /// Priority, with its low three bits 0; a smaller number goes first.
    #[inline]
    pub const fn priority(self) -> u32 {
        self.0 >> Self::PRIORITY_SHIFT & 0xf8
    }

    /// The vCPU that sent it, for an SGI.
    #[inline]
    pub const fn sender(self) -> u32 {
        self.0 >> Self::SENDER_SHIFT & 7
    }

    /// INTID of the hardware interrupt, if it is linked to one.
    #[inline]
    pub const fn linked_intid(self) -> u32 {
        self.0 >> Self::LINKED_SHIFT & Self::INTID
    }
}

/// Fields of GICH_HCR (IHI 0048B, 5.3.1).
pub mod hcr {
    /// A maintenance interrupt while EOICount is not 0.
    pub const LRENPIE: u32 = 1 << 2;
    /// A maintenance interrupt while no list register is pending.
    pub const NPIE: u32 = 1 << 3;
    /// VGrp0EIE, VGrp0DIE, VGrp1EIE, VGrp1DIE: a maintenance interrupt while the guest's CPU interface has the group enabled; disabled.
    pub const GROUPS_SHIFT: u32 = 4;
    /// EOICount, bits 31:27: deactivations of what is in no list register.
    pub const EOI_COUNT_SHIFT: u32 = 27;
    /// The bits that the model sets. The rest belongs to the driver of the hardware.
    pub const OWNED: u32 = LRENPIE | NPIE | 0xf << GROUPS_SHIFT | 0x1f << EOI_COUNT_SHIFT;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_already_stays() {
        let register = ListRegister::new(33, 0xa0, true);
        let changes: [fn(ListRegister) -> ListRegister; 5] = [
            ListRegister::pending,
            ListRegister::active,
            ListRegister::with_eoi_maintenance,
            |register| register.sent_by(5),
            |register| register.linked_to(27),
        ];
        for (n, with) in changes.into_iter().enumerate() {
            assert_ne!(with(register), register, "change {n}");
            assert_eq!(with(with(register)), with(register), "change {n}");
        }
    }
}
