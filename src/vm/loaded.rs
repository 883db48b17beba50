//! A vCPU on a core: loaded, run from trap to trap, and put.

use super::clock::NEVER;
use super::exit::{ExitAction, ExitContext};
use super::slot::VcpuSlot;
use super::vcpu::{RunState, Vcpu};
use super::{Core, System, VcpuIdentity, Vm, VmBackend, VmShared};
use crate::arch::MutexGuard;
use crate::arch::vcpu::{Trap, TrapKind};
use crate::device::caught::VcpuDebug;
use crate::device::gic::CpuInterface;
use crate::trap::Esr;
use crate::trap::access::step_back;
use core::hint::cold_path;

/// A vCPU that is loaded on a core. It holds the vCPU's lock.
pub struct LoadedVcpu<'a, B: VmBackend> {
    /// Its VM.
    pub vm: &'a Vm<B>,
    /// Its number.
    pub(super) index: usize,
    /// Its place in its VM.
    slot: &'a VcpuSlot<System<B>>,
    pub(super) vcpu: MutexGuard<'a, Vcpu<System<B>>>,
}

/// Loads a vCPU's registers, but for the general ones and the list registers, into the core that is to run it, behind [`Core::begin_load`] or
/// [`Core::begin_replacement`].
///
/// - `offset`: how far the guest's counter is behind the physical count. It comes first: the core compares a timer that is loaded before with
///   the count of another time.
/// - `debug`: before `system`, with which the core synchronizes its context: the ERET to the guest is to find it for PSTATE.SS ([`Core::load_debug`]).
/// - `interface`: GICH_VMCR and GICH_APR.
#[inline]
fn load_registers<C: Core>(
    core: &mut C,
    offset: u64,
    system: &C::System,
    debug: &VcpuDebug,
    interface: [u32; 2],
) {
    core.set_virtual_offset(offset);
    core.load_debug(debug);
    core.load_system(system);
    core.set_cpu_interface_registers(interface);
}

/// Loads a vCPU's registers in place of those that the core has, of the same VM. `timer_active`: whether the hardware's interrupt of the virtual timer is
/// active, as the guest has it and did not deactivate it yet.
#[inline]
pub(super) fn replace_registers<C: Core>(
    core: &mut C,
    offset: u64,
    system: &C::System,
    debug: &VcpuDebug,
    interface: [u32; 2],
    timer_active: bool,
) {
    core.begin_replacement();
    load_registers(core, offset, system, debug, interface);
    core.set_vtimer_irq_active(timer_active);
}

impl<B: VmBackend> Vm<B> {
    /// Loads a vCPU on the core that it is pinned to, if it may run.
    pub fn load<'a>(&'a self, core: &mut B::Core, index: usize) -> Option<LoadedVcpu<'a, B>> {
        let slot = &self.vcpus[index];
        let mut vcpu = slot.try_lock()?;
        if self.gate.is_closed_to(index) || slot.run_state() == RunState::Off {
            return None;
        }
        let mut shared = self.lock_shared_or_leave()?;
        core.begin_load(&VcpuIdentity {
            name: self.config.name,
            vm: self.number,
            vcpu: index,
            root: shared.memory.stage2.root(),
        });
        let is_quiet = shared.gic.is_quiet(index);
        let requested = match is_quiet {
            true => 0,
            false => shared.gic.sync(index, &mut vcpu.lrs),
        };
        load_registers(
            core,
            self.counter_offset(),
            &vcpu.system,
            &vcpu.debug,
            vcpu.interface,
        );
        // It is not, before.
        if !is_quiet && shared.gic.vtimer_needs_hw_active(index) {
            core.set_vtimer_irq_active(true);
        }
        self.kick_vcpus(core, requested);
        slot.take_request();
        let mut loaded = LoadedVcpu {
            vm: self,
            index,
            slot,
            vcpu,
        };
        loaded
            .context(&mut shared, core)
            .process_requests_if(!is_quiet);
        Some(loaded)
    }

    /// The physical count at which a timer of a vCPU that is in memory fires, or [`NEVER`].
    pub(super) fn timer_deadline(&self, vcpu: &Vcpu<System<B>>) -> u64 {
        self.deadlines(vcpu).min().unwrap_or(NEVER)
    }

    /// The same, without timers that fired by the physical count `known`.
    #[cold]
    fn timer_deadline_after(&self, vcpu: &Vcpu<System<B>>, known: u64) -> u64 {
        let later = self.deadlines(vcpu).filter(|&at| at > known);
        later.min().unwrap_or(NEVER)
    }

    /// The physical counts at which the timers of a vCPU fire that is in memory, those that are on.
    #[inline]
    fn deadlines(&self, vcpu: &Vcpu<System<B>>) -> impl Iterator<Item = u64> {
        let offset = self.counter_offset();
        let timers = [
            B::Core::virtual_deadline(&vcpu.system),
            vcpu.timer.deadline(),
        ];
        // A deadline at the end of the count's range is none.
        let physical = move |at: u64| at.saturating_add(offset);
        timers.into_iter().flatten().map(physical)
    }

    /// A vCPU that is loaded already, but that nobody holds.
    #[cfg(test)]
    pub(super) fn loaded(&self, index: usize) -> LoadedVcpu<'_, B> {
        LoadedVcpu {
            vm: self,
            index,
            slot: &self.vcpus[index],
            vcpu: self.vcpus[index].lock(),
        }
    }
}

impl<'a, B: VmBackend> LoadedVcpu<'a, B> {
    /// What a handler works on, with the VM's shared part locked.
    #[inline]
    pub(super) fn context<'b>(
        &'b mut self,
        shared: &'b mut VmShared<B>,
        core: &'b mut B::Core,
    ) -> ExitContext<'b, B> {
        ExitContext {
            vm: self.vm,
            shared,
            core,
            vcpu: &mut self.vcpu,
            index: self.index,
        }
    }

    /// The vCPU's place in its VM.
    #[inline]
    pub(super) fn slot(&self) -> &'a VcpuSlot<System<B>> {
        self.slot
    }

    /// Runs the vCPU until it cannot go on by itself, or makes a call that is about another VM.
    #[inline(always)]
    pub(super) fn run_to_call(&mut self, core: &mut B::Core) -> ExitAction {
        if self.slot().is_waiting() {
            match self.wake(core) {
                ExitAction::Resume => {}
                other => return other,
            }
        }
        if self.vcpu.unfinished.is_some() {
            match self.go_on(core) {
                ExitAction::Resume | ExitAction::Review => {}
                other => return other,
            }
        }
        if self.resumes_call() {
            return ExitAction::Control;
        }
        let mut reviewed = self.vcpu.reviews.is_some();
        if reviewed {
            match self.review(core) {
                ExitAction::Resume => reviewed = false,
                ExitAction::Review => {}
                other => return other,
            }
        }
        // In the highest bit of the count of exits is whether the vCPU is reviewed after each: two registers keep what they have while the guest runs, no
        // more.
        const REVIEWED: u64 = 1 << 63;
        let mut exits = if reviewed { REVIEWED } else { 0 };
        loop {
            exits += 1;
            let mut action = self.step(core);
            if exits < REVIEWED {
                if action == ExitAction::Resume {
                    continue;
                }
            } else if matches!(action, ExitAction::Resume | ExitAction::Review) {
                cold_path();
                action = self.review(core);
            }
            match action {
                ExitAction::Resume => exits &= !REVIEWED,
                ExitAction::Review => exits |= REVIEWED,
                other => {
                    self.slot().add_exits(exits & !REVIEWED);
                    return other;
                }
            }
        }
    }

    /// Runs the vCPU until its next trap, and handles that.
    #[inline]
    pub(super) fn step(&mut self, core: &mut B::Core) -> ExitAction {
        let trap = core.run(&mut self.vcpu.registers);
        self.handle(core, trap)
    }

    #[inline]
    fn handle(&mut self, core: &mut B::Core, trap: Trap) -> ExitAction {
        if trap.kind != TrapKind::Sync {
            return self.handle_asynchronous(core, trap.kind);
        }
        let Some(mut shared) = self.vm.lock_shared_or_leave() else {
            return self.retry_later(core, Esr(trap.esr));
        };
        self.handle_exception(&mut shared, core, trap)
    }

    #[inline(never)]
    fn handle_asynchronous(&mut self, core: &mut B::Core, kind: TrapKind) -> ExitAction {
        match kind {
            TrapKind::SError => {
                core.pend_serror();
                ExitAction::Resume
            }
            _ => match self.handle_interrupt(core) {
                ExitAction::Resume | ExitAction::Review if self.vcpu.unfinished.is_some() => {
                    ExitAction::Unfinished
                }
                action => action,
            },
        }
    }

    /// Whether the vCPU was woken in the midst of RUN; its pc is behind that call then, as if it had just trapped.
    fn resumes_call(&mut self) -> bool {
        let resumes = self.vcpu.in_run && !self.slot().is_waiting();
        if resumes {
            self.vcpu.step_over_call();
        }
        resumes
    }

    /// Locks the shared part for something that is not the guest's instruction: a vCPU that leaves its core for want of it is to come back for it,
    /// also if it waits.
    #[inline]
    pub(super) fn lock_shared_or_return(&self) -> Option<MutexGuard<'a, VmShared<B>>> {
        let shared = self.vm.lock_shared_or_leave();
        if shared.is_none() && self.slot().is_waiting() && !self.vm.gate.is_closed() {
            self.slot().request();
        }
        shared
    }

    /// Drops a trap, as the VM is being stopped, or its core was waiting for too long: its instruction runs again when the VM, or the vCPU, goes on. If nobody
    /// else is pinned to the core that is at once, behind an interrupt that the core has. Only an HVC's return address is behind its instruction, so that the
    /// pc steps back.
    #[cold]
    fn retry_later(&mut self, core: &B::Core, esr: Esr) -> ExitAction {
        if esr.class() == Esr::EC_HVC64 {
            let registers = &mut self.vcpu.registers;
            step_back(&mut registers.pc, &mut registers.pstate);
        }
        match core.is_multiplexed() || self.vm.gate.is_closed_to(self.index) {
            true => ExitAction::Put,
            false => ExitAction::Resume,
        }
    }

    /// Takes the vCPU out of the core, into memory.
    pub fn put(mut self, core: &mut B::Core) {
        self.give_back_interrupts(core);
        let slot = self.slot();
        let vcpu = &mut *self.vcpu;
        // The vCPU's own SError, before another vCPU is loaded, which would take it.
        if core.consume_serror() {
            core.pend_serror();
            slot.end_wait();
            if vcpu.in_run && slot.take_awaits() {
                vcpu.interrupt_run();
            }
        }
        core.save_system(&mut vcpu.system);
        vcpu.interface = core.cpu_interface_registers();
        match core.take_listed() {
            true => vcpu.lrs.take_from(core),
            false => vcpu.lrs.clear(),
        }
        core.end_put();
        let mut deadline = self.vm.timer_deadline(vcpu);
        if vcpu.timers_known != 0 {
            let known = core::mem::take(&mut vcpu.timers_known);
            // A timer that fired while something holds its interrupt back ends no wait: what lets the interrupt through requests a look. With a
            // deadline that is over, the vCPU would be loaded again and again for nothing.
            if slot.is_waiting() {
                deadline = self.vm.timer_deadline_after(vcpu, known);
            }
        }
        slot.set_deadline(deadline);
        // What came while it waited, if the core was taken from it before it saw that.
        let interface = CpuInterface::from(vcpu.interface);
        if slot.is_waiting() && vcpu.lrs.any_signalled(interface) {
            slot.request();
        }
    }

    /// Has a vCPU that is about to be put give back what is in its list registers and another vCPU could take in its place.
    ///
    /// A vCPU that is off has nothing there: all that turns a vCPU off has synced it, or the VM is off. And CPU_ON waits with the shared part
    /// for this vCPU to be unlocked, so that this must not wait for the shared part.
    fn give_back_interrupts(&mut self, core: &mut B::Core) {
        let slot = self.slot();
        if self.vcpu.reviews.may_give_back()
            && slot.run_state() != RunState::Off
            && let Some(mut shared) = self.vm.lock_shared()
        {
            let own = 1 << self.index;
            let requested = shared.gic.give_back(self.index, core);
            self.vm.kick_vcpus(core, requested & !own);
            // What was in its list registers is in the model now, where `put` does not see it: it looks when it is loaded again.
            if slot.is_waiting() && requested & own != 0 {
                slot.request();
            }
        }
    }
}
