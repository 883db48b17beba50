//! Two VMs with this program share a window. The keeper takes a snapshot, goes back and resets itself; its peer stores meanwhile, and what it has
//! stored must be there afterwards. They take turns by the first word of the window. The keeper has a window of its own, too, by which each
//! knows which of the two it is.

#![no_std]
#![no_main]
// Addresses that fault are what is tried at the edges of windows.
#![allow(unsafe_code)]

mod edges;

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use avisor_guest::psci::{self, SYSTEM_RESET};
use avisor_guest::window::Window;
use avisor_guest::{Checkpoint, Shared, checkpoint, entry, mmu, power_off, println, restore_with};

/// Whose turn it is, and what for. What is stored into the window in a turn is a pattern with the number of that turn.
#[derive(Clone, Copy)]
#[repr(u64)]
enum Turn {
    /// The keeper, which has just started for the first time.
    Start,
    /// The peer, after the keeper's checkpoint.
    Checkpointed,
    /// The keeper, which goes back.
    Back,
    /// The peer, after the restore.
    Restored,
    /// The keeper, which resets itself.
    Reset,
    /// The peer, which is at its end.
    End,
}

/// How often the keeper was at this line since its image was loaded.
static ROUNDS: Shared<u64> = Shared::new(0);

entry!(main);

fn main(device_tree: usize) -> ! {
    mmu::enable();
    let find = |name| Window::find(device_tree, name);
    let shared = find("shared").expect("both have it");
    assert_eq!(find("share"), None);
    let words = shared.words();
    match find("own") {
        Some(own) => keeper(shared, own),
        None => peer(words),
    }
}

fn keeper(shared: Window, own: Window) -> ! {
    let words = shared.words();
    if words[0].load(Acquire) == Turn::Reset as u64 {
        // The second start.
        let kept = holds(words, Turn::Restored);
        println!(
            "windows: after a reset: as the peer left it: {kept}, RAM is new: {}",
            ROUNDS.get() == 0
        );
        let own_kept = own.words().iter().all(|word| word.load(Relaxed) == 2);
        println!("windows: the own one: as it was before the reset: {own_kept}");
        turn(words, Turn::End);
        power_off()
    }
    let zero = |window: Window| window.words().iter().all(|word| word.load(Relaxed) == 0);
    println!(
        "windows: {} and {} KiB, zero: {}",
        shared.size() >> 10,
        own.size() >> 10,
        zero(shared) && zero(own)
    );
    for window in [shared, own] {
        println!("windows: edges: {}", edges::check(window));
    }
    ROUNDS.set(1);
    match checkpoint() {
        Ok(Checkpoint::Taken(id)) => {
            fill(words, Turn::Start);
            own.words().iter().for_each(|word| word.store(1, Relaxed));
            ROUNDS.set(2);
            turn(words, Turn::Checkpointed);
            wait(words, Turn::Back);
            let stored = holds(words, Turn::Checkpointed);
            println!("windows: the peer's stores are there: {stored}");
            own.words().iter().for_each(|word| word.store(2, Relaxed));
            let error = restore_with(id, 7);
            println!("windows: no way back: {error}");
        }
        Ok(Checkpoint::Restored { value, .. }) => {
            let kept = holds(words, Turn::Checkpointed);
            let own_kept = own.words().iter().all(|word| word.load(Relaxed) == 2);
            let back = value == 7 && ROUNDS.get() == 1;
            println!(
                "windows: after a restore: as the peer left it: {kept}, the own one too: {own_kept}, RAM is back: {back}"
            );
            turn(words, Turn::Restored);
            wait(words, Turn::Reset);
            ROUNDS.set(3);
            let error = psci::call(SYSTEM_RESET, [0; 3]);
            println!("windows: SYSTEM_RESET returned {error}");
        }
        Err(error) => println!("windows: no checkpoint: {error}"),
    }
    power_off()
}

fn peer(words: &[AtomicU64]) -> ! {
    for (before, own, next) in [
        (Turn::Start, Turn::Checkpointed, Turn::Back),
        (Turn::Checkpointed, Turn::Restored, Turn::Reset),
    ] {
        wait(words, own);
        assert!(holds(words, before), "what the keeper left is not there");
        fill(words, own);
        turn(words, next);
    }
    wait(words, Turn::End);
    power_off()
}

/// Gives the turn away, with all that was stored before.
fn turn(words: &[AtomicU64], next: Turn) {
    words[0].store(next as u64, Release);
}

/// Waits for a turn.
fn wait(words: &[AtomicU64], own: Turn) {
    while words[0].load(Acquire) != own as u64 {
        core::hint::spin_loop();
    }
}

/// What the word `index` holds that was stored in a turn.
fn pattern(turn: Turn, index: usize) -> u64 {
    (turn as u64 + 1) << 32 | index as u64
}

fn fill(words: &[AtomicU64], turn: Turn) {
    for (index, word) in words.iter().enumerate().skip(1) {
        word.store(pattern(turn, index), Relaxed);
    }
}

fn holds(words: &[AtomicU64], turn: Turn) -> bool {
    let mut words = words.iter().enumerate().skip(1);
    words.all(|(index, word)| word.load(Relaxed) == pattern(turn, index))
}
