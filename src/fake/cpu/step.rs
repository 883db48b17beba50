//! The software step state machine, as far as EL2 sees it (Arm ARM DDI 0487, D2.12.3): with MDCR_EL2.TDE and MDSCR_EL1.SS set, whoever is in the guest
//! with PSTATE.SS = 0 takes the exception before the next instruction.

use super::FakeCore;
use crate::arch::vcpu::{Registers, Trap, TrapKind};

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
    /// The exception return to a guest with these registers (`DebugExceptionReturnSS`), and the exception that is pending then.
    pub(super) fn enter_step_state(&mut self, registers: &Registers) -> Option<Trap> {
        let is_pending = registers.pstate & SS == 0;
        (self.debug.is_caught() && self.debug.mdscr() & STEPS != 0 && is_pending).then_some(STEP)
    }
}
