//! The seams between a VM and what it runs on. `metal` implements them for the board, `fake` for the tests of this module.
//!
//! [`VmBackend`] is what a VM has once: its memory, the TLBs of all cores, its end of the console. [`Core`] is a physical core, on which one
//! of the VM's vCPUs is loaded; the registers of that vCPU stay there from trap to trap.

use crate::addr::{Ipa, Pa, Va};
use crate::arch::vcpu::exchange::VcpuRegisters;
use crate::arch::vcpu::{
    ExceptionReturn, ExceptionState, Registers, Stage1Access, Stage1Mapping, Stage1Register, Trap,
};
use crate::device::Console;
use crate::device::caught::VcpuDebug;
use crate::device::gic::Gich;
use crate::guest_image::device_tree::Seed;
use crate::snapshot::{Bookkeeping, Node};
use crate::stage2::Maintenance;
use crate::trap::inject::PstateFeatures;
use crate::trap::sysreg::SysReg;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The board's side of a VM: its memory, and its end of the console.
pub trait VmBackend: Maintenance + Console {
    /// What its vCPUs run on.
    type Core: Core;

    /// The frame at `at`, of the VM's share, as bookkeeping memory. The guest cannot reach that frame.
    fn bookkeeping(&self, at: Pa) -> &Bookkeeping;
    /// The same frame, to change.
    fn bookkeeping_mut(&mut self, at: Pa) -> &mut Bookkeeping;
    /// The word at `at`, of bookkeeping memory.
    fn word(&self, at: Pa) -> u32;
    /// The same word, to change.
    fn word_mut(&mut self, at: Pa) -> &mut u32;
    /// The node at `at`, of bookkeeping memory.
    fn node(&self, at: Pa) -> &Node;
    /// The same node, to change.
    fn node_mut(&mut self, at: Pa) -> &mut Node;
    /// Copies a page of guest memory, completely: the guest may be given the copy.
    fn copy_page(&mut self, from: Pa, to: Pa);
    /// The same for a guest that reaches both through the caches. It is read completely before any store that follows is seen.
    fn copy_page_cached(&mut self, from: Pa, to: Pa);
    /// Fills whole pages of guest memory with zeros, completely.
    fn zero(&mut self, at: Pa, bytes: u64);
    /// Makes caches and memory agree on whole pages of guest memory.
    #[cfg_attr(test, track_caller)]
    fn clean_and_invalidate(&mut self, at: Pa, bytes: u64);
    /// Writes guest memory: `bytes` do not cross a page.
    fn write(&mut self, at: Pa, bytes: &[u8]);
    /// Reads guest memory, as the guest has it: `to.len()` bytes that do not cross a page.
    fn read(&mut self, at: Pa, to: &mut [u8]);
    /// Writes guest memory whose vCPUs may run: `bytes` do not cross a page.
    fn write_beside_guests(&mut self, at: Pa, bytes: &[u8]);
    /// Copies memory of another guest, `bytes` that cross no page on either side, into this one's, both of whose vCPUs may run.
    fn copy_from(&mut self, other: &mut Self, from: Pa, to: Pa, bytes: u64);
    /// The instruction at `at`, a multiple of 4, in guest memory, as the guest fetches it.
    fn read_instruction(&mut self, at: Pa) -> u32;
    /// The name in front of the VM's lines in the log, if there are several VMs.
    fn log_name(&self) -> Option<&'static str>;
    /// The first page of the board's virtual CPU interface (GICV), which is mapped into the guest.
    fn gicv_base(&self) -> Pa;
    /// The memory of window number `number`, one of the VM's. It was all zero when the VMs were made, completely.
    fn window_base(&self, number: usize) -> Pa;
    /// A seed for the random number generator of the guest, which is about to start: no guest had it before. `None` if the board has none.
    fn draw_seed(&mut self) -> Option<Seed>;
}

/// A vCPU, as the core that it is loaded on must know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VcpuIdentity {
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
// The numbers below are for what is beside it in `ExitAction`, whose `Resume` is 0 then: that is asked for after each trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Interrupt {
    /// There was none any more.
    None = 9,
    /// Another core has kicked this one.
    Kick,
    /// The loaded vCPU's virtual timer. The interrupt stays active until the guest deactivates it.
    VirtualTimer,
    /// One of this core's alarms. Both are off now.
    Alarm,
    /// The maintenance interrupt of the virtual CPU interface: its list registers are to be flushed.
    Maintenance,
    /// The console has input. Where the second UART has the same interrupt, it may be that one's.
    Console,
    /// The second UART has input, or room for output.
    Second,
}

/// A physical core.
pub trait Core: Gich {
    /// A vCPU's registers beyond the general ones.
    type System: FromBytes + IntoBytes + Immutable + KnownLayout;
    /// A vCPU's registers after a reset.
    const RESET: Self::System;

    /// The core's number, from 0.
    fn number(&self) -> usize;
    /// The physical count: time on the board, the same on all cores.
    fn physical_count() -> u64;
    /// How much the physical count grows in a second.
    fn frequency() -> u64;

    /// Begins to load a vCPU: the core is in that VM's stage 2, and has the vCPU's affinity. Its registers come by
    /// [`load_system`](Self::load_system).
    fn begin_load(&mut self, vcpu: &VcpuIdentity);
    /// With no vCPU loaded, makes the VMID of VM number `vm` current, and its stage 2, whose level 1 table is at `root`: TLB maintenance is for
    /// that VM from here on.
    fn enter_stage2(&mut self, vm: usize, root: Pa);
    /// Ends what [`enter_stage2`](Self::enter_stage2) began: nothing of that VM is in the core any more.
    fn leave_stage2(&mut self);
    /// With a vCPU of another VM loaded, does what [`enter_stage2`](Self::enter_stage2) does without one. The vCPU's registers stay, but its translations
    /// do not: nothing of it may be accessed until [`return_stage2`](Self::return_stage2).
    fn borrow_stage2(&mut self, vm: usize, root: Pa);
    /// The loaded vCPU's stage 2 is current again.
    fn return_stage2(&mut self);
    /// Runs the loaded vCPU until it traps.
    fn run(&mut self, registers: &mut Registers) -> Trap;

    /// Copies the loaded vCPU's registers out of the core.
    fn save_system(&mut self, to: &mut Self::System);
    /// Waits for the SErrors of what the loaded vCPU stored, and takes one that came. Returns whether one came: it is that vCPU's.
    fn consume_serror(&mut self) -> bool;
    /// Ends putting a vCPU: none is loaded any more, no timer of it fires, the timer's interrupt of the hardware is not active, and no translation starts
    /// from its registers.
    fn end_put(&mut self);
    /// Other registers are about to take the place of those of the loaded vCPU: no timer of it fires, and no translation starts from its registers, until
    /// these are loaded.
    fn begin_replacement(&mut self);
    /// Loads the vCPU's registers into the core, behind [`begin_load`](Self::begin_load) or [`begin_replacement`](Self::begin_replacement), and clears its
    /// exclusive monitor. The context is synchronized meanwhile. Whether its writes to [`Stage1Register`]s trap is part of them: after a reset they do.
    fn load_system(&mut self, from: &Self::System);
    /// Takes the registers out for another VM.
    fn export(system: &Self::System, to: &mut VcpuRegisters);
    /// Takes over what another VM sets. The guest's writes to [`Stage1Register`]s trap then.
    fn import(system: &mut Self::System, from: &VcpuRegisters);
    /// Loads breakpoints, watchpoints and MDSCR_EL1 into the core, and whom debug exceptions go to.
    ///
    /// An ERET decides by MDSCR_EL1.SS and MDCR_EL2.TDE whether PSTATE.SS becomes SPSR_EL2.SS (`DebugExceptionReturnSS`), before it synchronizes the
    /// context. Where a step of a vCPU begins, [`load_system`](Self::load_system) is in between: otherwise the CPU could have PSTATE.SS clear, and take the
    /// step exception before the instruction, each time anew. Elsewhere SPSR_EL2.SS is 0, or the step goes on as it was.
    fn load_debug(&mut self, from: &VcpuDebug);
    /// Sets how far the guest's CNTVCT_EL0 is behind the physical count, in ticks, before its registers are loaded: its virtual timer is off.
    fn set_virtual_offset(&mut self, offset: u64);
    /// When the virtual timer in a saved state fires: its compare value, if it is on.
    fn virtual_deadline(system: &Self::System) -> Option<u64>;

    /// What taking an exception to EL1 reads, `pc` and `pstate` aside.
    fn exception_state(&mut self) -> ExceptionState;
    /// What taking an exception to EL1 writes, `pc` and `pstate` aside.
    fn set_exception_state(&mut self, state: &ExceptionState);
    /// What the guest returns to from an exception, and where it takes one.
    fn exception_return(&mut self) -> ExceptionReturn;
    /// The same, in a saved state.
    fn saved_exception_return(system: &Self::System) -> ExceptionReturn;
    /// Writes the guest's SPSR_EL1.
    fn set_saved_pstate(&mut self, spsr: u64);
    /// The same, in a saved state.
    fn set_saved_pstate_of(system: &mut Self::System, spsr: u64);
    /// What the CPU has that the PSTATE of an exception depends on.
    fn pstate_features(&mut self) -> PstateFeatures;
    /// Makes an SError pending for the loaded vCPU.
    fn pend_serror(&mut self);

    /// Writes one of the registers that say how EL1 sees memory, for the guest.
    fn write_stage1_register(&mut self, register: Stage1Register, value: u64);
    /// Has the guest's writes to these registers no longer trap.
    fn untrap_stage1_registers(&mut self);
    /// Has the guest's writes to these registers trap.
    fn trap_stage1_registers(&mut self);
    /// Whether they do.
    fn traps_stage1_registers(&mut self) -> bool;
    /// The loaded vCPU's SCTLR_EL1.
    fn sctlr(&mut self) -> u64;
    /// The loaded vCPU's TCR_EL1.
    fn tcr(&mut self) -> u64;

    /// Where the guest's stage 1 maps `va` for that access, if it does. PSTATE.PAN is not looked at.
    fn translate_stage1(&mut self, va: Va, access: Stage1Access) -> Option<Ipa>;
    /// The same, and whether the mapping is Normal memory, Inner and Outer Write-Back Cacheable. That is what the guest's tables say; whether its
    /// caches are on is another matter ([`sctlr`](Self::sctlr)).
    fn stage1_mapping(&mut self, va: Va, access: Stage1Access) -> Option<Stage1Mapping>;
    /// SCTLR_EL1 and TCR_EL1 in a saved state.
    fn saved_sctlr_and_tcr(system: &Self::System) -> (u64, u64);
    /// In a saved state, has the guest's writes to [`Stage1Register`]s trap.
    fn trap_stage1_registers_of(system: &mut Self::System);
    /// The guest's SP_EL1 or, if not `el1`, SP_EL0.
    fn stack_pointer(&mut self, el1: bool) -> u64;
    /// Writes the guest's SP_EL1 or, if not `el1`, SP_EL0.
    fn set_stack_pointer(&mut self, el1: bool, value: u64);
    /// Reads the hardware's identification register `reg`.
    fn id_register(&mut self, reg: SysReg) -> u64;

    /// Whether anything was put into the list registers, or a maintenance interrupt was enabled, since the last time that this was asked. If not, they
    /// need not be read: on a board each look is one at a device.
    fn take_listed(&mut self) -> bool;
    /// GICH_VMCR and GICH_APR: the virtual CPU interface without its list registers.
    fn cpu_interface_registers(&mut self) -> [u32; 2];
    /// Writes GICH_VMCR and GICH_APR.
    fn set_cpu_interface_registers(&mut self, state: [u32; 2]);
    /// Sets whether the hardware's interrupt of the virtual timer is active, as it is while the guest has it and did not deactivate it.
    fn set_vtimer_irq_active(&mut self, active: bool);

    /// Acknowledges an interrupt of the board.
    fn acknowledge(&mut self) -> Interrupt;
    /// Makes core number `core` take [`Interrupt::Kick`]. It sees then what this core wrote before.
    fn kick(&mut self, core: usize);
    /// Sets the core's alarm to the physical count `at`, if that is earlier than what it is set to.
    fn set_alarm_no_later(&mut self, at: u64);
    /// The same for an alarm of its own, for when the loaded vCPU is to be reviewed: that one can be dropped. To the vCPU both are [`Interrupt::Alarm`].
    fn set_review_alarm_no_later(&mut self, at: u64);
    /// No review is due: its alarm is off.
    fn drop_review_alarm(&mut self);
    /// Sleeps until there is an interrupt to [`acknowledge`](Self::acknowledge).
    fn idle(&mut self);
    /// Sets whether several vCPUs are pinned to the core. If so, a vCPU that waits for an event (WFE) traps.
    fn set_multiplexed(&mut self, multiplexed: bool);
    /// Whether several vCPUs are pinned to the core.
    fn is_multiplexed(&self) -> bool;
}
