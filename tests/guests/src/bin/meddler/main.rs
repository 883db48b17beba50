//! A controller that means harm, or knows no better: calls with arguments that make sense or do not, while its target, which may be `hostile`, does what
//! it does. Whatever the calls answer, none of it may reach further than these two; `witness` looks.

#![no_std]
#![no_main]
// Its own debug registers are assembly.
#![allow(unsafe_code)]

mod calls;
mod own;
mod running;

use core::sync::atomic::Ordering::Release;

use avisor_guest::control::{State, Target};
use avisor_guest::random::Random;
use avisor_guest::smccc::NOT_SUPPORTED;
use avisor_guest::window::Window;
use avisor_guest::{Id, entry, mmu, power_off, println};

use calls::{Answers, Meddler};

const SEED: u64 = 0x6d65_6464_6c65;
const CALLS: u64 = 60_000;
/// Calls between two lines on the console.
const REPORT: u64 = 10_000;
/// Calls between two looks at its own debug registers.
const LOOK: u64 = 250;

entry!(main);

fn main(device_tree: usize) -> ! {
    mmu::enable();
    println!("meddler: seed {SEED:#x}");
    own::set();
    running::prepare();
    let mut meddler = Meddler::new();
    let mut refused = 0_u64;
    for number in 0..CALLS {
        let mut random = Random::numbered(SEED, number);
        if meddler.one(&mut random) == NOT_SUPPORTED {
            refused += 1;
        }
        // It ends itself, or is put where it never does anything: from the beginning, then.
        if matches!(
            Target(0).status().map(|status| status.state),
            Ok(State::Off)
        ) {
            let oldest = Target(0).next(Id(0));
            let restored = oldest.and_then(|id| Target(0).restore(id));
            if restored.is_err() {
                println!("meddler: the target is off for good");
                break;
            }
        }
        if number.is_multiple_of(LOOK)
            && let Err(register) = own::check()
        {
            println!("meddler: call {number}: {register} has changed");
            break;
        }
        if (number + 1).is_multiple_of(REPORT) {
            println!("meddler: {} calls", number + 1);
        }
    }
    let Answers {
        events,
        resets,
        offs,
        debugs,
        steps,
        limits,
        interrupts,
    } = meddler.answers;
    println!(
        "meddler: {events} events, {resets} resets, {offs} ends, {debugs} debug exceptions, {steps} steps, {limits} limits, {interrupts} times it ran on"
    );
    let all = [events, resets, offs, debugs, steps, limits, interrupts];
    println!(
        "meddler: all kinds of answers: {}",
        all.iter().all(|&n| n > 0)
    );
    println!("meddler: done, {refused} were no calls");
    if let Some(window) = Window::find(device_tree, "over") {
        window.words()[0].store(1, Release);
    }
    power_off()
}
