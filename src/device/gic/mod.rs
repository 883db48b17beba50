//! The interrupt controller of a VM: a GICv2 (Arm IHI 0048B) without security extensions, registers as GIC-400 has them.
//!
//! The guest's CPU interface is hardware, the GICV. It offers to the guest what is in the list registers of the core that the vCPU is loaded
//! on; the model reaches them by [`Gich`]. The distributor is emulated, here. An interrupt's state is in one of two places:
//!
//! | place | when | who changes it |
//! | --- | --- | --- |
//! | [`DistState`], [`BankedState`] | always but: | this module |
//! | a list register | from a [`Gic::flush`] to the next [`Gic::sync`] of a vCPU | the guest: acknowledge, end, deactivate |
//!
//! `flush` moves the interrupts that a vCPU should see into empty list registers, the highest priority first. `sync` folds all list
//! registers back into the model; [`DistState`] and [`BankedState`] are then the whole state, which is what a snapshot keeps. An access to a
//! register whose value depends on what the guest did meanwhile needs a sync first; [`Gic::prepare_access`] says whose.
//!
//! # Lines
//!
//! A level-sensitive interrupt is pending while its line is up or its latch is set (ISPENDR), and an acknowledge clears the
//! latch only. A list register that holds one whose line is up asks for a maintenance interrupt when the guest has
//! deactivated it, and then `flush` looks at the line again (KVM calls that a resample). When the line of an interrupt in a list register
//! changes, `set_line` marks that vCPU's list registers as stale, and the next `flush` fills them anew.
//!
//! # The timer
//!
//! PPI 27 is the virtual timer's interrupt, which the hardware's interrupt controller has too. Its list register is linked to that
//! hardware interrupt, so that the guest's deactivation is the hardware's: as long as it is pending or active for the guest, the
//! hardware interrupt is active, and cannot come again.
//! What a guest makes pending or active itself through the distributor has no hardware interrupt behind it and no link.
//! A guest turns its timer off without a trap, and that does not retract an interrupt that is in a list register already. So, while the
//! interrupt waits there, [`Gic::review`] looks at the line before long, and takes the interrupt back if the line fell. Once an interrupt or a
//! hypercall has come since the interrupt was put there, it looks after each trap too; accesses to devices and system registers alone do not
//! start that, as it would slow them down. If the guest acknowledges the interrupt before that look, it has it.
//!
//! # Ends
//!
//! | the guest writes | what becomes of the interrupt |
//! | --- | --- |
//! | GICC_DIR, with EOImode 1 | the write traps, and [`Gic::deactivate`] deactivates the interrupt that it names |
//! | GICC_EOIR, with EOImode 0 | the list register's state changes |
//! | GICC_EOIR, with EOImode 0, for an interrupt in no list register | the hardware counts it (EOICount). Ends come in the reverse order of acknowledges, or are UNPREDICTABLE (IHI 0048B, 4.4.5): so it ended the last acknowledged interrupt of those in no list register. An interrupt that was not acknowledged does not end |
//!
//! # Where this differs from a GIC
//!
//! - A line of the virtual timer that falls, and a change of the CPU interface that moves an SPI with several targets, take effect at one
//!   of the vCPU's next traps, at most 0.5 ms later; at most 17 ms later where reviews have found nothing for long.

mod cpu_interface;
mod distributor;
mod ends;
mod entry;
mod flush;
mod list_register;
mod lr_map;
mod register_map;
mod review;
mod state;
mod targets;
mod vtimer;

pub use cpu_interface::CpuInterface;
pub use distributor::LrScope;
pub use list_register::{ListRegister, hcr};
use lr_map::LrMap;
pub use lr_map::{LRS_MASK, LRS_MAX};
pub use review::Review;
pub use state::{BankedState, DistState};
use state::{VTIMER, VTIMER_LINKED, byte_of};

pub use crate::limits::VCPUS_MAX;
/// The PPI of the virtual timer, by INTID.
pub const VTIMER_PPI: u32 = 27;
/// The PPI of the physical timer, by INTID. That timer is emulated.
pub const PTIMER_PPI: u32 = 30;

/// The virtual CPU interface of the core that a vCPU is loaded on (GICH, IHI 0048B, 5.3), and its virtual timer.
pub trait Gich {
    /// GICH_ELRSR0: the empty list registers, a bit for each that exists. The first [`LRS_MAX`] are used. All of them must be empty when a vCPU is
    /// loaded, and are so again after [`Gic::sync`].
    fn empty_lrs(&mut self) -> u32;
    /// GICH_LRn.
    fn list_register(&mut self, n: usize) -> ListRegister;
    /// Writes GICH_LRn.
    fn set_list_register(&mut self, n: usize, value: ListRegister);
    /// GICH_HCR.
    fn hcr(&mut self) -> u32;
    /// Writes GICH_HCR. Only the bits of [`hcr::OWNED`] ever differ from what was read. After [`Gic::sync`] no maintenance interrupt is enabled.
    fn set_hcr(&mut self, value: u32);
    /// Whether the loaded vCPU's virtual timer asserts its interrupt now.
    fn vtimer_line(&mut self) -> bool;
    /// Makes the hardware's interrupt [`VTIMER_PPI`] inactive. It is signalled again at once if the line is up.
    fn deactivate_vtimer(&mut self);
    /// GICH_VMCR and GICH_APR.
    fn cpu_interface(&mut self) -> CpuInterface;
}

/// The GIC of a VM. A copy of `shared` and `private`, made when all vCPUs are synced, is a snapshot of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gic {
    /// The distributor's state that all vCPUs share.
    pub shared: DistState,
    /// The banked state of each vCPU.
    pub private: [BankedState; VCPUS_MAX],
    lrs: [LrMap; VCPUS_MAX],
    /// Each vCPU's CPU interface as it was when it was last noted. Decides who gets an SPI with several targets.
    interfaces: [CpuInterface; VCPUS_MAX],
    /// SPIs that are in the list registers of any vCPU: bit n is INTID 32 + n.
    spis_in_lrs: u32,
    /// SPIs that were folded since the last [`Gic::offer_returned`].
    returned: u32,
    vcpus: u32,
}

impl Gic {
    /// As after a reset, for `vcpus` vCPUs: 1 to [`VCPUS_MAX`], others are taken as the nearest of these.
    pub const fn new(vcpus: usize) -> Self {
        let vcpus = match vcpus {
            0 => 1,
            1..=VCPUS_MAX => vcpus,
            _ => VCPUS_MAX,
        };
        Self {
            shared: DistState::new(vcpus),
            private: [BankedState::new(); VCPUS_MAX],
            lrs: [LrMap::EMPTY; VCPUS_MAX],
            interfaces: [CpuInterface { vmcr: 0, apr: 0 }; VCPUS_MAX],
            spis_in_lrs: 0,
            returned: 0,
            vcpus: vcpus as u32,
        }
    }

    /// The input line of a PPI of `vcpu` or of an SPI (whose `vcpu` does not matter) is `up` or not. Not for [`VTIMER_PPI`].
    /// Returns the vCPUs that need a [`flush`](Self::flush), a bit each.
    #[inline]
    pub fn set_line(&mut self, intid: u32, vcpu: usize, up: bool) -> u8 {
        match intid {
            16..32 if intid != VTIMER_PPI => self.set_ppi_line(intid, vcpu, up),
            32..64 => self.set_spi_line(intid, up),
            _ => 0,
        }
    }

    /// Whether the input line of the SPI `intid`, 32 to 63, is up.
    #[inline]
    pub fn spi_line(&self, intid: u32) -> bool {
        self.shared.lines >> ((intid - 32) & 31) & 1 != 0
    }

    fn set_ppi_line(&mut self, intid: u32, vcpu: usize, up: bool) -> u8 {
        let private = &mut self.private[vcpu % VCPUS_MAX];
        let bit = 1 << (intid - 16);
        if (private.lines & bit != 0) == up {
            return 0;
        }
        private.lines ^= bit;
        let listed = self.lrs[vcpu % VCPUS_MAX].intids() >> intid & 1 != 0;
        if listed {
            self.lrs[vcpu % VCPUS_MAX].stale = true;
        }
        if listed || up && self.waiting(vcpu) >> intid & 1 != 0 {
            1 << (vcpu % VCPUS_MAX)
        } else {
            0
        }
    }

    #[inline]
    fn set_spi_line(&mut self, intid: u32, up: bool) -> u8 {
        let bit = 1 << (intid - 32);
        if (self.shared.lines & bit != 0) == up {
            return 0;
        }
        self.change_spi_line(intid, up)
    }

    #[inline(never)]
    fn change_spi_line(&mut self, intid: u32, up: bool) -> u8 {
        let bit = 1 << (intid - 32);
        self.shared.lines ^= bit;
        if up {
            self.shared.latched |= self.shared.edges & bit;
        }
        if self.spis_in_lrs & bit != 0 {
            for vcpu in 0..VCPUS_MAX {
                if self.lrs[vcpu].intids() >> intid & 1 != 0 {
                    self.lrs[vcpu].stale = true;
                    return 1 << vcpu;
                }
            }
        }
        if up { self.takers(intid) } else { 0 }
    }

    /// Whether an interrupt that is in no list register waits for `vcpu`, which needs a [`flush`](Self::flush) then: its CPU interface may let it
    /// through. Counts what is in list registers only after a [`sync`](Self::sync).
    #[inline]
    pub fn has_unlisted(&self, vcpu: usize) -> bool {
        self.waiting(vcpu) != 0
    }

    /// Notes the CPU interface of `vcpu`, which is loaded, and returns whether it signals an interrupt: a WFI must not wait then. An interrupt
    /// that waits for a list register counts, an interrupt that the CPU interface holds back does not.
    pub fn poll_signalled(&mut self, vcpu: usize, gich: &mut impl Gich) -> bool {
        let is_idle = self.is_idle(vcpu);
        let is_timer_unnoticed = self.is_vtimer_unnoticed(vcpu, gich);
        if is_idle && !is_timer_unnoticed && self.vcpus == 1 {
            // Nor has an SPI a choice of targets, for which to note the interface.
            return false;
        }
        let interface = gich.cpu_interface();
        self.interfaces[vcpu % VCPUS_MAX] = interface;
        let mut waiting = 0;
        if !is_idle {
            let mut used = !gich.empty_lrs() & lr_map::LRS_MASK;
            while used != 0 {
                let n = used.trailing_zeros() as usize;
                used &= used - 1;
                let register = gich.list_register(n);
                if interface.signals_register(register) {
                    return true;
                }
            }
            waiting = self.waiting(vcpu);
        }
        // The timer's line rose, and no core has acknowledged the hardware's interrupt yet. While that is active for the guest, it is not
        // signalled again.
        if is_timer_unnoticed {
            waiting |= self.passing_vtimer(vcpu);
        }
        self.signalled(vcpu, waiting, interface) != 0
    }

    /// Those of `intids` that a CPU interface of `vcpu` in the state `interface` signals.
    fn signalled(&self, vcpu: usize, mut intids: u64, interface: CpuInterface) -> u64 {
        let mut signalled = 0;
        while intids != 0 {
            let intid = intids.trailing_zeros() & 63;
            intids &= intids - 1;
            let (priority, group1) = (self.priority(vcpu, intid), self.is_group1(vcpu, intid));
            signalled |= u64::from(interface.signals(priority, group1)) << intid;
        }
        signalled
    }

    /// Whether the hardware's interrupt [`VTIMER_PPI`] must be active on the core that `vcpu` is loaded on. Asked after a
    /// [`sync`](Self::sync). The core's active bit belongs to the vCPU that is loaded there, so an unloaded vCPU has none.
    #[inline]
    pub fn vtimer_needs_hw_active(&self, vcpu: usize) -> bool {
        let private = &self.private[vcpu % VCPUS_MAX];
        private.lines & VTIMER != 0
            || private.lines & VTIMER_LINKED != 0 && private.active >> VTIMER_PPI & 1 != 0
    }

    /// What is pending, enabled, let through by CTLR and meant for `vcpu`, by INTID; active ones too, if they are active
    /// on this vCPU, and PPIs and SGIs in list registers.
    #[inline]
    fn pendable(&self, vcpu: usize) -> u64 {
        let private = &self.private[vcpu % VCPUS_MAX];
        let shared = &self.shared;
        let own = private.pending() & private.enabled() & shared.passing(private.groups);
        let spis =
            shared.pending() & shared.enabled & shared.passing(shared.groups) & !self.spis_in_lrs;
        if spis == 0 {
            return u64::from(own);
        }
        u64::from(own) | u64::from(self.routed(vcpu, spis)) << 32
    }

    /// Those of the pending `spis` that have `vcpu` among their targets. An SPI that is active on another vCPU has to wait.
    fn routed(&self, vcpu: usize, spis: u32) -> u32 {
        let active_here = (self.private[vcpu % VCPUS_MAX].active >> 32) as u32;
        let mut routed = 0;
        let mut rest = spis & (active_here | !self.shared.active);
        while rest != 0 {
            let n = rest.trailing_zeros();
            rest &= rest - 1;
            routed |= (self.shared.targets_of(n) >> (vcpu % VCPUS_MAX) & 1) << n;
        }
        routed
    }

    /// The interrupts that could go into a list register of `vcpu` as pending, and are in none.
    #[inline]
    fn waiting(&self, vcpu: usize) -> u64 {
        self.pendable(vcpu)
            & !self.private[vcpu % VCPUS_MAX].active
            & !self.lrs[vcpu % VCPUS_MAX].intids()
    }

    /// Whether a [`flush`](Self::flush) of `vcpu` would change anything.
    fn needs_flush(&self, vcpu: usize) -> bool {
        let private = &self.private[vcpu % VCPUS_MAX];
        self.waiting(vcpu) != 0
            || private.active != 0
            || private.lines & VTIMER_LINKED != 0
            || self.lrs[vcpu % VCPUS_MAX].stale
    }

    /// Priority of `intid` for `vcpu`; a smaller number goes first.
    #[inline]
    fn priority(&self, vcpu: usize, intid: u32) -> u32 {
        if intid < 32 {
            byte_of(&self.private[vcpu % VCPUS_MAX].priorities, intid)
        } else {
            byte_of(&self.shared.priorities, intid & 31)
        }
    }

    #[inline]
    fn is_group1(&self, vcpu: usize, intid: u32) -> bool {
        if intid < 32 {
            self.private[vcpu % VCPUS_MAX].groups >> intid & 1 != 0
        } else {
            self.shared.groups >> (intid & 31) & 1 != 0
        }
    }
}

#[cfg(test)]
mod tests;
