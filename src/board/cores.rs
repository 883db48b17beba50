//! The board's other cores: started in the order of the tree, behind PSCI or out of a spin table. Those that are not used sleep.

use core::sync::atomic::{AtomicUsize, Ordering};

use spin::{Once, RelaxStrategy};

use crate::arch::Relax;
use crate::arch::boot::image;
use crate::arch::boot::{self, Destination};
use crate::arch::percpu::{self, CORES_MAX};
use crate::arch::{cpu, firmware, timer};
use crate::board::tree::{Core, Start, Tree};

/// A core that does not answer for so many seconds does not come. An emulator on a busy machine may need some of them.
const PATIENCE: u64 = 5;

/// Where the start of each core stands: ABSENT -> CALLED -> HERE -> FIRST + number -> READY, or CALLED -> GIVEN_UP. The boot core writes CALLED,
/// GIVEN_UP and FIRST + number, the core itself HERE and READY.
static STAGES: [AtomicUsize; CORES_MAX] = [const { AtomicUsize::new(ABSENT) }; CORES_MAX];
const ABSENT: usize = 0;
const CALLED: usize = 1;
const HERE: usize = 2;
const GIVEN_UP: usize = 3;
const READY: usize = 4;
const FIRST: usize = 5;

static ENTRY: Once<CoreEntry> = Once::new();

/// What a core does that has come, with its number.
#[derive(Debug, Clone, Copy)]
pub struct CoreEntry {
    /// Before it is counted: from then on it can be kicked.
    pub set_up: fn(core: usize),
    /// From then on.
    pub run: fn(core: usize) -> !,
}

/// Starts the other cores: each goes through `entry` with its number, which counts the cores that came, in the order of the tree; the boot
/// core is 0 and does not go there. What is beyond [`CORES_MAX`] is left asleep, with one line that says so; so is a core that does not come, or comes
/// too late. Returns how many cores there are.
///
/// `entry` runs on a stack of its own, with MMU, caches and [`control::set_up`](crate::arch::vcpu::control::set_up) as on the boot core. All
/// cores that are counted have been through [`CoreEntry::set_up`] when this returns.
pub fn start(tree: &Tree, entry: CoreEntry) -> usize {
    ENTRY.call_once(|| entry);
    let this_core = cpu::affinity();
    let (mut slot, mut count, mut beyond) = (1, 1, 0);
    tree.each_core(|core| {
        if core.affinity == this_core {
            return;
        }
        if slot == CORES_MAX {
            beyond += 1;
            park(tree, core);
            return;
        }
        if start_core(tree, core, slot) && wait_online(slot) {
            let stage = &STAGES[slot];
            stage.store(FIRST + count, Ordering::Release);
            // What is left is short: it can be called from here on.
            while stage.load(Ordering::Acquire) != READY {
                Relax::relax();
            }
            count += 1;
        } else {
            log::warn!("core {:#x} does not start: it is not used", core.affinity);
        }
        // Not used again even if nobody came: it may be late.
        slot += 1;
    });
    if beyond > 0 {
        log::warn!("{beyond} cores are not used: {CORES_MAX} is the most");
    }
    count
}

/// Sends for `core`. `false` if it cannot come.
fn start_core(tree: &Tree, core: Core, slot: usize) -> bool {
    percpu::prepare(slot, core.affinity);
    STAGES[slot].store(CALLED, Ordering::Release);
    match core.start {
        Start::Psci => {
            tree.psci_method() == Some("smc")
                && firmware::psci_cpu_on(core.affinity, Destination::Secondary.entry())
        }
        Start::SpinTable(release) => release_core(tree, release, Destination::Secondary),
        Start::Unknown => false,
    }
}

/// The word that a core of a spin table waits for lies in reserved memory, outside the image (Devicetree Specification 0.4, 3.8.1).
fn release_core(tree: &Tree, release: u64, destination: Destination) -> bool {
    let word = release..release.saturating_add(8);
    let image = image::range();
    let outside = word.end <= image.start || image.end <= word.start;
    let tree_pages = image::tree_pages(tree.address());
    let in_tree = word.start < tree_pages.end && tree_pages.start < word.end;
    release.is_multiple_of(8)
        && outside
        && !in_tree
        && tree.is_reserved(word)
        && boot::release_core(release, destination).is_ok()
}

/// Waits for the core of `slot`. `false` if it has not come in time and will not be let in.
fn wait_online(slot: usize) -> bool {
    let end = timer::count() + PATIENCE * timer::frequency();
    while STAGES[slot].load(Ordering::Acquire) != HERE {
        if timer::count() >= end {
            let stage = &STAGES[slot];
            return stage
                .compare_exchange(CALLED, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire)
                .is_err();
        }
        Relax::relax();
    }
    true
}

/// A core has come in through the boot stub; it has the number of its slot so far.
pub fn enter() -> ! {
    let slot = percpu::number();
    let stage = &STAGES[slot];
    let came = stage.compare_exchange(CALLED, HERE, Ordering::AcqRel, Ordering::Acquire);
    let Some(entry) = ENTRY.get().filter(|_| came.is_ok()) else {
        firmware::halt();
    };
    loop {
        let stage = stage.load(Ordering::Acquire);
        if stage >= FIRST {
            let number = stage - FIRST;
            percpu::set_number(number);
            (entry.set_up)(number);
            STAGES[slot].store(READY, Ordering::Release);
            (entry.run)(number);
        }
        Relax::relax();
    }
}

/// A core that is not used sleeps in the image, and not in a busy loop of the firmware, in memory that is not ours. Behind PSCI it is off.
fn park(tree: &Tree, core: Core) {
    if let Start::SpinTable(release) = core.start
        && !release_core(tree, release, Destination::Park)
    {
        let number = core.affinity;
        log::warn!("core {number:#x}: its release address {release:#x} cannot be reached");
    }
}
