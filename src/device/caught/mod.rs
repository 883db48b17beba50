//! What the controller of a VM has in place of a vCPU's debug registers: the calls CATCH and BREAKPOINT, and RUN of one instruction.
//!
//! While a controller catches anything, or has one instruction executed, debug exceptions go to EL2 (MDCR_EL2.TDE), and the guest's own registers
//! are put away: the guest reads and writes them as ever, a snapshot has them, and they do not act.
//!
//! | | MDCR_EL2.TDE | MDSCR_EL1 | comparators |
//! | --- | --- | --- | --- |
//! | nothing is caught | 0 | the guest's | the guest's |
//! | [`Catch::hardware`] | 1 | MDE | the controller's |
//! | BRK only | 1 | | none act |
//! | one instruction | 1 | SS; MDE, if hardware is caught | the controller's watchpoints |
//!
//! With EL2 as the target of debug exceptions they are enabled at EL1 and EL0 whatever PSTATE.D and MDSCR_EL1.KDE say, and not at EL2, as KDE is 0
//! (Arm ARM DDI 0487, D2.4, "Enabling debug exceptions"; `AArch64.GenerateDebugExceptionsFrom`). So no guest can mask them.

mod calls;
mod step;

pub use calls::{Catch, Comparator};

use super::debug::{COMPARATORS, DebugState, mdscr};
use crate::arch::vcpu::{ExceptionReturn, Registers};
use crate::trap::Esr;
use crate::trap::sysreg::DebugRegister;
use step::{SS, Step};

/// A vCPU's debug registers, and what its VM's controller has in their place. Plain data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VcpuDebug {
    /// The guest's.
    own: DebugState,
    catch: Catch,
    /// The vCPU executes one instruction.
    step: Option<Step>,
    breakpoints: ([u64; COMPARATORS], [u32; COMPARATORS]),
    watchpoints: ([u64; COMPARATORS], [u32; COMPARATORS]),
}

impl VcpuDebug {
    /// After a reset, with nothing caught.
    pub const RESET: Self = Self {
        own: DebugState::RESET,
        catch: Catch::NOTHING,
        step: None,
        breakpoints: ([0; COMPARATORS], [0; COMPARATORS]),
        watchpoints: ([0; COMPARATORS], [0; COMPARATORS]),
    };

    /// The vCPU is reset, and has these registers. What its VM's controller catches stays.
    pub fn reset(&mut self, registers: &mut Registers) {
        self.own.reset();
        self.replace(registers);
    }

    /// What the guest reads from a register.
    pub fn read(&self, register: DebugRegister) -> u64 {
        self.own.read(register)
    }

    /// The guest writes `value` to a register.
    pub fn write(&mut self, register: DebugRegister, value: u64) {
        self.own.write(register, value);
    }

    /// Copies the guest's registers into a snapshot. Returns whether anything is caught: then [`hide_step`](Self::hide_step) is for the vCPU's others.
    #[inline]
    pub fn save(&self, to: &mut DebugState) -> bool {
        self.own.copy_to(to)
    }

    /// Takes the guest's registers over from a snapshot. What its VM's controller catches stays; returns whether that is anything. Then
    /// [`replace`](Self::replace) is for the vCPU's other registers.
    #[inline]
    pub fn restore(&mut self, from: &DebugState) -> bool {
        from.restore_to(&mut self.own)
    }

    /// Whether the guest uses no comparator, and nothing is caught: nearly always.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.own.is_plain()
    }

    /// Whether debug exceptions go to EL2.
    pub fn is_caught(&self) -> bool {
        self.own.is_put_away()
    }

    /// The value of the core's MDSCR_EL1 while the vCPU runs, if [nothing is caught](Self::is_caught).
    #[inline]
    pub fn own_mdscr(&self) -> u64 {
        self.own.effective_mdscr()
    }

    /// The value of the core's MDSCR_EL1 while the vCPU runs.
    pub fn mdscr(&self) -> u64 {
        if !self.is_caught() {
            return self.own_mdscr();
        }
        let set = |bit: u32, condition: bool| if condition { u64::from(bit) } else { 0 };
        self.own.channel_traps()
            | set(mdscr::MDE, self.catch.hardware)
            | set(mdscr::SS, self.step.is_some())
    }

    /// DBGBVRn_EL1 and DBGBCRn_EL1 while the vCPU runs, for `n` from 0 to 15. Panics for others. One instruction that is executed by itself is not
    /// kept from it by the breakpoint that it has.
    pub fn breakpoint(&self, n: usize) -> (u64, u64) {
        match self.is_caught() {
            false => self.own.breakpoint(n),
            true if self.step.is_some() => (0, 0),
            true => (self.breakpoints.0[n], self.breakpoints.1[n].into()),
        }
    }

    /// DBGWVRn_EL1 and DBGWCRn_EL1 while the vCPU runs, for `n` from 0 to 15. Panics for others.
    pub fn watchpoint(&self, n: usize) -> (u64, u64) {
        match self.is_caught() {
            false => self.own.watchpoint(n),
            true => (self.watchpoints.0[n], self.watchpoints.1[n].into()),
        }
    }

    /// CATCH, of a vCPU with this PSTATE.
    pub fn catch(&mut self, what: Catch, pstate: &mut u64) {
        let was_caught = core::mem::replace(&mut self.catch, what) != Catch::NOTHING;
        self.update();
        if was_caught && !self.is_caught() {
            self.step_anew(pstate);
        }
    }

    /// The guest's own registers act again. While they did not, PSTATE.SS was 0 in the CPU, which would have its step exception come before an instruction was
    /// executed: it comes behind the next one.
    fn step_anew(&self, pstate: &mut u64) {
        if self.own.steps_itself(*pstate) {
            *pstate |= SS;
        }
    }

    /// BREAKPOINT.
    pub fn set_comparator(&mut self, comparator: Comparator) {
        let (registers, n, value, control) = match comparator {
            Comparator::Breakpoint(n, value, control) => (&mut self.breakpoints, n, value, control),
            Comparator::Watchpoint(n, value, control) => (&mut self.watchpoints, n, value, control),
        };
        (registers.0[n], registers.1[n]) = (value, control);
    }

    /// The controller has nothing to do with the vCPU any more, which has this PSTATE and executes no instruction by itself.
    pub fn release(&mut self, pstate: &mut u64) {
        let was_caught = self.is_caught();
        let mut own = self.own;
        own.put_away(false);
        *self = Self { own, ..Self::RESET };
        if was_caught {
            self.step_anew(pstate);
        }
    }

    /// The vCPU, which has these registers, is about to execute one instruction; an ERET would take `back`. The one before has
    /// [ended](Self::end_step).
    pub fn begin_step(&mut self, registers: &mut Registers, back: ExceptionReturn) {
        let acts = !self.is_caught();
        self.step = Some(Step::begin(&self.own, registers, back, acts));
        self.update();
    }

    /// It does not any more, whether the instruction was executed or not: its registers are as the guest has them, and SPSR_EL1 is what this returns.
    /// `None`: there was no such instruction.
    pub fn end_step(&mut self, registers: &mut Registers, now: ExceptionReturn) -> Option<u64> {
        let spsr = self.hide_step(registers, now);
        self.step = None;
        self.update();
        spsr
    }

    /// Takes out of a copy of the vCPU's registers what is there for the instruction that it is to execute by itself. Returns SPSR_EL1, if it is. If something
    /// is caught otherwise, a step of the guest's own [begins anew](Self::step_anew) from the copy.
    pub fn hide_step(&self, registers: &mut Registers, now: ExceptionReturn) -> Option<u64> {
        match &self.step {
            Some(step) => Some(step.hide(&self.own, registers, now)),
            None => {
                if self.is_caught() {
                    self.step_anew(&mut registers.pstate);
                }
                None
            }
        }
    }

    /// Whether the guest's own software step is active in this PSTATE, if its registers act.
    #[cfg(test)]
    pub fn steps_itself(&self, pstate: u64) -> bool {
        self.own.steps_itself(pstate)
    }

    /// Whether the exception of the guest's own software step comes in place of that instruction. Not if an interrupt of the guest's came before it, which
    /// has the CPU in `pstate` now: at its vector the guest's step is masked, and stays pending in what the exception saved.
    pub fn takes_own_step(&self, pstate: u64) -> bool {
        self.step.is_some_and(|step| step.is_guests) && self.own.steps_itself(pstate)
    }

    /// The vCPU's registers were replaced by these: nothing is executed any more for that instruction.
    #[cold]
    pub fn replace(&mut self, registers: &mut Registers) {
        if let Some(step) = &mut self.step {
            step.replace(&self.own, registers);
        }
    }

    /// Whether the BRK with this syndrome stops the VM.
    pub fn catches_brk(&self, esr: Esr) -> bool {
        esr.class() == Esr::EC_BRK64 && self.catch.brk == Some(esr.0 as u16)
    }

    fn update(&mut self) {
        let caught = self.catch != Catch::NOTHING || self.step.is_some();
        self.own.put_away(caught);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use DebugRegister::*;

    /// A guest with registers of its own, all in use.
    fn used() -> VcpuDebug {
        let mut debug = VcpuDebug::RESET;
        debug.write(OsLockAccess, 0);
        debug.write(Mdscr, 0xb001);
        debug.write(BreakpointValue(1), 0x1000);
        debug.write(BreakpointControl(1), 0x1e7);
        debug.write(WatchpointValue(2), 0x2000);
        debug.write(WatchpointControl(2), 0x1ff);
        debug
    }

    const BREAKPOINT: Comparator = Comparator::Breakpoint(0, 0x5000, 0x1e7);
    const WATCHPOINT: Comparator = Comparator::Watchpoint(3, 0x6000, 0x1fff);
    const HARDWARE: Catch = Catch {
        hardware: true,
        brk: None,
    };
    const NOWHERE: ExceptionReturn = ExceptionReturn {
        elr: 0,
        spsr: 0,
        vbar: 0,
    };

    /// A step of the guest's own that did not act goes on with an instruction, whether or not one was executed meanwhile.
    #[test]
    fn a_step_of_the_guests_begins_anew_when_nothing_is_caught_any_more() {
        const EL0: u64 = 0;
        for (mut debug, steps) in [(used(), true), (VcpuDebug::RESET, false)] {
            let mut pstate = EL0;
            debug.catch(HARDWARE, &mut pstate);
            assert_eq!(pstate, EL0);
            // So is it in a snapshot, which may be gone back to then.
            let mut copy = Registers::reset(0x1000, 0);
            copy.pstate = pstate;
            assert_eq!(debug.hide_step(&mut copy, NOWHERE), None);
            assert_eq!(copy.pstate & SS != 0, steps);
            debug.catch(Catch::NOTHING, &mut pstate);
            assert_eq!(debug.hide_step(&mut copy, NOWHERE), None);
            assert_eq!(copy.pstate & SS != 0, steps, "it acts");
            assert_eq!(pstate & SS != 0, steps);
            pstate = EL0;
            debug.catch(Catch::NOTHING, &mut pstate);
            assert_eq!(pstate, EL0, "it acted all the time");
            debug.release(&mut pstate);
            assert_eq!(pstate, EL0);
            debug.catch(HARDWARE, &mut pstate);
            debug.release(&mut pstate);
            assert_eq!(pstate & SS != 0, steps);
        }
    }

    #[test]
    fn a_controllers_registers_are_in_place_of_the_guests() {
        for mut debug in [VcpuDebug::RESET, used()] {
            let before = debug;
            debug.set_comparator(BREAKPOINT);
            debug.set_comparator(WATCHPOINT);
            assert_eq!(debug.is_plain(), before.is_plain(), "not caught yet");
            assert_eq!(debug.mdscr(), before.own_mdscr());
            debug.catch(HARDWARE, &mut 0);
            assert!(debug.is_caught() && !debug.is_plain());
            assert_eq!(debug.mdscr() & 0xa001, 0x8000, "MDE");
            assert_eq!(debug.breakpoint(0), (0x5000, 0x1e7));
            assert_eq!(debug.breakpoint(1), (0, 0), "the guest's own");
            assert_eq!(debug.watchpoint(3), (0x6000, 0x1fff));
            assert_eq!(debug.watchpoint(2), (0, 0));
            // The guest does not notice, whatever it does.
            assert_eq!(debug.read(Mdscr), before.read(Mdscr));
            assert_eq!(
                debug.read(BreakpointValue(1)),
                before.read(BreakpointValue(1))
            );
            assert_eq!(debug.read(BreakpointValue(0)), 0);
            debug.write(OsLockAccess, 1);
            debug.write(Mdscr, 0x2000);
            debug.write(BreakpointControl(0), 0);
            assert_eq!(debug.mdscr() & 0xa001, 0x8000);
            assert_eq!(debug.breakpoint(0), (0x5000, 0x1e7));
            debug.write(OsLockAccess, before.read(OsLockStatus) >> 1);
            debug.write(Mdscr, before.read(Mdscr));
            debug.catch(Catch::NOTHING, &mut 0);
            assert_eq!(debug.is_plain(), before.is_plain());
            assert_eq!(debug.mdscr(), before.own_mdscr());
            assert_eq!(debug.breakpoint(1), before.own.breakpoint(1));
            debug.release(&mut 0);
            assert_eq!(debug, before);
        }
    }

    #[test]
    fn what_a_snapshot_has_is_the_guests() {
        for mut debug in [VcpuDebug::RESET, used()] {
            let before = debug;
            let mut registers = Registers::reset(0x1000, 0);
            debug.catch(HARDWARE, &mut 0);
            debug.begin_step(&mut registers, NOWHERE);
            assert_ne!(registers.pstate & SS, 0);
            // A kept state has any bytes where there is nothing to keep.
            let mut kept = used().own;
            let mut copy = registers;
            assert!(debug.save(&mut kept));
            assert_eq!(debug.hide_step(&mut copy, NOWHERE), Some(0));
            assert_eq!(copy.pstate & SS, 0);
            let mut other = VcpuDebug::RESET;
            other.restore(&kept);
            assert_eq!(other, before, "as if nobody had caught anything");
            // And what is caught stays when a guest goes back.
            let mut later = debug;
            later.write(BreakpointValue(7), 0x7000);
            later.write(Mdscr, 0);
            later.restore(&kept);
            assert_eq!(later, debug);
            debug.reset(&mut registers);
            assert_eq!(
                registers.pstate & SS,
                0,
                "none of it is left to be executed"
            );
            assert!(debug.is_caught() && debug.own.breakpoint(1) == (0, 0));
            assert_eq!(debug.read(OsLockStatus), 0b1010);
        }
    }

    #[test]
    fn one_instruction_is_executed_without_breakpoints() {
        let mut debug = used();
        let mut registers = Registers::reset(0x5000, 0);
        debug.set_comparator(BREAKPOINT);
        debug.set_comparator(WATCHPOINT);
        debug.begin_step(&mut registers, NOWHERE);
        assert_eq!((debug.mdscr() & 0xa001, debug.is_caught()), (1, true));
        debug.catch(HARDWARE, &mut 0);
        assert_eq!(debug.mdscr() & 0xa001, 0x8001, "MDE, SS");
        assert_eq!(
            debug.breakpoint(0),
            (0, 0),
            "its own would keep it where it is"
        );
        assert_eq!(debug.watchpoint(3), (0x6000, 0x1fff));
        assert_eq!(debug.end_step(&mut registers, NOWHERE), Some(0));
        assert_eq!((registers.pstate & SS, debug.mdscr() & 1), (0, 0));
        assert_eq!(debug.breakpoint(0), (0x5000, 0x1e7));
        debug.catch(Catch::NOTHING, &mut 0);
        assert_eq!(debug.end_step(&mut registers, NOWHERE), None);
        assert!(!debug.is_caught());
    }

    #[test]
    fn a_brk_is_the_controllers_by_its_immediate() {
        let brk = |immediate: u64| Esr(0x3c << 26 | 1 << 25 | immediate);
        let mut debug = VcpuDebug::RESET;
        assert!(!debug.catches_brk(brk(0)));
        let brk_only = Catch {
            hardware: false,
            brk: Some(0x4242),
        };
        debug.catch(brk_only, &mut 0);
        assert!(debug.catches_brk(brk(0x4242)) && !debug.catches_brk(brk(0)));
        // BKPT of AArch32 is the guest's.
        assert!(!debug.catches_brk(Esr(0x38 << 26 | 0x4242)));
        assert_eq!(debug.mdscr() & 0xa001, 0);
    }
}
