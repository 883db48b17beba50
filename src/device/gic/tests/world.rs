//! vCPUs on cores with a [`Gic`] behind them, and the [`Reference`] beside it: what the guest sees must be the same.

use super::super::*;
use super::hardware::{Hardware, SPURIOUS};
use super::reference::Reference;
use std::vec::Vec;

#[derive(Clone)]
pub struct World {
    pub gic: Gic,
    pub reference: Reference,
    /// Of each vCPU; while it is not loaded, its saved state.
    pub hardware: Vec<Hardware>,
    pub loaded: Vec<bool>,
    /// vCPUs that were called and have not looked yet.
    called: u8,
    /// What each vCPU acknowledged and has not ended, as IAR said it.
    pub running: Vec<Vec<u32>>,
}

impl World {
    pub fn new(vcpus: usize) -> Self {
        Self {
            gic: Gic::new(vcpus),
            reference: Reference::new(vcpus),
            hardware: (0..vcpus).map(|_| Hardware::default()).collect(),
            loaded: [true].repeat(vcpus),
            called: 0,
            running: (0..vcpus).map(|_| Vec::new()).collect(),
        }
    }

    pub fn vcpus(&self) -> usize {
        self.hardware.len()
    }

    fn settle(&mut self, vcpu: usize) {
        let others = self.gic.settle(vcpu, &mut self.hardware[vcpu]);
        assert!(
            self.hardware[vcpu].is_settled(),
            "{:x?}",
            self.hardware[vcpu]
        );
        assert_eq!(others >> vcpu & 1, 0);
        self.call(others);
    }

    /// Calls other vCPUs; they look in [`Self::serve`].
    fn call(&mut self, mask: u8) {
        self.called |= mask;
    }

    /// The vCPUs of `mask` refill, if they are loaded, and those that these name.
    fn look(&mut self, mask: u8) {
        for vcpu in 0..self.vcpus() {
            if mask >> vcpu & 1 != 0 && self.loaded[vcpu] {
                let others = self.gic.refill(vcpu, &mut self.hardware[vcpu]);
                assert_eq!(others >> vcpu & 1, 0);
                self.look(others);
            }
        }
    }

    /// Interrupts of the hypervisor, until there are none.
    pub fn serve(&mut self) {
        let called = core::mem::take(&mut self.called);
        self.look(called);
        for _ in 0..20 {
            let mut quiet = true;
            for vcpu in (0..self.vcpus())
                .filter(|vcpu| self.loaded[*vcpu])
                .collect::<Vec<_>>()
            {
                let hardware = &mut self.hardware[vcpu];
                if hardware.timer_line && !hardware.timer_active {
                    hardware.timer_active = true;
                    let others = self.gic.timer_fired(vcpu, hardware);
                    self.look(others);
                    quiet = false;
                } else if hardware.maintenance() {
                    self.look(1 << vcpu);
                    quiet = false;
                }
            }
            if quiet {
                return;
            }
        }
        panic!("an interrupt of the hypervisor does not end");
    }

    /// What the hypervisor does around an access to the distributor.
    fn around(&mut self, vcpu: usize, offset: u64, size: u8, write: bool) -> u8 {
        let mask = match self.gic.settle_before(vcpu, offset, size, write) {
            Settle::Nothing => 0,
            Settle::Own => 1 << vcpu,
            Settle::All => 0xff,
        };
        for other in 0..self.vcpus() {
            if mask >> other & 1 != 0 {
                let others = self.gic.settle(other, &mut self.hardware[other]);
                self.call(others);
            }
        }
        mask
    }

    pub fn read(&mut self, vcpu: usize, offset: u64, size: u8) {
        let settled = self.around(vcpu, offset, size, false);
        let mut seen = self.gic.read(vcpu, offset, size);
        let mut expected = self.reference.read(vcpu, offset, size);
        // The line of an active timer is not looked at.
        for n in 0..u64::from(size) {
            let of_the_timer = matches!(offset + n, 0x203 | 0x283);
            if of_the_timer && self.reference.at(vcpu, 27).active.is_some() {
                seen &= !(0x08 << (8 * n));
                expected &= !(0x08 << (8 * n));
            }
        }
        assert_eq!(
            seen, expected,
            "vCPU {vcpu} reads {size} bytes at {offset:#x}"
        );
        self.look(settled);
    }

    pub fn write(&mut self, vcpu: usize, offset: u64, size: u8, value: u64) {
        let settled = self.around(vcpu, offset, size, true);
        let mask = self.gic.write(vcpu, offset, size, value);
        self.reference.write(vcpu, offset, size, value);
        self.look(settled);
        self.call(mask);
    }

    pub fn set_line(&mut self, vcpu: usize, intid: u32, up: bool) {
        let mask = self.gic.set_line(intid, vcpu, up);
        self.reference.set_line(vcpu, intid as usize, up);
        self.call(mask);
    }

    pub fn set_timer_line(&mut self, vcpu: usize, up: bool) {
        self.hardware[vcpu].timer_line = up;
        self.reference.set_line(vcpu, 27, up);
    }

    pub fn acknowledge(&mut self, vcpu: usize) {
        let iar = self.hardware[vcpu].acknowledge();
        if iar != SPURIOUS {
            self.reference.acknowledge(vcpu, iar);
            self.running[vcpu].push(iar);
        }
    }

    pub fn end(&mut self, vcpu: usize) {
        if let Some(iar) = self.running[vcpu].pop() {
            self.hardware[vcpu].end(iar);
            if !self.hardware[vcpu].split {
                self.reference.deactivate(vcpu, iar);
            }
        }
    }

    /// Deactivates one of those that are active on `vcpu`, if EOImode lets it and the model can tell which.
    pub fn deactivate(&mut self, vcpu: usize, pick: usize) {
        if !self.hardware[vcpu].split {
            return;
        }
        let active = |intid: &usize| match self.reference.at(vcpu, *intid).active {
            Some((owner, sender)) if owner == vcpu => Some((sender << 10 | *intid as u32, *intid)),
            _ => None,
        };
        let listed = |intid: usize| {
            let lists = &self.hardware[vcpu].lists;
            lists
                .iter()
                .any(|r| r.is_active() && r.intid() as usize == intid)
        };
        let all: Vec<_> = (0..64).filter_map(|n| active(&n)).collect();
        let best = all
            .iter()
            .filter(|(_, intid)| !listed(*intid))
            .min_by_key(|(_, intid)| self.reference.at(vcpu, *intid).priority);
        let able: Vec<_> = all
            .iter()
            .filter(|it| listed(it.1) || Some(*it) == best)
            .collect();
        if !able.is_empty() {
            let iar = able[pick % able.len()].0;
            self.hardware[vcpu].deactivate(iar);
            self.reference.deactivate(vcpu, iar);
        }
    }

    /// Takes a vCPU off its core, with what is in its list registers.
    pub fn unload(&mut self, vcpu: usize) {
        if self.loaded[vcpu] {
            self.loaded[vcpu] = false;
            self.hardware[vcpu].is_core = false;
            self.hardware[vcpu].timer_active = false;
        }
    }

    pub fn load(&mut self, vcpu: usize) {
        if !self.loaded[vcpu] {
            self.settle(vcpu);
            self.loaded[vcpu] = true;
            self.hardware[vcpu].is_core = true;
            self.hardware[vcpu].timer_active = self.gic.timer_is_active(vcpu);
            self.look(1 << vcpu);
        }
    }

    /// What a snapshot keeps, and all else that belongs to its moment. Leaves all vCPUs as they were.
    pub fn checkpoint(&mut self) -> Self {
        let loaded = self.loaded.clone();
        for vcpu in 0..self.vcpus() {
            self.unload(vcpu);
            self.settle(vcpu);
        }
        let mut kept = self.clone();
        kept.gic = Gic::new(self.vcpus());
        kept.gic.shared = self.gic.shared;
        kept.gic.private = self.gic.private;
        for (vcpu, loaded) in loaded.into_iter().enumerate() {
            if loaded {
                self.load(vcpu);
            }
        }
        kept
    }

    /// Goes back to a checkpoint. Which vCPUs are loaded stays.
    pub fn restore(&mut self, kept: &Self) {
        let loaded = self.loaded.clone();
        *self = kept.clone();
        for (vcpu, loaded) in loaded.into_iter().enumerate() {
            if loaded {
                self.load(vcpu);
            }
        }
    }

    /// Whether the guest sees what it would see.
    pub fn check(&self) {
        for vcpu in 0..self.vcpus() {
            if self.loaded[vcpu] {
                self.check_signal(vcpu);
                self.check_timer(vcpu);
            } else {
                self.check_wait(vcpu);
            }
        }
    }

    /// Whether WFI would wait, if the vCPU that is not loaded were at one.
    fn check_wait(&self, vcpu: usize) {
        let mut settled = self.clone();
        settled.settle(vcpu);
        let any = (0..64).any(|intid| self.reference.is_forwarded(vcpu, intid));
        let may = settled.gic.deliverable(vcpu);
        // The timer's line fell before the vCPU was unloaded, and nobody has looked.
        let late = settled.gic.timer_is_active(vcpu) && !self.reference.at(vcpu, 27).line;
        assert!(may == any || may && late, "vCPU {vcpu} waits in WFI");
    }

    fn check_signal(&self, vcpu: usize) {
        let hardware = &self.hardware[vcpu];
        let signalled = hardware.clone().acknowledge();
        let priority = |intid: usize| self.reference.at(vcpu, intid).priority;
        let may = |intid: &usize| {
            self.reference.is_forwarded(vcpu, *intid)
                && hardware.lets_through(priority(*intid), self.reference.group1(vcpu, *intid))
        };
        let best = (0..64).filter(may).map(priority).min().unwrap_or(0x100);
        let intid = signalled as usize & 0x3ff;
        let seen = if signalled == SPURIOUS {
            0x100
        } else {
            priority(intid)
        };
        // The timer's line can fall unseen.
        if intid == 27 && !may(&27) {
            assert!(!self.reference.at(vcpu, 27).line);
            assert!(seen <= best);
            assert!(
                hardware
                    .lists
                    .iter()
                    .any(|r| r.is_linked() && r.is_pending())
            );
            return;
        }
        assert_eq!(
            seen, best,
            "vCPU {vcpu} is signalled {signalled:#x}: {:x?}",
            hardware.lists
        );
        assert!(signalled == SPURIOUS || may(&intid) && self.reference.is_from(vcpu, signalled));
    }

    /// The physical timer interrupt is active as long as it is the guest's, and no longer.
    fn check_timer(&self, vcpu: usize) {
        let hardware = &self.hardware[vcpu];
        let linked = hardware.lists.iter().any(|r| !r.is_done() && r.is_linked());
        let waits = self.gic.timer_is_active(vcpu);
        assert!(!(linked && waits), "there is one physical interrupt");
        assert_eq!(hardware.timer_active, linked || waits);
    }
}
