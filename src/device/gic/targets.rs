//! SPIs with several targets (the 1-of-N model, IHI 0048B, 1.4.3 and 3.2.3), and what else changes without a trap.
//!
//! Such an SPI is offered to all of its targets: all of them flush, and the first whose CPU interface signals the SPI gets it into a list
//! register. A guest changes its CPU interface without a trap, and may leave the SPI unacknowledged. So the vCPU that has the SPI, and each
//! running target that would not take it, are reviewed ([`Gic::review`]) after traps and after a limited time. If the CPU interface of the
//! vCPU that has the SPI does not signal it any more, the SPI goes back to the model; also if the vCPU left it waiting for the limited time
//! and another target would take it.
//!
//! While the SPI is in a list register, no other target can have it. The guest ends it there without a trap, and what makes it pending again
//! has only that vCPU look. A vCPU that is not loaded cannot; so it gives such SPIs back when it is unloaded ([`Gic::give_back`]).
//!
//! The virtual timer's line falls without a trap, too. A review looks at it while the timer's interrupt is pending in a list register.

use super::lr_map::{LRS_MASK, LRS_MAX};
use super::state::VTIMER;
use super::{CpuInterface, Gic, Gich, ListRegister, Review, VCPUS_MAX, VTIMER_PPI};

impl Gic {
    /// What of `vcpu` needs a [`review`](Self::review) before long.
    #[inline]
    pub fn review_needed(&self, vcpu: usize) -> Review {
        self.lrs[vcpu % VCPUS_MAX].review
    }

    /// Brings the list registers of `vcpu`, which is loaded, up to what changed without a trap. `overdue`: a limited time has passed since the
    /// last review. Returns the other vCPUs that need a [`flush`](Self::flush), a bit each.
    pub fn review(&mut self, vcpu: usize, overdue: bool, gich: &mut impl Gich) -> u8 {
        let vcpu = vcpu % VCPUS_MAX;
        if self.lrs[vcpu].review <= Review::Held {
            return 0;
        }
        if overdue {
            self.lrs[vcpu].declined = 0;
        }
        let lrs = &mut self.lrs[vcpu];
        let mut pending = lrs.used & !(gich.empty_lrs() & LRS_MASK) as u8;
        // The usual case: the review was for the timer's interrupt, and the guest is done with that.
        let timer_waits = self.private[vcpu].lines & VTIMER != 0;
        if pending == 0 && !timer_waits && self.shared.pending() == 0 {
            lrs.declined = 0;
            self.lrs[vcpu].review = self.review_of_held(vcpu);
            return 0;
        }
        let mut flush = timer_waits && !gich.vtimer_line();
        while pending != 0 {
            let n = pending.trailing_zeros() as usize % LRS_MAX;
            pending &= pending - 1;
            let intid = u32::from(self.lrs[vcpu].intids[n]);
            if intid == VTIMER_PPI {
                flush |= self.review_vtimer(vcpu, n, gich);
            } else if self.has_several_targets(intid) {
                flush |= self.review_spi(vcpu, n, overdue, gich);
            }
        }
        self.lrs[vcpu].review = Review::Nothing;
        flush |= match self.lrs[vcpu].has_more() {
            true => self.review_choice(vcpu, gich),
            false => self.waiting(vcpu) != 0,
        };
        let mut others = 0;
        if flush {
            others = self.flush(vcpu, gich);
        }
        others |= self.offer_returned(vcpu) | self.note_review(vcpu, overdue, gich);
        let lrs = &mut self.lrs[vcpu];
        if lrs.review <= Review::Held {
            // None of the declined SPIs waits any more. The next time they come, this vCPU may have them.
            lrs.declined = 0;
        }
        others
    }

    /// Takes the timer's interrupt out of list register `n` if its line fell before the guest acknowledged it. Returns whether the line had
    /// fallen.
    fn review_vtimer(&mut self, vcpu: usize, n: usize, gich: &mut impl Gich) -> bool {
        let register = gich.list_register(n);
        let fell = register.is_linked() && register.is_pending() && !gich.vtimer_line();
        if fell {
            gich.set_list_register(n, ListRegister::EMPTY);
            self.lrs[vcpu].forget(1 << n);
            gich.deactivate_vtimer();
        }
        fell
    }

    /// Folds list register `n`, which has an SPI with several targets, if another target should have the SPI. Returns whether that was so.
    fn review_spi(&mut self, vcpu: usize, n: usize, overdue: bool, gich: &mut impl Gich) -> bool {
        let register = gich.list_register(n);
        if !register.is_pending() || register.is_active() {
            return false;
        }
        let intid = u32::from(self.lrs[vcpu].intids[n]);
        self.interfaces[vcpu] = gich.cpu_interface();
        let signalled = self.interfaces[vcpu].signals_register(register);
        if signalled && !(overdue && self.another_takes(vcpu, intid)) {
            return false;
        }
        if signalled {
            self.lrs[vcpu].declined |= 1 << (intid & 31);
        }
        gich.set_list_register(n, ListRegister::EMPTY);
        self.sync_lr(vcpu, n, register);
        true
    }

    /// For a vCPU with more interrupts than list registers. Marks its list registers as stale if an SPI with several targets waits that its CPU
    /// interface signals now. Returns whether they are stale.
    fn review_choice(&mut self, vcpu: usize, gich: &mut impl Gich) -> bool {
        let taken = self.pick_loadable(vcpu, gich) & self.waiting(vcpu);
        self.lrs[vcpu].stale |= self.of_several_targets(taken) != 0;
        self.lrs[vcpu].stale
    }

    /// Those of `intids` whose group is enabled by a CPU interface of `vcpu` in the state `interface`.
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

    /// Whether another target's CPU interface would signal the SPI `intid`, as far as it was noted last.
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

    /// Notes whether `vcpu` needs another review. If this review is `overdue`, returns the other targets of the SPIs that `vcpu` has not
    /// acknowledged, a bit each: what was noted of their CPU interfaces may be old.
    fn note_review(&mut self, vcpu: usize, overdue: bool, gich: &mut impl Gich) -> u8 {
        let held = self.review_of_held(vcpu);
        self.lrs[vcpu].request_review(held);
        if self.private[vcpu].lines & VTIMER != 0 {
            self.lrs[vcpu].request_review(Review::Timer);
        }
        let mut others = 0;
        let mut held = self.lrs[vcpu].used & !(gich.empty_lrs() & LRS_MASK) as u8;
        while held != 0 {
            let n = held.trailing_zeros() as usize % LRS_MAX;
            held &= held - 1;
            let intid = u32::from(self.lrs[vcpu].intids[n]);
            let several = self.has_several_targets(intid);
            let register = gich.list_register(n);
            if !register.is_pending() {
                continue;
            }
            if several {
                self.lrs[vcpu].review = Review::Targets;
                if overdue {
                    others |= self.shared.targets_of(intid & 31) as u8 & !(1 << vcpu);
                }
            } else if register.is_linked() {
                self.lrs[vcpu].request_review(Review::Timer);
            }
        }
        others
    }

    /// What a vCPU is due for the SPIs with several targets that it has in list registers, none of which waits there: the guest may end them, or
    /// has done so.
    pub(super) fn review_of_held(&self, vcpu: usize) -> Review {
        match self.of_several_targets(self.lrs[vcpu].intids()) {
            0 => Review::Nothing,
            _ => Review::Held,
        }
    }

    /// Takes from the list registers of `vcpu`, which is about to be unloaded, what another vCPU could take in its place. An SPI that is active
    /// may stay: no other vCPU can take it before this one has ended it, and GICC_DIR looks for it there. Returns the vCPUs that need a
    /// [`flush`](Self::flush), a bit each; `vcpu` itself if something waits for it that is in its list registers no more.
    pub fn give_back(&mut self, vcpu: usize, gich: &mut impl Gich) -> u8 {
        let vcpu = vcpu % VCPUS_MAX;
        if self.lrs[vcpu].review != Review::Held {
            let others = self.sync(vcpu, gich);
            return others | u8::from(self.has_unlisted(vcpu)) << vcpu;
        }
        let listed = self.lrs[vcpu].intids();
        let empty = gich.empty_lrs() & LRS_MASK;
        self.fold_done(vcpu, empty, gich);
        let again = self.waiting(vcpu) & listed;
        self.offer_returned(vcpu) | u8::from(again != 0) << vcpu
    }

    /// The other vCPUs that may take the SPIs that were folded from list registers of `vcpu`, and did not go into list registers again; a bit
    /// each.
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

    /// Those of `intids` that are SPIs with several targets.
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

    /// Whether `intid` is an SPI with several targets.
    #[inline]
    pub(super) fn has_several_targets(&self, intid: u32) -> bool {
        let targets = self.shared.targets_of(intid & 31);
        intid >= 32 && targets & targets.wrapping_sub(1) != 0
    }

    /// The vCPUs that may take the pending SPI `intid`, a bit each. All of them need a flush.
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

    /// The pendable interrupts that `vcpu`, which is loaded, may have in list registers: of SPIs with several targets those only that its CPU
    /// interface signals now. Notes the CPU interface, and asks for a review, if there are such SPIs.
    #[inline]
    pub(super) fn pick_loadable(&mut self, vcpu: usize, gich: &mut impl Gich) -> u64 {
        let pendable = self.pendable(vcpu);
        if pendable >> 32 == 0 {
            return pendable;
        }
        self.pick_of_several(vcpu, pendable, gich)
    }

    fn pick_of_several(&mut self, vcpu: usize, pendable: u64, gich: &mut impl Gich) -> u64 {
        let several = self.of_several_targets(pendable & !self.private[vcpu].active);
        if several == 0 {
            return pendable;
        }
        // Whether this vCPU gets them or not.
        self.lrs[vcpu].review = Review::Targets;
        self.interfaces[vcpu] = gich.cpu_interface();
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

    /// Notes the CPU interface of `vcpu`, which is loaded, if any SPI is in list registers: this vCPU may take it from another.
    #[inline]
    pub fn note_interface(&mut self, vcpu: usize, gich: &mut impl Gich) {
        if self.spis_in_lrs != 0 {
            self.interfaces[vcpu % VCPUS_MAX] = gich.cpu_interface();
        }
    }

    /// Forgets what was noted of the CPU interface of `vcpu`, and what the vCPU declined. For a vCPU that is off, or was restored.
    pub fn forget_interface(&mut self, vcpu: usize) {
        self.interfaces[vcpu % VCPUS_MAX] = CpuInterface::default();
        self.lrs[vcpu % VCPUS_MAX].declined = 0;
    }
}
