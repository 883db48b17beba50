//! What the debugger knows of its target, and has it do.

use avisor_guest::check::{Failure, Outcome, equal};
use avisor_guest::control::{Registers, Stop, Target};
use avisor_guest::{Id, Shared};

pub const TARGET: Target = Target(0);

/// PSTATE.SS.
pub const SS: u64 = 1 << 21;
/// PSTATE.{D, A, I, F}.
pub const MASKED: u64 = 0x3c0;
/// Places in [`Registers::el1`]: SPSR_EL1, CNTV_CVAL_EL0 and CNTV_CTL_EL0.
pub const SPSR: usize = 3;
pub const CVAL: usize = 21;
pub const TIMER: usize = 22;

/// ESR_EL2.EC.
pub const BREAKPOINT: u64 = 0x30;
pub const STEP: u64 = 0x32;
pub const WATCHPOINT: u64 = 0x34;
pub const BRK: u64 = 0x3c;

/// Where the target's code is: the same order as its `CODE`.
#[derive(Clone, Copy)]
pub enum Code {
    Plain,
    Exclusive,
    Traps,
    Brks,
    Own,
    Fights,
    Resets,
    Spins,
    Translates,
    StepsItself,
    StepsInterrupted,
}

/// What the target has said.
#[derive(Clone, Copy)]
pub struct Known {
    pub code: [u64; 11],
    pub vectors: u64,
    pub word: u64,
    pub count: u64,
    pub main: u64,
    /// Ready to be sent anywhere.
    pub ready: Id,
}

static KNOWN: Shared<Known> = Shared::new(Known {
    code: [0; 11],
    vectors: 0,
    word: 0,
    count: 0,
    main: 0,
    ready: Id(0),
});

pub fn known() -> Known {
    KNOWN.get()
}

/// Where code of the target's begins.
pub fn at(code: Code) -> u64 {
    known().code[code as usize]
}

/// A doubleword of the target's memory.
pub fn read(address: u64) -> Result<u64, Failure> {
    let mut bytes = [0; 8];
    TARGET.read(None, address, &mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// The target says `code`.
pub fn says(stop: Stop, code: u64) -> Result<(u64, u64), Failure> {
    match stop {
        Stop::Event { code: said, a, b } => equal("event", code, said).map(|()| (a, b)),
        stop => {
            avisor_guest::println!("debugger: {stop:x?}");
            Err(Failure::Says("no event"))
        }
    }
}

/// CPU 0 of the target stops with an exception of this class. Returns ESR_EL2 and the address of a watchpoint's access.
pub fn stops(stop: Stop, class: u64) -> Result<(u64, u64), Failure> {
    match stop {
        Stop::Debug { cpu: 0, esr, far } => equal("class", class, esr >> 26).map(|()| (esr, far)),
        stop => {
            avisor_guest::println!("debugger: {stop:x?}");
            Err(Failure::Says("no debug exception"))
        }
    }
}

/// Runs the target until it stops with an exception of this class, with its pc there.
pub fn runs_to(class: u64, pc: u64) -> Result<Registers, Failure> {
    stops(TARGET.run(None)?, class)?;
    is_at(pc)
}

/// One instruction of CPU 0, which then has its pc there.
pub fn steps_to(pc: u64) -> Result<Registers, Failure> {
    stops(TARGET.step(0, None)?, STEP)?;
    is_at(pc)
}

fn is_at(pc: u64) -> Result<Registers, Failure> {
    let registers = TARGET.registers(None, 0)?;
    equal("pc", pc, registers.pc)?;
    equal("PSTATE.SS", 0, registers.pstate & SS)?;
    equal("SPSR_EL1.SS", 0, registers.el1[SPSR] & SS)?;
    Ok(registers)
}

/// Takes the target back to where it is ready, with nothing caught, and CPU 0 about to execute that, x0 being 41. `change` may change more.
pub fn prepare(code: Code, change: impl FnOnce(&mut Registers)) -> Outcome {
    TARGET.catch(0)?;
    TARGET.restore(known().ready)?;
    let mut registers = TARGET.registers(None, 0)?;
    registers.pc = at(code);
    registers.x[..2].copy_from_slice(&[41, known().word]);
    change(&mut registers);
    Ok(TARGET.set_registers(0, &registers)?)
}

/// The target goes on to its landing, and says this of x0 and its exceptions.
pub fn lands(x0: u64, exceptions: u64) -> Outcome {
    let (a, b) = says(TARGET.run(None)?, 200)?;
    equal("x0", x0, a)?;
    equal("exceptions of its own", exceptions, b)
}

/// The target goes on to its landing, and says what it has in x0.
pub fn lands_with() -> Result<u64, Failure> {
    says(TARGET.run(None)?, 200).map(|(x0, _)| x0)
}

pub fn begin() -> Outcome {
    let mut known = known();
    let table;
    (table, known.vectors) = says(TARGET.run(None)?, 100)?;
    (known.word, known.count) = says(TARGET.run(None)?, 101)?;
    (known.main, _) = says(TARGET.run(None)?, 102)?;
    for (place, at) in known.code.iter_mut().zip((table..).step_by(8)) {
        *place = read(at)?;
    }
    known.ready = TARGET.checkpoint()?;
    KNOWN.set(known);
    Ok(())
}
