//! The target's program, and a CPU that executes it: what each instruction does, and the state machine of software step on the way.

use super::*;

/// The CPU takes an exception to EL1.
pub(super) fn takes(core: &mut FakeCore, registers: &mut Registers, class: u64, back: u64) {
    let is_el0 = registers.pstate & 0xf == 0;
    core.system.elr = back;
    core.system.spsr = registers.pstate;
    core.system.esr = class << 26 | 1 << 25;
    registers.pc = VBAR + if is_el0 { 0x400 } else { 0x200 };
    registers.pstate = HANDLER;
}

/// `AArch64.ExceptionReturn`, with `DebugExceptionReturnSS`: with debug exceptions to EL2 they are enabled at EL1.
pub(super) fn returns(core: &FakeCore, registers: &mut Registers) {
    let (spsr, from) = (core.system.spsr, registers.pstate);
    let debug = &core.debug;
    let keeps = !debug.is_caught() && debug.steps_itself(spsr) && !debug.steps_itself(from);
    registers.pc = core.system.elr;
    registers.pstate = spsr & !SS | if keeps { spsr & SS } else { 0 };
}

/// The CPU executes an instruction of the target's. Says also whether that may trap to EL2: if nothing is caught, or always.
pub(super) fn execute(core: &mut FakeCore, registers: &mut Registers) -> (Option<Trap>, bool) {
    let pc = registers.pc;
    let in_handler = pc.wrapping_sub(VBAR) < 0x800;
    let number = match in_handler {
        true => 100 + pc % 0x80 / 4,
        false => (pc - TEXT) / 4,
    };
    match number {
        // SVC is executed, and takes the exception then.
        2 => {
            registers.pstate &= !SS;
            takes(core, registers, 0x15, pc + 4);
            return (None, false);
        }
        // A store to the UART.
        4 => {
            let store = Abort {
                access: Some(WORD),
                ..Abort::store(UART_BASE.0 + 0x24)
            };
            return (Some(store.trap()), true);
        }
        // BRK.
        6 if core.debug.is_caught() => return (Some(sync(BRK, 9)), true),
        6 => {
            takes(core, registers, BRK, pc);
            return (None, true);
        }
        // A store to nowhere.
        8 => return (Some(Abort::store(HOLE).trap()), true),
        // B.
        11 => registers.pc = TEXT,
        // The handler: goes on behind a BRK or an abort, and steps on.
        101 => {
            match core.system.esr >> 26 {
                0x15 => {}
                0x32 | 0x33 => core.system.spsr |= SS,
                _ => core.system.elr += 4,
            }
            registers.pc += 4;
        }
        102 => {
            returns(core, registers);
            return (None, false);
        }
        _ => registers.pc += 4,
    }
    registers.pstate &= !SS;
    (None, false)
}
