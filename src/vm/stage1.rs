//! A guest's translation tables of stage 1, walked in memory (Arm ARM DDI 0487, D8.2 and D8.3): where an address of EL1 or EL0 leads. Pure: it knows registers
//! and descriptors, and asks for words of memory.
//!
//! Permissions and the access flag do not count: what is asked is where the memory is. TLBs are not looked at. Not known: translation with TCR_EL1.DS (FEAT_LPA2).

use crate::addr::{Ipa, PAGE_SIZE};

/// The registers that say where an address leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Regime {
    /// SCTLR_EL1.
    pub sctlr: u64,
    /// TCR_EL1.
    pub tcr: u64,
    /// TTBR0_EL1 and TTBR1_EL1.
    pub ttbr: [u64; 2],
}

/// Where an address leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// There.
    pub ipa: Ipa,
    /// Bytes from there to the end of the page or block that maps it; with the MMU off, of a page of 4 KiB.
    pub bytes: u64,
}

/// SCTLR_EL1.M.
const MMU: u64 = 1 << 0;
/// SCTLR_EL1.EE: descriptors are big-endian.
const EE: u64 = 1 << 25;
/// TCR_EL1.DS.
const DS: u64 = 1 << 59;
/// TCR_EL1.IPS: 52 bits.
const IPS_52: u64 = 0b110;
/// Bits of an address without FEAT_LPA.
const OUTPUT: u64 = (1 << 48) - 1;
/// The last level of a walk.
const LAST: u32 = 3;

/// One half of the addresses: what TCR_EL1 says of it.
struct Half {
    /// 64 less TnSZ: bits of an address.
    bits: u32,
    /// Bits of an offset in a page.
    granule: u32,
    /// Its table.
    ttbr: u64,
    /// TCR_EL1.IPS and the granule have descriptors with 52 bits of an address.
    is_wide: bool,
}

impl Regime {
    /// Where `va` leads; `None` if nothing is mapped there. `read` reads a doubleword of memory, at a multiple of 8; `None` if there is none.
    pub fn translate(&self, va: u64, mut read: impl FnMut(Ipa) -> Option<u64>) -> Option<Place> {
        let is_high = va >> 55 & 1 != 0;
        // TBI0, TBI1: the top byte is a tag, and bit 55 stands for it.
        let is_tagged = self.tcr >> (37 + u32::from(is_high)) & 1 != 0;
        let address = match is_tagged {
            true => (va << 8) as i64 >> 8,
            false => va as i64,
        };
        if self.sctlr & MMU == 0 {
            let ipa = address as u64;
            return (ipa & !OUTPUT == 0).then_some(Place {
                ipa: Ipa(ipa),
                bytes: PAGE_SIZE - ipa % PAGE_SIZE,
            });
        }
        let half = self.half(is_high)?;
        // All bits above are as bit 55.
        if address >> half.bits != -i64::from(is_high) {
            return None;
        }
        let is_big_endian = self.sctlr & EE != 0;
        half.walk(address as u64, &mut |ipa| match is_big_endian {
            false => read(ipa),
            true => read(ipa).map(u64::swap_bytes),
        })
    }

    fn half(&self, is_high: bool) -> Option<Half> {
        let (at, number) = if is_high { (16, 1) } else { (0, 0) };
        let size = self.tcr >> at & 0x3f;
        // TG0 is in bits 15:14, TG1 in 31:30, and they count differently.
        let granule = match (is_high, self.tcr >> (at + 14) & 3) {
            (false, 0) | (true, 2) => 12,
            (false, 2) | (true, 1) => 14,
            (false, 1) | (true, 3) => 16,
            _ => return None,
        };
        let is_disabled = self.tcr >> (at + 7) & 1 != 0;
        // FEAT_LVA has 52 bits for granules of 64 KiB; FEAT_TTST goes down to 16 bits, of which there must be more than a page's.
        let least = if granule == 16 { 12 } else { 16 };
        let most = if granule == 16 { 47 } else { 48 };
        if is_disabled || self.tcr & DS != 0 || !(least..=most).contains(&size) {
            return None;
        }
        Some(Half {
            bits: 64 - size as u32,
            granule,
            ttbr: self.ttbr[number],
            is_wide: granule == 16 && self.tcr >> 32 & 7 == IPS_52,
        })
    }
}

impl Half {
    /// Bits of an address that a level before the last resolves.
    fn stride(&self) -> u32 {
        self.granule - 3
    }

    /// The lowest bit of an address that `level` resolves.
    fn shift(&self, level: u32) -> u32 {
        self.granule + self.stride() * (LAST - level)
    }

    fn walk(&self, va: u64, read: &mut impl FnMut(Ipa) -> Option<u64>) -> Option<Place> {
        let first = 1 + LAST - (self.bits - self.granule).div_ceil(self.stride());
        let entries = self.bits - self.shift(first);
        // TTBR.BADDR; CnP and what lies below the table's alignment are not part of it.
        let low = if self.is_wide {
            entries.max(3)
        } else {
            entries
        } + 3;
        let mut table = self.ttbr & OUTPUT & !((1 << low) - 1);
        if self.is_wide {
            table |= (self.ttbr >> 2 & 0xf) << 48;
        }
        let mut bits = entries;
        for level in first..=LAST {
            let index = va >> self.shift(level) & ((1 << bits) - 1);
            let descriptor = read(Ipa(table + index * 8))?;
            let is_table = match (descriptor & 3, level) {
                (3, LAST) => false,
                (3, _) => true,
                (1, ..LAST) if self.has_blocks(level) => false,
                _ => return None,
            };
            if !is_table {
                return Some(self.place(va, descriptor, level));
            }
            table = self.output(descriptor, self.granule);
            bits = self.stride();
        }
        None
    }

    /// Whether `level`, which is not the last, has blocks (D8.3.1.2).
    fn has_blocks(&self, level: u32) -> bool {
        match self.granule {
            12 => level > 0,
            14 => level == 2,
            _ => level == 2 || level == 1 && self.is_wide,
        }
    }

    /// The address in a descriptor, whose lowest bit is `low`.
    fn output(&self, descriptor: u64, low: u32) -> u64 {
        let address = descriptor & OUTPUT & !((1 << low) - 1);
        match self.is_wide {
            true => address | (descriptor >> 12 & 0xf) << 48,
            false => address,
        }
    }

    fn place(&self, va: u64, descriptor: u64, level: u32) -> Place {
        let bytes = 1 << self.shift(level);
        let offset = va & (bytes - 1);
        Place {
            ipa: Ipa(self.output(descriptor, self.shift(level)) | offset),
            bytes: bytes - offset,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::vec::Vec;

    /// TCR_EL1 for TTBR0 and TTBR1 alike.
    fn tcr(granule: u32, size: u64) -> u64 {
        let (tg0, tg1) = match granule {
            12 => (0, 2),
            14 => (2, 1),
            _ => (1, 3),
        };
        size | tg0 << 14 | size << 16 | tg1 << 30 | 5 << 32
    }

    const ROOT: u64 = 0x4800_0000;

    /// The levels of a walk by D8.2.6 to D8.2.8, from the first on: the highest and the lowest bit of an address that it resolves.
    fn levels(granule: u32, size: u64) -> Vec<(u32, u32, u32)> {
        let strides: &[(u32, u32)] = match granule {
            12 => &[(47, 39), (38, 30), (29, 21), (20, 12)],
            14 => &[(47, 47), (46, 36), (35, 25), (24, 14)],
            _ => &[(51, 42), (51, 42), (41, 29), (28, 16)],
        };
        let top = 63 - size as u32;
        let levels = strides.iter().zip(0..).filter_map(|(&(high, low), level)| {
            (top >= low && (granule, level) != (16, 0)).then_some((level, high.min(top), low))
        });
        levels.collect()
    }

    /// Tables that map `va` by a page or block of `last` to `oa`: and nothing else.
    fn tables(granule: u32, size: u64, va: u64, last: u32, oa: u64) -> BTreeMap<u64, u64> {
        let mut table = ROOT;
        let mut memory = BTreeMap::new();
        for (level, high, low) in levels(granule, size) {
            let index = va >> low & ((1 << (high - low + 1)) - 1);
            let next = table + (1 << 20);
            let descriptor = match level == last {
                true if level == 3 => oa | 0x403,
                true => oa | 0x401,
                false => next | 3,
            };
            memory.insert(table + index * 8, descriptor);
            if level == last {
                break;
            }
            table = next;
        }
        memory
    }

    fn regime(granule: u32, size: u64) -> Regime {
        Regime {
            sctlr: 1,
            tcr: tcr(granule, size),
            // With an ASID, and CnP.
            ttbr: [ROOT | 1 | 7 << 48; 2],
        }
    }

    #[test]
    fn each_granule_at_each_size_by_pages_and_blocks() {
        for (granule, size) in [12, 14, 16]
            .into_iter()
            .flat_map(|g| (16..=39).map(move |s| (g, s)))
        {
            let all = levels(granule, size);
            for &(last, _, low) in &all {
                let has_one = matches!((granule, last), (_, 2 | 3) | (12, 1));
                for high in [false, true] {
                    let top = if high { u64::MAX << (64 - size) } else { 0 };
                    let va = top | 0x5a5a_a5a5_9bdf_7531 & !(u64::MAX << (64 - size));
                    let (mask, oa) = ((1_u64 << low) - 1, 0x8765_4321_0000);
                    let memory = tables(granule, size, va, last, oa & !mask);
                    let found = regime(granule, size)
                        .translate(va, |ipa| Some(memory.get(&ipa.0).copied().unwrap_or(0)));
                    let place = Place {
                        ipa: Ipa(oa & !mask | va & mask),
                        bytes: mask + 1 - (va & mask),
                    };
                    assert_eq!(found, has_one.then_some(place), "{granule} {size} {last}");
                    // Its neighbours are not mapped.
                    let other = va ^ (mask + 1);
                    if other >> (63 - size) == va >> (63 - size) {
                        let found = regime(granule, size)
                            .translate(other, |ipa| Some(memory.get(&ipa.0).copied().unwrap_or(0)));
                        assert_eq!(found, None);
                    }
                }
            }
        }
    }

    #[test]
    fn tables_of_a_big_endian_guest_are_read_as_such() {
        let memory = |_| Some(0x4000_0403_u64.swap_bytes());
        let mut regime = regime(12, 25);
        assert_eq!(regime.translate(0x1238, memory), None);
        regime.sctlr |= EE;
        let place = regime.translate(0x1238, memory);
        assert_eq!(place.map(|place| place.ipa.0), Some(0x4000_0238));
    }

    #[test]
    fn what_is_no_address_is_not_mapped() {
        let memory = |_| Some(0x4000_0403);
        let mut regime = regime(12, 25);
        let ipa = |found: Option<Place>| found.map(|place| place.ipa.0);
        // All tables are one, and the last level's descriptors are its own.
        assert_eq!(ipa(regime.translate(0x1238, memory)), Some(0x4000_0238));
        let outside = [
            1 << 39,
            1 << 60,
            0x0100_0000_0000_1000,
            u64::MAX << 40,
            1 << 55,
        ];
        for va in outside {
            assert_eq!(regime.translate(va, memory), None, "{va:#x}");
        }
        assert!(regime.translate(u64::MAX << 39, memory).is_some());
        // Tags.
        regime.tcr |= 1 << 37;
        assert_eq!(
            ipa(regime.translate(0x5a00_0000_0000_1238, memory)),
            Some(0x4000_0238)
        );
        assert_eq!(regime.translate(0x5a80_0000_0000_1238, memory), None);
        assert_eq!(
            regime.translate(0x00ff_ffff_ffff_f238, memory),
            None,
            "of TTBR1"
        );
        regime.tcr |= 1 << 38;
        assert!(regime.translate(0x00ff_ffff_ffff_f238, memory).is_some());
        // Walks disabled, each by itself.
        regime.tcr |= 1 << 7;
        assert_eq!(regime.translate(0x1238, memory), None);
        assert!(regime.translate(u64::MAX, memory).is_some());
        regime.tcr = regime.tcr & !(1 << 7) | 1 << 23;
        assert!(regime.translate(0x1238, memory).is_some());
        assert_eq!(regime.translate(u64::MAX, memory), None);
        // Reserved, too large, too small, and what is not known.
        for tcr in [
            tcr(12, 25) | 3 << 14,
            tcr(12, 15),
            tcr(12, 49),
            tcr(16, 11),
            tcr(16, 48),
            tcr(12, 25) | 1 << 59,
        ] {
            let regime = Regime { tcr, ..regime };
            assert_eq!(regime.translate(0x1238, memory), None, "{tcr:#x}");
        }
        // A table that is nowhere, and descriptors that are reserved.
        let regime = self::regime(12, 25);
        assert_eq!(regime.translate(0x1238, |_| None), None);
        for descriptor in [0, 2, 0x4000_0402] {
            assert_eq!(regime.translate(0x1238, |_| Some(descriptor)), None);
        }
        let last_is_a_block = |ipa: Ipa| match ipa.0 {
            ROOT.. => Some(0x1003),
            0x1000..0x2000 => Some(0x2003),
            _ => Some(0x4000_0401),
        };
        assert_eq!(regime.translate(0, last_is_a_block), None);
    }

    #[test]
    fn without_an_mmu_an_address_is_its_own() {
        let mut regime = regime(12, 25);
        regime.sctlr = 0;
        let place = |ipa, bytes| {
            Some(Place {
                ipa: Ipa(ipa),
                bytes,
            })
        };
        let none = |_| None;
        assert_eq!(
            regime.translate(0x4000_0123, none),
            place(0x4000_0123, 0xedd)
        );
        assert_eq!(regime.translate(1 << 48, none), None);
        assert_eq!(regime.translate(0x0500_0000_4000_0000, none), None);
        regime.tcr |= 1 << 37;
        assert_eq!(
            regime.translate(0x0500_0000_4000_0000, none),
            place(0x4000_0000, 0x1000)
        );
    }

    /// 64 KiB and 52 bits: descriptors and TTBR have bits 51:48 lower down.
    #[test]
    fn wide_addresses() {
        let mut regime = regime(16, 12);
        regime.tcr = regime.tcr & !(7 << 32) | 6 << 32;
        regime.ttbr[0] = ROOT | 0b1010 << 2;
        let read = |ipa: Ipa| {
            Some(match ipa.0 >> 48 {
                0b1010 => 0x4900_0003 | 0x5000,
                0b0101 => 0x6000_0401 | 0xf000,
                _ => 0,
            })
        };
        let found = regime.translate(0x000f_0000_0123_4567, read).unwrap();
        assert_eq!(found.ipa, Ipa(0x000f_0000_6123_4567));
        assert_eq!(found.bytes, (1 << 29) - 0x0123_4567);
    }
}
