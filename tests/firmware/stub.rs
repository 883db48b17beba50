//! The firmware of `firmware::an_image_relies_on_nothing_but_the_boot_protocol`, as a flat binary for address 0.

#![no_std]
#![no_main]

core::arch::global_asm!(include_str!("stub.S"));

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
