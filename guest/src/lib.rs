//! What a bare-metal program needs to run as a guest of Avisor, and the calls that Avisor offers it.
//!
//! A program is a `main` that never returns; [`entry!`] hooks it to the boot stub:
//!
#![doc = concat!("```ignore\n", include_str!("../examples/hello.rs"), "```")]
//!
//! | module | what it gives |
//! | --- | --- |
//! | [`snapshot`] | checkpoint, restore and the other snapshot calls |
//! | [`control`] | other machines driven, or this one by another |
//! | [`smccc`] | `hvc #0` and `smc #0` with registers, as in Arm's DEN0028 |
//! | [`psci`] | power-off and the other PSCI calls (DEN0022) |
//! | [`exception`] | vectors whose handlers a program may replace; interrupts masked and let in |
//! | [`gic`] | the interrupt controller, a GICv2 |
//! | [`timer`] | the virtual and the physical timer |
//! | [`mmu`] | memory with caches, which atomics and other CPUs need |
//! | [`smp`] | the other CPUs |
//! | [`window`] | memory shared with other VMs |
//! | [`console`] | [`print!`] and [`println!`] on the PL011 |
//! | [`mmio`] | device registers |
//! | [`memory`] | RAM behind the image |
//! | [`semihosting`] | files of the host that emulates the machine |
//! | [`device_tree`] | the device tree: command line, initial RAM disk |
//! | [`fuzz`] | programs that are fuzzed |
//! | [`random`] | random numbers, for programs that test |
//! | [`check`] | expectations, for programs that test, and a `main` that runs tests |
//!
//! # The machine
//!
//! That of `qemu-system-aarch64 -M virt -kernel`: RAM from 0x4000_0000, a PL011 at 0x0900_0000, a GICv2 at
//! 0x0800_0000, PSCI by `hvc #0`. The same ELF boots there and on Avisor; only the snapshot calls need Avisor
//! ([`snapshot::available`] tells). A program starts at EL1 on SP_EL1 with the MMU off and all
//! interrupts masked. It must not use read-modify-write atomics before it has turned its MMU on ([`mmu::enable`]):
//! without it memory is Device memory, where exclusive accesses are not promised to work.

#![no_std]
// A guest is bare metal: registers, devices and hypercalls are reached by assembly only.
#![allow(unsafe_code)]

use core::panic::PanicInfo;
use core::sync::atomic::{AtomicPtr, Ordering};

mod assembly;
mod boot;
pub mod check;
pub mod console;
pub mod control;
pub mod device_tree;
pub mod exception;
pub mod fuzz;
pub mod gic;
pub mod memory;
pub mod mmio;
pub mod mmu;
pub mod psci;
pub mod random;
pub mod semihosting;
mod shared;
pub mod smccc;
pub mod smp;
pub mod snapshot;
pub mod timer;
pub mod window;

pub use boot::{image_end, stack_top};
pub use psci::power_off;
pub use shared::Shared;
pub use snapshot::{
    Checkpoint, Error, Id, checkpoint, checkpoint_here, restore, restore_latest, restore_with,
};

/// Where a guest's RAM starts.
pub const RAM_START: usize = 0x4000_0000;

/// Makes `main`, a `fn(usize) -> !`, what runs after the boot stub. Its argument is the address of
/// the device tree, as the hypervisor passed it in x0 (0 if it passed none).
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        // SAFETY: the boot stub calls this one symbol, and a second definition fails to link.
        #[allow(unsafe_code)]
        #[unsafe(no_mangle)]
        extern "C" fn avisor_guest_main(device_tree: usize) -> ! {
            let main: fn(usize) -> ! = $main;
            main(device_tree)
        }
    };
}

/// What is called on a panic before it is reported; null for nothing.
static PANIC_HANDLER: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Makes `handler` what is called on a panic from now on. If it returns, the panic is printed and the machine switched off, as without one.
pub fn set_panic_handler(handler: fn(&PanicInfo)) {
    PANIC_HANDLER.store(handler as *mut (), Ordering::Relaxed);
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    let handler = PANIC_HANDLER.load(Ordering::Relaxed);
    // A panic of the handler is reported.
    PANIC_HANDLER.store(core::ptr::null_mut(), Ordering::Relaxed);
    if !handler.is_null() {
        // SAFETY: a pointer that is not null was stored by the setter.
        let handler = unsafe { core::mem::transmute::<*mut (), fn(&PanicInfo)>(handler) };
        handler(info);
    }
    println!("GUEST PANIC: {info}");
    power_off()
}
