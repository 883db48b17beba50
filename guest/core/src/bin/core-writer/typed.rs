//! What is typed, and waiting for that and for time without taking a core from the VMs.

use alloc::string::String;

use avisor_guest::timer::Timer;
use avisor_guest::{console, exception, gic, print, println};

/// Characters of a line.
const LONGEST: usize = 200;
const BACKSPACE: u8 = 8;
const DELETE: u8 = 0x7f;

/// Has what is typed end a wait.
pub fn start() {
    gic::enable();
    gic::enable_cpu();
    gic::enable_interrupt(console::INTID);
    console::set_interrupts(console::RECEIVE);
}

/// The next line, which is shown as it is typed.
pub fn line() -> String {
    let mut line = String::new();
    loop {
        // The interrupt is level-sensitive, and ends when the last character was read: nobody takes it.
        let Some(byte) = console::receive() else {
            exception::wait_for_interrupt();
            continue;
        };
        match byte {
            b'\r' | b'\n' => {
                println!();
                return line;
            }
            BACKSPACE | DELETE if line.pop().is_some() => print!("\u{8} \u{8}"),
            b' '..=b'~' if line.len() < LONGEST => {
                line.push(byte.into());
                print!("{}", char::from(byte));
            }
            _ => {}
        }
    }
}

/// Waits until the virtual counter is there.
pub fn wait_until(count: u64) {
    gic::enable();
    gic::enable_cpu();
    gic::enable_interrupt(Timer::Virtual.intid());
    Timer::Virtual.start(count);
    while Timer::Virtual.count() < count {
        exception::wait_for_interrupt();
    }
    Timer::Virtual.stop();
}
