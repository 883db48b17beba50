//! Answers in the window that it shares with another VM: as often as the first word changes, the second becomes one more than it. Ends when the
//! first is all ones.

#![no_std]
#![no_main]

use core::sync::atomic::Ordering::{Acquire, Release};

use avisor_guest::window::Window;
use avisor_guest::{entry, mmu, power_off};

entry!(main);

fn main(device_tree: usize) -> ! {
    mmu::enable();
    let window = Window::find(device_tree, "shared").expect("it is in the configuration");
    let [question, answer, ..] = window.words() else {
        panic!("a window has a page");
    };
    let mut last = 0;
    loop {
        match question.load(Acquire) {
            u64::MAX => power_off(),
            same if same == last => core::hint::spin_loop(),
            asked => {
                answer.store(asked + 1, Release);
                last = asked;
            }
        }
    }
}
