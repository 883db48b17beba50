//! Cache maintenance by set and way, as boot loaders do it before they hand over; and caches that go off and on.

use core::arch::asm;

use avisor_guest::mmu;
use avisor_guest::snapshot::{self, Checkpoint};
use avisor_guest::{Shared, image_end};

use avisor_guest::check::{Outcome, equal_at, holds};
use avisor_guest::random::pattern;

const WORDS: usize = 512;

#[repr(C, align(4096))]
#[derive(Clone)]
struct Page([u64; WORDS]);

/// In the image, which [`mmu`] keeps in order when it switches the caches.
static PAGE: Shared<Page> = Shared::new(Page([0; WORDS]));

/// DC CISW, DC CSW and DC ISW. For a vCPU each is the first: what it does not own must not be lost.
#[derive(Clone, Copy)]
enum Operation {
    CleanInvalidate,
    Clean,
    Invalidate,
}

use Operation::{Clean, CleanInvalidate, Invalidate};

impl Operation {
    fn execute(self, set_way: u64) {
        // SAFETY: contents do not change: an invalidation cleans, too, under a hypervisor, and there are no caches under QEMU alone.
        unsafe {
            match self {
                CleanInvalidate => asm!("dc cisw, {}", in(reg) set_way, options(nostack)),
                Clean => asm!("dc csw, {}", in(reg) set_way, options(nostack)),
                Invalidate => asm!("dc isw, {}", in(reg) set_way, options(nostack)),
            }
        }
    }
}

macro_rules! read {
    ($register:literal) => {{
        let value: u64;
        // SAFETY: reads an identification register.
        unsafe { asm!(concat!("mrs {}, ", $register), out(reg) value, options(nostack)) }
        value
    }};
}

/// The operation for every line in the first `most` sets of every level of data cache up to the point of coherency (CLIDR_EL1, CCSIDR_EL1).
fn lines(operation: Operation, most: u64) {
    let clidr = read!("clidr_el1");
    for level in 0..clidr >> 24 & 7 {
        if clidr >> (3 * level) & 7 < 2 {
            continue;
        }
        // SAFETY: which cache CCSIDR_EL1 describes; and everything before is done.
        unsafe { asm!("dsb sy", "msr csselr_el1, {}", "isb", in(reg) level << 1, options(nostack)) }
        let ccsidr = read!("ccsidr_el1");
        let line = (ccsidr & 7) + 4;
        // ID_AA64MMFR2_EL1.CCIDX: the longer format.
        let (ways, sets) = match read!("id_aa64mmfr2_el1") >> 20 & 0xf {
            0 => (ccsidr >> 3 & 0x3ff, ccsidr >> 13 & 0x7fff),
            _ => (ccsidr >> 3 & 0x1f_ffff, ccsidr >> 32 & 0xff_ffff),
        };
        // The way is in the topmost bits of 31:0.
        let way_shift = (ways as u32).leading_zeros() % 32;
        for set in 0..=sets.min(most - 1) {
            for way in 0..=ways {
                operation.execute(way << way_shift | set << line | level << 1);
            }
        }
    }
    // SAFETY: waits for it.
    unsafe { asm!("dsb sy", "isb", options(nostack)) }
}

fn fill(seed: u64) {
    PAGE.set(Page(core::array::from_fn(|i| pattern(seed + i as u64))));
    // In RAM that is in no image, too, uncached or not: the last word below a 2 MiB boundary.
    behind().set(pattern(seed));
}

fn behind() -> Word {
    Word(image_end().next_multiple_of(2 << 20) - 8)
}

struct Word(usize);

impl Word {
    fn set(&self, value: u64) {
        // SAFETY: RAM that nothing else uses. As the caches may be off at the next access, memory and caches agree on it.
        unsafe {
            asm!("str {1}, [{0}]", "dc civac, {0}", "dsb sy", in(reg) self.0, in(reg) value, options(nostack));
        }
    }

    fn get(&self) -> u64 {
        let value;
        // SAFETY: as above.
        unsafe { asm!("ldr {0}, [{1}]", out(reg) value, in(reg) self.0, options(nostack)) }
        value
    }
}

fn check(seed: u64) -> Outcome {
    for (i, word) in PAGE.get().0.iter().enumerate() {
        equal_at("the word number ", i, pattern(seed + i as u64), *word)?;
    }
    equal_at(
        "the word at address ",
        behind().0,
        pattern(seed),
        behind().get(),
    )
}

/// The caches on and off twice, with a loop over their lines before each time; in between a checkpoint, with the caches off, to which it
/// goes back with the caches on; and data that is there every time.
pub fn off_and_on() -> Outcome {
    for operation in [Clean, CleanInvalidate, Invalidate] {
        fill(1);
        lines(operation, 1);
        check(1)?;
        mmu::enable();
        fill(2);
        // Under a hypervisor an invalidation by set and way loses nothing either: with stage 2 on it cleans (HCR_EL2.VM).
        lines(operation, u64::MAX);
        check(2)?;
        mmu::disable();
        check(2)?;
        fill(3);
        lines(operation, 1);
        let taken = snapshot::checkpoint()?;
        check(3)?;
        mmu::enable();
        check(3)?;
        if let Checkpoint::Taken(id) = taken {
            fill(4);
            lines(CleanInvalidate, 1);
            return Err(snapshot::restore_with(id, 1).into());
        }
        mmu::disable();
        check(3)?;
    }
    holds(!mmu::is_on(), "the MMU is still on")
}
