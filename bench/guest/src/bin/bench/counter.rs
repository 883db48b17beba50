//! The cycle counter, which under `-icount shift=0` counts instructions, those of EL2 too, and otherwise nanoseconds; and what is
//! measured with it, each in one piece of assembly: nothing is stored in between but what the measurement is about, not even to
//! the stack.

use avisor_guest::RAM_START;
use avisor_guest::snapshot::{CHECKPOINT, DELETE, INFO, RESTORE};
use core::arch::asm;

const PAGE_BITS: u32 = 12;

/// Pages to dirty: `count` of those from `first` on, `pages` in all, in an order that scatters them.
#[derive(Clone, Copy)]
pub struct Pages {
    first: usize,
    pages: usize,
    step: usize,
    count: usize,
}

impl Pages {
    /// `count` of the `pages` pages from `first` on, as far from each other as can be: the golden section of them apart.
    pub fn scattered(first: usize, pages: usize, count: usize) -> Self {
        let mut step = pages * 618 / 1000;
        while gcd(step, pages) != 1 {
            step += 1;
        }
        Self {
            first,
            pages,
            step,
            count,
        }
    }

    /// `count` pages in a row.
    pub fn adjacent(first: usize, count: usize) -> Self {
        Self {
            first,
            pages: count,
            step: 1,
            count,
        }
    }

    /// Their numbers, counted from `first`.
    pub fn numbers(self) -> impl Iterator<Item = usize> {
        (0..self.count).map(move |i| i * self.step % self.pages)
    }

    fn base(self) -> usize {
        RAM_START + (self.first << PAGE_BITS)
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Reads the counter; what comes before it is complete.
macro_rules! now {
    ($to:literal) => {
        concat!("isb\n mrs ", $to, ", pmccntr_el0\n")
    };
}

/// Stores to each of the pages what is there already.
macro_rules! dirty {
    () => {
        "mov {left}, {count}
         mov {page}, xzr
      20: cbz {left}, 21f
         add {at}, {base}, {page}, lsl #12
         ldr {word}, [{at}]
         str {word}, [{at}]
         add {page}, {page}, {step}
         subs {at}, {page}, {pages}
         csel {page}, {at}, {page}, hs
         sub {left}, {left}, #1
         b 20b
      21:
        "
    };
}

/// Assembly that has `dirty!` in it, with the operands for that. SAFETY: it changes no memory, only the
/// registers that are named, and snapshots bring back all that it goes on with.
macro_rules! measured {
    ($of:expr, [$($text:expr),+ $(,)?], $($operands:tt)*) => {{
        let of: Pages = $of;
        // SAFETY: see above. A restore continues within the same piece of assembly.
        unsafe {
            asm!(
                $($text),+,
                base = in(reg) of.base(), pages = in(reg) of.pages, step = in(reg) of.step, count = in(reg) of.count,
                left = out(reg) _, page = out(reg) _, at = out(reg) _, word = out(reg) _,
                $($operands)*
                options(nostack)
            );
        }
    }};
}

/// At which levels the counter counts.
#[derive(Clone, Copy)]
pub enum Count {
    /// At all.
    All,
    /// Only the guest's kernel.
    El1,
    /// Only the hypervisor.
    El2,
}

/// Starts the counter, which counts everything.
pub fn enable() {
    // SAFETY: the performance monitors are this guest's: PMCNTENSET_EL0.C, PMCR_EL0.{E, C, LC}.
    unsafe {
        asm!(
            "msr pmcntenset_el0, {enable}",
            "msr pmcr_el0, {control}",
            "isb",
            enable = in(reg) 1_u64 << 31,
            control = in(reg) 1_u64 << 6 | 1 << 2 | 1,
            options(nostack)
        );
    }
    count(Count::All);
}

/// Has the counter count there.
pub fn count(at: Count) {
    // PMCCFILTR_EL0: not at EL1, not at EL0, at EL2.
    const P: u64 = 1 << 31;
    const U: u64 = 1 << 30;
    const NSH: u64 = 1 << 27;
    let filter = match at {
        Count::All => NSH,
        Count::El1 => U,
        Count::El2 => P | U | NSH,
    };
    // SAFETY: the performance monitors are this guest's.
    unsafe { asm!("msr pmccfiltr_el0, {}", "isb", in(reg) filter, options(nostack)) }
}

/// The counter now.
pub fn now() -> u64 {
    let count;
    // SAFETY: reads a register.
    unsafe { asm!(now!("{}"), out(reg) count, options(nostack)) };
    count
}

/// The system counter, which counts from the start of the machine on: 62.5 MHz.
pub fn system_ticks() -> u64 {
    let count;
    // SAFETY: reads a register.
    unsafe { asm!("isb", "mrs {}, cntpct_el0", out(reg) count, options(nostack)) };
    count
}

/// What reading the counter twice takes: it is in every measurement, and is subtracted there.
pub fn empty() -> u64 {
    let (start, end): (u64, u64);
    // SAFETY: reads registers.
    unsafe {
        asm!(now!("{start}"), now!("{end}"), start = out(reg) start, end = out(reg) end, options(nostack))
    };
    end - start
}

/// `hvc #0` with x0 and x1.
pub fn call(function: u64, argument: u64) -> u64 {
    let (start, end): (u64, u64);
    // SAFETY: a call that changes no memory of the program.
    unsafe {
        asm!(
            now!("{start}"), "hvc #0", now!("{end}"), start = out(reg) start, end = out(reg) end,
            inout("x0") function => _, inout("x1") argument => _, out("x2") _, out("x3") _, options(nostack)
        )
    };
    end - start - empty()
}

/// Freeing a snapshot.
pub fn delete(id: u64) -> u64 {
    call(DELETE, id)
}

/// Asking about a snapshot.
pub fn info(id: u64) -> u64 {
    call(INFO, id)
}

/// A 32-bit load.
pub fn load(address: usize) -> u64 {
    let (start, end): (u64, u64);
    // SAFETY: a device's register, or RAM.
    unsafe {
        asm!(
            now!("{start}"), "ldr {word:w}, [{address}]", now!("{end}"), start = out(reg) start, end = out(reg) end,
            word = out(reg) _, address = in(reg) address, options(nostack)
        )
    };
    end - start - empty()
}

/// A 32-bit store to a device's register: the counter before it and behind it.
pub fn store(address: usize, value: u32) -> (u64, u64) {
    let (start, end): (u64, u64);
    // SAFETY: a device's register.
    unsafe {
        asm!(
            now!("{start}"), "str {value:w}, [{address}]", now!("{end}"), start = out(reg) start, end = out(reg) end,
            value = in(reg) value, address = in(reg) address, options(nostack)
        )
    };
    (start, end)
}

/// The first store to each of the pages after a checkpoint; the loop around them is in it.
pub fn first_stores(of: Pages) -> u64 {
    let (start, end): (u64, u64);
    measured!(of, ["hvc #1", now!("{start}"), dirty!(), now!("{end}")],
        start = out(reg) start, end = out(reg) end,);
    end - start - empty()
}

/// Stores to each of the pages, which are dirty already: what the loop takes by itself.
pub fn loop_alone(of: Pages) -> u64 {
    let (start, end): (u64, u64);
    measured!(of, [dirty!(), now!("{start}"), dirty!(), now!("{end}")],
        start = out(reg) start, end = out(reg) end,);
    end - start - empty()
}

/// A checkpoint, these pages having been dirtied since the one before.
pub fn checkpoint(of: Pages) -> u64 {
    let (start, end): (u64, u64);
    measured!(of, ["hvc #1", dirty!(), now!("{start}"), "hvc #0", now!("{end}")],
        start = out(reg) start, end = out(reg) end,
        inout("x0") CHECKPOINT => _, out("x1") _, out("x2") _, out("x3") _,);
    end - start - empty()
}

/// A checkpoint, and by how much the word at `rounds`, which another CPU counts, grew meanwhile.
pub fn checkpoint_beside(rounds: *const u64) -> (u64, u64) {
    let (start, end, before, after): (u64, u64, u64, u64);
    // SAFETY: a call that changes no memory of the program.
    unsafe {
        asm!(
            "ldr {before}, [{rounds}]", now!("{start}"), "hvc #0", now!("{end}"), "ldr {after}, [{rounds}]",
            start = out(reg) start, end = out(reg) end, before = out(reg) before, after = out(reg) after,
            rounds = in(reg) rounds, inout("x0") CHECKPOINT => _, out("x1") _, out("x2") _, out("x3") _, options(nostack)
        )
    };
    (end - start - empty(), after - before)
}

/// A restore of the snapshot that the VM runs on, these pages having been dirtied since.
pub fn restore(of: Pages) -> u64 {
    restore_across(of, 0, true)
}

/// A restore of a snapshot after which `between` more were taken, these pages having been dirtied before each of them, and before the
/// restore if it is `dirty`.
pub fn restore_across(of: Pages, between: u64, dirty: bool) -> u64 {
    let (start, end): (u64, u64);
    measured!(of, [
        "hvc #0", now!("{end}"),
        "cbnz x1, 32f",
        "mov x1, x0",
        "cbz {rounds}, 31f",
        "30:", dirty!(),
        "hvc #1",
        "subs {rounds}, {rounds}, #1",
        "b.ne 30b",
        "31: cbz {dirty}, 33f", dirty!(),
        "33: mov x0, {restore}", now!("x2"), "hvc #0",
        // Only if it was refused.
        "brk #1",
        "32:"],
        end = out(reg) end, rounds = inout(reg) between => _, dirty = in(reg) u64::from(dirty), restore = in(reg) RESTORE,
        inout("x0") CHECKPOINT => _, out("x1") start, out("x2") _, out("x3") _,);
    end - start - empty()
}

/// The fuzzer's loop: back to the same snapshot again and again, the same pages dirtied in between. What round number `rounds` of
/// it takes beyond the guest's own loop.
pub fn fuzzer_round(of: Pages, rounds: u64) -> u64 {
    const ROUND_SHIFT: u32 = 56;
    let (last, end): (u64, u64);
    measured!(of, [
        "hvc #0", now!("{end}"),
        // What travels: the round, and the counter at its start, for which 56 bits are enough.
        "lsr x3, x1, #56",
        "cmp x3, {rounds}",
        "b.eq 30f",
        "add x3, x3, #1",
        "mov x1, x0",
        now!("x2"),
        "orr x2, x2, x3, lsl #56",
        dirty!(),
        "mov x0, {restore}", "hvc #0",
        // Only if it was refused.
        "brk #1",
        "30:"],
        end = out(reg) end, rounds = in(reg) rounds, restore = in(reg) RESTORE,
        inout("x0") CHECKPOINT => _, out("x1") last, out("x2") _, out("x3") _,);
    end - (last & (u64::MAX >> (64 - ROUND_SHIFT))) - empty() - loop_alone(of)
}

/// Dirties these pages and takes a checkpoint; its id, or below 0 if there was none.
pub fn dirty_and_checkpoint(of: Pages) -> i64 {
    let id: u64;
    measured!(of, [dirty!(), "hvc #0"],
        inout("x0") CHECKPOINT => id, out("x1") _, out("x2") _, out("x3") _,);
    id as i64
}

/// Dirties these pages and takes a checkpoint: what the longest of the stores took, and the checkpoint.
pub fn longest_store_and_checkpoint(of: Pages) -> (u64, u64) {
    let (longest, checkpoint): (u64, u64);
    // SAFETY: as in `measured!`.
    unsafe {
        asm!(
            "mov {longest}, xzr",
            "mov {left}, {count}",
            "mov {page}, xzr",
            "20: add {at}, {base}, {page}, lsl #12",
            now!("{start}"),
            "ldr {word}, [{at}]",
            "str {word}, [{at}]",
            now!("{word}"),
            "sub {word}, {word}, {start}",
            "cmp {word}, {longest}",
            "csel {longest}, {word}, {longest}, hi",
            "add {page}, {page}, {step}",
            "subs {at}, {page}, {pages}",
            "csel {page}, {at}, {page}, hs",
            "subs {left}, {left}, #1",
            "b.ne 20b",
            now!("{start}"),
            "hvc #1",
            now!("{word}"),
            "sub {start}, {word}, {start}",
            base = in(reg) of.base(), pages = in(reg) of.pages, step = in(reg) of.step, count = in(reg) of.count,
            left = out(reg) _, page = out(reg) _, at = out(reg) _, word = out(reg) _,
            start = out(reg) checkpoint, longest = out(reg) longest, options(nostack)
        )
    };
    (longest, checkpoint)
}
