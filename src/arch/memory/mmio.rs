//! Device registers.

use super::mmu;
use crate::arch::entry::fixup;

/// The largest block of registers that is driven here.
pub const SIZE_MAX: u64 = 64 << 10;

/// A block of device registers that is mapped as Device memory (or the MMU is off, which makes all memory that).
#[derive(Debug, Clone, Copy)]
pub struct DeviceRegisters {
    base: u64,
    size: u64,
}

impl DeviceRegisters {
    /// The block of `size` bytes at `base`, mapped. `None` if it cannot be, or if nothing answers there: a tree may say anything. Of a block
    /// beyond [`SIZE_MAX`] only so much is mapped. Its first register is read.
    pub fn map(base: u64, size: u64) -> Option<Self> {
        Self::map_probing(base, size, 0)
    }

    /// The same for a block whose first register must not be read, as that would change it: the one at offset `answers_at` is.
    pub fn map_probing(base: u64, size: u64, answers_at: u64) -> Option<Self> {
        let block = Self::with_mmu_off(base, size)?;
        if !answers_at.is_multiple_of(4) || answers_at >= block.size {
            return None;
        }
        mmu::map_device(base..base + block.size).ok()?;
        fixup::probe(base + answers_at).map(|_| block)
    }

    /// The same with the MMU off, at any exception level.
    pub fn with_mmu_off(base: u64, size: u64) -> Option<Self> {
        let size = size.min(SIZE_MAX);
        let end = base.checked_add(size)?;
        (base.is_multiple_of(4) && size >= 4 && end <= mmu::ADDRESS_LIMIT)
            .then_some(Self { base, size })
    }

    /// Its physical address.
    pub fn base(self) -> u64 {
        self.base
    }

    /// Bytes of it.
    pub fn size(self) -> u64 {
        self.size
    }

    /// Where the register of type `T` at `offset` is.
    #[inline]
    fn pointer<T>(self, offset: u64) -> *mut T {
        let size = size_of::<T>() as u64;
        assert!(
            offset.is_multiple_of(size) && offset + size <= self.size,
            "device register {offset:#x} is outside its block"
        );
        (self.base + offset) as *mut T
    }

    /// Reads the 32-bit register at `offset`.
    #[inline]
    pub fn read(self, offset: u64) -> u32 {
        // SAFETY: `pointer` checked that it lies inside a block that the constructor mapped as Device memory, aligned.
        unsafe { self.pointer::<u32>(offset).read_volatile() }
    }

    /// Writes the 32-bit register at `offset`.
    #[inline]
    pub fn write(self, offset: u64, value: u32) {
        // SAFETY: as in `read`; no device that is driven here does DMA, so a write changes no memory.
        unsafe { self.pointer::<u32>(offset).write_volatile(value) }
    }

    /// Reads the 8-bit register at `offset`.
    pub fn read8(self, offset: u64) -> u8 {
        // SAFETY: as in `read`.
        unsafe { self.pointer::<u8>(offset).read_volatile() }
    }

    /// Writes the 8-bit register at `offset`.
    pub fn write8(self, offset: u64, value: u8) {
        // SAFETY: as in `write`.
        unsafe { self.pointer::<u8>(offset).write_volatile(value) }
    }
}

/// A block of device registers of a size that is known when this is compiled: an access costs one instruction.
#[derive(Debug, Clone, Copy)]
pub struct Block<const SIZE: u64>(u64);

impl<const SIZE: u64> Block<SIZE> {
    /// The block at `base`, of which the tree says that it has `size` bytes, mapped. `None` if it is smaller or cannot be mapped.
    pub fn map(base: u64, size: u64) -> Option<Self> {
        if size < SIZE {
            return None;
        }
        DeviceRegisters::map(base, SIZE).map(|registers| Self(registers.base))
    }

    #[inline]
    fn registers(self) -> DeviceRegisters {
        DeviceRegisters {
            base: self.0,
            size: SIZE,
        }
    }

    /// Reads the 32-bit register at `offset`.
    #[inline]
    pub fn read(self, offset: u64) -> u32 {
        self.registers().read(offset)
    }

    /// Writes the 32-bit register at `offset`.
    #[inline]
    pub fn write(self, offset: u64, value: u32) {
        self.registers().write(offset, value);
    }
}
