//! A VM that ends, or starts again from its image.

use super::image::BootEntry;
use super::loaded::replace_registers;
use super::quiesce::{Initiator, OFF};
use super::saved_lrs::SavedLrs;
use super::target::Reason;
use super::vcpu::{RunState, Vcpu};
use super::{Core, System, Vm, VmBackend, VmShared};
use crate::arch::sync::Ordering;
use crate::config::OnReset;
use crate::device::Devices;
use crate::device::gic::Gic;
use crate::snapshot::Which;
use log::Level;

impl<B: VmBackend> Vm<B> {
    /// Whether the VM is off.
    pub(super) fn is_off(&self) -> bool {
        self.gate.is_closed_for(OFF)
    }

    /// Turns the VM off. The caller holds the shared part and, if its core has a vCPU of this VM loaded, that one, number `own`.
    pub(super) fn turn_off(
        &self,
        shared: &mut VmShared<B>,
        core: &mut B::Core,
        own: Option<usize>,
    ) {
        self.stop(shared, core, own, Some(Reason::Off));
        self.abandon();
        let stopped = self.quiesce(core, own);
        self.set_off();
        shared.forget_loading();
        log::info!("{}: off", self.config.name);
        self.release(core, stopped);
    }

    /// The VMs that this one controls are not to run until it runs them again. It is about to end, or to start again.
    fn abandon(&self) {
        if !self.config.controls.is_empty() {
            self.abandons.store(true, Ordering::Relaxed);
        }
    }

    /// The VM is off, and so is each of its vCPUs. They are stopped.
    fn set_off(&self) {
        self.gate.close(OFF);
        self.set_vcpus_off();
    }

    fn set_vcpus_off(&self) {
        for slot in &self.vcpus {
            slot.set_run_state(RunState::Off);
            slot.take_awaits();
        }
    }

    /// The VM's time begins, with vCPU 0, which is `vcpu`, about to run its image; the others are off. They are stopped.
    pub(super) fn boot(&self, entry: &BootEntry, vcpu: &mut Vcpu<System<B>>) {
        self.set_time(None);
        self.set_vcpus_off();
        vcpu.reset(B::Core::RESET, entry.pc.0, entry.tree.0);
        self.vcpus[0].set_run_state(RunState::Ready);
        self.gate.open(OFF);
    }

    /// The guest resets itself: it goes back to its newest snapshot, if its configuration says so, or starts from its image.
    pub(super) fn reset_by_guest(&self, shared: &mut VmShared<B>, mut initiator: Initiator<'_, B>) {
        // At once, not when it may run already.
        let own = initiator.index();
        self.stop(shared, initiator.core, own, Some(Reason::Reset));
        self.abandon();
        if let OnReset::Restore { tries } = self.config.on_reset
            && shared.restores_since_snapshot < tries
        {
            shared.restores_since_snapshot += 1;
            let number = shared.restores_since_snapshot;
            if let Ok(id) = self.restore(shared, initiator.reborrow(), Which::Latest, 1) {
                let what = format_args!("reset; back to snapshot {id}, try {number} of {tries}");
                shared.log_named(self.config.name, Level::Warn, what);
                return;
            }
        }
        self.reset(shared, initiator);
    }

    /// The VM starts again from its image. Its snapshots stay. The caller holds the shared part.
    pub(super) fn reset(&self, shared: &mut VmShared<B>, mut initiator: Initiator<'_, B>) {
        shared.log_named(self.config.name, Level::Info, format_args!("reset"));
        initiator.clear_core();
        let own = initiator.index();
        let Initiator { core, vcpu } = initiator;
        self.stop(shared, core, own, Some(Reason::Reset));
        self.abandon();
        let mut stopped = self.quiesce(core, own);
        // Interrupts in list registers go: those of stopped vCPUs with them, those in the core by way of the model, which is made anew.
        for (_, vcpu) in stopped.iter_mut() {
            vcpu.lrs = SavedLrs::default();
        }
        if let Some(own) = own {
            let _ = shared.gic.sync(own, core);
        }
        shared.memory.backend.abandon_sequence();
        shared.snapshots.reset_ram(&mut shared.memory);
        shared.memory.caches.forget_mapped();
        shared.devices = Devices::default();
        (shared.caches_agree, shared.cleaned) = (false, 0);
        shared.note_around();
        shared.gic = Gic::new(self.vcpus.len());
        match shared.begin_loading(self.config) {
            Ok(entry) => {
                // vCPU 0 is the one that asks, on its core, or one of the stopped ones. What is loaded, it loads before it goes on.
                if let Some((0, vcpu)) = vcpu {
                    self.boot(&entry, vcpu);
                    vcpu.unfinished.set_loading(true);
                    core.consume_serror();
                    let (system, interface) = (&vcpu.system, vcpu.interface);
                    replace_registers(
                        core,
                        self.counter_offset(),
                        system,
                        &vcpu.debug,
                        interface,
                        false,
                    );
                } else if let Some(vcpu) = stopped.get(0) {
                    self.boot(&entry, vcpu);
                    vcpu.unfinished.set_loading(true);
                }
            }
            // Its device tree is made on the heap, which may have less room than when the VM was started.
            Err(error) => {
                // What the operator asked for is answered however much the guest had to say.
                match own {
                    Some(_) => {
                        shared.log_named(self.config.name, Level::Error, format_args!("{error}"));
                    }
                    None => log::error!("{}: {error}", self.config.name),
                }
                self.set_off();
            }
        }
        self.release(core, stopped);
    }
}
