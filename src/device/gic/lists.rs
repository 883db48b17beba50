//! Which interrupts are in the list registers of a vCPU: settling and refilling them.

use super::list_register::{ListRegister, control};
use super::{Gic, Review, TIMER_PPI, VCPUS_MAX, VirtualInterface};

/// List registers that are used, at most.
pub const LISTS_MAX: usize = 4;
/// Their bits in ELRSR0.
pub const LISTS: u32 = (1 << LISTS_MAX) - 1;

/// What was put into the list registers of a vCPU. Empty from the time when it is settled until it is refilled. Masks have a bit for each list register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lists {
    /// That an interrupt was put into; the guest may be done with it.
    pub used: u8,
    /// Of `used`: those that need [`Gic::fold`] when the guest is done. The others are then forgotten.
    pub special: u8,
    /// Of `used`: those that were pending.
    pub pended: u8,
    /// Of `used`: those that were active.
    pub active: u8,
    /// Bits of [`control::OWNED`] that are set in GICH_HCR.
    control: u8,
    pub intids: [u8; LISTS_MAX],
    /// A line changed under an interrupt in a list register.
    pub stale: bool,
    /// What of it must be looked at again.
    pub review: Review,
    /// The timer's line, as the vCPU's last access to what is pending found it.
    pub timer_line: bool,
    /// SPIs that this vCPU left waiting, and another target may have first: bit n is INTID 32 + n.
    pub declined: u32,
}

impl Lists {
    pub const EMPTY: Self = Self {
        used: 0,
        special: 0,
        pended: 0,
        active: 0,
        control: 0,
        intids: [0; LISTS_MAX],
        stale: false,
        review: Review::Nothing,
        timer_line: false,
        declined: 0,
    };

    /// Interrupts in list registers, by INTID. The guest may be done with some of them.
    #[inline]
    pub fn intids(&self) -> u64 {
        let mut intids = 0;
        let mut used = u32::from(self.used);
        while used != 0 {
            let n = used.trailing_zeros();
            used &= used - 1;
            intids |= 1 << (self.intids[n as usize % LISTS_MAX] & 63);
        }
        intids
    }

    /// Whether an interrupt can go into one of the `empty` list registers, and what the guest is done with be forgotten,
    /// without a look at the others.
    #[inline]
    pub fn can_take(&self, empty: u32) -> bool {
        let special = u32::from(self.special) & empty;
        empty != 0 && special == 0 && self.control == 0 && !self.stale
    }

    /// Whether the guest acknowledged what list register `n` holds, which is now `register` and active, since it was put there.
    fn is_acknowledged(&self, n: usize, register: ListRegister) -> bool {
        let was = |mask: u8| mask >> n & 1 != 0;
        !was(self.active) || was(self.pended) && !register.is_pending()
    }

    /// Remembers that this must be looked at again.
    #[inline]
    pub fn review(&mut self, what: Review) {
        self.review = self.review.max(what);
    }

    /// Whether pending interrupts wait for a list register.
    pub fn has_more(&self) -> bool {
        u32::from(self.control) & control::NPIE != 0
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    #[inline]
    pub fn take(&mut self, n: usize, intid: u32) {
        self.used |= 1 << n;
        self.intids[n % LISTS_MAX] = intid as u8;
    }

    #[inline]
    pub fn forget(&mut self, mask: u8) {
        self.used &= !mask;
        self.special &= !mask;
        self.pended &= !mask;
        self.active &= !mask;
    }
}

impl Gic {
    /// Takes all that is in list registers back: they are empty afterwards, and so are the bits of GICH_HCR. Returns the
    /// other vCPUs that must look ([`Self::refill`]), a bit each; nearly always 0.
    #[inline]
    pub fn settle(&mut self, vcpu: usize, i: &mut impl VirtualInterface) -> u8 {
        let vcpu = vcpu % VCPUS_MAX;
        match self.is_quiet(vcpu) {
            true => 0,
            false => self.settle_all(vcpu, i),
        }
    }

    fn settle_all(&mut self, vcpu: usize, i: &mut impl VirtualInterface) -> u8 {
        self.take_back(vcpu, i);
        self.look_at_timer(vcpu, i);
        self.offer_returned(vcpu)
    }

    /// Puts what `vcpu` should see into empty list registers, the best first. To be called when the vCPU is loaded, after
    /// each maintenance interrupt, after a settle, and when [`Self::write`] or [`Self::set_line`] say so. Returns the
    /// other vCPUs that must look, a bit each; nearly always 0.
    #[inline]
    pub fn refill(&mut self, vcpu: usize, i: &mut impl VirtualInterface) -> u8 {
        let vcpu = vcpu % VCPUS_MAX;
        match self.is_quiet(vcpu) {
            true => 0,
            false => self.refill_some(vcpu, i),
        }
    }

    fn refill_some(&mut self, vcpu: usize, i: &mut impl VirtualInterface) -> u8 {
        let empty = i.empty() & LISTS;
        let lone = self.lone_sgi(vcpu);
        let lists = &mut self.lists[vcpu];
        if let Some((intid, sender)) = lone
            && lists.can_take(empty)
        {
            lists.forget(empty as u8);
            if lists.intids() >> intid & 1 == 0 {
                let n = empty.trailing_zeros() as usize;
                lists.take(n, intid);
                self.private[vcpu].sent = [0; 2];
                let register = self.empty_register(vcpu, intid);
                i.set_list_register(n, register.pending().from(sender));
                return 0;
            }
        }
        self.refill_all(vcpu, empty, i)
    }

    /// The SGI and its sender, if it is pending and nothing else is, enabled or not. A short way for the usual case.
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

    fn refill_all(&mut self, vcpu: usize, empty: u32, i: &mut impl VirtualInterface) -> u8 {
        let existing = empty | u32::from(self.lists[vcpu].used);
        self.forget_done(vcpu, empty, i);
        if self.lists[vcpu].is_empty() && self.lists[vcpu].control == 0 {
            self.fill(vcpu, existing, i);
        } else if !self.add(vcpu, existing, i) {
            self.take_back(vcpu, i);
            self.fill(vcpu, existing, i);
        }
        self.offer_returned(vcpu)
    }

    /// Whether there is nothing to settle or refill, as a glance shows: no interrupt is in a list register, active or pending.
    #[inline]
    pub fn is_quiet(&self, vcpu: usize) -> bool {
        let vcpu = vcpu % VCPUS_MAX;
        let (lists, private) = (&self.lists[vcpu], &self.private[vcpu]);
        let held = lists.used | lists.control | lists.stale as u8;
        let waiting =
            u64::from(private.lines | private.latched) | private.sent[0] | private.sent[1];
        let shared = self.shared.lines | self.shared.latched;
        u64::from(held) | private.active | waiting | u64::from(shared) == 0
    }

    /// Forgets the interrupts that the guest is done with.
    #[inline]
    fn forget_done(&mut self, vcpu: usize, empty: u32, i: &mut impl VirtualInterface) {
        let lists = &mut self.lists[vcpu];
        let mut special = u32::from(lists.special);
        lists.forget(empty as u8 & !lists.special);
        while special != 0 {
            let n = special.trailing_zeros() as usize;
            special &= special - 1;
            // One that asks for a maintenance interrupt does not count as empty.
            let register = i.list_register(n);
            if register.is_done() {
                i.set_list_register(n, ListRegister::EMPTY);
                self.fold(vcpu, n, register);
            }
        }
    }

    /// Refills while some list registers stay as they are. Returns whether that was possible.
    fn add(&mut self, vcpu: usize, existing: u32, i: &mut impl VirtualInterface) -> bool {
        self.look_at_timer(vcpu, i);
        let listed = self.lists[vcpu].intids();
        let pendable = self.placeable(vcpu, i);
        let lists = &self.lists[vcpu];
        // An SGI and the timer leave the model when they go into a list register. If one is here again, it came again.
        let again = pendable & listed & (0xffff | 1 << TIMER_PPI);
        if again | self.private[vcpu].active != 0 || lists.stale || lists.control != 0 {
            return false;
        }
        let mut waiting = pendable & !listed;
        let mut free = existing & !u32::from(lists.used);
        if !fits(waiting, free) {
            return false;
        }
        while waiting != 0 {
            let intid = waiting.trailing_zeros();
            waiting &= waiting - 1;
            self.place(vcpu, &mut free, intid, true, i);
        }
        true
    }

    /// Refills when all list registers (`existing`) are empty, and the model has everything.
    #[inline]
    fn fill(&mut self, vcpu: usize, existing: u32, i: &mut impl VirtualInterface) {
        self.look_at_timer(vcpu, i);
        self.lists[vcpu].stale = false;
        let pendable = self.placeable(vcpu, i);
        let mut rest = pendable | self.private[vcpu].active;
        let mut free = existing;
        if !fits(rest, free) {
            return self.fill_best(vcpu, existing, pendable, i);
        }
        while rest != 0 {
            let intid = rest.trailing_zeros();
            rest &= rest - 1;
            self.place(vcpu, &mut free, intid, pendable >> intid & 1 != 0, i);
        }
    }

    /// [`Self::fill`] with more interrupts than list registers. The best of those that are only pending always gets one, or
    /// it could not preempt the active ones; then the active ones do, the last acknowledged first, so that the guest can end them; then the others.
    ///
    /// An active one that is pending again goes in as active only. It comes back here when it ends, where the others wait
    /// that may be better.
    fn fill_best(
        &mut self,
        vcpu: usize,
        existing: u32,
        pendable: u64,
        i: &mut impl VirtualInterface,
    ) {
        let mut free = existing;
        let mut active = self.private[vcpu].active;
        let waiting = pendable & !active;
        // Those of a group that the CPU interface has switched off come last.
        let interface = i.interface_state();
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
        self.place_best(vcpu, &mut free, &mut pending, true, i);
        // Those that are to end first: what has to wait for a list register was acknowledged before all of these.
        while free != 0
            && let Some(last) = self.private[vcpu].last_acknowledged(active)
        {
            active &= !(1 << last);
            self.place(vcpu, &mut free, last, false, i);
        }
        self.place_best(vcpu, &mut free, &mut active, false, i);
        self.place_best(vcpu, &mut free, &mut able, true, i);
        self.place_best(vcpu, &mut free, &mut waiting, true, i);
        waiting |= able;
        // Without list registers a maintenance interrupt would never end.
        if existing != 0 {
            let more = match waiting {
                0 => 0,
                _ => control::NPIE | interface.watch_groups(),
            };
            let ends = if active != 0 { control::LRENPIE } else { 0 };
            self.set_control(vcpu, more | ends, i);
        }
    }

    /// Moves `intids` into the `free` list registers, the best first, until either is used up.
    fn place_best(
        &mut self,
        vcpu: usize,
        free: &mut u32,
        intids: &mut u64,
        pendable: bool,
        i: &mut impl VirtualInterface,
    ) {
        while *intids != 0 && *free != 0 {
            let intid = self.best(vcpu, *intids);
            *intids &= !(1 << intid);
            self.place(vcpu, free, intid, pendable, i);
        }
    }

    /// The one of `intids`, which are not none, that goes first.
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

    /// Takes everything back and turns maintenance interrupts off.
    fn take_back(&mut self, vcpu: usize, i: &mut impl VirtualInterface) {
        if u32::from(self.lists[vcpu].control) & control::LRENPIE != 0 {
            for _ in 0..i.control() >> control::EOI_COUNT_SHIFT {
                self.deactivate_last(vcpu);
            }
        }
        self.set_control(vcpu, 0, i);
        let mut used = u32::from(self.lists[vcpu].used);
        let mut acknowledged = 0;
        while used != 0 {
            let n = used.trailing_zeros() as usize % LISTS_MAX;
            used &= used - 1;
            let register = i.list_register(n);
            i.set_list_register(n, ListRegister::EMPTY);
            if register.is_active() && self.lists[vcpu].is_acknowledged(n, register) {
                acknowledged |= 1 << (register.intid() & 63);
            }
            self.fold(vcpu, n, register);
        }
        self.lists[vcpu].stale = false;
        self.lists[vcpu].review = Review::Nothing;
        self.note_acknowledged(vcpu, acknowledged);
    }

    #[inline]
    fn set_control(&mut self, vcpu: usize, bits: u32, i: &mut impl VirtualInterface) {
        if u32::from(self.lists[vcpu].control) != bits {
            let rest = i.control() & !control::OWNED;
            i.set_control(rest | bits);
            self.lists[vcpu].control = bits as u8;
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
