//! The one match over all that a guest can make happen.

use super::exit::ExitAction;
use super::loaded::LoadedVcpu;
use super::{Core, VmBackend, VmShared};
use crate::arch::vcpu::Trap;
use crate::trap::inject::GuestException;
use crate::trap::{Esr, Exit};

impl<B: VmBackend> LoadedVcpu<'_, B> {
    /// Handles a synchronous exception: everything that a guest can make happen at EL2 by what it executes.
    // The first two make the context themselves: as long as a trap needs a few registers only, nothing of it goes through memory.
    #[inline]
    pub(super) fn handle_exception(
        &mut self,
        shared: &mut VmShared<B>,
        core: &mut B::Core,
        trap: Trap,
    ) -> ExitAction {
        let esr = Esr(trap.esr);
        match Exit::decode(esr, trap.far, trap.hpfar) {
            Exit::MemoryFault(fault) => self.memory_fault(shared, core, fault),
            Exit::Hvc { imm } => self.hypercall(shared, core, imm),
            Exit::Smc { imm } => self.smc(shared, core, imm, esr),
            Exit::Wfx(wait) => self.context(shared, core).wait_instruction(wait, esr),
            Exit::SysReg(access) => self.context(shared, core).system_register(access, esr),
            Exit::IllegalState => self
                .context(shared, core)
                .refuse(GuestException::IllegalState),
            Exit::Debug => self.context(shared, core).debug_exception(esr, trap.far),
            Exit::Unsupported { .. } => {
                self.context(shared, core).refuse(GuestException::Undefined)
            }
            Exit::SError { .. } => {
                core.pend_serror();
                ExitAction::Resume
            }
        }
    }
}
