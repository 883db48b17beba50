//! Accesses of any size to registers of 32 bits.

/// A load of `size` bytes (1, 2, 4 or 8) at `offset`, where `register` reads the register at a multiple of 4. The answer has no bits above
/// `size`.
#[inline]
pub(super) fn read_registers(offset: u64, size: u8, mut register: impl FnMut(u64) -> u32) -> u64 {
    let low = u64::from(register(offset & !3)) >> (8 * (offset & 3));
    match size {
        1 => low & 0xff,
        2 => low & 0xffff,
        8 => low | u64::from(register((offset & !3) + 4)) << 32,
        _ => low,
    }
}
