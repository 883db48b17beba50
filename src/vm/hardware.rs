//! The seam between a VM and the core that it runs on. `arch` implements it: for the board, and as a fake for the tests of this module.

use crate::addr::{Ipa, Pa, Va};
use crate::arch::vcpu::{Registers, Trap};
use crate::device::Console;
use crate::snapshot::Bookkeeping;
use crate::stage2::Maintenance;
use crate::trap::inject::{ExceptionState, PstateFeatures};
use crate::trap::sysreg::{SysReg, VmRegister};
use zerocopy::{FromBytes, IntoBytes, KnownLayout};

/// The core, its memory, and the board's console.
pub trait Hardware: Maintenance + Console {
    /// A vCPU's registers beyond the general ones: they stay in the core from trap to trap.
    type System: FromBytes + IntoBytes + KnownLayout;

    /// Guests on this core see the memory below the level 1 table `root` from here on.
    fn activate(&mut self, root: Pa);
    /// Runs the vCPU until it traps.
    fn run(&mut self, registers: &mut Registers) -> Trap;

    /// Gives the vCPU the state after a reset. Here and in [`load_system`](Self::load_system) it is decided anew whether its writes to
    /// [`VmRegister`]s trap: unless its caches are on.
    fn reset_system(&mut self);
    /// Copies the vCPU's state out of the core.
    fn save_system(to: &mut Self::System);
    /// Puts the vCPU's state into the core, and clears its exclusive monitor.
    fn load_system(from: &Self::System);
    /// What the guest's CNTVCT_EL0 shows.
    fn virtual_count(&mut self) -> u64;
    /// The guest's CNTVCT_EL0 goes on from `count`. Its timers are off until its state is reset or loaded.
    fn set_virtual_count(&mut self, count: u64);

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

    /// Where the guest's stage 1 maps `va` for a read at EL1, if it does.
    fn translate(&mut self, va: Va) -> Option<Ipa>;
    /// The hardware's identification register.
    fn id_register(&mut self, reg: SysReg) -> u64;

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
    fn clean_and_invalidate(&mut self, at: Pa, bytes: u64);
    /// Writes guest memory: `bytes` do not cross a page.
    fn write(&mut self, at: Pa, bytes: &[u8]);
}
