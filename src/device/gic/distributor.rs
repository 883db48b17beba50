//! What a read and a write of the distributor's registers do (IHI 0048B, 4.3).
//!
//! A register is 32 bits wide. An access of 8 bytes is one of two registers, the lower first. One of 1 or 2 bytes reads its
//! bytes of the register, and writes no others of it; SGIR takes writes of 4 bytes only. (GIC-400 promises bytes for
//! priorities, targets and pending SGIs only, and QEMU has them everywhere.) What lies past the last interrupt, is reserved
//! or of the other direction reads as zero and ignores writes.

use super::register_map::{self, Bits, Register, SGIR};
use super::state::VTIMER;
use super::{Gic, Gich, VCPUS_MAX, VTIMER_PPI};
use crate::device::registers::{part_of_register, read_registers};

/// Whose list registers need a [`Gic::sync`] before an access to the distributor, and a [`Gic::flush`] after it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum LrScope {
    /// No vCPU's.
    None,
    /// Those of the vCPU that makes the access.
    Own,
    /// Those of all vCPUs.
    All,
}

/// GICD_IIDR: GIC-400, by Arm.
const IMPLEMENTER: u32 = 0x0200_143b;
/// ICPIDR4-7, ICPIDR0-3, ICCIDR0-3. ICPIDR2 says GICv2.
const IDENTIFICATION: [u8; 12] = [
    0x04, 0x00, 0x00, 0x00, 0x90, 0xb4, 0x2b, 0x00, 0x0d, 0xf0, 0x05, 0xb1,
];
/// ITLinesNumber: two words of bits.
const LINES_NUMBER: u32 = 1;
/// Bits of a priority that exist, in each byte.
const PRIORITY_MASK: u32 = 0xf8f8_f8f8;

impl Gic {
    /// Prepares an access by `vcpu`, which is loaded, of `size` bytes at `offset`: notes the virtual timer's line if the access can see it, and
    /// returns whose list registers need a sync before the access, and a flush after it.
    #[inline]
    pub fn prepare_access(
        &mut self,
        vcpu: usize,
        offset: u64,
        size: u8,
        write: bool,
        gich: &mut impl Gich,
    ) -> LrScope {
        if offset == SGIR || !write && !register_map::reads_state(offset) {
            return LrScope::None;
        }
        self.lrs[vcpu % VCPUS_MAX].vtimer_line = gich.vtimer_line();
        self.state_scope(vcpu, offset, size, write)
    }

    /// The usual case of [`prepare_access`](Self::prepare_access), for a load: returns whether no list register needs a sync. If it returns false, it
    /// has prepared nothing.
    #[inline]
    pub fn try_prepare_load(&mut self, vcpu: usize, offset: u64, gich: &mut impl Gich) -> bool {
        if !register_map::reads_state(offset) {
            return true;
        }
        // A load sees nothing of other vCPUs' list registers but SPIs.
        let lrs = &mut self.lrs[vcpu % VCPUS_MAX];
        let is_listed = !lrs.is_empty() || self.spis_in_lrs != 0;
        if !is_listed {
            lrs.vtimer_line = gich.vtimer_line();
        }
        !is_listed
    }

    /// Whose list registers need a sync before `vcpu` writes `value` to GICC_DIR, and a flush after it.
    pub fn deactivation_scope(&self, vcpu: usize, value: u32) -> LrScope {
        match value & 0x3ff {
            intid @ 0..64 => self.holders(vcpu, 1 << intid),
            _ => LrScope::None,
        }
    }

    fn state_scope(&self, vcpu: usize, offset: u64, size: u8, write: bool) -> LrScope {
        let intids = Self::in_flight(offset, size, write);
        if intids == 0 {
            LrScope::None
        } else {
            self.holders(vcpu, intids)
        }
    }

    /// The interrupts whose state in list registers the access sees or changes, a bit for each INTID.
    fn in_flight(offset: u64, size: u8, write: bool) -> u64 {
        let first = Register::at(offset).in_flight(write);
        if size != 8 {
            return first;
        }
        first | Register::at((offset & !3).wrapping_add(4)).in_flight(write)
    }

    /// Whose list registers have any of `intids`. Private interrupts of other vCPUs do not count, unless `intids` are all.
    fn holders(&self, vcpu: usize, intids: u64) -> LrScope {
        let own = self.lrs[vcpu % VCPUS_MAX].intids();
        // What CTLR cuts off are also the private interrupts of others.
        let others = if intids == u64::MAX {
            (0..VCPUS_MAX).any(|n| n != vcpu && !self.lrs[n].is_empty())
        } else {
            self.spis_in_lrs & !((own >> 32) as u32) & (intids >> 32) as u32 != 0
        };
        if others {
            LrScope::All
        } else if own & intids != 0 {
            LrScope::Own
        } else {
            LrScope::None
        }
    }

    /// A load by `vcpu` of `size` bytes (1, 2, 4 or 8) at `offset` from the distributor's base, after what
    /// [`Self::prepare_access`] asked for. The answer has no bits above `size`.
    #[inline(always)]
    pub fn read(&self, vcpu: usize, offset: u64, size: u8) -> u64 {
        let vcpu = vcpu % VCPUS_MAX;
        if size > 4 {
            return self.read_two(vcpu, offset);
        }
        let register = self.read_register(vcpu, Register::at(offset));
        part_of_register(register, offset, size)
    }

    /// A load of 8 bytes.
    #[cold]
    #[inline(never)]
    fn read_two(&self, vcpu: usize, offset: u64) -> u64 {
        read_registers(offset, 8, |offset| {
            self.read_register(vcpu, Register::at(offset))
        })
    }

    // Inlined, so that its match and that of `Register::at` become one.
    #[inline(always)]
    fn read_register(&self, vcpu: usize, register: Register) -> u32 {
        match register {
            Register::Control => self.shared.control,
            Register::Type => LINES_NUMBER | (self.vcpus - 1) << 5,
            Register::Implementer => IMPLEMENTER,
            Register::Bits(bits, word) => self.read_bits(vcpu, bits, word),
            Register::Priorities(word) => match word {
                0..8 => self.private[vcpu].priorities[word as usize],
                _ => self.shared.priorities[word as usize % 8],
            },
            // One vCPU: as if there were no such registers (4.3.12).
            Register::Targets(_) if self.vcpus == 1 => 0,
            Register::Targets(0..8) => 0x0101_0101 << vcpu,
            Register::Targets(word) => self.shared.targets[word as usize % 8],
            Register::Configuration(0) => 0xaaaa_aaaa,
            Register::Configuration(1) => 0,
            Register::Configuration(word) => {
                spread(self.shared.edges >> (16 * (word & 1)) & 0xffff)
            }
            Register::ClearSgis(word) | Register::SetSgis(word) => {
                let senders = |n| self.private[vcpu].senders_of(4 * word + n) << (8 * n);
                senders(0) | senders(1) | senders(2) | senders(3)
            }
            Register::Identification(n) => {
                IDENTIFICATION.get(n as usize).copied().map_or(0, u32::from)
            }
            Register::Absent => 0,
        }
    }

    #[inline]
    fn read_bits(&self, vcpu: usize, bits: Bits, word: u32) -> u32 {
        let (private, shared) = (&self.private[vcpu], &self.shared);
        match (bits, word) {
            (Bits::Group, 0) => private.groups,
            (Bits::Group, _) => shared.groups,
            (Bits::SetEnable | Bits::ClearEnable, 0) => private.enabled(),
            (Bits::SetEnable | Bits::ClearEnable, _) => shared.enabled,
            // The timer's line as it is now, whether the hardware's interrupt has been acknowledged for the guest or not.
            (Bits::SetPending | Bits::ClearPending, 0) => {
                let timer = u32::from(self.lrs[vcpu].vtimer_line) << VTIMER_PPI;
                private.pending_but_lines_of(VTIMER) | timer
            }
            (Bits::SetPending | Bits::ClearPending, _) => shared.pending(),
            (Bits::SetActive | Bits::ClearActive, 0) => private.active as u32,
            (Bits::SetActive | Bits::ClearActive, _) => shared.active,
        }
    }

    /// A store by `vcpu` of the low `size` bytes (1, 2, 4 or 8) of `value` at `offset` from the distributor's base, after
    /// what [`Self::prepare_access`] asked for. Returns the vCPUs that need a [`flush`](Self::flush), a bit each.
    #[inline]
    pub fn write(&mut self, vcpu: usize, offset: u64, size: u8, value: u64) -> u8 {
        let vcpu = vcpu % VCPUS_MAX;
        if offset == SGIR && size >= 4 {
            return self.send_sgi(vcpu, value as u32);
        }
        self.write_any(vcpu, offset, size, value)
    }

    /// [`Self::write`], but for SGIs that are sent.
    #[inline(never)]
    fn write_any(&mut self, vcpu: usize, offset: u64, size: u8, value: u64) -> u8 {
        let shift = 8 * (offset & 3) as u32;
        let lanes = match size {
            1 => 0xff << shift,
            2 => 0xffff << shift,
            _ => u32::MAX,
        };
        let placed = if size < 4 {
            (value as u32) << shift
        } else {
            value as u32
        };
        self.write_register(vcpu, Register::at(offset), placed, lanes);
        if size == 8 {
            let next = Register::at((offset & !3).wrapping_add(4));
            self.write_register(vcpu, next, (value >> 32) as u32, u32::MAX);
        }
        self.all_that_need_flush(vcpu, Self::in_flight(offset, size, true))
    }

    /// The vCPUs that need a flush after a write by `vcpu` that changed `intids`, a bit each.
    fn all_that_need_flush(&self, vcpu: usize, intids: u64) -> u8 {
        if intids >> 32 == 0 {
            return u8::from(self.needs_flush(vcpu)) << vcpu;
        }
        let mut mask = 0;
        for vcpu in 0..self.vcpus as usize {
            mask |= u8::from(self.needs_flush(vcpu)) << vcpu;
        }
        mask
    }

    /// A store by `vcpu` of `value` to GICC_DIR (4.4.15) with EOImode 1, after the sync that [`Self::deactivation_scope`] asks for. Changes
    /// nothing if the interrupt is not active. An SPI may be active on another vCPU. Returns the vCPUs that need a [`flush`](Self::flush), a
    /// bit each.
    pub fn deactivate(&mut self, vcpu: usize, value: u32) -> u8 {
        let vcpu = vcpu % VCPUS_MAX;
        let private = &mut self.private[vcpu];
        let intid = value & 0x3ff;
        match intid {
            0..16 if private.active_sender(intid) != value >> 10 & 7 => return 0,
            0..32 => private.active &= !(1 << intid),
            32..64 => self.deactivate_spis(1 << (intid - 32)),
            _ => return 0,
        }
        self.all_that_need_flush(vcpu, 1 << intid)
    }

    /// Makes `spis` inactive, on whichever vCPU they are active.
    fn deactivate_spis(&mut self, spis: u32) {
        self.shared.active &= !spis;
        for private in &mut self.private {
            private.active &= !(u64::from(spis) << 32);
        }
    }

    /// A store by `vcpu` to GICD_SGIR (4.3.15): sends an SGI. Returns its targets, a bit each.
    #[inline]
    fn send_sgi(&mut self, vcpu: usize, value: u32) -> u8 {
        let all = (1u32 << self.vcpus) - 1;
        let targets = all
            & match value >> 24 & 3 {
                0 => value >> 16 & 0xff,
                1 => !(1 << vcpu),
                2 => 1 << vcpu,
                _ => 0,
            };
        let mut rest = targets;
        while rest != 0 {
            let target = rest.trailing_zeros() as usize % VCPUS_MAX;
            rest &= rest - 1;
            self.private[target].pend_sgi(value & 0xf, vcpu as u32);
        }
        targets as u8
    }

    /// Writes those bits of a register that are set in `lanes`.
    fn write_register(&mut self, vcpu: usize, register: Register, value: u32, lanes: u32) {
        let merge = |old: u32| old & !lanes | value & lanes;
        match register {
            Register::Control => self.shared.control = merge(self.shared.control) & 3,
            Register::Bits(bits, 0) => self.write_private_bits(vcpu, bits, value, lanes),
            Register::Bits(bits, _) => self.write_shared_bits(vcpu, bits, value, lanes),
            Register::Priorities(word) => {
                let all = match word {
                    0..8 => &mut self.private[vcpu].priorities,
                    _ => &mut self.shared.priorities,
                };
                let old = &mut all[word as usize % 8];
                *old = merge(*old) & PRIORITY_MASK;
            }
            Register::Targets(word @ 8..) if self.vcpus > 1 => {
                let exist = ((1 << self.vcpus) - 1) * 0x0101_0101;
                let old = &mut self.shared.targets[word as usize % 8];
                *old = merge(*old) & exist;
            }
            Register::Configuration(word @ 2..) => {
                let shift = 16 * (word & 1);
                let edges = gather(merge(spread(self.shared.edges >> shift & 0xffff)));
                self.shared.edges = self.shared.edges & !(0xffff << shift) | edges << shift;
            }
            Register::ClearSgis(word) | Register::SetSgis(word) => {
                let set = matches!(register, Register::SetSgis(_));
                self.write_sgis(vcpu, 4 * word, value & lanes, set);
            }
            _ => {}
        }
    }

    /// GICD_SPENDSGIR, GICD_CPENDSGIR: four SGIs from `first` on, a byte of senders for each.
    fn write_sgis(&mut self, vcpu: usize, first: u32, value: u32, set: bool) {
        let mut rest = value;
        while rest != 0 {
            let bit = rest.trailing_zeros();
            rest &= rest - 1;
            let (intid, sender) = (first + bit / 8, bit % 8);
            if sender >= self.vcpus {
                continue;
            }
            if set {
                self.private[vcpu].pend_sgi(intid, sender);
            } else {
                self.private[vcpu].unpend_sgi(intid, sender);
            }
        }
    }

    /// Writes word 0 of a register with a bit for each interrupt: SGIs and PPIs. SGIs are always enabled, and their pending bits are read-only.
    fn write_private_bits(&mut self, vcpu: usize, bits: Bits, value: u32, lanes: u32) {
        let private = &mut self.private[vcpu];
        let value = value & lanes;
        let ppis = (value >> 16) as u16;
        match bits {
            Bits::Group => private.groups = private.groups & !lanes | value,
            Bits::SetEnable => private.enabled |= ppis,
            Bits::ClearEnable => private.enabled &= !ppis,
            Bits::SetPending => private.latched |= ppis,
            Bits::ClearPending => private.latched &= !ppis,
            Bits::SetActive => private.activate(value),
            Bits::ClearActive => private.active &= !u64::from(value),
        }
    }

    fn write_shared_bits(&mut self, vcpu: usize, bits: Bits, value: u32, lanes: u32) {
        let shared = &mut self.shared;
        let value = value & lanes;
        match bits {
            Bits::Group => shared.groups = shared.groups & !lanes | value,
            Bits::SetEnable => shared.enabled |= value,
            Bits::ClearEnable => shared.enabled &= !value,
            Bits::SetPending => shared.latched |= value,
            Bits::ClearPending => shared.latched &= !value,
            Bits::SetActive => self.activate_spis(vcpu, value),
            Bits::ClearActive => self.deactivate_spis(value),
        }
    }

    /// Makes `spis` active, each on the lowest of its targets, or else on `vcpu`.
    fn activate_spis(&mut self, vcpu: usize, spis: u32) {
        let mut rest = spis & !self.shared.active;
        self.shared.active |= spis;
        while rest != 0 {
            let n = rest.trailing_zeros();
            rest &= rest - 1;
            let owner = match self.shared.targets_of(n) {
                0 => vcpu,
                targets => targets.trailing_zeros() as usize % VCPUS_MAX,
            };
            self.private[owner].active |= 1 << (32 + n);
        }
    }
}

/// Each of the low 16 bits at the odd place of a pair.
#[inline]
const fn spread(bits: u32) -> u32 {
    let x = bits & 0xffff;
    let x = (x | x << 8) & 0x00ff_00ff;
    let x = (x | x << 4) & 0x0f0f_0f0f;
    let x = (x | x << 2) & 0x3333_3333;
    ((x | x << 1) & 0x5555_5555) << 1
}

/// Undoes [`spread`].
#[inline]
const fn gather(pairs: u32) -> u32 {
    let x = pairs >> 1 & 0x5555_5555;
    let x = (x | x >> 1) & 0x3333_3333;
    let x = (x | x >> 2) & 0x0f0f_0f0f;
    let x = (x | x >> 4) & 0x00ff_00ff;
    (x | x >> 8) & 0xffff
}
