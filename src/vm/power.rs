//! PSCI: vCPUs go on and off, the VM ends or starts again.

use super::exit::{ExitAction, ExitContext};
use super::vcpu::RunState;
use super::{Core, Vm, VmBackend, VmShared};
use crate::addr::Ipa;
use crate::hvc::Results;
use crate::hvc::psci::{Action, PowerCall, PowerState, PowerView};
use log::Level;

/// A VM as PSCI sees it.
struct Power<'a, B: VmBackend>(&'a Vm<B>, &'a VmShared<B>);

impl<B: VmBackend> PowerView for Power<'_, B> {
    fn cpus(&self) -> impl Iterator<Item = (u64, PowerState)> {
        let vcpus = self.0.vcpus.iter().enumerate();
        vcpus.map(|(affinity, slot)| (affinity as u64, slot.power()))
    }

    fn is_ram(&self, entry: Ipa) -> bool {
        self.1.memory.stage2.page_at(entry).is_some()
    }
}

impl<B: VmBackend> ExitContext<'_, B> {
    /// A PSCI call.
    #[inline(never)]
    pub(super) fn power_call(mut self, call: PowerCall) -> ExitAction {
        match call.handle(&Power(self.vm, self.shared)) {
            Action::Return(results) => self.give_results(results),
            Action::Standby => {
                self.give_results(Results::SUCCESS);
                self.wait()
            }
            Action::CpuOff => self.cpu_off(),
            Action::CpuOn {
                target,
                entry,
                context,
            } => self.cpu_on(target as usize, entry, context),
            Action::SystemOff => {
                self.shared.memory.log_left_out(true);
                self.turn_off();
                ExitAction::Put
            }
            Action::SystemReset => {
                let (vm, shared, initiator) = self.initiator();
                vm.reset_by_guest(shared, initiator);
                match self.resume_restored() {
                    // Those that it controls stop first.
                    ExitAction::Resume
                    | ExitAction::Review
                    | ExitAction::Wait
                    | ExitAction::Unfinished
                        if !self.vm.config.controls.is_empty() =>
                    {
                        ExitAction::Put
                    }
                    other => other,
                }
            }
        }
    }

    fn turn_off(&mut self) {
        let (vm, shared, initiator) = self.initiator();
        vm.turn_off(shared, initiator.core, initiator.index());
    }

    fn cpu_off(&mut self) -> ExitAction {
        // What is in its list registers is not lost: another vCPU may take it, or this one when it is on again.
        self.sync_lrs();
        self.shared.gic.forget_interface(self.index);
        self.slot().set_run_state(RunState::Off);
        self.shared.memory.caches.note(self.index, false);
        let slots = &self.vm.vcpus;
        if slots.iter().all(|slot| slot.run_state() == RunState::Off) {
            let what = format_args!("its last vCPU is off");
            self.shared
                .log_named(self.vm.config.name, Level::Info, what);
            self.shared.memory.log_left_out(true);
            self.turn_off();
        }
        ExitAction::Put
    }

    fn cpu_on(&mut self, target: usize, entry: Ipa, context: u64) -> ExitAction {
        let slot = &self.vm.vcpus[target];
        // It starts with its caches off.
        self.shared.memory.caches.note(target, true);
        let next = &mut self.vcpu.unfinished.cleaned;
        if !self.shared.memory.clean_if_ahead(next) {
            return self.unfinished_call(0);
        }
        // The target is off: a core that still holds its lock is about to unlock it.
        slot.lock().reset(B::Core::RESET, entry.0, context);
        slot.set_run_state(RunState::Ready);
        self.vm.notify_core(self.core, slot);
        self.give_results(Results::SUCCESS)
    }
}
