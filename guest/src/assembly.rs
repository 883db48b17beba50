//! Pieces of assembly that more than one program wants: strings for `global_asm!`.

/// Loads (`"ldp"`) or stores (`"stp"`) x2 to x29, in an array of x0 to x30 at a base register.
#[macro_export]
macro_rules! x2_to_x29 {
    ($op:literal, $base:literal) => {
        $crate::x2_to_x29!($op, $base:
            "x2, x3" 16, "x4, x5" 32, "x6, x7" 48, "x8, x9" 64, "x10, x11" 80, "x12, x13" 96, "x14, x15" 112,
            "x16, x17" 128, "x18, x19" 144, "x20, x21" 160, "x22, x23" 176, "x24, x25" 192, "x26, x27" 208,
            "x28, x29" 224)
    };
    ($op:literal, $base:literal: $($pair:literal $offset:literal),*) => {
        concat!($($op, " ", $pair, ", [", $base, ", #", $offset, "]\n"),*)
    };
}

/// Puts on the stack what a function must keep: x19 to x30.
#[macro_export]
macro_rules! save_callee_registers {
    () => {
        "stp x19, x20, [sp, #-96]!
        stp x21, x22, [sp, #16]
        stp x23, x24, [sp, #32]
        stp x25, x26, [sp, #48]
        stp x27, x28, [sp, #64]
        stp x29, x30, [sp, #80]\n"
    };
}

/// Takes from the stack what [`save_callee_registers!`](crate::save_callee_registers) has put there.
#[macro_export]
macro_rules! restore_callee_registers {
    () => {
        "ldp x21, x22, [sp, #16]
        ldp x23, x24, [sp, #32]
        ldp x25, x26, [sp, #48]
        ldp x27, x28, [sp, #64]
        ldp x29, x30, [sp, #80]
        ldp x19, x20, [sp], #96\n"
    };
}
