//! A GICv2 as IHI 0048B, 3.2.4, draws it: a state machine for each interrupt, and no list registers. Registers byte by byte.

use std::vec::Vec;

#[derive(Clone, Copy, Default, Debug)]
pub struct Interrupt {
    pub enabled: bool,
    group1: bool,
    edge: bool,
    latched: bool,
    pub line: bool,
    pub priority: u32,
    targets: u32,
    /// For an SGI: those that it is pending from.
    senders: u32,
    /// Where it is active, and who sent it.
    pub active: Option<(usize, u32)>,
}

#[derive(Clone, Debug)]
pub struct Reference {
    vcpus: usize,
    control: u32,
    private: Vec<[Interrupt; 32]>,
    spis: [Interrupt; 32],
}

impl Reference {
    pub fn new(vcpus: usize) -> Self {
        let mut private = [Interrupt::default(); 32];
        for sgi in &mut private[..16] {
            (sgi.enabled, sgi.edge) = (true, true);
        }
        Self {
            vcpus,
            control: 0,
            private: (0..vcpus).map(|_| private).collect(),
            spis: [Interrupt::default(); 32],
        }
    }

    pub fn at(&self, vcpu: usize, intid: usize) -> &Interrupt {
        if intid < 32 {
            &self.private[vcpu][intid]
        } else {
            &self.spis[intid - 32]
        }
    }

    pub fn at_mut(&mut self, vcpu: usize, intid: usize) -> &mut Interrupt {
        if intid < 32 {
            &mut self.private[vcpu][intid]
        } else {
            &mut self.spis[intid - 32]
        }
    }

    fn is_pending(&self, vcpu: usize, intid: usize) -> bool {
        let it = self.at(vcpu, intid);
        it.senders != 0 || it.latched || it.line && !it.edge
    }

    /// Whether the distributor sends it to `vcpu`.
    pub fn is_forwarded(&self, vcpu: usize, intid: usize) -> bool {
        let it = self.at(vcpu, intid);
        let here = intid < 32 || self.vcpus == 1 || it.targets >> vcpu & 1 != 0;
        let passes = self.control >> u32::from(it.group1) & 1 != 0;
        it.enabled && here && passes && it.active.is_none() && self.is_pending(vcpu, intid)
    }

    pub fn group1(&self, vcpu: usize, intid: usize) -> bool {
        self.at(vcpu, intid).group1
    }

    /// The CPU interface acknowledges what it signals; `iar` is what it says.
    pub fn acknowledge(&mut self, vcpu: usize, iar: u32) {
        let (intid, sender) = (iar as usize & 0x3ff, iar >> 10);
        let it = self.at_mut(vcpu, intid);
        assert!(it.active.is_none());
        it.active = Some((vcpu, sender));
        it.latched = false;
        it.senders &= !(1 << sender);
    }

    pub fn deactivate(&mut self, vcpu: usize, iar: u32) {
        let it = self.at_mut(vcpu, iar as usize & 0x3ff);
        if it.active == Some((vcpu, iar >> 10)) {
            it.active = None;
        }
    }

    /// GICC_DIR: an SPI may be active on another vCPU.
    pub fn deactivate_any(&mut self, vcpu: usize, iar: u32) {
        let it = self.at_mut(vcpu, iar as usize & 0x3ff);
        if it.active.is_some_and(|(_, sender)| sender == iar >> 10) {
            it.active = None;
        }
    }

    /// Whether it is an SPI that more than one vCPU may take.
    pub fn has_several_targets(&self, intid: usize) -> bool {
        intid >= 32 && self.vcpus > 1 && self.spis[intid - 32].targets.count_ones() > 1
    }

    pub fn is_from(&self, vcpu: usize, iar: u32) -> bool {
        iar & 0x3ff >= 16 || self.at(vcpu, iar as usize & 0x3ff).senders >> (iar >> 10) & 1 != 0
    }

    pub fn set_line(&mut self, vcpu: usize, intid: usize, up: bool) {
        let it = self.at_mut(vcpu, intid);
        it.latched |= it.edge && up && !it.line;
        it.line = up;
    }

    pub fn read(&self, vcpu: usize, offset: u64, size: u8) -> u64 {
        (0..u64::from(size))
            .map(|n| u64::from(self.read_byte(vcpu, offset + n)) << (8 * n))
            .sum()
    }

    fn read_byte(&self, vcpu: usize, offset: u64) -> u8 {
        let offset = offset as usize;
        let bits = |from: usize, f: &dyn Fn(usize, &Interrupt) -> bool| {
            let first = 8 * (offset - from);
            let of = |n| first + n < 64 && f(first + n, self.at(vcpu, first + n));
            (0..8).map(|n| u8::from(of(n)) << n).sum()
        };
        let byte = |from: usize, f: &dyn Fn(usize, &Interrupt) -> u32| {
            let intid = offset - from;
            if intid < 64 {
                f(intid, self.at(vcpu, intid)) as u8
            } else {
                0
            }
        };
        match offset {
            0 => self.control as u8,
            4 => (1 | (self.vcpus - 1) << 5) as u8,
            8..12 => [0x3b, 0x14, 0x00, 0x02][offset - 8],
            0x080..0x100 => bits(0x080, &|_, it| it.group1),
            0x100..0x180 => bits(0x100, &|_, it| it.enabled),
            0x180..0x200 => bits(0x180, &|_, it| it.enabled),
            0x200..0x280 => bits(0x200, &|intid, _| self.is_pending(vcpu, intid)),
            0x280..0x300 => bits(0x280, &|intid, _| self.is_pending(vcpu, intid)),
            0x300..0x380 => bits(0x300, &|_, it| it.active.is_some()),
            0x380..0x400 => bits(0x380, &|_, it| it.active.is_some()),
            0x400..0x800 => byte(0x400, &|_, it| it.priority),
            0x800..0xc00 if self.vcpus == 1 => 0,
            0x800..0xc00 => byte(0x800, &|intid, it| match intid {
                0..32 => 1 << vcpu,
                _ => it.targets,
            }),
            0xc00..0xc10 => {
                let first = 4 * (offset - 0xc00);
                (0..4)
                    .map(|n| u8::from(self.at(vcpu, first + n).edge) << (2 * n + 1))
                    .sum()
            }
            0xf10..0xf20 => byte(0xf10, &|_, it| it.senders),
            0xf20..0xf30 => byte(0xf20, &|_, it| it.senders),
            0xfd0 => 0x04,
            0xfe0 => 0x90,
            0xfe4 => 0xb4,
            0xfe8 => 0x2b,
            0xff0 => 0x0d,
            0xff4 => 0xf0,
            0xff8 => 0x05,
            0xffc => 0xb1,
            _ => 0,
        }
    }

    pub fn write(&mut self, vcpu: usize, offset: u64, size: u8, value: u64) {
        if offset == 0xf00 && size >= 4 {
            self.send(vcpu, value as u32);
        }
        for n in 0..u64::from(size) {
            self.write_byte(vcpu, offset + n, (value >> (8 * n)) as u8);
        }
    }

    fn send(&mut self, vcpu: usize, value: u32) {
        for target in 0..self.vcpus {
            let meant = match value >> 24 & 3 {
                0 => value >> (16 + target) & 1 != 0,
                1 => target != vcpu,
                2 => target == vcpu,
                _ => false,
            };
            if meant {
                self.private[target][value as usize & 0xf].senders |= 1 << vcpu;
            }
        }
    }

    fn write_byte(&mut self, vcpu: usize, offset: u64, value: u8) {
        let offset = offset as usize;
        let exist = (1u32 << self.vcpus) - 1;
        match offset {
            0 => self.control = u32::from(value) & 3,
            0x080..0x400 => {
                let first = 8 * (offset % 0x80);
                for intid in (first..first + 8).filter(|intid| *intid < 64) {
                    let bit = value >> (intid % 8) & 1 != 0;
                    self.write_bit(vcpu, offset / 0x80, intid, bit);
                }
            }
            0x400..0x440 => self.at_mut(vcpu, offset - 0x400).priority = u32::from(value) & 0xf8,
            0x820..0x840 if self.vcpus > 1 => {
                self.at_mut(vcpu, offset - 0x800).targets = u32::from(value) & exist;
            }
            0xc08..0xc10 => {
                for n in 0..4 {
                    let it = self.at_mut(vcpu, 4 * (offset - 0xc00) + n);
                    it.edge = value >> (2 * n + 1) & 1 != 0;
                }
            }
            0xf10..0xf20 => self.at_mut(vcpu, offset - 0xf10).senders &= !u32::from(value),
            0xf20..0xf30 => {
                self.at_mut(vcpu, offset - 0xf20).senders |= u32::from(value) & exist;
            }
            _ => {}
        }
    }

    fn write_bit(&mut self, vcpu: usize, register: usize, intid: usize, bit: bool) {
        let owner = match self.at(vcpu, intid).targets.trailing_zeros() as usize {
            target if intid >= 32 && self.vcpus > 1 && target < self.vcpus => target,
            _ if intid >= 32 && self.vcpus == 1 => 0,
            _ => vcpu,
        };
        let it = self.at_mut(vcpu, intid);
        match register {
            1 => it.group1 = bit,
            2 => it.enabled |= bit,
            3 => it.enabled &= !bit || intid < 16,
            4 => it.latched |= bit && intid >= 16,
            5 => it.latched &= !bit,
            6 if bit && it.active.is_none() => it.active = Some((owner, 0)),
            7 if bit => it.active = None,
            _ => {}
        }
    }
}
