//! What stops the target, and what does not.

use super::session::{
    BREAKPOINT, BRK, Code, MASKED, TARGET, WATCHPOINT, at, known, lands, prepare, read, runs_to,
    says, steps_to, stops,
};
use avisor_guest::Error;
use avisor_guest::check::{Outcome, equal, holds};
use avisor_guest::control::{HARDWARE, Stop, Watch, brk as brk_of};

pub fn refused() -> Outcome {
    let refused = Err(Error::InvalidParameter);
    let comparators = TARGET.catch(0)?;
    let (breakpoints, watchpoints) = (comparators.breakpoints, comparators.watchpoints);
    holds(
        (2..=16).contains(&breakpoints) && (2..=16).contains(&watchpoints),
        "every CPU has at least two of each",
    )?;
    holds(TARGET.catch(4).err() == refused.err(), "no such bit")?;
    let there = at(Code::Plain);
    holds(
        TARGET.set_breakpoint(breakpoints, there) == refused,
        "too many",
    )?;
    TARGET.set_breakpoint(breakpoints - 1, there)?;
    TARGET.clear_breakpoint(breakpoints - 1)?;
    holds(TARGET.set_breakpoint(0, there + 2) == refused, "unaligned")?;
    holds(TARGET.set_breakpoint(0, 1 << 60) == refused, "no address")?;
    let watch = |n, at, bytes| TARGET.set_watchpoint(n, Watch::Both, at, bytes);
    holds(watch(watchpoints, 0, 8) == refused, "too many")?;
    holds(watch(0, 4, 8) == refused, "two doublewords")?;
    holds(watch(0, 0, 24) == refused, "no power of two")?;
    holds(watch(0, 8, 16) == refused, "not aligned")?;
    holds(watch(0, 0, 1 << 32) == refused, "more than 2 GiB")?;
    holds(
        TARGET.step(2, None) == Err(Error::InvalidParameter),
        "it has two CPUs",
    )
}

pub fn breakpoint() -> Outcome {
    let there = at(Code::Plain) + 8;
    // Set, but not caught.
    prepare(Code::Plain, |_| ())?;
    TARGET.set_breakpoint(1, there)?;
    lands(42, 0)?;
    prepare(Code::Plain, |_| ())?;
    TARGET.catch(HARDWARE)?;
    equal("x0", 42, runs_to(BREAKPOINT, there)?.x[0])?;
    equal("the store has not happened", 0, read(known().word)?)?;
    // As often as it is run.
    runs_to(BREAKPOINT, there)?;
    // A step is not kept where it is by the breakpoint that is there.
    steps_to(there + 4)?;
    equal("the store", 42, read(known().word)?)?;
    lands(42, 0)?;
    TARGET.clear_breakpoint(1)?;
    prepare(Code::Plain, |_| ())?;
    TARGET.catch(HARDWARE)?;
    lands(42, 0)
}

pub fn watchpoints() -> Outcome {
    let (word, store) = (known().word, at(Code::Plain) + 8);
    for (watch, at, bytes, stop) in [
        (Watch::Stores, word, 8, store),
        (Watch::Stores, word + 1, 1, store),
        (Watch::Both, word, 4096, store),
        (Watch::Loads, word, 4, store + 4),
    ] {
        prepare(Code::Plain, |_| ())?;
        TARGET.catch(HARDWARE)?;
        TARGET.set_watchpoint(0, watch, at, bytes)?;
        let (esr, far) = stops(TARGET.run(None)?, WATCHPOINT)?;
        let is_store = esr >> 6 & 1 != 0;
        equal("WnR", u64::from(stop == store), is_store.into())?;
        holds(far >> 3 == word >> 3, "another address")?;
        equal("pc", stop, TARGET.registers(None, 0)?.pc)?;
        if stop == store {
            equal("before the store", 0, read(word)?)?;
        }
        // It is there as long as it is set, for a step too.
        stops(TARGET.step(0, None)?, WATCHPOINT)?;
        TARGET.clear_watchpoint(0)?;
        steps_to(stop + 4)?;
        lands(42, 0)?;
    }
    prepare(Code::Plain, |_| ())?;
    TARGET.catch(HARDWARE)?;
    TARGET.set_watchpoint(0, Watch::Both, word + 8, 8)?;
    lands(42, 0)?;
    // The most that there is: all of its RAM.
    prepare(Code::Plain, |registers| registers.pc = store)?;
    TARGET.catch(HARDWARE)?;
    TARGET.set_watchpoint(0, Watch::Both, 0, 1 << 31)?;
    stops(TARGET.step(0, None)?, WATCHPOINT)?;
    Ok(TARGET.clear_watchpoint(0)?)
}

pub fn brk() -> Outcome {
    let there = at(Code::Brks);
    // All are its own.
    prepare(Code::Brks, |_| ())?;
    lands(41, 3)?;
    prepare(Code::Brks, |_| ())?;
    TARGET.catch(brk_of(0x1234))?;
    for _ in 0..2 {
        let (esr, _) = stops(TARGET.run(None)?, BRK)?;
        equal("immediate", 0x1234, esr & 0xffff)?;
        equal("pc", there, TARGET.registers(None, 0)?.pc)?;
    }
    // Behind it: the other is its own, and so is SVC.
    let mut registers = TARGET.registers(None, 0)?;
    registers.pc += 4;
    TARGET.set_registers(0, &registers)?;
    lands(41, 2)?;
    prepare(Code::Brks, |_| ())?;
    TARGET.catch(HARDWARE)?;
    lands(41, 3)
}

/// A breakpoint of the target's, with all that it needs.
pub fn own() -> Outcome {
    prepare(Code::Own, |_| ())?;
    lands(1, 100)?;
    // It sets it, and it does not act.
    prepare(Code::Own, |_| ())?;
    TARGET.catch(HARDWARE)?;
    lands(1, 0)?;
    // Until nobody catches anything.
    let plain = at(Code::Plain);
    prepare(Code::Own, |_| ())?;
    TARGET.catch(HARDWARE)?;
    TARGET.set_breakpoint(0, plain + 4)?;
    runs_to(BREAKPOINT, plain + 4)?;
    let mut registers = TARGET.registers(None, 0)?;
    registers.pc = plain;
    registers.pstate &= !MASKED;
    TARGET.set_registers(0, &registers)?;
    TARGET.clear_breakpoint(0)?;
    TARGET.catch(0)?;
    lands(1, 100)
}

/// Masks, locks and registers of the target's do not keep it from being stopped.
pub fn fights() -> Outcome {
    let plain = at(Code::Plain);
    prepare(Code::Fights, |_| ())?;
    TARGET.catch(HARDWARE | brk_of(1))?;
    TARGET.set_breakpoint(0, plain + 4)?;
    TARGET.set_watchpoint(1, Watch::Stores, known().word, 8)?;
    let registers = runs_to(BREAKPOINT, plain + 4)?;
    equal("all is masked", MASKED, registers.pstate & MASKED)?;
    TARGET.clear_breakpoint(0)?;
    runs_to(WATCHPOINT, plain + 8)?;
    TARGET.clear_watchpoint(1)?;
    steps_to(plain + 12)?;
    lands(1, 0)
}

/// What is caught is in no snapshot, and a restore does not change it.
pub fn snapshots() -> Outcome {
    let there = at(Code::Plain) + 8;
    prepare(Code::Plain, |_| ())?;
    let nothing = TARGET.checkpoint()?;
    TARGET.catch(HARDWARE)?;
    TARGET.set_breakpoint(0, there)?;
    let hardware = TARGET.checkpoint()?;
    for snapshot in [nothing, hardware] {
        TARGET.restore(snapshot)?;
        TARGET.catch(HARDWARE)?;
        runs_to(BREAKPOINT, there)?;
        TARGET.restore(snapshot)?;
        runs_to(BREAKPOINT, there)?;
        TARGET.restore(snapshot)?;
        TARGET.catch(0)?;
        lands(42, 0)?;
        TARGET.delete(snapshot)?;
    }
    Ok(TARGET.clear_breakpoint(0)?)
}

/// What is caught stays when the target begins anew.
pub fn reset() -> Outcome {
    prepare(Code::Resets, |_| ())?;
    TARGET.catch(HARDWARE)?;
    TARGET.set_breakpoint(0, known().main)?;
    holds(TARGET.run(None)? == Stop::Reset, "it should reset")?;
    runs_to(BREAKPOINT, known().main)?;
    TARGET.catch(0)?;
    TARGET.clear_breakpoint(0)?;
    says(TARGET.run(None)?, 100).map(drop)
}
