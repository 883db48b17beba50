//! A guest's access that stage 2 refused: RAM is made accessible, a device is emulated, and where there is neither, the guest gets
//! what hardware without anything there would give it.

use super::exit::{ExitAction, ExitContext};
use super::loaded::LoadedVcpu;
use super::{Core, VmBackend, VmShared};
use crate::addr::{Ipa, Va};
use crate::arch::vcpu::{Stage1Access, Stage1Mapping};
use crate::device::{DISTRIBUTOR_BASE, DISTRIBUTOR_SIZE, Device};
use crate::snapshot::{NotYet, Page, Reach};
use crate::trap::inject::GuestException;
use crate::trap::memory_fault::{FaultKind, MemoryFault};
use crate::trap::sysreg::goes_through_caches;

/// The level that an abort on a guest's table walk reports. The real one is not in the syndrome, which has stage 2's.
const UNKNOWN_WALK_LEVEL: u8 = 3;

/// The guest's address `va`, if this core's TLB need forget no other. What goes around the caches has all of the VM's forgotten, as its MMU may
/// be off. The Arm ARM would have it by the address as well. But QEMU's TLB, when EL2 stores to a page, takes the same address in the guest's
/// regime for that page, and misses what the guest stores to its code from there on (`tlb_set_dirty` looks at no MMU index, 10.0): and a guest
/// with its MMU off uses EL2's addresses.
fn alone(va: Option<Va>, reach: Reach) -> Option<Va> {
    va.filter(|_| reach == Reach::Cached)
}

impl<B: VmBackend> LoadedVcpu<'_, B> {
    /// An access that stage 2 refused. One of an emulated device's registers is done here, and a load that needs the distributor's only: drivers poll, and
    /// send a character each time. What is done for all others is in functions of their own.
    #[inline(always)]
    pub(super) fn memory_fault(
        &mut self,
        shared: &mut VmShared<B>,
        core: &mut B::Core,
        fault: MemoryFault,
    ) -> ExitAction {
        let Some(page_ipa) = fault.page_ipa() else {
            return self.context(shared, core).fault_without_page(fault);
        };
        if let Some(page) = shared.memory.stage2.page_at(page_ipa) {
            return self
                .context(shared, core)
                .ram_fault(fault, page, Reach::Around);
        }
        if let Some(access) = fault.access() {
            let ipa = Ipa(page_ipa.0 | access.page_offset);
            if let Some((device, offset)) = Device::at(ipa) {
                match access.write {
                    true => {
                        shared.store_to_device(&self.vcpu, device, offset, access.register);
                    }
                    false => {
                        shared.load_from_device(&mut self.vcpu, device, offset, access.register);
                    }
                }
                self.vcpu.step_over(fault.esr());
                return match shared.line_changed(device) {
                    true => self.context(shared, core).change_line(device),
                    false => ExitAction::Resume,
                };
            }
            let offset = ipa.0.wrapping_sub(DISTRIBUTOR_BASE.0);
            if offset < DISTRIBUTOR_SIZE
                && !access.write
                && shared.gic.try_prepare_load(self.index, offset, core)
            {
                shared.load_from_distributor(self.index, &mut self.vcpu, offset, access.register);
                self.vcpu.step_over(fault.esr());
                return ExitAction::Resume;
            }
        }
        self.context(shared, core).device_fault(fault, page_ipa)
    }
}

impl<B: VmBackend> ExitContext<'_, B> {
    /// An access whose page the syndrome does not say.
    #[inline(never)]
    fn fault_without_page(mut self, fault: MemoryFault) -> ExitAction {
        if fault.kind() == FaultKind::TlbConflict {
            return self.tlb_conflict();
        }
        let Some(mapping) = self.mapping_by_stage1(&fault) else {
            return self.unplaced_fault(fault);
        };
        let ipa = mapping.ipa;
        match self.shared.memory.stage2.page_at(ipa) {
            Some(page) => {
                let reach = self.reach(mapping);
                // Mostly a first store.
                match fault.fetch() || fault.kind() != FaultKind::Permission {
                    true => self.ram_fault(fault, page, reach),
                    false => self.permit(page, fault.wnr(), reach, fault.far()),
                }
            }
            None => self.device_fault(fault, Ipa(ipa.0 - ipa.page_offset())),
        }
    }

    /// Where the access goes, by the guest's own tables: for a permission fault the syndrome does not say it.
    fn mapping_by_stage1(&mut self, fault: &MemoryFault) -> Option<Stage1Mapping> {
        self.core
            .stage1_mapping(fault.far()?, Stage1Access::El1Read)
    }

    /// How an access by that mapping reaches memory. A page whose accesses are Write-Back is in the caches that all cores and EL2 share: stage 2
    /// makes it Inner Shareable, whatever stage 1 says. That is so only if nobody reads or writes the VM's memory otherwise: no vCPU that is on
    /// has its caches off, or its table walks Non-cacheable. If the guest reaches the page by a mapping of other attributes elsewhere, it is the
    /// guest that keeps the two in order, as on any machine (B2.11, "Mismatched memory attributes"). PAR_EL1.ATTR may say what the tables say
    /// although SCTLR_EL1 has the MMU or the caches off (PAR_EL1, "ATTR").
    ///
    /// The registers of other vCPUs may change unseen. But what is copied was stored before the last checkpoint or restore, when all of them
    /// were seen; and who stores later faults first.
    fn reach(&mut self, mapping: Stage1Mapping) -> Reach {
        let is_cached = mapping.write_back
            && goes_through_caches(self.core.sctlr(), self.core.tcr())
            && self.shared.memory.caches.others_go_through(self.index);
        match is_cached {
            true => Reach::Cached,
            false => Reach::Around,
        }
    }

    /// A TLB conflict. The syndrome does not say which stage has two entries for the address, so that all entries go, and the guest tries
    /// again. If the guest broke the rules for its own tables, it comes here as often as it does that.
    #[cold]
    fn tlb_conflict(self) -> ExitAction {
        let memory = &mut self.shared.memory;
        memory.stage2.invalidate_vm(&mut memory.backend);
        ExitAction::Resume
    }

    /// A fault of an access whose page is not known.
    #[cold]
    #[inline(never)]
    fn unplaced_fault(mut self, fault: MemoryFault) -> ExitAction {
        match fault.kind() {
            // The guest's own tables changed since. If it tries again, it faults there.
            FaultKind::Permission if fault.far().is_some() => {}
            _ => self.inject_external_abort(&fault),
        }
        ExitAction::Resume
    }

    /// An access to a page of RAM, which reaches it as `reach` says.
    #[inline(never)]
    fn ram_fault(mut self, fault: MemoryFault, page: Page, reach: Reach) -> ExitAction {
        match fault.kind() {
            // A fetch's table walk that may not write its descriptor (access flag) is no fetch from that page.
            FaultKind::Permission if fault.fetch() && !fault.s1ptw() => {
                let memory = &mut self.shared.memory;
                let va = alone(fault.far(), reach);
                memory.stage2.make_executable(&mut memory.backend, page, va);
            }
            FaultKind::Translation | FaultKind::Permission | FaultKind::AccessFlag => {
                // On the guest's table walk it is the table's page that is to be permitted, and not what FAR_EL2 says.
                let va = fault.far().filter(|_| !fault.s1ptw());
                // Maintenance by address is a write in the syndrome, and stores nothing. What needs the permission has a fault of it.
                let stores_nothing = fault.kind() == FaultKind::Translation && fault.cache_op();
                return self.permit(page, fault.write() && !stores_nothing, reach, va);
            }
            // Not stage 2's doing: the memory itself failed, or the guest did what no RAM takes.
            _ => self.inject_external_abort(&fault),
        }
        ExitAction::Resume
    }

    /// Makes a page of RAM accessible to the access that faulted, at the guest's address `va` if that is known.
    #[inline(always)]
    fn permit(&mut self, page: Page, write: bool, reach: Reach, va: Option<Va>) -> ExitAction {
        self.shared.memory.faulting = alone(va, reach);
        // That may take several pieces, and as many faults.
        let _ = self.shared.fault_in(page, write, reach);
        // What goes through the caches has them on.
        if reach == Reach::Around {
            self.rearm_cache_traps();
            if self.vcpu.unfinished.is_some() {
                return ExitAction::Unfinished;
            }
        }
        ExitAction::Resume
    }

    /// Has the vCPU take a synchronous external abort, as from a bus without a device at that address.
    #[cold]
    #[inline(never)]
    pub(super) fn inject_external_abort(&mut self, fault: &MemoryFault) {
        self.inject(GuestException::external_abort(fault, UNKNOWN_WALK_LEVEL));
    }
}

impl<B: VmBackend> VmShared<B> {
    /// Makes a page of RAM accessible to an access that reaches it as `reach` says; or does a piece of what that takes, or of what makes room for it if
    /// memory is short, and returns `false`.
    #[inline]
    pub(super) fn fault_in(&mut self, page: Page, write: bool, reach: Reach) -> bool {
        let done = self
            .snapshots
            .fault_in(&mut self.memory, page, write, reach);
        if done == Err(NotYet::NoMemory) {
            self.reclaim();
        }
        done.is_ok()
    }

    #[cold]
    #[inline(never)]
    fn reclaim(&mut self) {
        let is_freed = self.snapshots.reclaim(&mut self.memory);
        // A VM is started only with a share of memory that suffices whatever it does.
        assert!(is_freed, "a VM's share of memory holds all of its RAM");
    }
}
