//! A guest's access to an emulated device, or to the interrupt controller's distributor.

use super::exit::{ExitAction, ExitContext};
use super::vcpu::Vcpu;
use super::{System, VmBackend, VmShared};
use crate::addr::Ipa;
use crate::device::gic::{Gich, LrScope};
use crate::device::{Absent, Device, Region};
use crate::trap::access::Access;
use crate::trap::memory_fault::MemoryFault;

impl<B: VmBackend> ExitContext<'_, B> {
    /// An access outside of RAM, in the page at `page_ipa`.
    #[inline(never)]
    pub(super) fn device_fault(mut self, fault: MemoryFault, page_ipa: Ipa) -> ExitAction {
        let Some(access) = fault.access() else {
            return self.undescribed_fault(fault);
        };
        let ipa = Ipa(page_ipa.0 | access.page_offset);
        let (register, write) = (access.register, access.write);
        match Region::at(ipa) {
            Some((Region::Distributor, offset)) => self.distributor_fault(offset, register, write),
            Some((Region::Device(device), offset)) => {
                self.access_device(device, offset, register, write);
            }
            Some((Region::Deactivation, offset)) => {
                self.deactivation_fault(offset, register, write);
            }
            Some((Region::Absent(absent), offset)) => {
                self.access_absent(absent, offset, register, write);
            }
            None if self.is_doorbell(ipa) => {
                return self.access_doorbell(register, write, fault.esr());
            }
            None => {
                self.load_store(&fault);
                return ExitAction::Resume;
            }
        }
        self.step_over(fault.esr());
        ExitAction::Resume
    }

    /// An access outside of RAM that the syndrome does not describe.
    #[cold]
    fn undescribed_fault(mut self, fault: MemoryFault) -> ExitAction {
        match fault.cache_op() && !fault.s1ptw() {
            // Nothing outside RAM is ever cached.
            true => self.step_over(fault.esr()),
            false => self.load_store(&fault),
        }
        ExitAction::Resume
    }

    /// A load, or with `write` a store, of an emulated device.
    pub(super) fn access_device(
        &mut self,
        device: Device,
        offset: u64,
        access: Access,
        write: bool,
    ) {
        let shared = &mut *self.shared;
        match write {
            true => shared.store_to_device(self.vcpu, device, offset, access),
            false => shared.load_from_device(self.vcpu, device, offset, access),
        }
        self.update_line(device);
    }

    /// A load, or with `write` a store, of what the machine does not have.
    pub(super) fn access_absent(
        &mut self,
        absent: Absent,
        offset: u64,
        access: Access,
        write: bool,
    ) {
        if !write {
            let value = absent.read(offset, access.size);
            access.complete_load(&mut self.vcpu.registers.x, value);
        }
    }

    /// An access to the GIC's distributor. What it deals with may be in list registers, here or on other cores.
    fn distributor_fault(&mut self, offset: u64, access: Access, write: bool) {
        let gic = &mut self.shared.gic;
        match gic.prepare_access(self.index, offset, access.size, write, self.core) {
            LrScope::None => self.access_distributor(offset, access, write),
            LrScope::Own => {
                self.sync_lrs();
                self.access_distributor(offset, access, write);
                self.flush_lrs();
            }
            LrScope::All => self.with_all_lrs_synced(|context| {
                context.access_distributor(offset, access, write);
            }),
        }
    }

    /// An access to the page of GICC_DIR, whose register is for writes of 32 bits only. With EOImode 0 they are UNPREDICTABLE (IHI 0048B,
    /// 4.4.15) and ignored, as by QEMU.
    #[cold]
    pub(super) fn deactivation_fault(&mut self, offset: u64, access: Access, write: bool) {
        if !write {
            return access.complete_load(&mut self.vcpu.registers.x, 0);
        }
        if offset != 0 || access.size < 4 || !self.core.cpu_interface().eoi_mode() {
            return;
        }
        let value = access.store_value(&self.vcpu.registers.x) as u32;
        let deactivate = |context: &mut Self| {
            let mask = context.shared.gic.deactivate(context.index, value);
            context.deliver(mask);
        };
        let gic = &self.shared.gic;
        match gic.deactivation_scope(self.index, value) {
            LrScope::None => deactivate(self),
            LrScope::Own => {
                self.sync_lrs();
                deactivate(self);
                self.flush_lrs();
            }
            LrScope::All => self.with_all_lrs_synced(deactivate),
        }
    }

    /// Does something while the VM is stopped and none of its interrupts are in list registers.
    #[cold]
    pub(super) fn with_all_lrs_synced(&mut self, action: impl FnOnce(&mut Self)) {
        let vm = self.vm;
        let mut stopped = vm.quiesce(self.core, Some(self.index));
        let requested = stopped.sync_lrs(&mut self.shared.gic);
        self.sync_lrs();
        action(self);
        self.flush_lrs();
        // The list registers of the others are flushed when they are loaded again.
        vm.release(self.core, stopped);
        vm.kick_vcpus(self.core, requested);
    }

    /// An access to the GIC's distributor, once the interrupts that it is about are in the model.
    pub(super) fn access_distributor(&mut self, offset: u64, access: Access, write: bool) {
        if write {
            let value = access.store_value(&self.vcpu.registers.x);
            let gic = &mut self.shared.gic;
            let mask = gic.write(self.index, offset, access.size, value);
            self.deliver(mask);
        } else {
            let shared = &mut *self.shared;
            shared.load_from_distributor(self.index, self.vcpu, offset, access);
        }
    }
}

impl<B: VmBackend> VmShared<B> {
    /// A load of an emulated device by `vcpu`. The device's interrupt line may change.
    #[inline(always)]
    pub(super) fn load_from_device(
        &mut self,
        vcpu: &mut Vcpu<System<B>>,
        device: Device,
        offset: u64,
        access: Access,
    ) {
        let (devices, backend) = (&mut self.devices, &mut self.memory.backend);
        let value = devices.read(device, offset, access.size, backend);
        access.complete_load(&mut vcpu.registers.x, value);
    }

    /// A store to an emulated device by `vcpu`. The device's interrupt line may change.
    #[inline(never)]
    pub(super) fn store_to_device(
        &mut self,
        vcpu: &Vcpu<System<B>>,
        device: Device,
        offset: u64,
        access: Access,
    ) {
        let (devices, backend) = (&mut self.devices, &mut self.memory.backend);
        let value = access.store_value(&vcpu.registers.x);
        devices.write(device, offset, access.size, value, backend);
    }

    /// A load of the distributor by vCPU number `index`, which [`Gic::prepare_access`](crate::device::gic::Gic::prepare_access) has allowed.
    #[inline(always)]
    pub(super) fn load_from_distributor(
        &mut self,
        index: usize,
        vcpu: &mut Vcpu<System<B>>,
        offset: u64,
        access: Access,
    ) {
        let value = self.gic.read(index, offset, access.size);
        access.complete_load(&mut vcpu.registers.x, value);
    }

    /// Whether the interrupt line of `device` is not what the interrupt controller was told last.
    #[inline]
    pub(super) fn line_changed(&self, device: Device) -> bool {
        self.gic.spi_line(device.row().intid) != self.devices.irq_line(device)
    }
}
