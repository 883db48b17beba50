//! Where the target's virtual addresses lead: as its CPU says, by AT.

use super::session::{Code, TARGET, known, lands_with, prepare, read};
use avisor_guest::Error;
use avisor_guest::check::{Outcome, equal, holds};
use avisor_guest::random::Random;

const SEED: u64 = 0x7461_626c_6573;
const CASES: u64 = 300;
/// Tables for TTBR1, one for each level, in RAM that the target does not use.
const TABLES: u64 = 0x4080_0000;
const TABLE: u64 = 1 << 16;
/// Places in the registers.
const TTBR1: usize = 12;

/// TCR_EL1 without what it says of TTBR1; and that: Write-Back, Inner Shareable, a granule and a size.
fn tcr(now: u64, granule: u32, size: u64) -> u64 {
    let tg1 = if granule == 12 { 2 } else { 3 };
    now & !0xffff_0000 | size << 16 | 1 << 24 | 1 << 26 | 3 << 28 | tg1 << 30
}

/// The tables in the target's memory map `va` by a page, or by a block of a level that has some; returns the lowest bit of the address that its last level resolves.
fn map(random: &mut Random, granule: u32, size: u64, va: u64, oa: u64) -> Result<u32, Error> {
    let stride = granule - 3;
    let bits = 64 - size as u32;
    let first = 4 - (bits - granule).div_ceil(stride);
    let blocks = if granule == 12 { 1 } else { 2 };
    for level in first..=3 {
        let shift = granule + stride * (3 - level);
        let index = va >> shift & ((1 << stride.min(bits - shift)) - 1);
        let table = TABLES + u64::from(level) * TABLE;
        let ends = level == 3 || level >= blocks && random.below(3) == 0;
        let descriptor = match ends {
            true => oa & !((1 << shift) - 1) | if level == 3 { 0x703 } else { 0x701 },
            false => (table + TABLE) | 3,
        };
        TARGET.write(table + index * 8, &descriptor.to_le_bytes())?;
        if ends {
            return Ok(shift);
        }
    }
    Ok(granule)
}

/// The same place by TRANSLATE and by AT S1E1R, for tables of all sizes with pages and blocks.
pub fn translated() -> Outcome {
    for number in 0..CASES {
        let mut random = Random::numbered(SEED, number);
        let granule = if random.below(2) == 0 { 12 } else { 16 };
        let size = 16 + random.below(24);
        let (va, oa) = (
            u64::MAX << (64 - size) | random.next() >> size,
            random.next(),
        );
        let oa = oa & 0xff_ffff_ffff;
        prepare(Code::Translates, |_| ())?;
        let shift = map(&mut random, granule, size, va, oa)?;
        let bits = 64 - size as u32;
        let first = 4 - (bits - granule).div_ceil(granule - 3);
        let other = va ^ 1 << shift;
        for va in [va, other] {
            let mut registers = TARGET.registers(None, 0)?;
            registers.pc = known().code[Code::Translates as usize];
            registers.el1[TTBR1] = TABLES + u64::from(first) * TABLE;
            registers.tcr = tcr(registers.tcr, granule, size);
            registers.x[0] = va;
            TARGET.set_registers(0, &registers)?;
            let found = TARGET.translate(None, 0, va);
            let par = lands_with()?;
            match found {
                Ok(place) => {
                    let page = par & 0xffff_ffff_f000;
                    equal("PAR_EL1.F", 0, par & 1)?;
                    equal("its page", page, place.address & !0xfff)?;
                    equal("its offset", va & 0xfff, place.address & 0xfff)?;
                    let whole = 1 << shift;
                    equal("bytes", whole - (va & (whole - 1)), place.bytes)?;
                }
                Err(Error::NotFound) => equal("PAR_EL1.F, not mapped", 1, par & 1)?,
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// READ and WRITE by virtual addresses.
pub fn memory() -> Outcome {
    prepare(Code::Plain, |_| ())?;
    let word = known().word;
    equal("one to one", word, TARGET.translate(None, 0, word)?.address)?;
    equal("CPU 1 too", word, TARGET.translate(None, 1, word)?.address)?;
    // Two pages, one behind the other, that lie the other way round.
    let (size, va, pages) = (25, u64::MAX << 39, [0x4061_0000, 0x4060_0000]);
    for (level, index, descriptor) in [
        (1, 0, (TABLES + 2 * TABLE) | 3),
        (2, 0, (TABLES + 3 * TABLE) | 3),
        (3, 0, pages[0] | 0x703),
        (3, 1, pages[1] | 0x703),
    ] {
        let at = TABLES + level * TABLE + index * 8;
        TARGET.write(at, &u64::to_le_bytes(descriptor))?;
    }
    let mut registers = TARGET.registers(None, 0)?;
    registers.el1[TTBR1] = TABLES + TABLE;
    registers.tcr = tcr(registers.tcr, 12, size);
    TARGET.set_registers(0, &registers)?;
    let text = *b"across two pages that are apart";
    TARGET.write_virtual(0, va + 0xff8, &text)?;
    let mut back = [0; 31];
    TARGET.read_virtual(None, 0, va + 0xff8, &mut back)?;
    holds(back == text, "not what was written")?;
    equal(
        "the first",
        u64::from_le_bytes(*b"across t"),
        read(pages[0] + 0xff8)?,
    )?;
    equal(
        "the second",
        u64::from_le_bytes(*b"wo pages"),
        read(pages[1])?,
    )?;
    let snapshot = TARGET.checkpoint()?;
    TARGET.write_virtual(0, va + 0xff8, &[0; 31])?;
    TARGET.read_virtual(Some(snapshot), 0, va + 0xff8, &mut back)?;
    holds(back == text, "a snapshot changed")?;
    let missing = Err(Error::NotFound);
    holds(
        TARGET.read_virtual(None, 0, va + 0x1fff, &mut back) == missing,
        "nothing is mapped there",
    )?;
    holds(
        TARGET.write_virtual(0, va - 1, &text) == missing,
        "nor before it",
    )?;
    holds(
        TARGET.write_virtual(2, va, &text) == Err(Error::InvalidParameter),
        "it has two CPUs",
    )?;
    holds(
        TARGET.write_virtual(0, 0x0900_0000, &text) == Err(Error::InvalidParameter),
        "a device",
    )?;
    Ok(TARGET.delete(snapshot)?)
}
