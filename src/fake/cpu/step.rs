//! The software step state machine, as far as EL2 sees it (Arm ARM DDI 0487, D2.12.3): whoever is in a guest that is stepped with PSTATE.SS = 0 takes the
//! exception before the next instruction.

use super::FakeCore;
use crate::arch::vcpu::{ExceptionState, Registers, Trap, TrapKind};
use crate::device::caught::VcpuDebug;
use crate::trap::inject::GuestException;
use crate::vm::Core;

/// PSTATE.SS.
const SS: u64 = 1 << 21;
/// MDSCR_EL1.SS.
const STEPS: u64 = 1 << 0;

/// The exception of a software step, taken to EL2.
pub const STEP: Trap = Trap {
    kind: TrapKind::Sync,
    esr: 0x32 << 26 | 1 << 25 | 0x22,
    far: 0,
    hpfar: 0,
};

/// An instruction is executed, HVC among them (`SSAdvance`).
pub fn executed(registers: &mut Registers) {
    registers.pc += 4;
    registers.pstate &= !SS;
}

impl FakeCore {
    /// The exception return to a guest with these registers (`DebugExceptionReturnSS`), and the exception that is pending then: if debug exceptions go to EL2,
    /// that comes there; or the guest takes it, and goes on at its vector.
    ///
    /// It synchronizes the context only behind that: of registers that were written since the last time, it may see either value.
    pub(super) fn enter_step_state(&mut self, registers: &mut Registers) -> Option<Trap> {
        let steps = |debug: &VcpuDebug| {
            debug.mdscr() & STEPS != 0
                && (debug.is_caught() || debug.steps_itself(registers.pstate))
        };
        let is_caught = self.debug.is_caught();
        let seen = core::mem::replace(&mut self.debug_seen, self.debug);
        let (sees, steps) = (steps(&seen), steps(&self.debug));
        if !sees || !steps {
            registers.pstate &= !SS;
        }
        if !steps || registers.pstate & SS != 0 {
            return None;
        }
        if is_caught {
            return Some(STEP);
        }
        let before = ExceptionState {
            pc: registers.pc,
            pstate: registers.pstate,
            ..self.exception_state()
        };
        let after = before.take(GuestException::SoftwareStep, self.pstate_features());
        [registers.pc, registers.pstate] = [after.pc, after.pstate];
        self.set_exception_state(&after);
        None
    }
}
