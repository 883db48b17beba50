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

    fn sync(&mut self, vcpu: usize) {
        let others = self.gic.sync(vcpu, &mut self.hardware[vcpu]);
        assert!(
            self.hardware[vcpu].is_synced(),
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

    /// The vCPUs of `mask` flush, if they are loaded, and those that these name. One that is not loaded is loaded for it, and leaves again if it
    /// waits: what it was done with in its list registers is in the model then.
    fn look(&mut self, mask: u8) {
        for vcpu in 0..self.vcpus() {
            if mask >> vcpu & 1 != 0 && !self.loaded[vcpu] {
                let others = self.gic.sync(vcpu, &mut self.hardware[vcpu]);
                self.look(others);
            } else if mask >> vcpu & 1 != 0 {
                let hardware = &mut self.hardware[vcpu];
                self.gic.note_interface(vcpu, hardware);
                let others = self.gic.flush(vcpu, &mut self.hardware[vcpu]);
                assert_eq!(others >> vcpu & 1, 0);
                self.look(others);
            }
        }
    }

    /// Interrupts of the hypervisor, until there are none.
    pub fn serve(&mut self) {
        self.trap();
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
                    let others = self.gic.vtimer_fired(vcpu, hardware);
                    self.look(others);
                    quiet = false;
                } else if hardware.maintenance() {
                    self.look(1 << vcpu);
                    quiet = false;
                }
            }
            let called = core::mem::take(&mut self.called);
            self.look(called);
            if quiet && called == 0 {
                return;
            }
        }
        panic!("an interrupt of the hypervisor does not end");
    }

    /// Each vCPU traps. What it did without a trap is looked at.
    fn trap(&mut self) {
        for vcpu in 0..self.vcpus() {
            self.review(vcpu, false);
        }
    }

    /// `vcpu` is looked at, as after each of its traps, or after a limited time without any.
    pub fn review(&mut self, vcpu: usize, overdue: bool) {
        let hardware = &mut self.hardware[vcpu];
        if self.loaded[vcpu] && self.gic.review_needed(vcpu).is_worthwhile(hardware) {
            let others = self.gic.review(vcpu, overdue, &mut self.hardware[vcpu]);
            assert_eq!(others >> vcpu & 1, 0);
            self.call(others);
        }
    }

    /// What the hypervisor does around an access to the distributor.
    fn around(&mut self, vcpu: usize, offset: u64, size: u8, write: bool) -> u8 {
        let hardware = &mut self.hardware[vcpu];
        // The short way of a load, which nothing may be missing from.
        if !write && self.gic.try_prepare_load(vcpu, offset, hardware) {
            return 0;
        }
        let scope = self.gic.prepare_access(vcpu, offset, size, write, hardware);
        self.sync_these(vcpu, scope)
    }

    fn sync_these(&mut self, vcpu: usize, scope: LrScope) -> u8 {
        let mask = match scope {
            LrScope::None => 0,
            LrScope::Own => 1 << vcpu,
            LrScope::All => 0xff,
        };
        for other in 0..self.vcpus() {
            if mask >> other & 1 != 0 {
                let others = self.gic.sync(other, &mut self.hardware[other]);
                self.call(others);
            }
        }
        mask
    }

    pub fn read(&mut self, vcpu: usize, offset: u64, size: u8) {
        let synced = self.around(vcpu, offset, size, false);
        assert_eq!(
            self.gic.read(vcpu, offset, size),
            self.reference.read(vcpu, offset, size),
            "vCPU {vcpu} reads {size} bytes at {offset:#x}"
        );
        self.look(synced);
    }

    pub fn write(&mut self, vcpu: usize, offset: u64, size: u8, value: u64) {
        let synced = self.around(vcpu, offset, size, true);
        let mask = self.gic.write(vcpu, offset, size, value);
        self.reference.write(vcpu, offset, size, value);
        self.look(synced);
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

    /// Deactivates one of those that `vcpu` may deactivate, if EOImode lets it: what is active on it, and SPIs wherever they are.
    pub fn deactivate(&mut self, vcpu: usize, pick: usize) {
        if !self.hardware[vcpu].split {
            return;
        }
        let active = |intid: &usize| match self.reference.at(vcpu, *intid).active {
            Some((_, sender)) => Some(sender << 10 | *intid as u32),
            _ => None,
        };
        let all: Vec<_> = (0..64).filter_map(|n| active(&n)).collect();
        if !all.is_empty() {
            let iar = all[pick % all.len()];
            let scope = self.gic.deactivation_scope(vcpu, iar);
            let synced = self.sync_these(vcpu, scope);
            let mask = self.gic.deactivate(vcpu, iar);
            self.reference.deactivate_any(vcpu, iar);
            self.look(synced);
            self.call(mask);
        }
    }

    /// Takes a vCPU off its core, with what is in its list registers.
    pub fn unload(&mut self, vcpu: usize) {
        if self.loaded[vcpu] {
            if self.gic.review_needed(vcpu) != Review::Nothing {
                let requested = self.gic.give_back(vcpu, &mut self.hardware[vcpu]);
                self.call(requested & !(1 << vcpu));
            }
            self.loaded[vcpu] = false;
            self.hardware[vcpu].is_core = false;
            self.hardware[vcpu].timer_active = false;
        }
    }

    pub fn load(&mut self, vcpu: usize) {
        if !self.loaded[vcpu] {
            self.sync(vcpu);
            self.loaded[vcpu] = true;
            self.hardware[vcpu].is_core = true;
            self.hardware[vcpu].timer_active = self.gic.vtimer_needs_hw_active(vcpu);
            self.look(1 << vcpu);
        }
    }

    /// What a snapshot keeps, and all else that belongs to its moment. Leaves all vCPUs as they were.
    pub fn checkpoint(&mut self) -> Self {
        let loaded = self.loaded.clone();
        for vcpu in 0..self.vcpus() {
            self.unload(vcpu);
            self.sync(vcpu);
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
        self.check_holders();
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
        let mut synced = self.clone();
        synced.sync(vcpu);
        let any = (0..64).any(|intid| {
            self.reference.is_forwarded(vcpu, intid) && !synced.is_with_another(vcpu, intid)
        });
        assert_eq!(
            synced.gic.has_unlisted(vcpu),
            any,
            "vCPU {vcpu} waits in WFI"
        );
    }

    /// Whether another vCPU that is loaded has the SPI in a list register, which then signals it; or this one left it to the others.
    fn is_with_another(&self, vcpu: usize, intid: usize) -> bool {
        let has = |other: usize| {
            let lists = self.hardware[other].lists.iter();
            let mut pending = lists.filter(|r| r.is_pending() && r.intid() as usize == intid);
            other != vcpu && pending.next().is_some()
        };
        self.reference.has_several_targets(intid)
            && ((0..self.vcpus()).any(has)
                || self.loaded[vcpu] && self.gic.lrs[vcpu].declined >> (intid - 32) & 1 != 0)
    }

    /// An SPI is pending in one list register at the most, and signalled there if another vCPU could have it.
    fn check_holders(&self) {
        for intid in 32..64 {
            let mut holders = (0..self.vcpus()).flat_map(|vcpu| {
                let lists = self.hardware[vcpu].lists.iter();
                let these = lists.filter(|r| r.is_pending() && r.intid() == intid);
                these.map(move |register| (vcpu, *register))
            });
            let holder = holders.next();
            assert_eq!(holders.next(), None, "SPI {intid} comes twice");
            if let Some((vcpu, register)) = holder
                && !register.is_active()
                && self.reference.has_several_targets(intid as usize)
            {
                let interface = self.hardware[vcpu].clone().cpu_interface();
                assert!(self.loaded[vcpu] && interface.signals_register(register));
            }
        }
    }

    fn check_signal(&self, vcpu: usize) {
        let hardware = &self.hardware[vcpu];
        let signalled = hardware.clone().acknowledge();
        let priority = |intid: usize| self.reference.at(vcpu, intid).priority;
        let may = |intid: &usize| {
            self.reference.is_forwarded(vcpu, *intid)
                && !self.is_with_another(vcpu, *intid)
                && hardware.lets_through(priority(*intid), self.reference.group1(vcpu, *intid))
        };
        let best = (0..64).filter(may).map(priority).min().unwrap_or(0x100);
        let intid = signalled as usize & 0x3ff;
        let seen = if signalled == SPURIOUS {
            0x100
        } else {
            priority(intid)
        };
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
        let waits = self.gic.vtimer_needs_hw_active(vcpu);
        assert!(!(linked && waits), "there is one physical interrupt");
        assert_eq!(hardware.timer_active, linked || waits);
    }
}
