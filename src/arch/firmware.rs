//! Calls out of the image: to the firmware, and to a debugger that owns the run.

use core::arch::asm;

/// Over which instruction PSCI is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conduit {
    /// To EL3, from EL2.
    Smc,
    /// To EL2, from EL1.
    Hvc,
}

/// PSCI SYSTEM_OFF (DEN0022): returns only if the firmware refuses.
pub fn psci_system_off(conduit: Conduit) {
    let function: u64 = 0x8400_0008;
    // SAFETY: SMCCC lets the callee change x0 to x17 only, all named as clobbered; the machine is off afterwards.
    unsafe {
        match conduit {
            Conduit::Smc => asm!("smc #0", inout("x0") function => _, clobber_abi("C")),
            Conduit::Hvc => asm!("hvc #0", inout("x0") function => _, clobber_abi("C")),
        }
    }
}

/// PSCI CPU_ON (DEN0022): the core with the given affinity begins at `entry`, at this exception level, MMU and caches off. `false` if the
/// firmware refuses.
pub fn psci_cpu_on(affinity: u64, entry: u64) -> bool {
    let mut result: u64 = 0xc400_0003;
    // SAFETY: SMCCC lets the callee change x0 to x17 only, all named as clobbered. What the other core does is the boot stub's.
    unsafe {
        asm!("smc #0", inout("x0") result, in("x1") affinity, in("x2") entry, in("x3") 0, clobber_abi("C"))
    };
    // SUCCESS is the one value that is not negative; SMC32 firmware may leave the upper half alone.
    result as u32 == 0
}

/// Ends the run with `code` through semihosting, SYS_EXIT_EXTENDED. Only where a debugger or emulator is known to
/// listen: elsewhere the instruction is UNDEFINED or halts the core.
pub fn semihosting_exit(code: u64) -> ! {
    const SYS_EXIT_EXTENDED: u64 = 0x20;
    const ADP_STOPPED_APPLICATION_EXIT: u64 = 0x20026;
    let block = [ADP_STOPPED_APPLICATION_EXIT, code];
    // SAFETY: the listener reads the two words that x1 points to and ends the run.
    unsafe { asm!("hlt #0xf000", in("x0") SYS_EXIT_EXTENDED, in("x1") &block, options(nostack)) };
    halt()
}

/// This core sleeps for good.
pub fn halt() -> ! {
    loop {
        aarch64_cpu::asm::wfi();
    }
}
