//! A VM: its machine, its snapshots, and the loop that runs it.
//!
//! The path of a trap: vectors -> [`Hardware::run`] returns a trap -> [`Exit::decode`] -> the match in [`Vm::handle`] -> a handler ->
//! [`Next`]. A handler that emulated an instruction steps over it, by [`step_over`](crate::trap::access::step_over) and nothing else.

mod calls;
mod faults;
mod hardware;
mod load;
mod machine;

#[cfg(test)]
mod tests;

pub use hardware::Hardware;
pub use load::{StartError, bookkeeping};
pub use machine::RAM_BASE;

use crate::addr::PAGE_SIZE;
use crate::arch::vcpu::{Trap, TrapKind};
use crate::config::VmPlan;
use crate::snapshot::Snapshots;
use crate::trap::access::{read_register, step_over, write_register};
use crate::trap::inject::{ExceptionState, GuestException, PstateFeatures};
use crate::trap::syndrome::{Esr, Exit, SysRegAccess};
use crate::trap::sysreg::{self, Answer};
use machine::GuestMachine;

/// Pages of the largest RAM: 15 GiB, so that some of the 16 GiB that frames have numbers for are left for snapshots.
const RAM_PAGES_MAX: u32 = 15 << 18;

/// What comes after a trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The vCPU goes on.
    Resume,
    /// The VM starts again from its image.
    Reset,
    /// The VM is off.
    Stop,
}

/// A VM.
pub struct Vm<H: Hardware> {
    plan: &'static VmPlan,
    machine: GuestMachine<H>,
    snapshots: Snapshots,
    pstate_features: PstateFeatures,
    /// An interrupt of the board came, and that was said.
    stray_interrupt: bool,
}

impl<H: Hardware> Vm<H> {
    /// Runs it until it is off.
    pub fn run(&mut self) -> Result<(), StartError> {
        loop {
            match self.step() {
                Next::Resume => {}
                Next::Reset => self.reset()?,
                Next::Stop => return Ok(()),
            }
        }
    }

    #[inline]
    fn step(&mut self) -> Next {
        let trap = self.machine.hardware.run(&mut self.machine.registers);
        self.handle(trap)
    }

    /// Everything that a guest can make happen at EL2.
    #[inline]
    fn handle(&mut self, trap: Trap) -> Next {
        let esr = Esr(trap.esr);
        match trap.kind {
            TrapKind::Sync => match Exit::decode(esr, trap.far, trap.hpfar) {
                Exit::Hvc { imm } => return self.call(imm),
                Exit::MemoryFault(fault) => return self.memory_fault(&fault, esr),
                Exit::Smc { imm } => {
                    self.step_over(esr);
                    return self.secure_call(imm);
                }
                // No interrupt reaches a guest yet, so none is worth waiting for: a wait is over at once, as it may always be.
                Exit::Wfx(_) => self.step_over(esr),
                Exit::SysReg(access) => self.system_register(access, esr),
                Exit::IllegalState => self.inject(GuestException::IllegalState),
                Exit::Unsupported { .. } => self.inject(GuestException::Undefined),
                Exit::SError { .. } => self.machine.hardware.pend_serror(),
            },
            TrapKind::SError => self.machine.hardware.pend_serror(),
            TrapKind::Irq | TrapKind::Fiq => self.stray_interrupt(),
        }
        Next::Resume
    }

    fn system_register(&mut self, access: SysRegAccess, esr: Esr) {
        let hardware = &mut self.machine.hardware;
        match sysreg::answer(access, |reg| hardware.id_register(reg)) {
            Answer::Value(value) => {
                write_register(&mut self.machine.registers.x, access.rt, value);
                self.step_over(esr);
            }
            Answer::Ignored => self.step_over(esr),
            Answer::Write(register) => {
                let value = read_register(&self.machine.registers.x, access.rt);
                self.machine.write_vm_register(register, value);
                self.step_over(esr);
            }
            // CNTHCTL_EL2 traps no timer yet.
            Answer::Timer(_) | Answer::Undefined => self.inject(GuestException::Undefined),
        }
    }

    fn step_over(&mut self, esr: Esr) {
        let registers = &mut self.machine.registers;
        step_over(
            &mut registers.pc,
            &mut registers.pstate,
            esr.instruction_length(),
        );
    }

    /// The vCPU takes an exception to its EL1.
    fn inject(&mut self, exception: GuestException) {
        let registers = &mut self.machine.registers;
        let before = ExceptionState {
            pc: registers.pc,
            pstate: registers.pstate,
            ..self.machine.hardware.exception_state()
        };
        let after = before.take(exception, self.pstate_features);
        [registers.pc, registers.pstate] = [after.pc, after.pstate];
        self.machine.hardware.set_exception_state(&after);
    }

    /// No interrupt of the board is enabled. One that comes all the same has nobody to go to; if it stays, the guest makes no progress,
    /// and this line says why.
    fn stray_interrupt(&mut self) {
        if !self.stray_interrupt {
            self.stray_interrupt = true;
            log::warn!(
                "{}: an interrupt of the board, which nobody takes",
                self.plan.name
            );
        }
    }

    /// The VM starts again from its image. Its snapshots stay.
    fn reset(&mut self) -> Result<(), StartError> {
        log::info!("{}: reset", self.plan.name);
        self.snapshots.reset(&mut self.machine);
        self.machine.reset();
        self.load()
    }

    fn memory_bytes(&self) -> u64 {
        u64::from(self.snapshots.pages()) * PAGE_SIZE
    }
}
