//! Every way in which a round can end: the first byte says which. For the fuzzer's own tests.

#![no_std]
#![no_main]

use avisor_guest::psci::{self, SYSTEM_RESET};
use avisor_guest::{memory, power_off};

avisor_guest::fuzz_target!(|input: &[u8]| {
    if cfg!(feature = "mended") {
        return;
    }
    match input.first() {
        Some(1) => panic!("as it was asked to"),
        // Nothing is behind RAM.
        Some(2) => drop(memory::load(0x8000_0000)),
        Some(3) => loop {
            core::hint::spin_loop();
        },
        Some(4) => {
            psci::call(SYSTEM_RESET, [0; 3]);
        }
        Some(5) => power_off(),
        _ => {}
    }
});
