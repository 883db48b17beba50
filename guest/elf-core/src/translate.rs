//! One virtual address, by a guest's tables (Arm DDI 0487, D8), as far as [`tables`](crate::tables) knows them.

use crate::machine::{Machine, PAGE, Stage1};
use crate::tables::{ADDRESS, Half, Shape, is_in_ram};

/// TCR_EL1.TBI0, TBI1: the top byte of the half's addresses is not looked at.
const IGNORED: [u64; 2] = [1 << 37, 1 << 38];

/// The guest-physical address of `va`, RAM or not, and how many bytes there are from it to the end of its page or block; none if it is not mapped.
/// While the MMU is off that is `va` itself, to the end of its 4 KiB.
pub fn translate<M: Machine>(
    machine: &mut M,
    stage1: &Stage1,
    va: u64,
) -> Result<Option<(u64, u64)>, M::Error> {
    if !stage1.is_on() {
        return Ok(Some((va, PAGE - va % PAGE)));
    }
    // Bit 55 says which half, whatever the top byte is.
    let upper = va >> 55 & 1;
    let half = [Half::Lower, Half::Upper][upper as usize];
    let Some(shape) = Shape::of(stage1.tcr, half) else {
        return Ok(None);
    };
    let is_ignored = stage1.tcr & IGNORED[upper as usize] != 0;
    let whole = match is_ignored {
        true => (va << 8) as i64 >> 8,
        false => va as i64,
    };
    // All that is not translated is the same.
    if whole >> shape.input != -(upper as i64) {
        return Ok(None);
    }
    let mut table = shape.root(stage1.ttbr[upper as usize]);
    for level in shape.level..=3 {
        let shift = shape.shift(level);
        let index = va >> shift & (shape.entries(level) - 1);
        let at = table + index * 8;
        if !is_in_ram(machine, at, 8) {
            return Ok(None);
        }
        let mut bytes = [0; 8];
        machine.read(at, &mut bytes)?;
        let entry = u64::from_le_bytes(bytes);
        match (entry & 3, level) {
            (3, 0..3) => table = entry & ADDRESS & u64::MAX << shape.page,
            (3, _) => return Ok(Some(found(entry, va, shift))),
            (1, level) if shape.has_blocks(level) => return Ok(Some(found(entry, va, shift))),
            _ => return Ok(None),
        }
    }
    Ok(None)
}

/// Where an address is in a page or block of so many bits.
fn found(entry: u64, va: u64, bits: u32) -> (u64, u64) {
    let size = 1 << bits;
    let offset = va & (size - 1);
    ((entry & ADDRESS & u64::MAX << bits) + offset, size - offset)
}
