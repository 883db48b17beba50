//! Device registers.
//!
//! Plain `ldr` and `str` with one base register, never what the compiler likes best: only these forms leave a complete syndrome
//! (ISV = 1). For others a hypervisor must read the instruction, if it can.

use core::arch::asm;

/// Reads the byte at `address`.
pub fn read8(address: usize) -> u8 {
    let value: u32;
    // SAFETY: as in `read32`.
    unsafe {
        asm!("ldrb {0:w}, [{1}]", out(reg) value, in(reg) address, options(nostack, preserves_flags));
    }
    value as u8
}

/// Writes the byte at `address`.
///
/// # Safety
/// As for [`write32`].
pub unsafe fn write8(address: usize, value: u8) {
    // SAFETY: the caller owns what is at `address`.
    unsafe {
        asm!("strb {0:w}, [{1}]", in(reg) u32::from(value), in(reg) address, options(nostack, preserves_flags));
    }
}

/// Reads the 32-bit register at `address`.
pub fn read32(address: usize) -> u32 {
    let value: u32;
    // SAFETY: a load changes no memory of the program. Where there is no device the machine answers
    // with an exception, which the exception handler reports.
    unsafe {
        asm!("ldr {0:w}, [{1}]", out(reg) value, in(reg) address, options(nostack, preserves_flags));
    }
    value
}

/// Writes the 32-bit register at `address`.
///
/// # Safety
/// `address` must be a device register or memory that is the caller's to change.
pub unsafe fn write32(address: usize, value: u32) {
    // SAFETY: the caller owns what is at `address`.
    unsafe {
        asm!("str {0:w}, [{1}]", in(reg) value, in(reg) address, options(nostack, preserves_flags));
    }
}
