//! How a core has another one look at a vCPU or at a VM: requests, kicks, and the console's input.

use super::slot::VcpuSlot;
use super::vcpu::RunState;
use super::{Core, System, Vm, VmBackend};
use crate::arch::sync::Ordering;

impl<B: VmBackend> Vm<B> {
    /// Requests a look from each vCPU in `mask`, a bit for each, for whom something became pending, and kicks their cores. The caller holds the shared
    /// part.
    #[inline]
    pub(super) fn kick_vcpus(&self, core: &mut B::Core, mask: u8) {
        if mask != 0 {
            self.kick_some_vcpus(core, mask);
        }
    }

    fn kick_some_vcpus(&self, core: &mut B::Core, mask: u8) {
        for (i, slot) in self.vcpus.iter().enumerate() {
            // If a request was there already, its core has been notified of it.
            if mask & 1 << i != 0 && slot.request_flush() {
                self.notify_core(core, slot);
            }
        }
    }

    /// Makes the core of a vCPU look at what was written for that vCPU: kicks it, or if it is this one, sets its alarm to now.
    pub(super) fn notify_core(&self, core: &mut B::Core, slot: &VcpuSlot<System<B>>) {
        if slot.core() == core.number() {
            // The scheduler sets the alarm anew when this one has gone off.
            core.set_alarm_no_later(B::Core::physical_count());
        } else {
            core.kick(slot.core());
        }
    }

    /// Has each core that may run a vCPU of this VM look at the gate again: it may have found the gate closed, and sleep.
    #[inline]
    pub(super) fn wake_cores(&self, core: &mut B::Core) {
        // Its only vCPU, which is pinned to this core: who calls this chooses who runs here.
        match &*self.vcpus {
            [only] if only.core() == core.number() => {}
            _ => self.wake_all_cores(core),
        }
    }

    fn wake_all_cores(&self, core: &mut B::Core) {
        if self.pinned_to(core.number()).nth(1).is_some() {
            // The other vCPUs on this core may have something to do now.
            core.set_alarm_no_later(B::Core::physical_count());
        }
        let mut told = 1u64 << core.number();
        for slot in &self.vcpus {
            if slot.run_state() != RunState::Off && told & 1 << slot.core() == 0 {
                told |= 1 << slot.core();
                core.kick(slot.core());
            }
        }
    }

    /// Whether the console had characters for the UART; the caller polls the UART then. It comes after [`VcpuSlot::take_request`], which
    /// acquires what [`VcpuSlot::request`] released after [`request_input`](Self::request_input)'s `true`; the characters are behind the console's
    /// lock.
    pub(super) fn take_input_flag(&self) -> bool {
        // The plain load first: it is nearly always false.
        self.input.load(Ordering::Relaxed) && self.input.swap(false, Ordering::Relaxed)
    }

    /// Says that the console has characters for the UART. One of the vCPUs that are on is going to poll it.
    pub fn request_input(&self, core: &mut B::Core) {
        // A swap and no store: loom does not order a store behind another core's swap to false.
        self.input.swap(true, Ordering::Relaxed);
        let on = |slot: &&VcpuSlot<System<B>>| slot.run_state() != RunState::Off;
        if let Some(slot) = self.vcpus.iter().find(on) {
            slot.request();
            self.notify_core(core, slot);
        }
    }
}
