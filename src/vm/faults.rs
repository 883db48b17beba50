//! A guest's access that stage 2 refused: RAM is made accessible, a device is emulated, and where there is neither, the guest gets
//! what hardware without anything there would give it.

use super::{Next, Vm};
use crate::addr::{Ipa, PAGE_SIZE};
use crate::device::Device;
use crate::snapshot::Page;
use crate::trap::inject::GuestException;
use crate::trap::memory_fault::{FaultKind, MemoryFault};
use crate::trap::syndrome::Esr;
use crate::vm::hardware::Hardware;

/// The level that an abort on a guest's table walk reports. The real one is not in the syndrome, which has stage 2's.
const UNKNOWN_WALK_LEVEL: u8 = 3;

impl<H: Hardware> Vm<H> {
    #[inline]
    pub(super) fn memory_fault(&mut self, fault: &MemoryFault, esr: Esr) -> Next {
        if fault.kind == FaultKind::TlbConflict {
            return self.tlb_conflict();
        }
        let Some(page_ipa) = fault.page_ipa.or_else(|| self.ask_stage1(fault)) else {
            return self.unplaced_fault(fault);
        };
        match self.machine.stage2.page_at(page_ipa) {
            Some(page) => self.ram_fault(fault, page),
            None => self.device_fault(fault, page_ipa, esr),
        }
        Next::Resume
    }

    /// The page that the access goes to, where the syndrome does not say: it does not for permission faults.
    fn ask_stage1(&mut self, fault: &MemoryFault) -> Option<Ipa> {
        let ipa = self.machine.hardware.translate(fault.far?)?;
        Some(Ipa(ipa.0 - ipa.page_offset()))
    }

    /// Which stage has two entries for the address is not said. All entries go, and the guest tries again; if it was the guest that broke its
    /// tables' rules, it will get here as often as it does that.
    #[cold]
    fn tlb_conflict(&mut self) -> Next {
        self.machine.stage2.forget(&mut self.machine.hardware);
        Next::Resume
    }

    /// Nobody knows where the access went.
    fn unplaced_fault(&mut self, fault: &MemoryFault) -> Next {
        match fault.kind {
            // The guest's own tables changed since. If it tries again, it faults there.
            FaultKind::Permission if fault.far.is_some() => {}
            _ => self.abort(fault),
        }
        Next::Resume
    }

    #[inline]
    fn ram_fault(&mut self, fault: &MemoryFault, page: Page) {
        match fault.kind {
            // A fetch's table walk that may not write its descriptor (access flag) is no fetch from that page.
            FaultKind::Permission if fault.fetch && !fault.s1ptw => {
                self.machine
                    .stage2
                    .permit_fetch(&mut self.machine.hardware, page);
            }
            FaultKind::Translation | FaultKind::Permission | FaultKind::AccessFlag => {
                self.touch(page, fault.write);
            }
            // Not stage 2's doing: the memory itself failed, or the guest did what no RAM takes.
            _ => self.abort(fault),
        }
    }

    /// Makes a page of RAM accessible.
    #[inline]
    pub(super) fn touch(&mut self, page: Page, write: bool) {
        // A VM is started only with a share of memory that suffices whatever it does.
        self.snapshots
            .touch(&mut self.machine, page, write)
            .expect("a VM's share of memory holds all of its RAM");
    }

    fn device_fault(&mut self, fault: &MemoryFault, page_ipa: Ipa, esr: Esr) {
        if fault.cache_op && !fault.s1ptw {
            // Nothing outside RAM is ever cached.
            return self.step_over(esr);
        }
        let offset = fault.far.map_or(0, |far| far.page_offset());
        let ipa = Ipa(page_ipa.0 / PAGE_SIZE * PAGE_SIZE + offset);
        let device = Device::at(ipa).filter(|_| !fault.s1ptw && !fault.fetch);
        let (Some((device, offset)), Some(access)) = (device, fault.access) else {
            return self.abort(fault);
        };
        let machine = &mut self.machine;
        let (devices, hardware) = (&mut machine.devices, &mut machine.hardware);
        if fault.write {
            let value = access.stored(&machine.registers.x);
            devices.write(device, offset, access.size, value, hardware);
        } else {
            let value = devices.read(device, offset, access.size, hardware);
            access.load(&mut machine.registers.x, value);
        }
        self.step_over(esr);
    }

    /// A synchronous external abort, as from a bus where nobody answers.
    fn abort(&mut self, fault: &MemoryFault) {
        self.inject(GuestException::external_abort(fault, UNKNOWN_WALK_LEVEL));
    }
}
