//! Calls to the hypervisor with the SMC Calling Convention (Arm DEN0028): the function id in x0,
//! arguments from x1, results in x0 to x3, and every other register as it was.

use core::arch::asm;

/// SMCCC_VERSION: which version of the convention the hypervisor speaks.
pub const VERSION: u64 = 0x8000_0000;
/// The number of calls in the vendor-specific hypervisor range.
pub const VENDOR_CALL_COUNT: u64 = 0x8600_ff00;
/// Whose calls the vendor-specific hypervisor range holds: a UUID in four 32-bit words.
pub const VENDOR_UID: u64 = 0x8600_ff01;
/// The version of those calls: major in x0, minor in x1.
pub const VENDOR_REVISION: u64 = 0x8600_ff03;

/// What a function that does not exist returns, as x0 shows it.
pub const NOT_SUPPORTED: u64 = -1_i64 as u64;

/// `hvc #0` with x0 to x3; returns x0 to x3.
pub fn hvc(mut x: [u64; 4]) -> [u64; 4] {
    // SAFETY: the hypervisor changes x0 to x3 at most. That a call may rewrite memory (a restore
    // does) is told by the absence of `nomem`; a restore also brings the registers and the code
    // position that belong to that memory, so the compiler sees one consistent machine.
    unsafe {
        asm!(
            "hvc #0",
            inout("x0") x[0], inout("x1") x[1], inout("x2") x[2], inout("x3") x[3],
            options(nostack, preserves_flags),
        );
    }
    x
}

/// `hvc #0` with x0 to x6; returns x0 to x3.
pub fn hvc_with_six(mut x: [u64; 7]) -> [u64; 4] {
    // SAFETY: as for `hvc`; calls with more arguments write memory, too, of which the absence of `nomem` tells.
    unsafe {
        asm!(
            "hvc #0",
            inout("x0") x[0], inout("x1") x[1], inout("x2") x[2], inout("x3") x[3],
            in("x4") x[4], in("x5") x[5], in("x6") x[6],
            options(nostack, preserves_flags),
        );
    }
    [x[0], x[1], x[2], x[3]]
}

/// `smc #0` with x0 to x3; returns x0 to x3. An undefined instruction on machines without EL3.
pub fn smc(mut x: [u64; 4]) -> [u64; 4] {
    // SAFETY: as for `hvc`. `.inst` is `smc #0`, which the assembler would want a feature for.
    unsafe {
        asm!(
            ".inst 0xd4000003",
            inout("x0") x[0], inout("x1") x[1], inout("x2") x[2], inout("x3") x[3],
            options(nostack, preserves_flags),
        );
    }
    x
}
