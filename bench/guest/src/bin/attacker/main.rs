//! Does one thing again and again that takes EL2's time, beside a `victim`: `avisor-bench --neighbours` says on the console which.

#![no_std]
#![no_main]
#![allow(unsafe_code)]

use core::arch::asm;

use avisor_guest::exception::wait_for_interrupt;
use avisor_guest::gic::{self, To};
use avisor_guest::snapshot::{self, Checkpoint, Id};
use avisor_guest::timer::{ENABLE, Timer};
use avisor_guest::{console, entry, image_end, mmio, mmu, println, psci};

mod control;
#[path = "../bench/line.rs"]
mod line;

/// Bytes of RAM, as `bench/configs/neighbours.toml` has it.
const RAM: usize = 512 << 20;
const RAM_END: usize = 0x4000_0000 + RAM;
const PAGE: usize = 4096;
/// Pages that are stored to where it need not be all.
const SOME: usize = 4096;

entry!(main);

fn main(_device_tree: usize) -> ! {
    mmu::enable();
    // A snapshot is there at the start only if this one has reset itself.
    if snapshot::next(Id(0)).is_ok() {
        reset();
    }
    println!("bench: waiting");
    let mut line = [0; 32];
    let attack = line::read(&mut line);
    let once: fn() = match attack {
        "spin" => spin,
        "info" => {
            store(usize::MAX);
            let _ = checkpoint();
            store(usize::MAX);
            info
        }
        "delete" => delete,
        "pools" => pools,
        "checkpoint" => checkpoint_everything,
        "restore" => restore_everything,
        "write back" => write_back,
        "reset" => {
            let _ = checkpoint();
            reset
        }
        "caches" => {
            store(usize::MAX);
            caches
        }
        "set/way" => {
            store(usize::MAX);
            set_way
        }
        "bad ids" => bad_ids,
        "console" => output,
        "SGIs" => {
            gic::enable();
            gic::enable_cpu();
            sgis
        }
        "timers" => {
            gic::enable();
            gic::enable_cpu();
            gic::enable_interrupt(Timer::Virtual.intid());
            timers
        }
        "WFI" => wfi,
        "WFE" => wfe,
        other if let Some(attack) = control::named(other) => attack,
        _ => {
            println!("bench: there is no attack \"{attack}\"");
            psci::power_off()
        }
    };
    println!("bench: begins");
    loop {
        once();
    }
}

fn spin() {
    core::hint::spin_loop();
}

/// Stores to so many pages behind the image, at most all.
fn store(pages: usize) {
    let first = image_end().next_multiple_of(PAGE);
    for page in (first..RAM_END).step_by(PAGE).take(pages) {
        // SAFETY: RAM behind the image, which nothing else uses.
        unsafe { (page as *mut u64).write_volatile(page as u64) };
    }
}

/// Its id, or why there is none.
fn checkpoint() -> Option<Id> {
    match snapshot::checkpoint() {
        Ok(Checkpoint::Taken(id)) => Some(id),
        _ => None,
    }
}

fn info() {
    if let Ok(id) = snapshot::next(Id(0)) {
        let _ = snapshot::info(id);
    }
}

fn delete() {
    store(SOME);
    if let Some(id) = checkpoint() {
        let _ = snapshot::delete(id);
    }
}

/// Memory is full soon, and the oldest pool goes at a store or a checkpoint.
fn pools() {
    store(SOME);
    let _ = checkpoint();
}

fn checkpoint_everything() {
    store(usize::MAX);
    let _ = checkpoint();
}

fn restore_everything() {
    match snapshot::checkpoint() {
        Ok(Checkpoint::Taken(id)) => {
            store(usize::MAX);
            snapshot::restore_with(id, 1);
        }
        Ok(Checkpoint::Restored { id, .. }) => {
            let _ = snapshot::delete(id);
        }
        Err(_) => {}
    }
}

/// Many of the same pages, and back to the same snapshot: they are written back in place from the third time on, the most that are.
fn write_back() {
    const MOST: usize = 1024;
    if let Ok(Checkpoint::Taken(id) | Checkpoint::Restored { id, .. }) = snapshot::checkpoint() {
        store(MOST);
        snapshot::restore_with(id, 1);
    }
}

fn reset() {
    store(usize::MAX);
    psci::call(psci::SYSTEM_RESET, [0; 3]);
}

/// The hypervisor looks for caches that are switched on once something was cleaned by set and way.
fn caches() {
    mmu::disable();
    set_way();
    mmu::enable();
}

fn set_way() {
    // SAFETY: cleans and invalidates a line, if any; the contents of memory stay.
    unsafe { asm!("dc cisw, xzr", options(nostack, preserves_flags)) };
}

fn bad_ids() {
    snapshot::restore_with(Id(1 << 40), 1);
}

fn output() {
    // SAFETY: the UART's data register.
    unsafe { mmio::write32(console::PL011, b'.'.into()) };
}

fn sgis() {
    gic::send(To::Myself, 1);
    gic::end(gic::acknowledge());
}

fn timers() {
    Timer::Virtual.set_left(100);
    Timer::Virtual.set_control(ENABLE);
    wait_for_interrupt();
}

/// Of which the first has an interrupt pending already.
fn wfi() {
    Timer::Virtual.set_left(-1);
    Timer::Virtual.set_control(ENABLE);
    wait_for_interrupt();
}

fn wfe() {
    // SAFETY: a hint.
    unsafe { asm!("wfe", options(nostack, nomem, preserves_flags)) };
}
