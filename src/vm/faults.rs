//! A guest's access that stage 2 refused: RAM is made accessible, a device is emulated, and where there is neither, the guest gets
//! what hardware without anything there would give it.

use super::exit::{ExitAction, ExitContext};
use super::{Core, VmBackend, VmShared};
use crate::addr::{Ipa, PAGE_SIZE};
use crate::arch::vcpu::Stage1Access;
use crate::device::gic::{Gich, LrScope};
use crate::device::{Absent, Device, Region};
use crate::snapshot::Page;
use crate::trap::access::Access;
use crate::trap::esr::Esr;
use crate::trap::inject::GuestException;
use crate::trap::memory_fault::{FaultKind, MemoryFault};

/// The level that an abort on a guest's table walk reports. The real one is not in the syndrome, which has stage 2's.
const UNKNOWN_WALK_LEVEL: u8 = 3;

impl<B: VmBackend> ExitContext<'_, B> {
    /// An access that stage 2 refused.
    #[inline]
    pub(super) fn memory_fault(&mut self, fault: &MemoryFault, esr: Esr) -> ExitAction {
        if fault.kind == FaultKind::TlbConflict {
            return self.tlb_conflict();
        }
        let Some(page_ipa) = fault.page_ipa.or_else(|| self.page_by_stage1(fault)) else {
            return self.unplaced_fault(fault);
        };
        match self.shared.memory.stage2.page_at(page_ipa) {
            Some(page) => self.ram_fault(fault, page),
            None => self.device_fault(fault, page_ipa, esr),
        }
        ExitAction::Resume
    }

    /// The page that the access goes to, by the guest's own tables: for a permission fault the syndrome does not say it.
    fn page_by_stage1(&mut self, fault: &MemoryFault) -> Option<Ipa> {
        let ipa = self
            .core
            .translate_stage1(fault.far?, Stage1Access::El1Read)?;
        Some(Ipa(ipa.0 - ipa.page_offset()))
    }

    /// A TLB conflict. The syndrome does not say which stage has two entries for the address, so that all entries go, and the guest tries
    /// again. If the guest broke the rules for its own tables, it comes here as often as it does that.
    #[cold]
    fn tlb_conflict(&mut self) -> ExitAction {
        let memory = &mut self.shared.memory;
        memory.stage2.invalidate_vm(&mut memory.backend);
        ExitAction::Resume
    }

    /// A fault of an access whose page is not known.
    fn unplaced_fault(&mut self, fault: &MemoryFault) -> ExitAction {
        match fault.kind {
            // The guest's own tables changed since. If it tries again, it faults there.
            FaultKind::Permission if fault.far.is_some() => {}
            _ => self.inject_external_abort(fault),
        }
        ExitAction::Resume
    }

    #[inline]
    fn ram_fault(&mut self, fault: &MemoryFault, page: Page) {
        match fault.kind {
            // A fetch's table walk that may not write its descriptor (access flag) is no fetch from that page.
            FaultKind::Permission if fault.fetch && !fault.s1ptw => {
                let memory = &mut self.shared.memory;
                memory.stage2.make_executable(&mut memory.backend, page);
            }
            FaultKind::Translation | FaultKind::Permission | FaultKind::AccessFlag => {
                self.fault_in(page, fault.write);
            }
            // Not stage 2's doing: the memory itself failed, or the guest did what no RAM takes.
            _ => self.inject_external_abort(fault),
        }
    }

    /// Makes a page of RAM accessible. Out of line, or an access to a device would pay for the registers that this needs.
    #[inline(never)]
    fn fault_in(&mut self, page: Page, write: bool) {
        self.shared.fault_in(page, write);
        self.rearm_cache_traps();
    }

    /// An access outside of RAM, in the page at `page_ipa`.
    fn device_fault(&mut self, fault: &MemoryFault, page_ipa: Ipa, esr: Esr) {
        if fault.cache_op && !fault.s1ptw {
            // Nothing outside RAM is ever cached.
            return self.step_over(esr);
        }
        let offset = fault.far.map_or(0, |far| far.page_offset());
        let ipa = Ipa(page_ipa.0 / PAGE_SIZE * PAGE_SIZE + offset);
        let region = Region::at(ipa).filter(|_| !fault.s1ptw && !fault.fetch);
        let (Some((region, offset)), Some(access)) = (region, fault.access) else {
            return self.load_store(fault);
        };
        match region {
            Region::Distributor => self.distributor_fault(offset, access, fault.write),
            Region::Deactivation => self.deactivation_fault(offset, access, fault.write),
            Region::Device(device) => self.access_device(device, offset, access, fault.write),
            Region::Absent(absent) => self.access_absent(absent, offset, access, fault.write),
        }
        self.step_over(esr);
    }

    /// A load, or with `write` a store, of an emulated device.
    #[inline(always)]
    pub(super) fn access_device(
        &mut self,
        device: Device,
        offset: u64,
        access: Access,
        write: bool,
    ) {
        let shared = &mut *self.shared;
        let (devices, backend) = (&mut shared.devices, &mut shared.memory.backend);
        if write {
            let value = access.store_value(&self.vcpu.registers.x);
            devices.write(device, offset, access.size, value, backend);
        } else {
            let value = devices.read(device, offset, access.size, backend);
            access.complete_load(&mut self.vcpu.registers.x, value);
        }
        self.update_line(device);
    }

    /// A load, or with `write` a store, of what the machine does not have.
    #[inline(always)]
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
    #[inline]
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
    #[inline]
    pub(super) fn access_distributor(&mut self, offset: u64, access: Access, write: bool) {
        let gic = &mut self.shared.gic;
        if write {
            let value = access.store_value(&self.vcpu.registers.x);
            let mask = gic.write(self.index, offset, access.size, value);
            self.deliver(mask);
        } else {
            let value = gic.read(self.index, offset, access.size);
            access.complete_load(&mut self.vcpu.registers.x, value);
        }
    }

    /// Has the vCPU take a synchronous external abort, as from a bus without a device at that address.
    pub(super) fn inject_external_abort(&mut self, fault: &MemoryFault) {
        self.inject(GuestException::external_abort(fault, UNKNOWN_WALK_LEVEL));
    }
}

impl<B: VmBackend> VmShared<B> {
    /// Makes a page of RAM accessible.
    #[inline]
    pub(super) fn fault_in(&mut self, page: Page, write: bool) {
        // A VM is started only with a share of memory that suffices whatever it does.
        self.snapshots
            .fault_in(&mut self.memory, page, write)
            .expect("a VM's share of memory holds all of its RAM");
    }
}
