//! Sync and flush: [`Gic::sync`] takes back what is in a vCPU's list registers, [`Gic::flush`] fills them with what is pending.

use super::list_register::{ListRegister, hcr};
use super::lr_map::{LRS_MASK, LRS_MAX};
use super::{Gic, Gich, Review, VCPUS_MAX, VTIMER_PPI};

impl Gic {
    /// Folds all list registers of `vcpu` back into the model. They are empty afterwards, and no maintenance interrupt is enabled. `gich` is the
    /// core that the vCPU is loaded on, or its saved list registers. Returns the other vCPUs that need a [`flush`](Self::flush), a bit each;
    /// nearly always 0.
    #[inline]
    pub fn sync(&mut self, vcpu: usize, gich: &mut impl Gich) -> u8 {
        let vcpu = vcpu % VCPUS_MAX;
        match self.is_idle(vcpu) {
            true => 0,
            false => self.sync_all(vcpu, gich),
        }
    }

    fn sync_all(&mut self, vcpu: usize, gich: &mut impl Gich) -> u8 {
        self.sync_each(vcpu, gich);
        self.update_vtimer(vcpu, gich);
        self.offer_returned(vcpu)
    }

    /// Puts the interrupts that `vcpu` should see into its empty list registers, the highest priority first. Called when the vCPU is loaded,
    /// after each maintenance interrupt, after a [`sync`](Self::sync), and when [`write`](Self::write) or [`set_line`](Self::set_line) ask for
    /// it. Returns the other vCPUs that need a flush, a bit each; nearly always 0.
    #[inline(always)]
    pub fn flush(&mut self, vcpu: usize, gich: &mut impl Gich) -> u8 {
        let vcpu = vcpu % VCPUS_MAX;
        // An SGI is what most flushes are for. So that comes first; it is among what the other looks for, too.
        let has_sgi = self.private[vcpu].sent != [0; 2];
        match has_sgi || !self.is_idle(vcpu) {
            true => self.flush_some(vcpu, gich),
            false => 0,
        }
    }

    // A function of its own: a vCPU that is loaded has nothing to flush, most of the time.
    #[inline(never)]
    fn flush_some(&mut self, vcpu: usize, gich: &mut impl Gich) -> u8 {
        let empty = gich.empty_lrs() & LRS_MASK;
        let lone = self.lone_sgi(vcpu);
        let lrs = &mut self.lrs[vcpu];
        if let Some((intid, sender)) = lone
            && lrs.can_load_fast(empty)
        {
            lrs.forget(empty as u8);
            if lrs.intids() >> intid & 1 == 0 {
                let n = empty.trailing_zeros() as usize;
                lrs.assign(n, intid);
                self.private[vcpu].sent = [0; 2];
                let register = self.lr_without_state(vcpu, intid);
                gich.set_list_register(n, register.pending().sent_by(sender));
                return 0;
            }
        }
        self.flush_all(vcpu, empty, gich)
    }

    /// INTID and sender of the pending SGI, if it passes and nothing else is pending or active, enabled or not: the usual case.
    #[inline]
    fn lone_sgi(&self, vcpu: usize) -> Option<(u32, u32)> {
        let private = &self.private[vcpu];
        let (word, first) = match private.sent {
            [word, 0] => (word, 0),
            [0, word] => (word, 4),
            _ => return None,
        };
        let others = u32::from(private.latched | private.lines) | self.shared.pending();
        let bit = word.trailing_zeros() & 63;
        let passes = self.shared.passing(private.groups) >> (bit & 15) & 1 != 0;
        let alone = word.is_power_of_two() && others == 0 && private.active == 0;
        (alone && passes).then_some((bit & 15, first + (bit >> 4)))
    }

    fn flush_all(&mut self, vcpu: usize, empty: u32, gich: &mut impl Gich) -> u8 {
        let existing = empty | u32::from(self.lrs[vcpu].used);
        self.fold_done(vcpu, empty, gich);
        if self.lrs[vcpu].is_empty() && self.lrs[vcpu].hcr == 0 {
            self.fill(vcpu, existing, gich);
        } else if !self.try_add(vcpu, existing, gich) {
            self.sync_each(vcpu, gich);
            self.fill(vcpu, existing, gich);
        }
        self.offer_returned(vcpu)
    }

    /// Whether there is nothing to sync or flush: no interrupt is in a list register, active or pending. May be false though there is nothing.
    #[inline]
    pub fn is_idle(&self, vcpu: usize) -> bool {
        let vcpu = vcpu % VCPUS_MAX;
        let (lrs, private) = (&self.lrs[vcpu], &self.private[vcpu]);
        let held = lrs.used | lrs.hcr | lrs.stale as u8;
        let waiting =
            u64::from(private.lines | private.latched) | private.sent[0] | private.sent[1];
        let shared = self.shared.lines | self.shared.latched;
        u64::from(held) | private.active | waiting | u64::from(shared) == 0
    }

    /// Whether loading `vcpu` is all there is to do for it: it is [idle](Self::is_idle), needs no [review](Self::review), and no SPI that another vCPU has
    /// could be taken by it.
    #[inline]
    pub fn is_quiet(&self, vcpu: usize) -> bool {
        let lrs = &self.lrs[vcpu % VCPUS_MAX];
        self.is_idle(vcpu) && self.spis_in_lrs == 0 && lrs.review == Review::Nothing
    }

    /// Clears or folds the list registers whose interrupt the guest is done with.
    #[inline]
    pub(super) fn fold_done(&mut self, vcpu: usize, empty: u32, gich: &mut impl Gich) {
        let lrs = &mut self.lrs[vcpu];
        let mut needs_sync = u32::from(lrs.needs_sync);
        lrs.forget(empty as u8 & !lrs.needs_sync);
        while needs_sync != 0 {
            let n = needs_sync.trailing_zeros() as usize;
            needs_sync &= needs_sync - 1;
            // A list register that asks for a maintenance interrupt does not count as empty in GICH_ELRSR0.
            let register = gich.list_register(n);
            if register.is_done() {
                gich.set_list_register(n, ListRegister::EMPTY);
                self.sync_lr(vcpu, n, register);
            }
        }
        if self.lrs[vcpu].review == Review::Held {
            self.lrs[vcpu].review = self.review_of_held(vcpu);
        }
    }

    /// Flushes without a sync: the list registers in use stay as they are. Returns false, and has put in nothing, if that is not possible.
    fn try_add(&mut self, vcpu: usize, existing: u32, gich: &mut impl Gich) -> bool {
        self.update_vtimer(vcpu, gich);
        let listed = self.lrs[vcpu].intids();
        let pendable = self.pick_loadable(vcpu, gich);
        let lrs = &self.lrs[vcpu];
        // An SGI and the timer leave the model when they go into a list register. If such an interrupt is in both, it came again.
        let again = pendable & listed & (0xffff | 1 << VTIMER_PPI);
        if again | self.private[vcpu].active != 0 || lrs.stale || lrs.hcr != 0 {
            return false;
        }
        let mut waiting = pendable & !listed;
        let mut free = existing & !u32::from(lrs.used);
        if !fits(waiting, free) {
            return false;
        }
        while waiting != 0 {
            let intid = waiting.trailing_zeros();
            waiting &= waiting - 1;
            self.load_lr(vcpu, &mut free, intid, true, gich);
        }
        true
    }

    /// Flushes after a sync: all list registers, a bit each in `existing`, are empty, and the model has everything.
    #[inline]
    fn fill(&mut self, vcpu: usize, existing: u32, gich: &mut impl Gich) {
        self.update_vtimer(vcpu, gich);
        self.lrs[vcpu].stale = false;
        let pendable = self.pick_loadable(vcpu, gich);
        let mut rest = pendable | self.private[vcpu].active;
        let mut free = existing;
        if !fits(rest, free) {
            return self.fill_best(vcpu, existing, pendable, gich);
        }
        while rest != 0 {
            let intid = rest.trailing_zeros();
            rest &= rest - 1;
            self.load_lr(vcpu, &mut free, intid, pendable >> intid & 1 != 0, gich);
        }
    }

    /// [`Self::fill`] with more interrupts than list registers. The best pending interrupt that is not active always gets a list register, or it
    /// could not preempt the active ones. Then the active ones get theirs, the last acknowledged first, so that the guest can end them; then
    /// the rest.
    ///
    /// An active interrupt that is pending again goes in as active only. When it ends, it is folded, and competes with those that wait.
    fn fill_best(&mut self, vcpu: usize, existing: u32, pendable: u64, gich: &mut impl Gich) {
        let mut free = existing;
        let mut active = self.private[vcpu].active;
        let waiting = pendable & !active;
        // Interrupts of a group that the CPU interface has switched off come last.
        let interface = gich.cpu_interface();
        let mut able = self.of_enabled_groups(vcpu, waiting, interface);
        let mut waiting = waiting & !able;
        let first = match (able, waiting) {
            (0, 0) => 0,
            (0, waiting) => 1 << self.best(vcpu, waiting),
            (able, _) => 1 << self.best(vcpu, able),
        };
        let mut pending = first;
        able &= !first;
        waiting &= !first;
        self.load_best(vcpu, &mut free, &mut pending, true, gich);
        // The guest ends the last acknowledged first. So an active interrupt without a list register was acknowledged before all that have one.
        while free != 0
            && let Some(last) = self.private[vcpu].last_acknowledged(active)
        {
            active &= !(1 << last);
            self.load_lr(vcpu, &mut free, last, false, gich);
        }
        self.load_best(vcpu, &mut free, &mut active, false, gich);
        self.load_best(vcpu, &mut free, &mut able, true, gich);
        self.load_best(vcpu, &mut free, &mut waiting, true, gich);
        waiting |= able;
        // Without list registers a maintenance interrupt would never end.
        if existing != 0 {
            let more = match waiting {
                0 => 0,
                _ => hcr::NPIE | interface.group_change_bits(),
            };
            let ends = if active != 0 { hcr::LRENPIE } else { 0 };
            self.set_hcr_bits(vcpu, more | ends, gich);
        }
    }

    /// Moves `intids` into the `free` list registers, the best first, until either is used up.
    fn load_best(
        &mut self,
        vcpu: usize,
        free: &mut u32,
        intids: &mut u64,
        pendable: bool,
        gich: &mut impl Gich,
    ) {
        while *intids != 0 && *free != 0 {
            let intid = self.best(vcpu, *intids);
            *intids &= !(1 << intid);
            self.load_lr(vcpu, free, intid, pendable, gich);
        }
    }

    /// The interrupt of highest priority among `intids`, which are at least one; of equal ones the lowest INTID.
    pub(super) fn best(&self, vcpu: usize, mut intids: u64) -> u32 {
        let mut best = (u32::MAX, 0);
        while intids != 0 {
            let intid = intids.trailing_zeros() & 63;
            intids &= intids - 1;
            let priority = self.priority(vcpu, intid);
            if priority < best.0 {
                best = (priority, intid);
            }
        }
        best.1
    }

    /// Folds all list registers and turns maintenance interrupts off.
    fn sync_each(&mut self, vcpu: usize, gich: &mut impl Gich) {
        if u32::from(self.lrs[vcpu].hcr) & hcr::LRENPIE != 0 {
            for _ in 0..gich.hcr() >> hcr::EOI_COUNT_SHIFT {
                self.deactivate_last(vcpu);
            }
        }
        self.set_hcr_bits(vcpu, 0, gich);
        let mut used = u32::from(self.lrs[vcpu].used);
        let mut acknowledged = 0;
        while used != 0 {
            let n = used.trailing_zeros() as usize % LRS_MAX;
            used &= used - 1;
            let register = gich.list_register(n);
            gich.set_list_register(n, ListRegister::EMPTY);
            if register.is_active() && self.lrs[vcpu].is_acknowledged(n, register) {
                acknowledged |= 1 << (register.intid() & 63);
            }
            self.sync_lr(vcpu, n, register);
        }
        self.lrs[vcpu].stale = false;
        self.lrs[vcpu].review = Review::Nothing;
        self.note_acknowledged(vcpu, acknowledged);
    }

    /// Sets the bits of GICH_HCR that the model owns to `bits`.
    #[inline]
    fn set_hcr_bits(&mut self, vcpu: usize, bits: u32, gich: &mut impl Gich) {
        if u32::from(self.lrs[vcpu].hcr) != bits {
            let rest = gich.hcr() & !hcr::OWNED;
            gich.set_hcr(rest | bits);
            self.lrs[vcpu].hcr = bits as u8;
        }
    }
}

/// Whether there are no more bits in `intids` than in `free`.
#[inline]
fn fits(mut intids: u64, mut free: u32) -> bool {
    while intids != 0 {
        if free == 0 {
            return false;
        }
        intids &= intids - 1;
        free &= free - 1;
    }
    true
}
