//! Device registers.
//!
//! Plain `ldr` and `str` with one base register, never what the compiler likes best: a hypervisor
//! emulates an access from its syndrome, and only these forms leave a complete one (ISV = 1).

use core::arch::asm;

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
