//! What lies around a window, and what may not be done in it.

use core::arch::asm;
use core::sync::atomic::Ordering::Relaxed;

use avisor_guest::exception::{self, Frame};
use avisor_guest::memory::PAGE;
use avisor_guest::window::Window;
use avisor_guest::{Shared, mmio};

/// ESR_EL1.EC: an instruction abort at EL1, a data abort.
const INSTRUCTION_ABORT: u64 = 0x21;
const DATA_ABORT: u64 = 0x25;
/// Fault status: synchronous external abort.
const EXTERNAL: u64 = 0x10;

/// Class and fault status of the exception that was taken.
static CAUGHT: Shared<Option<(u64, u64)>> = Shared::new(None);

fn record(frame: &mut Frame) {
    CAUGHT.set(Some((frame.class(), frame.esr & 0x3f)));
    match frame.class() {
        // Back to the caller.
        INSTRUCTION_ABORT => frame.elr = frame.x[30],
        _ => frame.skip(),
    }
}

/// Whether the attempt, with one instruction that may fault, ends in an external abort of this class.
fn aborts(class: u64, attempt: impl FnOnce()) -> bool {
    CAUGHT.set(None);
    exception::set_handler(record);
    attempt();
    exception::reset_handler();
    CAUGHT.get() == Some((class, EXTERNAL))
}

/// What is wrong at the edges of `window`; "right" if nothing is. Leaves zeroes in it.
pub fn check(window: Window) -> &'static str {
    let (start, end) = (window.address(), window.address() + window.size());
    let doorbell = window.doorbell();
    let behind = doorbell + PAGE;
    for outside in [start - 4, behind, behind + (1 << 20)] {
        // By assembly, which the compiler knows may change what the handler changes.
        let load = || {
            mmio::read32(outside);
        };
        // SAFETY: nothing is there.
        let store = || unsafe { mmio::write32(outside, 1) };
        if !aborts(DATA_ABORT, load) || !aborts(DATA_ABORT, store) {
            return "something is outside";
        }
    }
    // A pair, half of it in the window.
    let over = end - 8;
    // SAFETY: an instruction that faults, and is skipped.
    let pair =
        || unsafe { asm!("stp {0}, {0}, [{1}]", in(reg) !0_u64, in(reg) over, options(nostack)) };
    if !aborts(DATA_ABORT, pair) {
        return "a pair over the end is stored";
    }
    // SAFETY: as above; x30 is where the handler returns to.
    let fetch = || unsafe { asm!("blr {}", in(reg) start, out("x30") _, options(nostack)) };
    if !aborts(INSTRUCTION_ABORT, fetch) {
        return "it is executed";
    }
    window.ring(5);
    if mmio::read32(doorbell) != 0 || mmio::read32(doorbell + 0xffc) != 0 {
        return "the doorbell reads something";
    }
    let words = window.words();
    let zero = words.iter().all(|word| word.load(Relaxed) == 0);
    let (first, last) = (&words[0], &words[words.len() - 1]);
    let counts = first.fetch_add(3, Relaxed) == 0 && last.fetch_add(4, Relaxed) == 0;
    let reads = first.swap(0, Relaxed) == 3 && last.swap(0, Relaxed) == 4;
    match zero && counts && reads {
        true => "right",
        false => "the first or the last word is not there",
    }
}
