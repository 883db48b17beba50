//! Raw access to system registers that `aarch64-cpu` does not know, or that are handled by the dozen.

/// Reads a system register by the name that the assembler knows, `S<op0>_<op1>_C<n>_C<m>_<op2>` included.
macro_rules! read_register {
    ($name:expr) => {{
        let value: u64;
        // SAFETY: reading the registers that this crate names has no side effect on memory or on EL2's own execution;
        // each is either in ARMv8.0 or guarded by its ID register at the place of use.
        unsafe {
            core::arch::asm!(concat!("mrs {}, ", $name), out(reg) value, options(nomem, nostack, preserves_flags))
        };
        value
    }};
}

/// Writes a system register of the EL1&0 regime or a trap control.
macro_rules! write_register {
    ($name:expr, $value:expr) => {{
        let value: u64 = $value;
        // SAFETY: only registers are written here that act on EL1 and EL0, none that EL2's own execution,
        // translation or stack depends on; each is either in ARMv8.0 or guarded by its ID register at the place of
        // use.
        unsafe { core::arch::asm!(concat!("msr ", $name, ", {}"), in(reg) value, options(nostack, preserves_flags)) };
    }};
}
