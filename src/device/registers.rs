//! Accesses of any size to registers of 32 bits.

/// A load of `size` bytes (1, 2, 4 or 8) at `offset`, where `register` reads the register at a multiple of 4. The answer has no bits above
/// `size`.
#[inline]
pub(super) fn read_registers(offset: u64, size: u8, mut register: impl FnMut(u64) -> u32) -> u64 {
    let low = part_of_register(register(offset & !3), offset, size);
    match size {
        8 => low | u64::from(register((offset & !3).wrapping_add(4))) << 32,
        _ => low,
    }
}

/// What a load of `size` bytes (1, 2, 4 or 8) at `offset` sees of the `register` that begins at `offset` or before.
#[inline]
pub(super) const fn part_of_register(register: u32, offset: u64, size: u8) -> u64 {
    if size == 4 && offset & 3 == 0 {
        return register as u64;
    }
    let low = (register as u64) >> (8 * (offset & 3));
    match size {
        4.. => low,
        2 => low & 0xffff,
        _ => low & 0xff,
    }
}
