//! The order in which a guest acknowledged interrupts: what it ends without saying which is the last one.

use super::Gic;

impl Gic {
    /// What was acknowledged since the list registers were filled: each one preempted those of lower priority.
    pub(super) fn note_acknowledged(&mut self, vcpu: usize, mut intids: u64) {
        while intids != 0 {
            let mut last = intids;
            while last & (last - 1) != 0 {
                last &= !(1 << self.best(vcpu, last));
            }
            intids &= !last;
            self.private[vcpu].note_acknowledged(last.trailing_zeros());
        }
    }

    /// The guest ended an interrupt that is in no list register, with EOImode 0: that is the one of them that it acknowledged last, as ends must
    /// come in the reverse order (IHI 0048B, 4.4.5). What it does not acknowledge it cannot end.
    pub(super) fn deactivate_last(&mut self, vcpu: usize) {
        let private = &self.private[vcpu];
        let Some(intid) = private.last_acknowledged(private.active) else {
            return;
        };
        self.private[vcpu].active &= !(1 << intid);
        if intid >= 32 {
            self.shared.active &= !(1 << (intid - 32));
            self.returned |= 1 << (intid - 32);
        }
    }
}
