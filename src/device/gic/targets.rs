//! SPIs with several targets (the 1-of-N model, IHI 0048B, 1.4.3 and 3.2.3), and what else changes without a trap.
//!
//! Such an SPI is offered to all of its targets: they are told to look, and the first whose CPU interface signals it gets it into a list
//! register. A guest changes its CPU interface without a trap, and may not acknowledge what it is signalled. So the vCPU that
//! has such an SPI, and each running target that would not take it, look again ([`Gic::review`]) after traps and after a limited time.
//! A vCPU whose interface does not signal it any more gives it back; so does one that left it waiting for that time, if another
//! target would take it.
//!
//! The virtual timer's line falls without a trap, too: it is looked at on the same occasions, as long as its interrupt is pending in a
//! list register.

use super::lr_map::{LRS, LRS_MAX};
use super::state::VTIMER;
use super::{CpuInterface, Gic, Gich, ListRegister, Review, VCPUS_MAX, VTIMER_PPI};

impl Gic {
    /// What of `vcpu` must be looked at again ([`Self::review`]) before long.
    #[inline]
    pub fn needs_review(&self, vcpu: usize) -> Review {
        self.lrs[vcpu % VCPUS_MAX].review
    }

    /// Looks at what changes without a trap, for a `vcpu` that is loaded. `overdue` if a limited time has passed since the last look. Returns
    /// the other vCPUs that must look ([`Self::flush`]), a bit each.
    pub fn review(&mut self, vcpu: usize, overdue: bool, i: &mut impl Gich) -> u8 {
        let vcpu = vcpu % VCPUS_MAX;
        if self.lrs[vcpu].review == Review::Nothing {
            return 0;
        }
        if overdue {
            self.lrs[vcpu].declined = 0;
        }
        let lrs = &mut self.lrs[vcpu];
        let mut pending = lrs.used & !(i.empty() & LRS) as u8;
        // The usual case: it was the timer's interrupt, and the guest is through with it.
        let timer_waits = self.private[vcpu].lines & VTIMER != 0;
        if pending == 0 && !timer_waits && self.shared.pending() == 0 && !lrs.has_more() {
            lrs.review = Review::Nothing;
            lrs.declined = 0;
            return 0;
        }
        let mut refill = timer_waits && !i.vtimer_line();
        while pending != 0 {
            let n = pending.trailing_zeros() as usize % LRS_MAX;
            pending &= pending - 1;
            let intid = u32::from(self.lrs[vcpu].intids[n]);
            if intid == VTIMER_PPI {
                refill |= self.review_vtimer(vcpu, n, i);
            } else if self.has_several_targets(intid) {
                refill |= self.review_spi(vcpu, n, overdue, i);
            }
        }
        self.lrs[vcpu].review = Review::Nothing;
        refill |= match self.lrs[vcpu].has_more() {
            true => self.review_choice(vcpu, i),
            false => self.waiting(vcpu) != 0,
        };
        let mut others = 0;
        if refill {
            others = self.flush(vcpu, i);
        }
        others |= self.offer_returned(vcpu) | self.note_review(vcpu, overdue, i);
        let lrs = &mut self.lrs[vcpu];
        if lrs.review == Review::Nothing {
            // None of them waits any more. The next time they come, it may have them.
            lrs.declined = 0;
        }
        others
    }

    /// Takes the timer's interrupt back out of list register `n` if its line fell before the guest acknowledged it. Returns whether it did.
    fn review_vtimer(&mut self, vcpu: usize, n: usize, i: &mut impl Gich) -> bool {
        let register = i.list_register(n);
        let fell = register.is_linked() && register.is_pending() && !i.vtimer_line();
        if fell {
            i.set_list_register(n, ListRegister::EMPTY);
            self.lrs[vcpu].forget(1 << n);
            i.deactivate_vtimer();
        }
        fell
    }

    /// Takes an SPI with several targets back out of list register `n` if another of them should have it. Returns whether it did.
    fn review_spi(&mut self, vcpu: usize, n: usize, overdue: bool, i: &mut impl Gich) -> bool {
        let register = i.list_register(n);
        if !register.is_pending() || register.is_active() {
            return false;
        }
        let intid = u32::from(self.lrs[vcpu].intids[n]);
        self.interfaces[vcpu] = i.cpu_interface();
        let signalled = self.interfaces[vcpu].signals_register(register);
        if signalled && !(overdue && self.another_takes(vcpu, intid)) {
            return false;
        }
        if signalled {
            self.lrs[vcpu].declined |= 1 << (intid & 31);
        }
        i.set_list_register(n, ListRegister::EMPTY);
        self.fold_lr(vcpu, n, register);
        true
    }

    /// More interrupts wait than there are list registers. Whether an SPI with several targets is among them that the CPU interface takes now.
    /// Then the lrs are stale.
    fn review_choice(&mut self, vcpu: usize, i: &mut impl Gich) -> bool {
        let taken = self.pick_loadable(vcpu, i) & self.waiting(vcpu);
        self.lrs[vcpu].stale |= self.of_several_targets(taken) != 0;
        self.lrs[vcpu].stale
    }

    /// Those of `intids` whose group a CPU interface of `vcpu` like this has switched on.
    pub(super) fn of_enabled_groups(
        &self,
        vcpu: usize,
        mut intids: u64,
        interface: CpuInterface,
    ) -> u64 {
        let mut enabled = 0;
        while intids != 0 {
            let intid = intids.trailing_zeros() & 63;
            intids &= intids - 1;
            let passes = interface.enables(self.is_group1(vcpu, intid));
            enabled |= u64::from(passes) << intid;
        }
        enabled
    }

    /// Whether another target's CPU interface signalled the SPI `intid`, when that was last looked at.
    fn another_takes(&self, vcpu: usize, intid: u32) -> bool {
        let mut others = self.shared.targets_of(intid & 31) & !(1 << vcpu);
        while others != 0 {
            let other = others.trailing_zeros() as usize % VCPUS_MAX;
            others &= others - 1;
            if self.signalled(other, 1 << intid, self.interfaces[other]) != 0 {
                return true;
            }
        }
        false
    }

    /// Remembers whether `vcpu` needs another review. Returns the other targets of what it holds unacknowledged, if this is
    /// `overdue`: what is known of their CPU interfaces may be old.
    fn note_review(&mut self, vcpu: usize, overdue: bool, i: &mut impl Gich) -> u8 {
        if self.private[vcpu].lines & VTIMER != 0 {
            self.lrs[vcpu].review(Review::Timer);
        }
        let mut others = 0;
        let mut held = self.lrs[vcpu].used & !(i.empty() & LRS) as u8;
        while held != 0 {
            let n = held.trailing_zeros() as usize % LRS_MAX;
            held &= held - 1;
            let intid = u32::from(self.lrs[vcpu].intids[n]);
            let several = self.has_several_targets(intid);
            let register = i.list_register(n);
            if !register.is_pending() {
                continue;
            }
            if several {
                self.lrs[vcpu].review = Review::More;
                if overdue {
                    others |= self.shared.targets_of(intid & 31) as u8 & !(1 << vcpu);
                }
            } else if register.is_linked() {
                self.lrs[vcpu].review(Review::Timer);
            }
        }
        others
    }

    /// After some list registers of `vcpu` were taken back, and perhaps filled again: the other vCPUs that may take SPIs from there now.
    #[inline]
    pub(super) fn offer_returned(&mut self, vcpu: usize) -> u8 {
        let mut returned = core::mem::take(&mut self.returned) & !self.spis_in_lrs;
        let mut others = 0;
        while returned != 0 {
            others |= self.takers(32 + returned.trailing_zeros());
            returned &= returned - 1;
        }
        others & !(1 << vcpu)
    }

    /// Those of `intids` that are SPIs which more than one vCPU may take.
    fn of_several_targets(&self, intids: u64) -> u64 {
        let mut several = 0;
        let mut spis = intids >> 32;
        while spis != 0 {
            let intid = 32 + spis.trailing_zeros();
            spis &= spis - 1;
            several |= u64::from(self.has_several_targets(intid)) << intid;
        }
        several
    }

    /// Whether this is an SPI that more than one vCPU may take.
    #[inline]
    pub(super) fn has_several_targets(&self, intid: u32) -> bool {
        let targets = self.shared.targets_of(intid & 31);
        intid >= 32 && targets & targets.wrapping_sub(1) != 0
    }

    /// The vCPUs that the SPI `intid` waits for: all that may take it must look.
    pub(super) fn takers(&self, intid: u32) -> u8 {
        let mut takers = 0;
        let mut targets = self.shared.targets_of(intid & 31);
        while targets != 0 {
            let vcpu = targets.trailing_zeros() as usize % VCPUS_MAX;
            targets &= targets - 1;
            takers |= ((self.waiting(vcpu) >> (intid & 63) & 1) as u8) << vcpu;
        }
        takers
    }

    /// Those of `pendable` that `vcpu`, which is loaded, may have in list registers: of SPIs with several targets those that its CPU
    /// interface signals now.
    #[inline]
    pub(super) fn pick_loadable(&mut self, vcpu: usize, i: &mut impl Gich) -> u64 {
        let pendable = self.pendable(vcpu);
        if pendable >> 32 == 0 {
            return pendable;
        }
        self.pick_of_several(vcpu, pendable, i)
    }

    fn pick_of_several(&mut self, vcpu: usize, pendable: u64, i: &mut impl Gich) -> u64 {
        let several = self.of_several_targets(pendable & !self.private[vcpu].active);
        if several == 0 {
            return pendable;
        }
        // Whether it gets them or not.
        self.lrs[vcpu].review = Review::More;
        self.interfaces[vcpu] = i.cpu_interface();
        let declined = u64::from(self.lrs[vcpu].declined) << 32;
        let taken = self.signalled(vcpu, several & !declined, self.interfaces[vcpu]);
        pendable & !several | taken
    }

    /// [`VTIMER_PPI`] as a bit, if its line may interrupt `vcpu`.
    pub(super) fn passing_vtimer(&self, vcpu: usize) -> u64 {
        let private = &self.private[vcpu % VCPUS_MAX];
        let passing = self.shared.passing(private.groups) & !private.active as u32;
        u64::from(passing & u32::from(private.enabled & VTIMER) << 16)
    }

    /// Remembers what the CPU interface of `vcpu`, which is loaded, signals, if an SPI waits in list registers: it may be another vCPU's.
    #[inline]
    pub fn note_interface(&mut self, vcpu: usize, i: &mut impl Gich) {
        if self.spis_in_lrs != 0 {
            self.interfaces[vcpu % VCPUS_MAX] = i.cpu_interface();
        }
    }

    /// `vcpu` is off, or another since a restore: it takes nothing before it looks, and may have then what it had left waiting.
    pub fn forget_interface(&mut self, vcpu: usize) {
        self.interfaces[vcpu % VCPUS_MAX] = CpuInterface::default();
        self.lrs[vcpu % VCPUS_MAX].declined = 0;
    }
}
