//! The seams between a VM and what it runs on. `arch` implements them: for the board, and as fakes for the tests of this module.
//!
//! [`Hardware`] is what a VM has once: its memory, the TLBs of all cores, its end of the console. [`Core`] is a physical core, which one of its
//! vCPUs is loaded on; that one's registers stay there from trap to trap.

use crate::addr::{Ipa, Pa, Va};
use crate::arch::vcpu::{ExceptionState, Registers, Stage1Access, Trap, VmRegister};
use crate::device::Console;
use crate::device::debug::DebugState;
use crate::device::gic::VirtualInterface;
use crate::snapshot::Bookkeeping;
use crate::stage2::Maintenance;
use crate::trap::inject::PstateFeatures;
use crate::trap::sysreg::SysReg;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A VM's memory, and the console.
pub trait Hardware: Maintenance + Console {
    /// What its vCPUs run on.
    type Core: Core;

    /// A frame of the VM's share as bookkeeping memory. It is none that the guest can reach.
    fn bookkeeping(&self, at: Pa) -> &Bookkeeping;
    /// The same, to change.
    fn bookkeeping_mut(&mut self, at: Pa) -> &mut Bookkeeping;
    /// A word of such a frame.
    fn word(&self, at: Pa) -> u32;
    /// The same, to change.
    fn word_mut(&mut self, at: Pa) -> &mut u32;
    /// Copies a page of guest memory, completely: the guest may be given the copy.
    fn copy_page(&mut self, from: Pa, to: Pa);
    /// Fills whole pages of guest memory with zeros, completely.
    fn zero(&mut self, at: Pa, bytes: u64);
    /// Makes caches and memory agree on whole pages of guest memory.
    #[cfg_attr(test, track_caller)]
    fn clean_and_invalidate(&mut self, at: Pa, bytes: u64);
    /// Writes guest memory: `bytes` do not cross a page.
    fn write(&mut self, at: Pa, bytes: &[u8]);
    /// The instruction at `at`, a multiple of 4, in guest memory, as the guest fetches it.
    fn instruction(&mut self, at: Pa) -> u32;
    /// The name in front of the VM's lines in the log, if there are several VMs.
    fn log_name(&self) -> Option<&'static str>;
    /// The first page of the board's virtual CPU interface (GICV), for the guest.
    fn virtual_interface(&self) -> Pa;
}

/// A vCPU, as the core that it is loaded on must know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The VM's name.
    pub name: &'static str,
    /// The VM's number, from 0.
    pub vm: usize,
    /// The vCPU's number in the VM, from 0.
    pub vcpu: usize,
    /// The VM's level 1 table.
    pub root: Pa,
}

/// An interrupt of the board, acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// None was there any more.
    None,
    /// Another core wants this one to look around.
    Kick,
    /// The loaded vCPU's virtual timer. The interrupt stays active until the guest deactivates it.
    VirtualTimer,
    /// This core's alarm. It is off now.
    Alarm,
    /// The virtual CPU interface wants its list registers looked after.
    Maintenance,
    /// The console has input.
    Console,
}

/// A physical core.
pub trait Core: VirtualInterface {
    /// A vCPU's registers beyond the general ones.
    type System: FromBytes + IntoBytes + Immutable + KnownLayout;
    /// The state after a reset.
    const RESET: Self::System;

    /// Its number, from 0.
    fn number(&self) -> usize;
    /// The physical count: time on the board, the same on all cores.
    fn count() -> u64;
    /// How much that grows in a second.
    fn frequency() -> u64;

    /// Makes it the core of that vCPU: its memory, its affinity. The registers come by [`load_system`](Self::load_system).
    fn adopt(&mut self, vcpu: &Identity);
    /// With no vCPU loaded: what is done to translations from here on is done to those of VM number `vm`, whose level 1 table is `root`.
    fn face(&mut self, vm: usize, root: Pa);
    /// After [`face`](Self::face): nothing of that VM is in the core any more.
    fn look_away(&mut self);
    /// Runs the loaded vCPU until it traps.
    fn run(&mut self, registers: &mut Registers) -> Trap;

    /// Copies the vCPU's state out of the core.
    fn save_system(&mut self, to: &mut Self::System);
    /// Waits for the SErrors of what the loaded vCPU stored. Returns whether one came: it is taken then, and is that vCPU's.
    fn synchronize_errors(&mut self) -> bool;
    /// The core has no vCPU any more: no timer of it fires, and no translation starts from its registers.
    fn abandon(&mut self);
    /// Puts the vCPU's state into the core, and clears its exclusive monitor. Whether its writes to [`VmRegister`]s trap is part of that state:
    /// after a reset they do.
    fn load_system(&mut self, from: &Self::System);
    /// Puts breakpoints, watchpoints and MDSCR_EL1 into the core.
    fn load_debug(&mut self, from: &DebugState);
    /// The guest's CNTVCT_EL0 is `offset` behind the physical count. Its virtual timer is off until its state is loaded.
    fn set_virtual_offset(&mut self, offset: u64);
    /// When the virtual timer in a saved state fires: its compare value, if it is on.
    fn virtual_deadline(system: &Self::System) -> Option<u64>;

    /// What taking an exception to EL1 reads, `pc` and `pstate` aside.
    fn exception_state(&mut self) -> ExceptionState;
    /// What taking an exception to EL1 writes, `pc` and `pstate` aside.
    fn set_exception_state(&mut self, state: &ExceptionState);
    /// What the CPU has that the PSTATE of an exception depends on.
    fn pstate_features(&mut self) -> PstateFeatures;
    /// An SError becomes pending for the vCPU.
    fn pend_serror(&mut self);

    /// Writes one of the registers that the guest's writes to may trap.
    fn write_vm_register(&mut self, register: VmRegister, value: u64);
    /// The guest writes them itself from here on.
    fn release_vm_registers(&mut self);
    /// The guest's writes to them trap from here on. Returns whether they did not before.
    fn watch_vm_registers(&mut self) -> bool;
    /// The loaded vCPU's SCTLR_EL1.
    fn sctlr(&mut self) -> u64;

    /// Where the guest's stage 1 maps `va` for that access, if it does. PSTATE.PAN is not looked at.
    fn translate(&mut self, va: Va, access: Stage1Access) -> Option<Ipa>;
    /// The guest's SP_EL1 or, if not `el1`, SP_EL0.
    fn stack_pointer(&mut self, el1: bool) -> u64;
    /// Writes it.
    fn set_stack_pointer(&mut self, el1: bool, value: u64);
    /// The hardware's identification register.
    fn id_register(&mut self, reg: SysReg) -> u64;

    /// GICH_VMCR and GICH_APR: the virtual CPU interface beside its list registers.
    fn interface(&mut self) -> [u32; 2];
    /// Writes them.
    fn set_interface(&mut self, state: [u32; 2]);
    /// Whether the physical interrupt of the virtual timer is active, as one is that the guest has and did not deactivate yet.
    fn set_timer_active(&mut self, active: bool);

    /// Acknowledges an interrupt of the board.
    fn acknowledge(&mut self) -> Interrupt;
    /// Makes another core take [`Interrupt::Kick`]. What this core wrote before, that one sees.
    fn kick(&mut self, core: usize);
    /// Its alarm goes off at the physical count `at`, if that is earlier than what it is set to.
    fn alarm_by(&mut self, at: u64);
    /// Sleeps until there is an interrupt to acknowledge.
    fn idle(&mut self);
    /// Several vCPUs are pinned to it: one that waits for an event (WFE) traps.
    fn set_shared(&mut self, shared: bool);
    /// Whether several are, as [`set_shared`](Self::set_shared) said.
    fn is_shared(&self) -> bool;
}
