//! What the calls of a controller do.
//!
//! They are carried out in the scheduler's hands, which knows all VMs: the vCPU that calls is loaded and its lock is held; its VM's shared part is
//! not. Locks are taken in the order of who controls whom, which has no circles (`build/control.rs`): a core that holds something of a controller may
//! wait for its target's, or for the target's vCPUs to be put. None of what those wait for is the controller's:
//! - the core that has a vCPU of the target loaded runs the guest, and is kicked; or handles a trap, and needs the target's shared part, for which
//!   it does not wait while the gate is closed; or carries out a call of the target's own, and waits for VMs further down, where the same holds;
//! - the core that stops a VM tells its controller by an atomic and a kick, and waits for nothing;
//! - the core that stops the *controller* waits for this vCPU, which comes back from the target, and waits for its own shared part only
//!   as long as its gate is open. Otherwise its call has not happened yet: it is made again.

use super::clock::NEVER;
use super::exit::ExitAction;
use super::loaded::LoadedVcpu;
use super::quiesce::{Initiator, OFF, STOPPED};
use super::reach::{Memory, UNFINISHED};
use super::target::Reason;
use super::unfinished::Begun;
use super::{Core, Vm, VmBackend, VmShared};
use crate::arch::sync::Ordering;
use crate::hvc::{ControlAction, FunctionId, Results, SnapshotCall, control, error, ids};
use crate::snapshot::{Count, NotFound};
use crate::trap::access::step_back;
use core::task::Poll;

/// TARGET's x1.
const IS_OFF: u64 = 0;
const IS_STOPPED: u64 = 1;
const IS_RUNNING: u64 = 2;

/// What the core does after a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterCall {
    /// Runs the vCPU again.
    Resume,
    /// Puts the vCPU: its VM is being stopped, and the call is made again.
    Put,
    /// A piece of the call is done: looks who else wants the core, then makes the call again.
    Unfinished,
    /// The vCPU waits for the VM that its slot names.
    Await,
}

impl<B: VmBackend> LoadedVcpu<'_, B> {
    /// Runs the vCPU, one of `vms`, until it cannot go on by itself. Those of its calls that are about other VMs are carried out here, as nothing of its
    /// own VM is locked.
    // A function of its own: with the scheduler's registers in use too, each trap would go through the stack.
    #[inline(never)]
    pub fn run(&mut self, vms: &[Vm<B>], core: &mut B::Core) -> ExitAction {
        loop {
            match self.run_to_call(core) {
                ExitAction::Control => {}
                other => return other,
            }
            match self.control_call(vms, core) {
                AfterCall::Resume => {}
                AfterCall::Put => return ExitAction::Put,
                AfterCall::Unfinished => return ExitAction::Unfinished,
                AfterCall::Await => return ExitAction::Await,
            }
        }
    }

    /// Has the call made again later: its instruction is an `hvc #0` or `smc #0` of A64.
    pub(super) fn step_back_to_call(&mut self) {
        let registers = &mut self.vcpu.registers;
        step_back(&mut registers.pc, &mut registers.pstate);
    }

    pub(super) fn give(&mut self, results: Results) -> AfterCall {
        results.write_to(&mut self.vcpu.registers.x);
        AfterCall::Resume
    }

    /// Carries out the call that is in the vCPU's registers. Its pc is behind the call.
    #[inline(never)]
    pub(super) fn control_call(&mut self, vms: &[Vm<B>], core: &mut B::Core) -> AfterCall {
        abandon_targets(vms, self.vm, core);
        let Some(call) = control::decode(&self.vcpu.registers.x) else {
            return self.give(Results::NOT_SUPPORTED);
        };
        let place = usize::try_from(call.target).ok();
        let Some(&number) = place.and_then(|place| self.vm.config.controls.get(place)) else {
            return self.give(Results::error(error::DENIED));
        };
        let target = &vms[number];
        if target.has_errand() && self.is_put_off() {
            return self.call_again();
        }
        let done = match call.action {
            ControlAction::Run { limit, step } => {
                return self.run_target(core, target, limit, step);
            }
            ControlAction::Target => Ok(target.description()),
            ControlAction::Stop => {
                self.stop_target(core, target);
                Ok(Results::SUCCESS)
            }
            ControlAction::Snapshot(call) => {
                let count = &mut self.vcpu.unfinished.count;
                target.snapshot_call_by_controller(core, call, count)
            }
            ControlAction::Differs { ids, from } => {
                let count = &mut self.vcpu.unfinished.count;
                target.differs(core, ids, from, count)
            }
            ControlAction::Translate { id, vcpu, va } => target.translate(core, id, vcpu, va),
            ControlAction::Catch { what } => target.catch(core, what),
            ControlAction::Breakpoint(arguments) => target.set_comparator(core, arguments),
            other => match self.reach(core, target, other) {
                Some(done) => done.map(|x0| Results::of([x0])),
                None => {
                    self.step_back_to_call();
                    return AfterCall::Put;
                }
            },
        };
        if done == Err(UNFINISHED) {
            return self.call_again();
        }
        self.give(done.unwrap_or_else(Results::error))
    }

    /// The call is made again once the core has seen who else wants it.
    #[cold]
    #[inline(never)]
    fn call_again(&mut self) -> AfterCall {
        self.step_back_to_call();
        self.vcpu.unfinished.begin(Begun::Hypercall(0));
        AfterCall::Unfinished
    }

    /// Whether the call waits for the end of its target's errand. Nobody changes what an errand is about: it could be put off for as long as the controller
    /// likes.
    #[cold]
    #[inline(never)]
    fn is_put_off(&self) -> bool {
        let function = FunctionId(self.vcpu.registers.x[0] as u32);
        ![ids::RUN, ids::STOP, ids::TARGET].contains(&function)
    }

    /// STOP.
    fn stop_target(&mut self, core: &mut B::Core, target: &Vm<B>) {
        let mut shared = target.lock_from_outside();
        // While nobody runs it.
        let is_awaited = self.vm.vcpus.iter().any(|slot| slot.awaits(target.number));
        let reason = is_awaited.then_some(Reason::Stopped);
        target.stop(&mut shared, core, None, reason);
        drop(shared);
        if self.vm.end_awaiting(target.number, core).is_some() {
            core.set_alarm_no_later(B::Core::physical_count());
        }
    }

    /// The calls that need the caller's memory, too. `None`: its VM is being stopped.
    fn reach(
        &mut self,
        core: &mut B::Core,
        target: &Vm<B>,
        action: ControlAction,
    ) -> Option<Result<u64, i64>> {
        let mut shared = self.vm.lock_shared()?;
        let own = &mut *shared;
        let done = match action {
            ControlAction::Read {
                id,
                address: ipa,
                to,
                bytes,
                vcpu,
            } => match vcpu.checked_sub(1) {
                None => target.read(core, (own, to), id, Memory { ipa, bytes }),
                Some(vcpu) => target.read_virtual(core, (own, to), id, Memory { ipa, bytes }, vcpu),
            },
            ControlAction::Write {
                address: ipa,
                from,
                bytes,
                vcpu,
            } => match vcpu.checked_sub(1) {
                None => target.write(core, (own, from), Memory { ipa, bytes }),
                Some(vcpu) => target.write_virtual(core, (own, from), Memory { ipa, bytes }, vcpu),
            },
            ControlAction::Registers {
                id,
                vcpu,
                to,
                bytes,
            } => target.registers(core, own, id, vcpu, Memory { ipa: to, bytes }),
            ControlAction::SetRegisters { vcpu, from, bytes } => {
                target.set_registers(core, own, vcpu, Memory { ipa: from, bytes })
            }
            _ => Err(error::NOT_SUPPORTED),
        };
        // EL2 had its memory in the caches, as after a fault.
        self.context(&mut shared, core).rearm_cache_traps();
        Some(done)
    }
}

impl<B: VmBackend> Vm<B> {
    /// TARGET's results.
    fn description(&self) -> Results {
        let shared = self.lock_from_outside();
        let state = match () {
            _ if self.gate.is_closed_for(OFF) => IS_OFF,
            _ if self.gate.is_closed_for(STOPPED) => IS_STOPPED,
            _ => IS_RUNNING,
        };
        let (vcpus, pages) = (self.vcpus.len() as u64, shared.snapshots.pages());
        Results::of([0, state, vcpus, pages.into()])
    }

    /// Does something with this VM and its shared part, from a core that has a vCPU of its controller loaded.
    fn with_controlled<R>(
        &self,
        core: &mut B::Core,
        action: impl FnOnce(&mut VmShared<B>, Initiator<'_, B>) -> R,
    ) -> R {
        let mut shared = self.lock_from_outside();
        core.borrow_stage2(self.number, shared.memory.stage2.root());
        let initiator = Initiator {
            core: &mut *core,
            vcpu: None,
        };
        let result = action(&mut shared, initiator);
        core.return_stage2();
        result
    }

    /// A snapshot call that the VM's controller makes for it.
    fn snapshot_call_by_controller(
        &self,
        core: &mut B::Core,
        call: SnapshotCall,
        count: &mut Count,
    ) -> Result<Results, i64> {
        let mut polls_uart = false;
        let done = self.with_controlled(core, |shared, initiator| match call {
            SnapshotCall::Checkpoint if self.is_off() => Err(error::DENIED),
            SnapshotCall::Restore { which, value } => self
                .restore(shared, initiator, which, value)
                .inspect(|_| {
                    if let Some(target) = &mut shared.target {
                        target.forget();
                    }
                    // What it has done, it has not done: its time, too.
                    self.limit.store(NEVER, Ordering::Relaxed);
                    polls_uart = shared.devices.are_interrupted_by_console();
                })
                .map(|id| Results::of([id]))
                .map_err(|NotFound| error::NOT_FOUND),
            _ if !shared.is_loaded() && !shared.load_piece() => Err(UNFINISHED),
            SnapshotCall::Checkpoint => {
                if shared.prepare_checkpoint().is_pending() {
                    return Err(UNFINISHED);
                }
                match self.checkpoint_piece(shared, initiator, false) {
                    Poll::Ready(Some(id)) => Ok(Results::of([id])),
                    Poll::Ready(None) => Err(error::NO_MEMORY),
                    Poll::Pending => Err(UNFINISHED),
                }
            }
            other => match shared.snapshot_call(other, count) {
                Poll::Ready(done) => done,
                Poll::Pending => Err(UNFINISHED),
            },
        });
        if polls_uart {
            // Its console is as it is now: the UART may have room again, or none.
            self.request_input(core);
        }
        if matches!(call, SnapshotCall::Restore { .. }) && !self.gate.is_closed_for(STOPPED) {
            // It runs, and may want this core, which it did not want before.
            core.set_alarm_no_later(B::Core::physical_count());
        }
        done
    }
}

/// Stops those that `controller`, one of `vms`, controls, if it ended or was reset since. The core has no vCPU of theirs loaded.
#[inline]
pub(super) fn abandon_targets<B: VmBackend>(vms: &[Vm<B>], controller: &Vm<B>, core: &mut B::Core) {
    if controller.abandons.load(Ordering::Relaxed) {
        stop_targets(vms, controller, core);
    }
}

#[cold]
fn stop_targets<B: VmBackend>(vms: &[Vm<B>], controller: &Vm<B>, core: &mut B::Core) {
    // Whoever comes here before it is done waits until it is: a call of the controller's next life comes after it.
    let _abandoning = controller.abandoning.lock();
    if controller.abandons.load(Ordering::Relaxed) {
        for &number in controller.config.controls {
            let target = &vms[number];
            let mut shared = target.lock_from_outside();
            target.stop(&mut shared, core, None, None);
            target.end_debugging(&mut shared, core);
            if let Some(target) = &mut shared.target {
                target.forget();
            }
        }
        controller.abandons.store(false, Ordering::Relaxed);
    }
}
