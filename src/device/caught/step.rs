//! One instruction that a vCPU executes by itself for its VM's controller, and what becomes meanwhile of a guest that steps itself.
//!
//! The CPU has one state machine of software step (Arm ARM DDI 0487, D2.12, "Software Step exceptions"): PSTATE.SS together with MDSCR_EL1.SS. The
//! controller has it for that instruction. What the guest's own would have come to follows from where the instruction began and where it led:
//!
//! | the instruction | the guest's PSTATE.SS | SPSR_EL1.SS |
//! | --- | --- | --- |
//! | was not executed | as before | |
//! | was executed | 0: the guest's step exception is pending, if it steps itself | |
//! | took an exception to EL1 in its place (`AArch64.TakeException`) | 0 | PSTATE.SS as before |
//! | was an ERET into what the guest steps (`DebugExceptionReturnSS`) | SPSR_EL1.SS | |
//! | was that, and an interrupt came before the next one | 0 | SPSR_EL1.SS as before |
//!
//! If the guest's own step exception is pending already, it comes in place of the instruction. Whether an interrupt comes before a step exception, the
//! architecture leaves open. QEMU ends a stepped ERET with the step exception at once, so that the last row is tried on the host only.

use crate::arch::vcpu::{ExceptionReturn, Registers};
use crate::device::debug::DebugState;

/// PSTATE.SS, and SPSR_EL1.SS.
pub const SS: u64 = 1 << 21;
/// Bytes of the vectors of an exception level, and of one of them.
const VECTORS: u64 = 0x800;
const VECTOR: u64 = 0x80;

/// An instruction that a vCPU executes by itself. Plain data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Where it begins.
    pc: u64,
    /// PSTATE before, with SS as the guest's own state machine has it.
    pstate: u64,
    /// What an ERET would take.
    back: ExceptionReturn,
    /// The guest's own step exception is pending, and comes in its place.
    pub is_guests: bool,
    /// Somebody replaced the vCPU's registers meanwhile: it counts as executed, and `pc` and `pstate` are what they were replaced by.
    is_replaced: bool,
}

impl Step {
    /// The next instruction of a vCPU with these registers. Its PSTATE.SS becomes what the CPU is to have.
    ///
    /// - `own`: the guest's debug registers;
    /// - `back`: what an ERET would take;
    /// - `acts`: nothing is caught, so that the guest's own step acts.
    pub fn begin(
        own: &DebugState,
        registers: &mut Registers,
        back: ExceptionReturn,
        acts: bool,
    ) -> Self {
        let step = Self {
            pc: registers.pc,
            pstate: guests(own, registers.pstate),
            back,
            is_guests: acts && own.steps_itself(registers.pstate) && registers.pstate & SS == 0,
            is_replaced: false,
        };
        match step.is_guests {
            // The exception that the CPU takes at once is passed on.
            true => registers.pstate &= !SS,
            false => registers.pstate |= SS,
        }
        step
    }

    /// The vCPU's registers are replaced by these. Nothing is executed any more for it.
    pub fn replace(&mut self, own: &DebugState, registers: &mut Registers) {
        self.pc = registers.pc;
        self.pstate = guests(own, registers.pstate);
        self.is_guests = false;
        self.is_replaced = true;
        registers.pstate &= !SS;
    }

    /// Gives a vCPU's registers PSTATE.SS as the guest has it, and returns its SPSR_EL1.
    pub fn hide(&self, own: &DebugState, registers: &mut Registers, now: ExceptionReturn) -> u64 {
        let (before, after) = (self.pstate, registers.pstate);
        let mut spsr = now.spsr;
        let ss = if after & SS != 0 {
            before & SS
        } else if is_vector(registers.pc, now) && now.elr == self.pc {
            spsr = spsr & !SS | before & SS;
            0
        } else if self.is_replaced {
            before & SS
        } else if is_vector(registers.pc, now) && self.was_return(own, now) {
            spsr = spsr & !SS | self.back.spsr & SS;
            0
        } else if !own.steps_itself(before)
            && own.steps_itself(after)
            && (el(after) < el(before) || registers.pc == now.elr)
        {
            spsr & SS
        } else {
            0
        };
        registers.pstate = after & !SS | ss;
        spsr
    }

    /// Whether an interrupt saved what an ERET of this instruction's came to, into what the guest steps.
    fn was_return(&self, own: &DebugState, now: ExceptionReturn) -> bool {
        (now.elr, now.spsr & !SS) == (self.back.elr, self.back.spsr & !SS)
            && !own.steps_itself(self.pstate)
            && own.steps_itself(now.spsr)
    }
}

/// Whether `pc` is one of the guest's vectors.
fn is_vector(pc: u64, now: ExceptionReturn) -> bool {
    let offset = pc.wrapping_sub(now.vbar & !(VECTORS - 1));
    offset < VECTORS && offset.is_multiple_of(VECTOR)
}

/// PSTATE as the guest has it: without its step, SS is 0 in the CPU (`DebugExceptionReturnSS`), whatever it is in memory.
fn guests(own: &DebugState, pstate: u64) -> u64 {
    match own.steps_itself(pstate) {
        true => pstate,
        false => pstate & !SS,
    }
}

/// PSTATE.EL, of AArch32 too: there it is EL0.
fn el(pstate: u64) -> u64 {
    pstate >> 2 & 3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trap::sysreg::DebugRegister::*;

    const AT: u64 = 0x5000;
    const VBAR: u64 = 0x8000;
    const EL0: u64 = 0;
    const EL1_MASKED: u64 = 0x3c5;
    const EL1: u64 = 0x1c5;
    /// MDSCR_EL1: SS, KDE.
    const STEPS: u64 = 1;
    const IN_KERNEL: u64 = 1 << 13;
    const NOWHERE: ExceptionReturn = ExceptionReturn {
        elr: 8,
        spsr: 0,
        vbar: VBAR,
    };

    fn own(mdscr: u64) -> DebugState {
        let mut own = DebugState::RESET;
        own.write(OsLockAccess, 0);
        own.write(Mdscr, mdscr);
        own
    }

    fn registers(pc: u64, pstate: u64) -> Registers {
        Registers {
            pstate,
            ..Registers::reset(pc, 0)
        }
    }

    /// An instruction that begins with `before`, and the CPU's state `after` it. Returns PSTATE.SS and SPSR_EL1.SS of the guest.
    fn hidden(mdscr: u64, before: u64, after: (u64, u64), elr: u64, spsr: u64) -> [bool; 2] {
        let vbar = VBAR;
        hidden_from(
            NOWHERE,
            mdscr,
            before,
            after,
            ExceptionReturn { elr, spsr, vbar },
        )
    }

    /// The same of one that found `back` in ELR_EL1 and SPSR_EL1, and left `now` there.
    fn hidden_from(
        back: ExceptionReturn,
        mdscr: u64,
        before: u64,
        (pc, after): (u64, u64),
        now: ExceptionReturn,
    ) -> [bool; 2] {
        let own = own(mdscr);
        let mut registers_now = registers(AT, before);
        let step = Step::begin(&own, &mut registers_now, back, true);
        assert_eq!(registers_now.pstate & SS != 0, !step.is_guests);
        let mut registers_now = registers(pc, after);
        let spsr = step.hide(&own, &mut registers_now, now);
        assert_eq!(registers_now.pstate & !SS, after & !SS);
        [registers_now.pstate & SS != 0, spsr & SS != 0]
    }

    #[test]
    fn one_that_was_not_executed_leaves_all_as_it_was() {
        for (mdscr, before, ss) in [
            (0, EL0, false),
            (0, EL0 | SS, false),
            (STEPS, EL0 | SS, true),
            (STEPS, EL1 | SS, false),
            (STEPS | IN_KERNEL, EL1 | SS, true),
            (STEPS | IN_KERNEL, EL1_MASKED | SS, false),
        ] {
            for spsr in [0, SS] {
                let hidden = hidden(mdscr, before, (AT, before | SS), AT, spsr);
                assert_eq!(hidden, [ss, spsr != 0], "{mdscr:#x} {before:#x}");
            }
        }
    }

    #[test]
    fn one_that_was_executed_is_so_for_the_guest_too() {
        for before in [EL0 | SS, EL1 | SS, EL1_MASKED] {
            let now = (AT + 4, before & !SS);
            for spsr in [0, SS] {
                let hidden = hidden(STEPS | IN_KERNEL, before, now, 0x1234, spsr);
                assert_eq!(hidden, [false, spsr != 0], "{before:#x}");
            }
        }
    }

    #[test]
    fn an_exception_in_its_place_saves_what_the_guest_had() {
        for (mdscr, before, had) in [
            (0, EL0, false),
            (0, EL1_MASKED | SS, false),
            (STEPS, EL0 | SS, true),
            (STEPS | IN_KERNEL, EL1 | SS, true),
            (STEPS | IN_KERNEL, EL1_MASKED, false),
        ] {
            // The CPU saved SS as the controller has it.
            let taken = hidden(mdscr, before, (VBAR + 0x280, EL1_MASKED), AT, before | SS);
            assert_eq!(taken, [false, had], "{mdscr:#x} {before:#x}");
        }
        // SVC: it was executed. The others are no exceptions of this instruction.
        for (pc, elr) in [(VBAR + 0x200, AT + 4), (VBAR + 0x204, AT), (AT + 4, AT)] {
            let kept = hidden(STEPS, EL0 | SS, (pc, EL1_MASKED), elr, EL0);
            assert_eq!(kept, [false, false], "{pc:#x}");
            let kept = hidden(STEPS, EL0 | SS, (pc, EL1_MASKED), elr, EL0 | SS);
            assert_eq!(kept, [false, true], "{pc:#x}");
        }
    }

    #[test]
    fn an_eret_into_what_the_guest_steps_brings_ss_along() {
        for spsr in [0, SS] {
            let ss = spsr != 0;
            let to_el0 = (0x100, EL0);
            assert_eq!(
                hidden(STEPS, EL1_MASKED, to_el0, 0x100, spsr),
                [ss, ss],
                "the CPU has 0 then: with the controller's step EL1 is stepped, too"
            );
            let to_el1 = (0x100, EL1);
            let kernel = STEPS | IN_KERNEL;
            assert_eq!(hidden(kernel, EL1_MASKED, to_el1, 0x100, spsr), [ss, ss]);
            // It does not step itself there; it did where it came from; MSR DAIFClr.
            assert_eq!(hidden(0, EL1_MASKED, to_el0, 0x100, spsr), [false, ss]);
            assert_eq!(hidden(STEPS, EL1_MASKED, to_el1, 0x100, spsr), [false, ss]);
            assert_eq!(hidden(kernel, EL1 | SS, to_el0, 0x100, spsr), [false, ss]);
            let unmasked = (AT + 4, EL1);
            assert_eq!(hidden(kernel, EL1_MASKED, unmasked, 1, spsr), [false, ss]);
        }
    }

    #[test]
    fn an_interrupt_behind_an_eret_saves_the_ss_that_came_along() {
        for spsr in [0, SS] {
            let back = ExceptionReturn {
                elr: 0x100,
                spsr: EL0 | spsr,
                vbar: VBAR,
            };
            // The ERET consumed it, as EL1 is stepped with the controller's step.
            let now = ExceptionReturn { spsr: EL0, ..back };
            let taken =
                |mdscr, before| hidden_from(back, mdscr, before, (VBAR + 0x480, EL1_MASKED), now);
            assert_eq!(taken(STEPS, EL1_MASKED), [false, spsr != 0]);
            assert_eq!(
                taken(0, EL1_MASKED),
                [false, false],
                "it does not step itself"
            );
        }
    }

    #[test]
    fn a_pending_exception_of_the_guests_comes_first() {
        for (mdscr, pstate, acts, is_guests) in [
            (STEPS, EL0, true, true),
            (STEPS, EL0, false, false),
            (STEPS, EL0 | SS, true, false),
            (STEPS, EL1, true, false),
            (STEPS | IN_KERNEL, EL1, true, true),
            (0, EL0, true, false),
        ] {
            let mut now = registers(AT, pstate);
            let step = Step::begin(&own(mdscr), &mut now, NOWHERE, acts);
            assert_eq!(step.is_guests, is_guests, "{mdscr:#x} {pstate:#x}");
            assert_eq!(now.pstate & SS == 0, is_guests, "the CPU takes it at once");
        }
    }

    /// A guest that steps itself, whose registers were replaced by others at 0x100 with this SS.
    fn replaced(ss: u64) -> (DebugState, Step, Registers) {
        let own = own(STEPS);
        let mut now = registers(AT, EL0);
        let mut step = Step::begin(&own, &mut now, NOWHERE, true);
        now = registers(0x100, EL0 | ss);
        step.replace(&own, &mut now);
        (own, step, now)
    }

    #[test]
    fn an_interrupt_behind_a_replacement_saves_their_ss() {
        for ss in [0, SS] {
            let (own, step, _) = replaced(ss);
            let mut now = registers(VBAR + 0x480, EL1_MASKED);
            let taken = ExceptionReturn {
                elr: 0x100,
                spsr: EL0,
                vbar: VBAR,
            };
            assert_eq!(step.hide(&own, &mut now, taken), EL0 | ss);
            assert_eq!(now.pstate & SS, 0);
        }
    }

    #[test]
    fn registers_that_were_replaced_keep_their_ss() {
        for ss in [0, SS] {
            let (own, step, mut now) = replaced(ss);
            assert!(
                now.pstate & SS == 0 && !step.is_guests,
                "it is told at once"
            );
            let vbar = VBAR;
            let back = ExceptionReturn {
                elr: AT,
                spsr: SS,
                vbar,
            };
            assert_eq!(step.hide(&own, &mut now, back), SS);
            assert_eq!(now.pstate & SS, ss);
        }
    }
}
