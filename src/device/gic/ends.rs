//! The order in which a guest acknowledged interrupts. An end that does not name its interrupt ends the last acknowledged one.

use super::Gic;

impl Gic {
    /// Notes that `intids` were acknowledged since the last flush. They were acknowledged from the lowest priority up, as each preempted those
    /// before it.
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

    /// Deactivates the interrupt that the guest ended with EOImode 0 while it was in no list register. It is the last acknowledged one of those, as
    /// ends must come in the reverse order of acknowledges (IHI 0048B, 4.4.5). Deactivates none if the guest acknowledged none of them.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ended_is_what_was_acknowledged_last() {
        let mut gic = Gic::new(2);
        for intid in [45, 3, 40, 33] {
            gic.private[1].active |= 1 << intid;
            gic.private[1].note_acknowledged(intid);
        }
        gic.private[0].active = 1 << 3;
        gic.shared.active = 1 << 13 | 1 << 8 | 1 << 1;
        let spi = |intid: u32| 1u32 << (intid - 32);
        // vCPU 1's, all, and those that list registers held.
        for (active, shared, returned) in [
            (1 << 45 | 1 << 3 | 1u64 << 40, spi(45) | spi(40), spi(33)),
            (1 << 45 | 1 << 3, spi(45), spi(33) | spi(40)),
            (1 << 45, spi(45), spi(33) | spi(40)),
            (0, 0, spi(33) | spi(40) | spi(45)),
            // There is none any more.
            (0, 0, spi(33) | spi(40) | spi(45)),
        ] {
            gic.deactivate_last(1);
            assert_eq!(gic.private[1].active, active);
            assert_eq!((gic.shared.active, gic.returned), (shared, returned));
        }
        assert_eq!(gic.private[0].active, 1 << 3, "another vCPU's own");
    }
}
