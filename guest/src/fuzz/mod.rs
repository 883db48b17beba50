//! A program that a fuzzer runs again and again: [`fuzz_target!`](crate::fuzz_target).
//!
//! The fuzzer is another VM, which controls this one: `guest/fuzz`. What the two say to each other is in [`layout`].
//!
//! A target is built with coverage: `tools/fuzz` gives the compiler the flags for the target and what it is made of, but not for this
//! library, which supplies what the compiler's calls are made to ([`coverage`]).

pub mod coverage;
mod failure;
pub mod layout;

use crate::timer::Timer;
use crate::window;
use crate::{Error, Shared, control, mmu, power_off, println};
use layout::{DONE, INPUT_BYTES, MAGIC, READY, WINDOW_BYTES, Window};

/// The window, once it was found.
static WINDOW: Shared<Option<Window>> = Shared::new(None);

/// Makes a closure what is fuzzed: the whole of a program, as with `cargo fuzz`.
///
/// ```ignore
/// #![no_std]
/// #![no_main]
///
/// avisor_guest::fuzz_target!(|input: &[u8]| {
///     parse(input);
/// });
/// ```
///
/// It crashes if it panics, or has an exception; it hangs if it takes longer than the fuzzer's limit.
#[macro_export]
macro_rules! fuzz_target {
    ($target:expr) => {
        $crate::entry!(avisor_fuzz_main);

        fn avisor_fuzz_main(device_tree: usize) -> ! {
            $crate::fuzz::run(device_tree, $target)
        }
    };
}

/// Runs `target` with what the fuzzer gives, for ever. The rest of a `main`, whose argument the address of the device tree is.
pub fn run(device_tree: usize, target: fn(&[u8])) -> ! {
    mmu::enable();
    let Some(window) = find(device_tree) else {
        println!("fuzz: there is no window named \"fuzz\" here");
        power_off();
    };
    WINDOW.set(Some(window));
    failure::install();
    let header = window.header();
    let map_bytes = coverage::start(window);
    // SAFETY: the header is in the window, and this VM is the one that runs.
    unsafe {
        (&raw mut (*header).map_bytes).write_volatile(map_bytes as u32);
        (&raw mut (*header).magic).write_volatile(MAGIC);
    }
    loop {
        if event(READY, 0, 0).is_err() {
            println!("fuzz: nobody controls this VM");
            power_off();
        }
        // SAFETY: as above; the fuzzer wrote the input before it ran this VM, and changes it only when that has stopped.
        let input = unsafe {
            (&raw mut (*header).began).write_volatile(Timer::Virtual.count());
            let bytes = (&raw const (*header).input_bytes).read_volatile() as usize;
            core::slice::from_raw_parts(window.input(), bytes.min(INPUT_BYTES))
        };
        coverage::begin();
        target(input);
        // SAFETY: as above.
        unsafe { (&raw mut (*header).ended).write_volatile(Timer::Virtual.count()) }
        // It cannot fail where READY did not.
        let _ = event(DONE, 0, 0);
    }
}

/// The window, if there is one that is large enough.
fn find(device_tree: usize) -> Option<Window> {
    let found = layout::names().find_map(|name| window::Window::find(device_tree, name))?;
    // SAFETY: it is memory, from the start of a page on, which nothing else of this program knows of.
    (found.size() >= WINDOW_BYTES).then(|| unsafe { Window::at(found.address() as *mut u8) })
}

/// EVENT. The two VMs may be on two cores: what was written before it is seen there, and what was written there before this VM was run again is
/// seen behind it.
fn event(code: u64, a: u64, b: u64) -> Result<(), Error> {
    use core::sync::atomic::{Ordering, fence};
    fence(Ordering::SeqCst);
    let result = control::event(code, a, b);
    fence(Ordering::SeqCst);
    result
}
