//! One interrupt between the model and a list register: [`Gic::load_lr`] moves it into the list register, [`Gic::sync_lr`] back.

use super::list_register::ListRegister;
use super::lr_map::LRS_MAX;
use super::state::{VTIMER, VTIMER_LINKED};
use super::{Gic, Gich, Review, VTIMER_PPI};

/// How an interrupt goes into a list register.
struct LrEntry {
    register: ListRegister,
    /// Whether the list register needs [`Gic::sync_lr`] when the guest is done with the interrupt.
    needs_sync: bool,
}

impl Gic {
    /// Moves `intid` into the first of the `free` list registers: as active if it is active, and as pending if it is pending and `pendable`.
    #[inline]
    pub(super) fn load_lr(
        &mut self,
        vcpu: usize,
        free: &mut u32,
        intid: u32,
        pendable: bool,
        gich: &mut impl Gich,
    ) {
        let n = free.trailing_zeros() as usize % LRS_MAX;
        *free &= free.wrapping_sub(1);
        let entry = match intid {
            0..16 => self.sgi(vcpu, intid, pendable),
            VTIMER_PPI => self.vtimer(vcpu, pendable),
            16..32 => self.ppi(vcpu, intid, pendable),
            _ => self.spi(vcpu, intid, pendable),
        };
        let private = &mut self.private[vcpu];
        let active = private.active >> intid & 1 != 0;
        private.active &= !(1 << intid);
        let lrs = &mut self.lrs[vcpu];
        lrs.assign(n, intid);
        lrs.was_active |= u8::from(active) << n;
        lrs.needs_sync |= u8::from(entry.needs_sync) << n;
        lrs.was_pending |= u8::from(entry.register.is_pending()) << n;
        gich.set_list_register(n, entry.register);
    }

    /// A list register's value for `intid` with its priority and group, neither pending nor active.
    #[inline]
    pub(super) fn lr_without_state(&self, vcpu: usize, intid: u32) -> ListRegister {
        ListRegister::new(
            intid,
            self.priority(vcpu, intid),
            self.is_group1(vcpu, intid),
        )
    }

    /// The entry for an SGI. It is in one list register at a time, for one sender after the other.
    #[inline]
    fn sgi(&mut self, vcpu: usize, intid: u32, pendable: bool) -> LrEntry {
        let mut register = self.lr_without_state(vcpu, intid);
        let private = &mut self.private[vcpu];
        let mut senders = private.senders_of(intid);
        let sender = if private.active >> intid & 1 != 0 {
            register = register.active();
            private.active_sender(intid)
        } else {
            senders.trailing_zeros() & 7
        };
        register = register.sent_by(sender);
        if pendable && senders >> sender & 1 != 0 {
            register = register.pending();
            private.unpend_sgi(intid, sender);
            senders &= !(1 << sender);
        }
        if senders == 0 {
            return LrEntry {
                register,
                needs_sync: false,
            };
        }
        LrEntry {
            register: register.with_eoi_maintenance(),
            needs_sync: true,
        }
    }

    /// The entry for the virtual timer, linked to the hardware's interrupt if that is the reason for it. [`Self::update_vtimer`] came before.
    fn vtimer(&mut self, vcpu: usize, pendable: bool) -> LrEntry {
        let mut register = self.lr_without_state(vcpu, VTIMER_PPI);
        let private = &mut self.private[vcpu];
        let latched = private.latched & VTIMER != 0;
        if private.active >> VTIMER_PPI & 1 != 0 {
            register = register.active();
            if private.lines & VTIMER_LINKED != 0 {
                private.lines &= !VTIMER_LINKED;
                return LrEntry {
                    register: register.linked_to(VTIMER_PPI),
                    needs_sync: false,
                };
            }
            // The hardware's interrupt waits until this one ends: a linked list register cannot be active and pending.
            if pendable && latched {
                register = register.pending();
            }
            return LrEntry {
                register: register.with_eoi_maintenance(),
                needs_sync: true,
            };
        }
        register = register.pending();
        if private.lines & VTIMER != 0 {
            private.lines &= !VTIMER;
            register = register.linked_to(VTIMER_PPI);
            self.lrs[vcpu].request_review(Review::Timer);
        }
        LrEntry {
            register,
            needs_sync: latched,
        }
    }

    fn ppi(&mut self, vcpu: usize, intid: u32, pendable: bool) -> LrEntry {
        let private = &self.private[vcpu];
        let wanted = (private.lines | private.latched) >> (intid & 15) & 1 != 0;
        self.level(vcpu, intid, pendable, wanted)
    }

    fn spi(&mut self, vcpu: usize, intid: u32, pendable: bool) -> LrEntry {
        let bit = 1 << (intid & 31);
        let entry = if self.shared.edges & bit == 0 {
            let wanted = (self.shared.lines | self.shared.latched) & bit != 0;
            self.level(vcpu, intid, pendable, wanted)
        } else {
            let mut register = self.lr_without_state(vcpu, intid);
            if self.private[vcpu].active >> intid & 1 != 0 {
                register = register.active();
            }
            if pendable {
                register = register.pending();
                self.shared.latched &= !bit;
            }
            // It came again, and waits for this to end: it goes to another vCPU then, or is disabled.
            if self.shared.latched & bit != 0 {
                register = register.with_eoi_maintenance();
            }
            LrEntry {
                register,
                needs_sync: true,
            }
        };
        self.shared.active &= !bit;
        self.spis_in_lrs |= bit;
        if self.has_several_targets(intid) {
            self.lrs[vcpu].request_review(match pendable {
                true => Review::Targets,
                false => Review::Held,
            });
        }
        entry
    }

    /// The entry for a level-sensitive interrupt, whose line and latch stay in the model. `wanted`: one of them is up, so the line may still be up
    /// when the guest is done.
    fn level(&mut self, vcpu: usize, intid: u32, pendable: bool, wanted: bool) -> LrEntry {
        let mut register = self.lr_without_state(vcpu, intid);
        if self.private[vcpu].active >> intid & 1 != 0 {
            register = register.active();
        }
        if pendable {
            register = register.pending();
        }
        if wanted {
            register = register.with_eoi_maintenance();
        }
        LrEntry {
            register,
            needs_sync: true,
        }
    }

    /// Folds list register `n`, whose value is now `register`, back into the model. [`Self::offer_returned`] must follow.
    pub(super) fn sync_lr(&mut self, vcpu: usize, n: usize, register: ListRegister) {
        let mask = 1u8 << n;
        let lrs = &mut self.lrs[vcpu];
        let intid = u32::from(lrs.intids[n % LRS_MAX]) & 63;
        let acknowledged = lrs.was_pending & mask != 0 && !register.is_pending();
        lrs.forget(mask);
        let private = &mut self.private[vcpu];
        private.active |= u64::from(register.is_active()) << intid;
        match intid {
            0..16 => {
                if register.is_active() {
                    private.set_active_sender(intid, register.sender());
                }
                if register.is_pending() {
                    private.pend_sgi(intid, register.sender());
                }
            }
            16..32 => {
                if acknowledged {
                    private.latched &= !(1 << (intid - 16));
                }
                if register.is_linked() && register.is_active() {
                    private.lines |= VTIMER_LINKED;
                } else if register.is_linked() && register.is_pending() {
                    private.lines |= VTIMER;
                }
            }
            _ => self.fold_spi(intid, register, acknowledged),
        }
    }

    fn fold_spi(&mut self, intid: u32, register: ListRegister, acknowledged: bool) {
        let shared = &mut self.shared;
        let bit = 1u32 << (intid & 31);
        self.spis_in_lrs &= !bit;
        self.returned |= bit;
        if register.is_active() {
            shared.active |= bit;
        }
        if shared.edges & bit == 0 {
            if acknowledged {
                shared.latched &= !bit;
            }
        } else if register.is_pending() {
            shared.latched |= bit;
        }
    }
}
