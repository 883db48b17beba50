//! Power, by PSCI (Arm DEN0022) over `hvc #0`.

use crate::smccc::hvc;

/// PSCI_VERSION: major in bits 31:16, minor below.
pub const VERSION: u64 = 0x8400_0000;
/// CPU_OFF.
pub const CPU_OFF: u64 = 0x8400_0002;
/// CPU_ON(target, entry, context).
pub const CPU_ON: u64 = 0xc400_0003;
/// AFFINITY_INFO(target, level).
pub const AFFINITY_INFO: u64 = 0xc400_0004;
/// SYSTEM_OFF.
pub const SYSTEM_OFF: u64 = 0x8400_0008;
/// SYSTEM_RESET.
pub const SYSTEM_RESET: u64 = 0x8400_0009;
/// PSCI_FEATURES(function id).
pub const FEATURES: u64 = 0x8400_000a;

/// Switches the machine off.
pub fn power_off() -> ! {
    loop {
        // It does not return; if it ever did, asking again is all that is left to do.
        hvc([SYSTEM_OFF, 0, 0, 0]);
    }
}

/// What AFFINITY_INFO answers for a CPU that is on.
pub const ON: i32 = 0;
/// What AFFINITY_INFO answers for a CPU that is off.
pub const OFF: i32 = 1;
/// CPU_ON of a CPU that runs.
pub const ALREADY_ON: i32 = -4;
/// No such CPU.
pub const INVALID_PARAMETERS: i32 = -2;

/// Switches this CPU off. Only [`smp::start`](crate::smp::start) on another one brings it back.
pub fn cpu_off() -> ! {
    loop {
        hvc([CPU_OFF, 0, 0, 0]);
    }
}

/// A PSCI call with its arguments; returns its signed 32-bit answer.
pub fn call(function: u64, arguments: [u64; 3]) -> i32 {
    hvc([function, arguments[0], arguments[1], arguments[2]])[0] as i32
}
