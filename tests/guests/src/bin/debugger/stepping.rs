//! RUN of one instruction.

use super::session::{
    BREAKPOINT, CVAL, Code, MASKED, SPSR, SS, STEP, TARGET, TIMER, at, known, lands, prepare, read,
    runs_to, says, steps_to, stops,
};
use avisor_guest::check::{Failure, Outcome, equal, holds};
use avisor_guest::control::{HARDWARE, Registers, Stop};

pub fn plain() -> Outcome {
    let there = at(Code::Plain);
    for what in [0, HARDWARE] {
        prepare(Code::Plain, |_| ())?;
        TARGET.catch(what)?;
        steps_to(there + 4)?;
        equal("x0", 42, steps_to(there + 8)?.x[0])?;
        equal("before the store", 0, read(known().word)?)?;
        steps_to(there + 12)?;
        equal("the store", 42, read(known().word)?)?;
        equal("the load", 42, steps_to(there + 16)?.x[2])?;
        // A snapshot between two steps is like any other.
        let between = TARGET.checkpoint()?;
        lands(42, 0)?;
        TARGET.restore(between)?;
        let landing = TARGET.registers(None, 0)?.pc;
        equal("it is back", there + 16, landing)?;
        stops(TARGET.step(0, None)?, STEP)?;
        lands(42, 0)?;
        TARGET.delete(between)?;
    }
    Ok(())
}

/// What EL2 executes in the target's place, tries again, or lets wait.
pub fn traps() -> Outcome {
    let there = at(Code::Traps);
    let untouched = 0x4060_0000;
    prepare(Code::Traps, |registers| {
        registers.x[4] = 0x0900_0000;
        registers.x[5] = untouched;
    })?;
    let id = steps_to(there + 4)?.x[0];
    holds(id != 41, "an identification register")?;
    equal("hvc #3", -1_i64 as u64, steps_to(there + 8)?.x[0])?;
    holds(
        steps_to(there + 12)?.x[0] & 1 << 4 != 0,
        "UARTFR: nothing received",
    )?;
    // WFI is told at once, whether it waits or not; the step behind it does not wait either.
    steps_to(there + 16)?;
    steps_to(there + 20)?;
    steps_to(there + 24)?;
    stops(TARGET.step(0, None)?, STEP)?;
    let (x0, exceptions) = says(TARGET.run(None)?, 200)?;
    equal("exceptions", 0, exceptions)?;
    equal("stored", x0, read(untouched)?)
}

/// Exceptions of the target's own, which are taken in place of the instruction, or behind it.
pub fn handlers() -> Outcome {
    let (there, vectors) = (at(Code::Brks), known().vectors);
    prepare(Code::Brks, |_| ())?;
    let registers = steps_to(vectors + 0x200)?;
    equal("ELR_EL1", there, registers.el1[2])?;
    lands(41, 3)?;
    // SVC.
    prepare(Code::Brks, |registers| registers.pc += 8)?;
    equal("ELR_EL1", there + 12, steps_to(vectors + 0x200)?.el1[2])?;
    lands(41, 1)?;
    // An interrupt that is due.
    let plain = at(Code::Plain);
    prepare(Code::Plain, |registers| {
        registers.pstate &= !MASKED;
        registers.el1[CVAL] = 0;
        registers.el1[TIMER] = 1;
    })?;
    let mut registers = TARGET.registers(None, 0)?;
    for _ in 0..4 {
        stops(TARGET.step(0, None)?, STEP)?;
        registers = TARGET.registers(None, 0)?;
        equal("SPSR_EL1.SS", 0, registers.el1[SPSR] & SS)?;
        if registers.pc >= vectors {
            break;
        }
    }
    equal("pc", vectors + 0x280, registers.pc)?;
    holds((plain..plain + 20).contains(&registers.el1[2]), "ELR_EL1")?;
    lands(42, 1_000_000)
}

pub fn others() -> Outcome {
    let (there, count) = (at(Code::Plain), known().count);
    prepare(Code::Plain, |_| ())?;
    let before = read(count)?;
    for _ in 0..200 {
        prepare(Code::Plain, |_| ())?;
        steps_to(there + 4)?;
        steps_to(there + 8)?;
        equal("the other CPU", before, read(count)?)?;
    }
    // And it is stepped itself.
    let pc = TARGET.registers(None, 1)?.pc;
    for _ in 0..50 {
        match TARGET.step(1, None)? {
            Stop::Debug { cpu: 1, esr, .. } => equal("class", STEP, esr >> 26)?,
            _ => holds(false, "no step")?,
        }
        equal("CPU 0", there + 8, TARGET.registers(None, 0)?.pc)?;
    }
    let now = TARGET.registers(None, 1)?.pc;
    holds(now.abs_diff(pc) < 64, "it is in its loop")?;
    lands(42, 0)?;
    prepare(Code::Spins, |_| ())?;
    // A machine with little time may not get to it at once.
    for _ in 0..100 {
        holds(
            TARGET.run(Some(50_000_000))? == Stop::Limit,
            "it says nothing",
        )?;
        if read(count)? > before {
            return Ok(());
        }
    }
    holds(false, "it goes on")
}

/// What is done to a target between two of its instructions.
#[derive(Clone, Copy)]
enum Between {
    Nothing,
    /// It is taken back to a snapshot that is taken then.
    Back,
    /// It runs for a moment.
    Runs,
    /// Its registers are set to what they are.
    Set,
}

/// A target that steps itself: each of its steps comes once, behind its instruction, whatever its controller does meanwhile.
pub fn of_its_own() -> Outcome {
    // An SVC, and six steps.
    let (x0, exceptions) = (44, 1 + (6 << 32));
    prepare(Code::StepsItself, |_| ())?;
    lands(x0, exceptions)?;
    for between in [Between::Nothing, Between::Back, Between::Runs, Between::Set] {
        prepare(Code::StepsItself, |_| ())?;
        let said = stepped(between, |_| ())?;
        equal("x0", x0, said.0)?;
        equal("its steps", exceptions, said.1)?;
    }
    Ok(())
}

/// The same with an interrupt that is due when it returns to what it steps: it comes before the first of these instructions.
pub fn interrupted() -> Outcome {
    let (x0, exceptions) = (44, 1_000_000 + 1 + (6 << 32));
    let due = |registers: &mut Registers| {
        registers.el1[CVAL] = 0;
        registers.el1[TIMER] = 1;
    };
    prepare(Code::StepsInterrupted, due)?;
    lands(x0, exceptions)?;
    let vector = known().vectors + 0x280;
    for between in [Between::Nothing, Between::Back, Between::Runs, Between::Set] {
        prepare(Code::StepsInterrupted, due)?;
        let mut taken = 0;
        let said = stepped(between, |registers| {
            if registers.pc == vector && registers.x[0] == 41 {
                taken += registers.el1[SPSR] & SS;
            }
        })?;
        equal("x0", x0, said.0)?;
        equal("its steps, and the interrupt", exceptions, said.1)?;
        if !matches!(between, Between::Runs) {
            equal("SPSR_EL1.SS at its vector", SS, taken)?;
        }
    }
    Ok(())
}

/// Has the target execute instruction by instruction, up to what it says at its landing, and shows its registers behind each.
fn stepped(between: Between, mut shows: impl FnMut(&Registers)) -> Result<(u64, u64), Failure> {
    let mut steps = 0_u64;
    loop {
        match TARGET.step(0, None)? {
            Stop::Debug { cpu: 0, esr, .. } => equal("class", STEP, esr >> 26)?,
            stop => {
                holds(steps > 20, "its handlers were stepped, too")?;
                return says(stop, 200);
            }
        }
        steps += 1;
        shows(&TARGET.registers(None, 0)?);
        match between {
            Between::Nothing => {}
            Between::Back => {
                let now = TARGET.checkpoint()?;
                TARGET.restore(now)?;
                TARGET.delete(now)?;
            }
            Between::Runs if steps.is_multiple_of(3) => match TARGET.run(Some(1))? {
                Stop::Limit => {}
                stop => return says(stop, 200),
            },
            Between::Runs => {}
            Between::Set => TARGET.set_registers(0, &TARGET.registers(None, 0)?)?,
        }
    }
}

/// A loop with exclusive accesses never ends under steps: a breakpoint behind it does.
pub fn exclusive() -> Outcome {
    let there = at(Code::Exclusive);
    prepare(Code::Exclusive, |_| ())?;
    TARGET.catch(HARDWARE)?;
    TARGET.set_breakpoint(0, there + 16)?;
    equal("counted", 1, runs_to(BREAKPOINT, there + 16)?.x[2])?;
    TARGET.clear_breakpoint(0)?;
    lands(1, 0)
}
