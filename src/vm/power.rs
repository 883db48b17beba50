//! PSCI: vCPUs go on and off, the VM ends or starts again.

use super::loaded::{Next, Turn};
use super::quiesce::OFF;
use super::saved::Asker;
use super::vcpu::{Lists, Phase, Vcpu};
use super::{Core, Hardware, Shared, Vm};
use crate::addr::Ipa;
use crate::config::OnReset;
use crate::device::Devices;
use crate::device::gic::Gic;
use crate::hvc::Results;
use crate::hvc::psci::{self, Action, PowerState};
use crate::snapshot::Which;
use log::Level;

/// What PSCI must know of a VM.
struct Power<'a, H: Hardware>(&'a Vm<H>, &'a Shared<H>);

impl<H: Hardware> psci::Machine for Power<'_, H> {
    fn cpus(&self) -> impl Iterator<Item = (u64, PowerState)> {
        let vcpus = self.0.vcpus.iter().enumerate();
        vcpus.map(|(affinity, slot)| (affinity as u64, slot.power()))
    }

    fn is_ram(&self, entry: Ipa) -> bool {
        self.1.machine.stage2.page_at(entry).is_some()
    }
}

impl<H: Hardware> Turn<'_, H> {
    pub(super) fn power_call(&mut self, call: psci::Call) -> Next {
        match call.handle(&Power(self.vm, self.shared)) {
            Action::Return(results) => self.answer(results),
            Action::Standby => {
                self.answer(Results::SUCCESS);
                self.wait()
            }
            Action::CpuOff => self.cpu_off(),
            Action::CpuOn {
                target,
                entry,
                context,
            } => self.cpu_on(target as usize, entry, context),
            Action::SystemOff => {
                self.shared.machine.say_left_out(true);
                self.vm.end(self.core, Some(self.index));
                Next::Leave
            }
            Action::SystemReset => {
                let (vm, shared, asker) = self.ask();
                vm.reset_by_guest(shared, asker);
                self.next()
            }
        }
    }

    fn cpu_off(&mut self) -> Next {
        // What is in its list registers is not lost: it may go to another one, or to this one when it is on again.
        self.settle();
        self.shared.gic.set_off(self.index);
        let slots = &self.vm.vcpus;
        slots[self.index].set_phase(Phase::Off);
        if slots.iter().all(|slot| slot.phase() == Phase::Off) {
            let what = format_args!("its last vCPU is off");
            self.shared.say_named(self.vm.plan.name, Level::Info, what);
            self.shared.machine.say_left_out(true);
            self.vm.end(self.core, Some(self.index));
        }
        Next::Leave
    }

    fn cpu_on(&mut self, target: usize, entry: Ipa, context: u64) -> Next {
        let slot = &self.vm.vcpus[target];
        // It is off: whoever still has it is about to let it go.
        *slot.lock() = Vcpu::reset(H::Core::RESET, entry.0, context);
        slot.set_phase(Phase::Ready);
        self.vm.tell(self.core, slot);
        self.answer(Results::SUCCESS)
    }
}

impl<H: Hardware> Vm<H> {
    /// It is off from here on. The caller holds the shared part.
    pub(super) fn end(&self, core: &mut H::Core, own: Option<usize>) {
        let others = self.stop(core, own);
        self.gate.close(OFF);
        for slot in &self.vcpus {
            slot.set_phase(Phase::Off);
        }
        log::info!("{}: off", self.plan.name);
        self.release(core, others);
    }

    /// The guest resets itself: it goes back to its newest snapshot, if its plan says so, or starts from its image.
    fn reset_by_guest(&self, shared: &mut Shared<H>, mut asker: Asker<'_, H>) {
        if let OnReset::Restore { tries } = self.plan.on_reset
            && shared.tries < tries
        {
            shared.tries += 1;
            let number = shared.tries;
            if let Ok(id) = self.restore(shared, asker.again(), Which::Latest, 1) {
                let what = format_args!("reset; back to snapshot {id}, try {number} of {tries}");
                shared.say_named(self.plan.name, Level::Warn, what);
                return;
            }
        }
        self.reset(shared, asker);
    }

    /// It starts again from its image. Its snapshots stay. The caller holds the shared part.
    pub(super) fn reset(&self, shared: &mut Shared<H>, mut asker: Asker<'_, H>) {
        shared.say_named(self.plan.name, Level::Info, format_args!("reset"));
        asker.forget();
        let Asker { core, vcpu } = asker;
        let own = vcpu.as_ref().map(|(index, _)| *index);
        let mut others = self.stop(core, own);
        for i in 0..self.vcpus.len() {
            if let Some(vcpu) = others.get(i) {
                vcpu.lists = Lists::default();
            }
        }
        if let Some(own) = own {
            let _ = shared.gic.settle(own, core);
        }
        shared.snapshots.reset(&mut shared.machine);
        shared.devices = Devices::default();
        shared.caches_agree = false;
        shared.gic = Gic::new(self.vcpus.len());
        match shared.load(self.plan) {
            Ok(start) => match (vcpu, others.get(0)) {
                (Some((0, vcpu)), _) => {
                    self.begin(&start, vcpu);
                    core.set_virtual_offset(self.offset());
                    core.synchronize_errors();
                    core.load_system(&vcpu.system);
                    core.load_debug(&vcpu.debug);
                    core.set_interface(vcpu.interface);
                    core.set_timer_active(false);
                }
                (_, Some(vcpu)) => self.begin(&start, vcpu),
                (_, None) => {}
            },
            // It was loaded before; but the heap may have become smaller since.
            Err(error) => {
                // What the operator asked for is answered however much the guest had to say.
                match own {
                    Some(_) => {
                        shared.say_named(self.plan.name, Level::Error, format_args!("{error}"))
                    }
                    None => log::error!("{}: {error}", self.plan.name),
                }
                self.gate.close(OFF);
                self.vcpus
                    .iter()
                    .for_each(|slot| slot.set_phase(Phase::Off));
            }
        }
        self.release(core, others);
    }
}
