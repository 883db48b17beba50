//! Memory at a checkpoint and after a restore: all over RAM, under two addresses, as code, and with the MMU switched.
//!
//! Each test goes back twice. The second time shows that what was written after the first restore did not reach the
//! snapshot.

use core::arch::asm;

use avisor_guest::Shared;
use avisor_guest::image_end;
use avisor_guest::snapshot::{self, Checkpoint};

use crate::fault::ram_end;
use crate::mmu::{self, Access};
use avisor_guest::check::{Outcome, equal, equal_at, holds};
use avisor_guest::random::pattern;

const PAGE: usize = 4096;

#[repr(C, align(4096))]
#[derive(Clone)]
struct Page([u32; PAGE / 4]);

static SHARED_PAGE: Shared<Page> = Shared::new(Page([0; PAGE / 4]));

fn load(address: usize) -> u64 {
    let value;
    // SAFETY: reads RAM.
    unsafe { asm!("ldr {}, [{}]", out(reg) value, in(reg) address, options(nostack)) }
    value
}

fn store(address: usize, value: u64) {
    // SAFETY: the callers give addresses in RAM behind the image, or in a page of theirs.
    unsafe { asm!("str {}, [{}]", in(reg) value, in(reg) address, options(nostack)) }
}

/// The words that stand for all of RAM: the first, one in the middle, and the last of every seventh page, so that each
/// position within a 2 MiB block and within a node of any size has its turn.
fn words() -> impl Iterator<Item = usize> {
    (image_end()..ram_end())
        .step_by(7 * PAGE)
        .flat_map(|page| [page, page + 0x7f8, page + PAGE - 8])
}

fn fill(seed: u64, step: usize) {
    words()
        .step_by(step)
        .for_each(|word| store(word, pattern(seed + word as u64)));
}

fn check(seed: u64, step: usize) -> Outcome {
    words().step_by(step).try_for_each(|word| {
        let want = pattern(seed + word as u64);
        equal_at("the word at address ", word, want, load(word))
    })
}

/// Makes cache and memory agree: the next test may run with the MMU off, the last one did.
fn flush() {
    for word in words() {
        // SAFETY: cleans and invalidates a line of RAM; no content changes.
        unsafe { asm!("dc civac, {}", in(reg) word, options(nostack)) }
    }
    // SAFETY: waits for that.
    unsafe { asm!("dsb sy", options(nostack)) }
}

/// Patterns all over RAM.
pub fn pages() -> Outcome {
    flush();
    fill(1, 1);
    let outcome = match snapshot::checkpoint()? {
        Checkpoint::Taken(id) => {
            check(1, 1)?;
            fill(2, 1);
            check(2, 1)?;
            return Err(snapshot::restore_with(id, 1).into());
        }
        Checkpoint::Restored { id, value: 1 } => {
            check(1, 1)?;
            // Some pages only, by other steps.
            fill(3, 5);
            check(3, 5)?;
            return Err(snapshot::restore_with(id, 2).into());
        }
        Checkpoint::Restored { .. } => check(1, 1),
    };
    flush();
    outcome
}

/// A page written at one address, and read at others.
pub fn aliases() -> Outcome {
    let page = SHARED_PAGE.address();
    let first = mmu::map(4, page, Access::Data);
    let second = mmu::map(5, page, Access::Data);
    let check_all = |want| {
        equal("at its own address", want, load(page))?;
        equal("at its first alias", want, load(first))?;
        equal("at its second alias", want, load(second))
    };
    store(first, 0xa);
    match snapshot::checkpoint()? {
        Checkpoint::Taken(id) => {
            check_all(0xa)?;
            store(second, 0xb);
            check_all(0xb)?;
            Err(snapshot::restore_with(id, 1).into())
        }
        Checkpoint::Restored { id, value: 1 } => {
            check_all(0xa)?;
            store(page, 0xc);
            check_all(0xc)?;
            Err(snapshot::restore_with(id, 2).into())
        }
        Checkpoint::Restored { .. } => check_all(0xa),
    }
}

/// Writes a function that returns `number`.
fn write_code(number: u32) {
    let at = SHARED_PAGE.address();
    let mut page = SHARED_PAGE.get();
    // mov w0, #number; ret
    page.0[0] = 0x5280_0000 | number << 5;
    page.0[1] = 0xd65f_03c0;
    SHARED_PAGE.set(page);
    // SAFETY: what a program does that has written code (Arm ARM B2.4.4); both words are in one line.
    unsafe {
        asm!("dc cvau, {0}", "dsb ish", "ic ivau, {0}", "dsb ish", "isb", in(reg) at, options(nostack));
    }
}

fn run_code() -> u64 {
    let number: u64;
    // SAFETY: the page holds the function that `write_code` wrote, which uses x0 and returns.
    unsafe {
        asm!("blr {}", in(reg) SHARED_PAGE.address(), out("x0") number, out("x30") _, options(nostack))
    }
    number
}

/// Code that has run, was overwritten and run again: the first must run again.
pub fn code() -> Outcome {
    write_code(1);
    equal("the code before the checkpoint", 1, run_code())?;
    match snapshot::checkpoint()? {
        Checkpoint::Taken(id) => {
            write_code(2);
            equal("the code that overwrote it", 2, run_code())?;
            Err(snapshot::restore_with(id, 1).into())
        }
        Checkpoint::Restored { id, value: 1 } => {
            equal("the code after the restore", 1, run_code())?;
            write_code(3);
            equal("the code that overwrote it again", 3, run_code())?;
            Err(snapshot::restore_with(id, 2).into())
        }
        Checkpoint::Restored { .. } => equal("the code after the second restore", 1, run_code()),
    }
}

/// A store-exclusive must not succeed across a restore, whoever held the monitor.
pub fn exclusive_monitor() -> Outcome {
    let page = SHARED_PAGE.address();
    store(page, 0x11);
    let before = snapshot::generation()?;
    let failed: u64;
    // SAFETY: the page is the test's own.
    unsafe {
        asm!(
            "ldxr {1}, [{2}]",
            "hvc #1",
            "stxr {0:w}, {3}, [{2}]",
            out(reg) failed, out(reg) _, in(reg) page, in(reg) 0x22_u64, options(nostack),
        );
    }
    equal("the status of STXR", 1, failed & 0xffff_ffff)?;
    equal("the memory that STXR must not change", 0x11, load(page))?;
    if snapshot::generation()? == before {
        // SAFETY: as above. The monitor is held when the restore comes.
        unsafe {
            asm!("ldxr {0}, [{1}]", "hvc #2", out(reg) _, in(reg) page, in("x0") -1_i64, options(nostack));
        }
        return holds(false, "the restore was refused");
    }
    Ok(())
}

/// A checkpoint with the MMU off, a restore with it on.
pub fn mmu_switched_on() -> Outcome {
    store(SHARED_PAGE.address(), 0x55);
    if let Checkpoint::Taken(id) = snapshot::checkpoint()? {
        mmu::enable();
        store(SHARED_PAGE.address(), 0x66);
        holds(mmu::is_on(), "the MMU cannot be switched on")?;
        return Err(snapshot::restore_with(id, 1).into());
    }
    holds(!mmu::is_on(), "the MMU is still on")?;
    equal("memory", 0x55, load(SHARED_PAGE.address()))
}

/// The other way round.
pub fn mmu_switched_off() -> Outcome {
    let alias = mmu::map(4, SHARED_PAGE.address(), Access::Data);
    store(alias, 0x77);
    if let Checkpoint::Taken(id) = snapshot::checkpoint()? {
        mmu::disable();
        store(SHARED_PAGE.address(), 0x88);
        holds(!mmu::is_on(), "the MMU cannot be switched off")?;
        return Err(snapshot::restore_with(id, 1).into());
    }
    holds(mmu::is_on(), "the MMU is still off")?;
    equal("memory at an alias", 0x77, load(alias))
}
