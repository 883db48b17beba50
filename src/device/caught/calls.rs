//! What CATCH and BREAKPOINT ask for, decoded: into what the CPU's comparators do, or nothing (Arm ARM DDI 0487, D2.8 and D2.9).

use crate::device::debug::COMPARATORS;

/// E: the comparator is enabled.
const ENABLED: u32 = 1 << 0;
/// PMC, or PAC: with HMC and SSC 0 it matches at EL1 and EL0 (D2.8.6 and D2.9.7, "Execution conditions").
const EL1_AND_EL0: u32 = 0b11 << 1;
/// DBGBCRn_EL1.BAS: all four bytes of an instruction.
const INSTRUCTION: u32 = 0b1111 << 5;
/// The lowest bit of DBGWCRn_EL1.LSC.
const LSC: u32 = 3;
/// The lowest bit of DBGWCRn_EL1.BAS.
const BAS: u32 = 5;
/// The lowest bit of DBGWCRn_EL1.MASK.
const MASK: u32 = 24;
/// The most address bits that MASK leaves out.
const MASK_MAX: u32 = 31;
/// In BREAKPOINT, the number of the first watchpoint.
const FIRST_WATCHPOINT: u64 = 16;

/// What a controller catches: CATCH's argument, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Catch {
    /// Its breakpoints and watchpoints act.
    pub hardware: bool,
    /// BRK instructions with this immediate stop the VM.
    pub brk: Option<u16>,
}

impl Catch {
    /// Nothing.
    pub const NOTHING: Self = Self {
        hardware: false,
        brk: None,
    };

    /// Bit 0: hardware; bit 1: BRK, with the immediate in bits 31:16. `None` if any other bit is set.
    pub fn decode(what: u64) -> Option<Self> {
        let immediate = (what >> 16) as u16;
        let known = match what & 2 {
            0 => 1,
            _ => 0xffff_0003,
        };
        (what & !known == 0).then_some(Self {
            hardware: what & 1 != 0,
            brk: (what & 2 != 0).then_some(immediate),
        })
    }
}

/// Which comparator, and what it is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparator {
    /// DBGBVRn_EL1 and DBGBCRn_EL1.
    Breakpoint(usize, u64, u32),
    /// DBGWVRn_EL1 and DBGWCRn_EL1.
    Watchpoint(usize, u64, u32),
}

impl Comparator {
    /// BREAKPOINT's arguments, on a CPU with so many breakpoints and watchpoints. `None` if there is none with that number, or it cannot do that.
    pub fn decode(
        [number, kind, address, bytes]: [u64; 4],
        [breakpoints, watchpoints]: [usize; 2],
    ) -> Option<Self> {
        let place = |number: u64, count: usize| {
            usize::try_from(number)
                .ok()
                .filter(|&n| n < count.min(COMPARATORS))
        };
        let breakpoint = || place(number, breakpoints);
        let watchpoint = || place(number.checked_sub(FIRST_WATCHPOINT)?, watchpoints);
        match kind {
            0 if number < FIRST_WATCHPOINT => Some(Self::Breakpoint(breakpoint()?, 0, 0)),
            0 => Some(Self::Watchpoint(watchpoint()?, 0, 0)),
            1 => {
                let fits = is_canonical(address) && address.is_multiple_of(4) && bytes == 4;
                let control = ENABLED | EL1_AND_EL0 | INSTRUCTION;
                fits.then_some(Self::Breakpoint(breakpoint()?, address, control))
            }
            2..=4 => {
                let (value, size) = watched(address, bytes)?;
                // LSC: 1 loads, 2 stores, 3 both.
                let control = ENABLED | EL1_AND_EL0 | (kind as u32 - 1) << LSC | size;
                Some(Self::Watchpoint(watchpoint()?, value, control))
            }
            _ => None,
        }
    }
}

/// Whether bits 63:49 are as bit 48, which the comparators do not compare and demand (`DBGBVR<n>_EL1.RESS`).
const fn is_canonical(address: u64) -> bool {
    (address << 15) as i64 >> 15 == address as i64
}

/// DBGWVRn_EL1 for these bytes, and BAS and MASK of DBGWCRn_EL1: any bytes within a doubleword, or an aligned power of two (D2.9.4, "Watchpoint data
/// address comparisons").
fn watched(address: u64, bytes: u64) -> Option<(u64, u32)> {
    if !is_canonical(address) {
        return None;
    }
    let (in_doubleword, value) = (address & 7, address & !7);
    match bytes {
        1..=8 if in_doubleword + bytes <= 8 => {
            let bas = ((1 << bytes) - 1) << in_doubleword;
            Some((value, bas << BAS))
        }
        16.. if bytes.is_power_of_two()
            && bytes.trailing_zeros() <= MASK_MAX
            && address.is_multiple_of(bytes) =>
        {
            Some((value, 0xff << BAS | bytes.trailing_zeros() << MASK))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn catch_has_two_bits_and_an_immediate() {
        let hardware = |hardware, brk| Some(Catch { hardware, brk });
        assert_eq!(Catch::decode(0), Some(Catch::NOTHING));
        assert_eq!(Catch::decode(1), hardware(true, None));
        assert_eq!(Catch::decode(0x1234_0002), hardware(false, Some(0x1234)));
        assert_eq!(Catch::decode(0xffff_0003), hardware(true, Some(0xffff)));
        for bit in 2..64 {
            let with_brk = Catch::decode(3 | 1 << bit).is_some();
            assert_eq!(with_brk, (16..32).contains(&bit), "{bit}");
            assert_eq!(Catch::decode(1 | 1 << bit), None, "{bit}: without a BRK");
        }
    }

    const COUNTS: [usize; 2] = [6, 4];

    #[test]
    fn breakpoints_are_of_one_instruction() {
        const CONTROL: u32 = 0x1e7;
        for address in [0x4008_0000, 0xffff_8000_1234_5678, 0xffff_ffff_fffc] {
            let set = Comparator::decode([5, 1, address, 4], COUNTS);
            assert_eq!(set, Some(Comparator::Breakpoint(5, address, CONTROL)));
        }
        for refused in [
            [6, 1, 0x4008_0000, 4],
            [16, 1, 0x4008_0000, 4],
            [0, 1, 0x4008_0002, 4],
            [0, 1, 0x4008_0000, 2],
            [0, 1, 0x4008_0000, 8],
            [0, 1, 1 << 48, 4],
            [0, 1, 0x0100_0000_4008_0000, 4],
            [0, 5, 0x4008_0000, 4],
            [u64::MAX, 0, 0, 0],
            [6, 0, 0, 0],
            [20, 0, 0, 0],
            [u64::MAX, 4, 0, 8],
        ] {
            assert_eq!(Comparator::decode(refused, COUNTS), None, "{refused:x?}");
        }
        let removed = Comparator::decode([3, 0, 7, 7], COUNTS);
        assert_eq!(removed, Some(Comparator::Breakpoint(3, 0, 0)));
        let removed = Comparator::decode([19, 0, 7, 7], COUNTS);
        assert_eq!(removed, Some(Comparator::Watchpoint(3, 0, 0)));
        // No core has more than 16, whatever it says.
        assert_eq!(Comparator::decode([32, 4, 0, 8], [99, 99]), None);
    }

    /// Bytes that a watchpoint matches, by D2.9.4: of the 32 from `at` on.
    fn matches(value: u64, control: u32, at: u64) -> u32 {
        let (bas, mask) = (control >> 5 & 0xff, control >> 24 & 0x1f);
        let is_matched = |byte: u64| match mask {
            0 => byte & !7 == value && bas >> (byte & 7) & 1 != 0,
            mask => {
                assert!(bas == 0xff && mask >= 3, "reserved otherwise");
                assert_eq!(value & ((1 << mask) - 1), 0, "unpredictable otherwise");
                byte >> mask == value >> mask
            }
        };
        (0..32).fold(0, |all, i| all | u32::from(is_matched(at + i)) << i)
    }

    #[test]
    fn watchpoints_match_the_bytes_that_they_are_for() {
        const AT: u64 = 0x4100_0000;
        for kind in 2..=4_u64 {
            for (offset, bytes) in (0..32).flat_map(|o| (0..=32).map(move |b| (o, b))) {
                let set = Comparator::decode([16, kind, AT + offset, bytes], COUNTS);
                let fits = match bytes {
                    0 => false,
                    1..=8 => offset % 8 + bytes <= 8,
                    16 | 32 => offset % bytes == 0,
                    _ => false,
                };
                let Some(Comparator::Watchpoint(0, value, control)) = set else {
                    assert!(!fits && set.is_none(), "{offset} {bytes}");
                    continue;
                };
                assert!(fits, "{offset} {bytes}");
                let wanted = ((1_u64 << bytes) - 1) << offset;
                assert_eq!(matches(value, control, AT), wanted as u32);
                assert_eq!(control & 0xe01f, 7 | (kind as u32 - 1) << 3);
            }
        }
        for bit in 4..64 {
            let set = Comparator::decode([17, 4, 0, 1 << bit], COUNTS);
            let control = 0xff << 5 | 0x1f | bit << 24;
            let wanted = Some(Comparator::Watchpoint(1, 0, control));
            assert_eq!(set, wanted.filter(|_| bit <= 31), "{bit}");
        }
        let high = 0xffff_8000_0000_0000;
        let set = Comparator::decode([16, 2, high, 1 << 31], COUNTS);
        assert!(matches!(set, Some(Comparator::Watchpoint(0, v, _)) if v == high));
    }
}
