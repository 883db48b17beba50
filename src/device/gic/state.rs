//! What a GIC knows, as plain data: [`DistState`] for all vCPUs, [`BankedState`] for each. A copy of both is a snapshot.
//!
//! It is all there is while every list register is empty. What is in a list register is not here, with one exception: a
//! level-sensitive interrupt's line and latch stay, since the line is what it follows.

use super::VTIMER_PPI;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bit of the virtual timer in the fields of 16 bits, which begin with INTID 16.
pub const VTIMER: u16 = 1 << (VTIMER_PPI - 16);
/// A bit of [`BankedState::lines`] of its own, as INTID 16 has no line: the virtual timer's interrupt is active for the guest, and the
/// hardware's interrupt is with it.
pub const VTIMER_LINKED: u16 = 1 << 0;

/// The distributor's state that all vCPUs share: CTLR, and the SPIs. In fields with a bit for each SPI, bit n is INTID 32 + n.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
// Aligned, as a snapshot copies it by words.
#[repr(C, align(8))]
pub struct DistState {
    /// GICD_CTLR: bit 0 lets group 0 through, bit 1 group 1.
    pub(super) control: u32,
    /// Enabled SPIs.
    pub(super) enabled: u32,
    /// SPIs that are pending by ISPENDR or by an edge, until they are acknowledged.
    pub(super) latched: u32,
    /// SPIs whose input line is up.
    pub(super) lines: u32,
    /// SPIs that are edge-triggered. The others are level-sensitive.
    pub(super) edges: u32,
    /// SPIs of group 1.
    pub(super) groups: u32,
    /// SPIs that are active on some vCPU: the union of the upper halves of [`BankedState::active`].
    pub(super) active: u32,
    /// Always 0.
    pub(super) reserved: u32,
    /// As IPRIORITYR has them, four in a word.
    pub(super) priorities: [u32; 8],
    /// As ITARGETSR has them, four in a word.
    pub(super) targets: [u32; 8],
}

/// The banked state of one vCPU: its SGIs and PPIs, and what is active on it. In fields of 16 bits, bit n is INTID 16 + n.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct BankedState {
    /// Pending SGIs: that of vCPU s is bit 16 x (s % 4) + INTID of word s / 4.
    pub(super) sent: [u64; 2],
    /// SGIs, PPIs and SPIs that are active on this vCPU: bit n is INTID n.
    pub(super) active: u64,
    /// As IPRIORITYR has them, four in a word.
    pub(super) priorities: [u32; 8],
    /// Of group 1.
    pub(super) groups: u32,
    /// Enabled PPIs. SGIs are always enabled.
    pub(super) enabled: u16,
    /// PPIs that are pending by ISPENDR, until they are acknowledged.
    pub(super) latched: u16,
    /// PPIs whose input line is up. The virtual timer's bit: the hardware's interrupt was acknowledged for the guest, and waits here.
    pub(super) lines: u16,
    /// The sender of each active SGI: bits 0, 1 and 2 of the vCPU's number in one word each; bit n is INTID n.
    pub(super) senders: [u16; 3],
    /// The interrupts that the guest acknowledged, the last first, as INTID plus 1; or 0. Those that ended in a list register are still there.
    pub(super) acknowledged: [u8; ACKNOWLEDGED],
}

/// With EOImode 0 a guest has no more active interrupts than there are priorities: each one preempts the one before.
const ACKNOWLEDGED: usize = 32;

const _: () = assert!(size_of::<DistState>() == 96 && size_of::<BankedState>() == 104);

impl DistState {
    /// The state after a reset.
    pub(super) const fn new(vcpus: usize) -> Self {
        Self {
            control: 0,
            enabled: 0,
            latched: 0,
            lines: 0,
            edges: 0,
            groups: 0,
            active: 0,
            reserved: 0,
            priorities: [0; 8],
            // With one vCPU there is nothing to choose.
            targets: [if vcpus == 1 { 0x0101_0101 } else { 0 }; 8],
        }
    }

    /// Pending SPIs.
    #[inline]
    pub(super) const fn pending(&self) -> u32 {
        self.latched | self.lines & !self.edges
    }

    /// The interrupts, a bit each, whose group GICD_CTLR enables. `groups` has a bit set for each interrupt of group 1.
    #[inline]
    pub(super) const fn passing(&self, groups: u32) -> u32 {
        let group0 = 0u32.wrapping_sub(self.control & 1);
        let group1 = 0u32.wrapping_sub(self.control >> 1 & 1);
        group0 & !groups | group1 & groups
    }

    /// The vCPUs that the SPI 32 + `n` may go to, a bit each.
    #[inline]
    pub(super) const fn targets_of(&self, n: u32) -> u32 {
        byte_of(&self.targets, n)
    }
}

impl BankedState {
    /// The state after a reset.
    pub(super) const fn new() -> Self {
        Self {
            sent: [0; 2],
            active: 0,
            priorities: [0; 8],
            groups: 0,
            enabled: 0,
            latched: 0,
            lines: 0,
            senders: [0; 3],
            acknowledged: [0; ACKNOWLEDGED],
        }
    }

    /// Notes that the guest acknowledged `intid`, after all that it acknowledged before.
    pub(super) fn note_acknowledged(&mut self, intid: u32) {
        let last = intid as u8 + 1;
        let mut moved = last;
        for place in &mut self.acknowledged {
            core::mem::swap(place, &mut moved);
            if moved == last || moved == 0 {
                return;
            }
        }
    }

    /// The interrupt of `intids` that the guest acknowledged last; `None` if it acknowledged none of them.
    pub(super) fn last_acknowledged(&self, intids: u64) -> Option<u32> {
        let known = self.acknowledged.iter().take_while(|it| **it != 0);
        let mut known = known.map(|it| u32::from(*it - 1) & 63);
        known.find(|intid| intids >> intid & 1 != 0)
    }

    /// SGIs that are pending from any vCPU: bit n is INTID n.
    #[inline]
    pub(super) const fn pending_sgis(&self) -> u32 {
        let any = self.sent[0] | self.sent[1];
        let any = any | any >> 32;
        (any | any >> 16) as u32 & 0xffff
    }

    /// Pending SGIs and PPIs: bit n is INTID n.
    #[inline]
    pub(super) const fn pending(&self) -> u32 {
        self.pending_but_lines_of(0)
    }

    /// Pending SGIs and PPIs, but for what the input `lines` make pending.
    #[inline]
    pub(super) const fn pending_but_lines_of(&self, lines: u16) -> u32 {
        let up = self.lines & !VTIMER_LINKED & !lines;
        self.pending_sgis() | ((self.latched | up) as u32) << 16
    }

    /// Enabled SGIs and PPIs: bit n is INTID n.
    #[inline]
    pub(super) const fn enabled(&self) -> u32 {
        (self.enabled as u32) << 16 | 0xffff
    }

    /// The vCPUs that the pending SGI `intid` came from, a bit each.
    #[inline]
    pub(super) const fn senders_of(&self, intid: u32) -> u32 {
        const fn gather(word: u64) -> u32 {
            ((word & 1) | word >> 15 & 2 | word >> 30 & 4 | word >> 45 & 8) as u32
        }
        let intid = intid & 15;
        gather(self.sent[0] >> intid) | gather(self.sent[1] >> intid) << 4
    }

    /// Makes the SGI `intid` from the vCPU `sender` pending.
    #[inline]
    pub(super) const fn pend_sgi(&mut self, intid: u32, sender: u32) {
        self.sent[sender as usize >> 2 & 1] |= sgi_bit(intid, sender);
    }

    /// The SGI `intid` from the vCPU `sender` is not pending any more.
    #[inline]
    pub(super) const fn unpend_sgi(&mut self, intid: u32, sender: u32) {
        self.sent[sender as usize >> 2 & 1] &= !sgi_bit(intid, sender);
    }

    /// The vCPU that sent the active SGI `intid`.
    pub(super) const fn active_sender(&self, intid: u32) -> u32 {
        (self.senders[0] as u32 >> (intid & 15) & 1)
            | (self.senders[1] as u32 >> (intid & 15) & 1) << 1
            | (self.senders[2] as u32 >> (intid & 15) & 1) << 2
    }

    /// Makes SGIs and PPIs active that the guest did not acknowledge; the SGIs as if from vCPU 0.
    pub(super) fn activate(&mut self, intids: u32) {
        for word in &mut self.senders {
            *word &= !(intids & !self.active as u32) as u16;
        }
        self.active |= u64::from(intids);
    }

    pub(super) fn set_active_sender(&mut self, intid: u32, sender: u32) {
        let bit = 1u16 << (intid & 15);
        for (n, word) in self.senders.iter_mut().enumerate() {
            if sender >> n & 1 != 0 {
                *word |= bit;
            } else {
                *word &= !bit;
            }
        }
    }
}

#[inline]
const fn sgi_bit(intid: u32, sender: u32) -> u64 {
    1 << (16 * (sender & 3) + (intid & 15))
}

/// Byte `n` of 32 bytes, four in a word, as registers with a byte for each interrupt have them.
#[inline]
pub const fn byte_of(words: &[u32; 8], n: u32) -> u32 {
    words[n as usize >> 2 & 7] >> (8 * (n & 3)) & 0xff
}
