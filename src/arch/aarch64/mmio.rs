//! Device registers.

use super::mmu;

/// A block of device registers that is mapped as Device memory (or the MMU is off, which makes all memory that).
#[derive(Debug, Clone, Copy)]
pub struct Registers {
    base: u64,
    size: u64,
}

impl Registers {
    /// The block of `size` bytes at `base`, mapped. `None` if it cannot be.
    pub fn map(base: u64, size: u64) -> Option<Self> {
        if !base.is_multiple_of(4) {
            return None;
        }
        mmu::map_device(base..base.checked_add(size)?).ok()?;
        Some(Self { base, size })
    }

    /// The same with the MMU off, at any exception level.
    pub fn unmapped(base: u64, size: u64) -> Option<Self> {
        base.is_multiple_of(4).then_some(Self { base, size })
    }

    fn pointer(self, offset: u64) -> *mut u32 {
        assert!(
            offset.is_multiple_of(4) && offset + 4 <= self.size,
            "device register {offset:#x} is outside its block"
        );
        (self.base + offset) as *mut u32
    }

    /// Reads the 32-bit register at `offset`.
    pub fn read(self, offset: u64) -> u32 {
        // SAFETY: `pointer` checked that it lies inside a block that the constructor mapped as Device memory, aligned.
        unsafe { self.pointer(offset).read_volatile() }
    }

    /// Writes the 32-bit register at `offset`.
    pub fn write(self, offset: u64, value: u32) {
        // SAFETY: as in `read`; no device that is driven here does DMA, so a write changes no memory.
        unsafe { self.pointer(offset).write_volatile(value) }
    }
}
