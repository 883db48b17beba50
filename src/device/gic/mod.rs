//! The interrupt controller of a VM: a GICv2 (Arm IHI 0048B) without security extensions, registers as GIC-400 has them.
//!
//! The guest's CPU interface is hardware, the GICV; what it offers to the guest stands in the list registers of the core
//! that the vCPU is loaded on, behind [`Gich`]. The distributor is emulated, here. An interrupt's state is in one
//! of two places:
//!
//! | place | when | who changes it |
//! | --- | --- | --- |
//! | [`DistState`], [`BankedState`] | always but: | this module |
//! | a list register | between [`Gic::flush`] and [`Gic::sync`] of a vCPU | the guest: acknowledge, end, deactivate |
//!
//! `refill` moves what a vCPU should see into empty list registers, the best first; `settle` takes all of it back, and
//! then `DistState` and `BankedState` are the whole state, which is what a snapshot keeps. A register whose answer depends on what
//! the guest did meanwhile needs a settle first; [`Gic::prepare_access`] says so.
//!
//! # Lines
//!
//! A level-sensitive interrupt is pending while its line is up or its latch is set (ISPENDR), and an acknowledge clears the
//! latch only. A list register that holds one whose line is up asks for a maintenance interrupt when the guest has
//! deactivated it, and then `refill` looks at the line again. When a line changes under an interrupt in a list register,
//! `set_line` marks the lrs as stale, and the next `refill` builds them anew.
//!
//! # The timer
//!
//! PPI 27 is the virtual timer's interrupt, which the hardware's interrupt controller has too. Its list register is linked to that
//! hardware interrupt, so that the guest's deactivation is the hardware's: as long as it is pending or active for the guest, the
//! hardware interrupt is active, and cannot come again.
//! What a guest makes pending or active itself through the distributor has nothing physical behind it and no link.
//! A guest turns its timer off without a trap. So [`Gic::review`] looks at the line before long, as long as the interrupt waits in a list
//! register, and takes it back if the line fell. It looks after each trap, too, once an interrupt or a call of the guest has come since the
//! interrupt was put there: accesses to devices and system registers are not slowed down to begin with that. What the guest acknowledges before that look is acknowledged.
//!
//! # Ends
//!
//! | the guest writes | what becomes of the interrupt |
//! | --- | --- |
//! | GICC_DIR, with EOImode 1 | it traps, and is exact: [`Gic::deactivate`] |
//! | GICC_EOIR, with EOImode 0 | the list register's state changes |
//! | the same, for what is in no list register | the hardware counts it (EOICount). Ends come in the reverse order of acknowledges, or are UNPREDICTABLE (IHI 0048B, 4.4.5): it is the last one acknowledged of those in no list register. What was not acknowledged does not end |
//!
//! # Where this differs from a GIC
//!
//! - A line of the virtual timer that falls, and a change of the CPU interface that moves an SPI with several targets, take effect at one
//!   of the vCPU's next traps, at the latest 0.5 ms later; where something was looked at in vain for long, 17 ms later.

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
pub use review::Review;
pub use state::{BankedState, DistState};
use state::{VTIMER, VTIMER_LINKED, byte_of};

/// vCPUs that a GICv2 can have.
pub const VCPUS_MAX: usize = 8;
/// Interrupts: 16 SGIs, 16 PPIs, 32 SPIs.
pub const INTIDS: usize = 64;
/// The virtual timer.
pub const VTIMER_PPI: u32 = 27;
/// The physical timer, which is emulated.
pub const PTIMER_PPI: u32 = 30;
/// The PL011.
pub const UART_INTID: u32 = 33;

/// The virtual CPU interface of the core that a vCPU is loaded on (GICH, IHI 0048B, 5.3), and its virtual timer.
pub trait Gich {
    /// GICH_ELRSR0: the list registers that are empty, only bits of existing ones. At most the first 4 are used. They must
    /// all be empty when a vCPU is loaded, and are so again after [`Gic::sync`].
    fn empty(&mut self) -> u32;
    /// GICH_LRn.
    fn list_register(&mut self, n: usize) -> ListRegister;
    /// Writes GICH_LRn.
    fn set_list_register(&mut self, n: usize, value: ListRegister);
    /// GICH_HCR.
    fn hcr(&mut self) -> u32;
    /// Writes GICH_HCR. Only the bits of [`hcr::OWNED`] ever differ from what was read, and no maintenance interrupt is
    /// enabled any more after [`Gic::sync`].
    fn set_hcr(&mut self, value: u32);
    /// Whether the loaded vCPU's virtual timer asserts its interrupt now.
    fn vtimer_line(&mut self) -> bool;
    /// Makes [`VTIMER_PPI`], the hardware's interrupt, inactive. It may come at once, if the line is up.
    fn deactivate_vtimer(&mut self);
    /// GICH_VMCR and GICH_APR.
    fn cpu_interface(&mut self) -> CpuInterface;
}

/// The GIC of a VM. Make a copy of `shared` and `private` when all vCPUs are settled, and it can be put back so later.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gic {
    /// What there is once.
    pub shared: DistState,
    /// What there is for each vCPU.
    pub private: [BankedState; VCPUS_MAX],
    lrs: [LrMap; VCPUS_MAX],
    /// Each vCPU's CPU interface, as it was when it was last looked at for an SPI with several targets.
    interfaces: [CpuInterface; VCPUS_MAX],
    /// SPIs in the list registers of any vCPU.
    spis_in_lrs: u32,
    /// SPIs that list registers held until just now: see [`Gic::offer_returned`].
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
    /// Returns the vCPUs that must look ([`Self::flush`]), a bit each.
    #[inline]
    pub fn set_line(&mut self, intid: u32, vcpu: usize, up: bool) -> u8 {
        match intid {
            16..32 if intid != VTIMER_PPI => self.set_ppi_line(intid, vcpu, up),
            32..64 => self.set_spi_line(intid, up),
            _ => 0,
        }
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

    /// Whether an interrupt that is in no list register waits for `vcpu`, which must look then: its CPU interface may let it through.
    /// Ask after a settle, which takes what is in list registers back.
    #[inline]
    pub fn has_waiting(&self, vcpu: usize) -> bool {
        self.waiting(vcpu) != 0
    }

    /// Whether the CPU interface of `vcpu`, which is loaded, signals an interrupt: its WFI must not wait. One that waits for a list
    /// register counts, one that the interface holds back does not.
    pub fn poll_signalled(&mut self, vcpu: usize, i: &mut impl Gich) -> bool {
        let interface = i.cpu_interface();
        self.interfaces[vcpu % VCPUS_MAX] = interface;
        let mut used = !i.empty() & lr_map::LRS;
        let mut timer_is_listed = false;
        while used != 0 {
            let n = used.trailing_zeros() as usize;
            used &= used - 1;
            let register = i.list_register(n);
            if interface.signals_register(register) {
                return true;
            }
            timer_is_listed |= register.intid() == VTIMER_PPI && !register.is_done();
        }
        let mut waiting = self.waiting(vcpu);
        // The timer's line rose, and nobody has acknowledged the physical interrupt yet. One that is active for the guest does not come again.
        if i.vtimer_line() && !timer_is_listed && !self.vtimer_is_active(vcpu) {
            waiting |= self.passing_vtimer(vcpu);
        }
        self.signalled(vcpu, waiting, interface) != 0
    }

    /// Those of `intids` that a CPU interface of `vcpu` like this signals.
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

    /// For a settled `vcpu`: whether the physical [`VTIMER_PPI`] must be active on the core that it is loaded on. When it is
    /// not loaded anywhere, the core's physical one must be as the next vCPU wants it.
    #[inline]
    pub fn vtimer_is_active(&self, vcpu: usize) -> bool {
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

    /// Those of the pending `spis` that have `vcpu` among their targets. One that is active elsewhere has to wait.
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

    /// What could go into a list register of `vcpu` as pending.
    #[inline]
    fn waiting(&self, vcpu: usize) -> u64 {
        self.pendable(vcpu)
            & !self.private[vcpu % VCPUS_MAX].active
            & !self.lrs[vcpu % VCPUS_MAX].intids()
    }

    /// Whether a refill of `vcpu` would change anything.
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
            byte_of(&self.shared.priorities, intid - 32)
        }
    }

    #[inline]
    fn is_group1(&self, vcpu: usize, intid: u32) -> bool {
        if intid < 32 {
            self.private[vcpu % VCPUS_MAX].groups >> intid & 1 != 0
        } else {
            self.shared.groups >> ((intid - 32) & 31) & 1 != 0
        }
    }
}

#[cfg(test)]
mod tests;
