//! From the first instruction to `main`.

use core::arch::global_asm;

// What C programs start with, too. It calls `main`.
global_asm!(include_str!("../c/start.S"), options(raw));

unsafe extern "C" {
    fn avisor_guest_main(device_tree: usize) -> !;
    static __image_end: u8;
    static __stack_top: u8;
}

// SAFETY: the only `main` there is, as programs are `no_main`.
#[unsafe(no_mangle)]
extern "C" fn main(device_tree: usize) -> ! {
    crate::exception::install_vectors();
    crate::console::enable();
    // SAFETY: `entry!` defines it with this signature.
    unsafe { avisor_guest_main(device_tree) }
}

/// The first address behind the image, its `.bss` and its stack. From here to the end of RAM lies
/// nothing of the program, but perhaps the device tree.
pub fn image_end() -> usize {
    &raw const __image_end as usize
}

/// Where the stack starts, growing down.
pub fn stack_top() -> usize {
    &raw const __stack_top as usize
}
