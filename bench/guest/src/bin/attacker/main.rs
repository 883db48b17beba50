//! Does one thing again and again that takes EL2's time, beside a `victim`: `avisor-bench --neighbours` says on the console which. It counts its rounds in
//! the window `rounds`, if it has one, where no restore and no reset takes them back. If it is refused what it asks for, it panics.

#![no_std]
#![no_main]
#![allow(unsafe_code)]

use core::arch::asm;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use avisor_guest::exception::wait_for_interrupt;
use avisor_guest::gic::{self, To};
use avisor_guest::snapshot::{self, Checkpoint, Id};
use avisor_guest::timer::{ENABLE, Timer};
use avisor_guest::window::Window;
use avisor_guest::{Error, console, entry, image_end, mmio, mmu, println, psci, smp};

mod control;
#[path = "../bench/line.rs"]
mod line;

/// Bytes of RAM, as `bench/configs/neighbours.toml` has it.
const RAM: usize = 512 << 20;
const RAM_END: usize = 0x4000_0000 + RAM;
const PAGE: usize = 4096;
/// Pages that are stored to where it need not be all.
const SOME: usize = 4096;

/// Where its CPUs count their rounds, a word each; null for nowhere.
static ROUNDS: AtomicPtr<AtomicU64> = AtomicPtr::new(ptr::null_mut());

entry!(main);

fn main(device_tree: usize) -> ! {
    mmu::enable();
    if let Some(window) = Window::find(device_tree, "rounds") {
        ROUNDS.store(window.words().as_ptr().cast_mut(), Ordering::Relaxed);
    }
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
            checkpoint();
            store(usize::MAX);
            info
        }
        "delete" => delete,
        "pools" => pools,
        "checkpoint" => checkpoint_everything,
        "restore" => restore_everything,
        "write back" => write_back,
        "reset" => {
            checkpoint();
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
            take_timers();
            || wait_for_timer(100)
        }
        "WFI" => {
            take_timers();
            || wait_for_timer(-1)
        }
        "WFE" => wfe,
        "stores" => {
            checkpoint_everything();
            || store(usize::MAX)
        }
        "stores until it is saved" => stores_until_saved,
        "spin of two" => {
            start_other(|_| repeat(spin));
            spin
        }
        "lock" => {
            take_lock_again_and_again();
            read_distributor
        }
        "lock for READ" => {
            take_lock_again_and_again();
            control::read_word
        }
        other => match control::named(other) {
            Some(attack) => attack,
            None => panic!("there is no attack \"{attack}\""),
        },
    };
    println!("bench: begins");
    repeat(once)
}

fn repeat(once: fn()) -> ! {
    loop {
        once();
        count();
    }
}

/// The second CPU does that.
fn start_other(main: fn(usize) -> !) {
    assert_eq!(smp::start(1, main), Ok(()));
}

/// One round more of this CPU.
fn count() {
    let rounds = ROUNDS.load(Ordering::Relaxed);
    if rounds.is_null() {
        return;
    }
    // SAFETY: what `main` stored: the words of a window, which are there for as long as the VM is.
    let rounds = unsafe { rounds.add(smp::this_cpu()).as_ref() };
    if let Some(rounds) = rounds {
        rounds.store(rounds.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

/// What is refused would measure nothing.
fn done<T>(result: Result<T, Error>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
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

/// The id of a snapshot that is taken.
fn checkpoint() -> Id {
    match done(snapshot::checkpoint()) {
        Checkpoint::Taken(id) | Checkpoint::Restored { id, .. } => id,
    }
}

fn info() {
    done(snapshot::info(done(snapshot::next(Id(0)))));
}

fn delete() {
    store(SOME);
    done(snapshot::delete(checkpoint()));
}

/// Memory is full soon, and the oldest pool goes at a store or a checkpoint.
fn pools() {
    store(SOME);
    checkpoint();
}

fn checkpoint_everything() {
    store(usize::MAX);
    checkpoint();
}

fn restore_everything() {
    match done(snapshot::checkpoint()) {
        Checkpoint::Taken(id) => {
            store(usize::MAX);
            panic!("{}", snapshot::restore_with(id, 1));
        }
        Checkpoint::Restored { id, .. } => done(snapshot::delete(id)),
    }
}

/// Many of the same pages, and back to the same snapshot: they are written back in place from the third time on, the most that are.
fn write_back() {
    const MOST: usize = 1024;
    let id = checkpoint();
    count();
    store(MOST);
    panic!("{}", snapshot::restore_with(id, 1));
}

fn reset() {
    store(usize::MAX);
    count();
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
    let refused = snapshot::restore_with(Id(1 << 40), 1);
    assert_eq!(refused, Error::NotFound);
}

fn output() {
    // SAFETY: the UART's data register.
    unsafe { mmio::write32(console::PL011, b'.'.into()) };
}

fn sgis() {
    gic::send(To::Myself, 1);
    gic::end(gic::acknowledge());
}

fn take_timers() {
    gic::enable();
    gic::enable_cpu();
    gic::enable_interrupt(Timer::Virtual.intid());
}

/// Until so many ticks are over; -1: the interrupt is there before the wait.
fn wait_for_timer(ticks: i32) {
    Timer::Virtual.set_left(ticks);
    Timer::Virtual.set_control(ENABLE);
    loop {
        wait_for_interrupt();
        let acknowledged = gic::acknowledge();
        if acknowledged != gic::SPURIOUS {
            Timer::Virtual.stop();
            return gic::end(acknowledged);
        }
    }
}

/// All pages, until there is a snapshot that was not there before, and that this one did not take.
fn stores_until_saved() {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let next = Id(NEXT.load(Ordering::Relaxed));
    loop {
        store(usize::MAX);
        if let Ok(Id(id)) = snapshot::next(next) {
            return NEXT.store(id + 1, Ordering::Relaxed);
        }
    }
}

/// The second CPU asks for INFO, which takes many pieces, each with the lock of what the VM's vCPUs share.
fn take_lock_again_and_again() {
    store(4 * SOME);
    checkpoint();
    store(4 * SOME);
    start_other(|_| repeat(info));
}

/// Needs the lock of what the VM's vCPUs share, and nothing else.
fn read_distributor() {
    gic::read(gic::distributor::TYPER);
}

fn wfe() {
    // SAFETY: a hint.
    unsafe { asm!("wfe", options(nostack, nomem, preserves_flags)) };
}
