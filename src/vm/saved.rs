//! What a snapshot keeps of a VM besides its RAM: the layout, saving and restoring.
//!
//! | part of the state | nodes hold |
//! | --- | --- |
//! | 0 | [`SavedVm`], vCPU 0, vCPU 1 |
//! | n | vCPU 2n, vCPU 2n + 1 |
//!
//! A vCPU is the core's [`System`], then [`SavedVcpu`]. List registers are not saved: they are synced into the GIC model first.

use super::debug::hide_step;
use super::loaded::replace_registers;
use super::quiesce::{Initiator, StoppedVcpus};
use super::saved_lrs::SavedLrs;
use super::unfinished::Unfinished;
use super::vcpu::RunState;
use super::{Core, System, Vm, VmBackend};
use crate::arch::vcpu::Registers;
use crate::arch::vcpu::exchange::VcpuRegisters;
use crate::device::Devices;
use crate::device::debug::DebugState;
use crate::device::gic::{self, Gic};
use crate::device::timer::PhysicalTimer;
use crate::snapshot::{Moment, Node, SaveState, StateSize};
use crate::trap::sysreg::goes_through_caches;
use core::marker::PhantomData;
use core::ops::Range;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// vCPUs in a part.
const PER_PART: usize = 2;

/// The saved state that the vCPUs share.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct SavedVm {
    devices: Devices,
    gic: gic::DistState,
    /// The number of the vCPU that took the snapshot by SMCCC, so that x0 and x1 are its results, plus 1; or 0.
    taken_by: u32,
    /// The vCPUs that are on and go around the caches, a bit for each.
    around: u32,
}

/// The saved state of a vCPU, but for its [`System`].
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct SavedVcpu {
    registers: Registers,
    gic: gic::BankedState,
    /// GICH_VMCR and GICH_APR.
    interface: [u32; 2],
    timer: PhysicalTimer,
    debug: DebugState,
    /// [`RunState`].
    run_state: u64,
}

/// Bytes of a saved vCPU.
const fn vcpu_bytes<S>() -> usize {
    (size_of::<S>() + size_of::<SavedVcpu>()).next_multiple_of(16)
}

/// Bytes of [`SavedVm`].
const VM_BYTES: usize = size_of::<SavedVm>().next_multiple_of(16);

const ALIGNED: &str = "`state_size` counts these bytes, and nodes are aligned to 16";

/// What a snapshot of a VM with so many vCPUs takes besides RAM.
pub(super) const fn state_size<S>(vcpus: u32) -> StateSize {
    let vcpus = vcpus as usize;
    let in_first = if vcpus < PER_PART { vcpus } else { PER_PART };
    let bytes = VM_BYTES + in_first * vcpu_bytes::<S>();
    StateSize {
        nodes: bytes.div_ceil(size_of::<Node>()),
        parts: vcpus.div_ceil(PER_PART),
    }
}

/// The vCPUs in a part of a snapshot's state.
pub(super) struct SavedVcpus<'a, S> {
    /// The number of the first.
    first: usize,
    bytes: &'a [u8],
    vcpus: PhantomData<S>,
}

impl<'a, S: FromBytes + IntoBytes + Immutable + KnownLayout> SavedVcpus<'a, S> {
    /// The part that has vCPU number `index`.
    pub fn part_of(index: usize) -> usize {
        index / PER_PART
    }

    /// What `nodes` have, which are part number `part`.
    pub fn new(part: usize, nodes: &'a [Node]) -> Self {
        let (_, bytes) = nodes
            .as_bytes()
            .split_at(if part == 0 { VM_BYTES } else { 0 });
        Self {
            first: part * PER_PART,
            bytes,
            vcpus: PhantomData,
        }
    }

    /// Takes out vCPU number `index` for another VM, if it was on.
    pub fn export<C: Core<System = S>>(&self, index: usize, to: &mut VcpuRegisters) {
        let bytes = &self.bytes[(index - self.first) * vcpu_bytes::<S>()..];
        let (system, bytes) = S::ref_from_prefix(bytes).expect(ALIGNED);
        let (saved, _) = SavedVcpu::ref_from_prefix(bytes).expect(ALIGNED);
        let run_state = RunState::from_number(saved.run_state);
        if run_state != RunState::Off {
            to.state = if run_state == RunState::Waiting { 2 } else { 1 };
            to.registers = saved.registers;
            C::export(system, to);
        }
    }
}

/// A stopped VM whose interrupts are all in the GIC model: what a checkpoint saves, and a restore overwrites.
pub(super) struct QuiescedVm<'a, 'b, B: VmBackend> {
    pub vm: &'a Vm<B>,
    pub initiator: Initiator<'a, B>,
    pub stopped: &'a mut StoppedVcpus<'b, System<B>>,
    pub devices: &'a mut Devices,
    pub gic: &'a mut Gic,
    /// The moment at which the VM was stopped.
    pub at: Moment,
    /// For a checkpoint: the initiator's vCPU called by SMCCC, so that its saved x0 and x1 are results.
    pub returns_id: bool,
    /// For a restore: what the vCPU that took the snapshot by SMCCC finds in x1.
    pub value: u64,
    /// After a restore: [`SavedVm::taken_by`] of the snapshot.
    pub taken_by: u32,
    /// The vCPUs that are on and go around the caches, a bit for each, as a checkpoint found them or a restore has left them.
    pub around: u8,
    /// A restore has overwritten the VM.
    pub restored: bool,
}

impl<B: VmBackend> QuiescedVm<'_, '_, B> {
    /// The vCPUs of a part.
    fn vcpus(&self, part: usize) -> Range<usize> {
        let first = part * PER_PART;
        first..(first + PER_PART).min(self.vm.vcpus.len())
    }

    /// The vCPUs that are on and go around the caches, a bit for each.
    #[inline]
    fn who_goes_around(&mut self) -> u8 {
        let mut around = 0;
        for (index, slot) in self.vm.vcpus.iter().enumerate() {
            let (sctlr, tcr) = match self.initiator.index() {
                _ if slot.run_state() == RunState::Off => continue,
                Some(own) if own == index => {
                    (self.initiator.core.sctlr(), self.initiator.core.tcr())
                }
                _ => match self.stopped.get(index) {
                    Some(vcpu) => B::Core::saved_sctlr_and_tcr(&vcpu.system),
                    None => continue,
                },
            };
            around |= u8::from(!goes_through_caches(sctlr, tcr)) << index;
        }
        around
    }

    /// Has each vCPU that is on trap when it writes a register of stage 1: a restore has left in the caches what memory does not have, and a
    /// vCPU that goes around them from here on must be seen. It may have cleaned what it needs before the checkpoint. Returns a bit for each of
    /// them.
    #[inline]
    pub fn watch_caches(&mut self) -> u8 {
        let mut watched = 0;
        for (index, slot) in self.vm.vcpus.iter().enumerate() {
            match self.initiator.index() {
                _ if slot.run_state() == RunState::Off => continue,
                Some(own) if own == index => self.initiator.core.trap_stage1_registers(),
                _ => match self.stopped.get(index) {
                    Some(vcpu) => B::Core::trap_stage1_registers_of(&mut vcpu.system),
                    None => continue,
                },
            }
            watched |= 1 << index;
        }
        watched
    }

    /// Has each vCPU load what a restore has left to load, before it goes on.
    #[cold]
    #[inline(never)]
    pub fn load_later(&mut self) {
        let stopped = self.stopped.iter_mut().map(|(_, vcpu)| vcpu);
        let own = self.initiator.vcpu.iter_mut().map(|(_, vcpu)| &mut **vcpu);
        stopped
            .chain(own)
            .for_each(|vcpu| vcpu.unfinished.set_loading(true));
    }

    #[inline]
    fn save_vcpu(&mut self, index: usize, id: u64, to: &mut [u8]) {
        let (system, to) = System::<B>::mut_from_prefix(to).expect(ALIGNED);
        let (saved, _) = SavedVcpu::mut_from_prefix(to).expect(ALIGNED);
        let run_state = self.vm.vcpus[index].run_state();
        saved.run_state = run_state as u64;
        if self
            .stopped
            .get(index)
            .is_some_and(|vcpu| vcpu.in_run && run_state != RunState::Off)
        {
            // In the midst of RUN, its pc on the call: that has not happened.
            saved.run_state = RunState::Ready as u64;
        }
        copy_words(&self.gic.private[index], &mut saved.gic);
        let vcpu = match &mut self.initiator.vcpu {
            Some((own, vcpu)) if *own == index => {
                if self.returns_id {
                    [vcpu.registers.x[0], vcpu.registers.x[1]] = [id, 0];
                }
                saved.interface = self.initiator.core.cpu_interface_registers();
                // The core's state goes straight to its place, without a copy on the stack.
                self.initiator.core.save_system(system);
                vcpu
            }
            _ => match self.stopped.get(index) {
                Some(vcpu) if run_state != RunState::Off => {
                    saved.interface = vcpu.interface;
                    copy(&vcpu.system, system);
                    vcpu
                }
                _ => return,
            },
        };
        copy_registers(&vcpu.registers, &mut saved.registers);
        saved.timer = vcpu.timer;
        if vcpu.debug.save(&mut saved.debug) {
            hide_step::<B::Core>(&vcpu.debug, &mut saved.registers, system);
        }
    }

    #[inline]
    fn restore_vcpu(&mut self, index: usize, from: &[u8]) {
        let (system, from) = System::<B>::ref_from_prefix(from).expect(ALIGNED);
        let (saved, _) = SavedVcpu::ref_from_prefix(from).expect(ALIGNED);
        copy_words(&saved.gic, &mut self.gic.private[index]);
        self.gic.forget_interface(index);
        let run_state = RunState::from_number(saved.run_state);
        let slot = &self.vm.vcpus[index];
        slot.set_run_state(run_state);
        slot.take_awaits();
        if let Some(vcpu) = self.stopped.get(index) {
            vcpu.in_run = false;
        }
        let is_stopped = self.initiator.index() != Some(index);
        if is_stopped && run_state == RunState::Waiting && self.gic.has_unlisted(index) {
            // It had a request at the checkpoint, and had not looked yet. The initiator looks by itself, before it goes on.
            slot.request();
        }
        if run_state == RunState::Off {
            if self.initiator.index() == Some(index) {
                self.initiator.clear_core();
            }
            return;
        }
        let (sctlr, tcr) = B::Core::saved_sctlr_and_tcr(system);
        self.around |= u8::from(!goes_through_caches(sctlr, tcr)) << index;
        let is_caught;
        let vcpu = match &mut self.initiator.vcpu {
            Some((own, vcpu)) if *own == index => {
                let core = &mut *self.initiator.core;
                // An SError of a store that is taken back is dropped with that store.
                core.consume_serror();
                is_caught = vcpu.debug.restore(&saved.debug);
                let timer_active = self.gic.vtimer_needs_hw_active(index);
                replace_registers(
                    core,
                    self.vm.counter_offset(),
                    system,
                    &vcpu.debug,
                    saved.interface,
                    timer_active,
                );
                vcpu.timer = saved.timer;
                vcpu
            }
            _ => {
                let Some(vcpu) = self.stopped.get(index) else {
                    return;
                };
                copy(system, &mut vcpu.system);
                is_caught = vcpu.debug.restore(&saved.debug);
                vcpu.interface = saved.interface;
                vcpu.lrs = SavedLrs::default();
                vcpu.timer = saved.timer;
                slot.set_deadline(self.vm.timer_deadline(vcpu));
                vcpu
            }
        };
        copy_registers(&saved.registers, &mut vcpu.registers);
        if is_caught {
            vcpu.debug.replace(&mut vcpu.registers);
        }
        // What it was in the midst of has not happened.
        if vcpu.unfinished.has_begun() {
            vcpu.unfinished = Unfinished::NOTHING;
        }
        if self.taken_by == index as u32 + 1 {
            vcpu.registers.x[1] = self.value;
        }
    }
}

/// Copies plain data. An assignment may become a slow `memmove`, where the compiler does not see that the two are not the same.
#[inline]
fn copy<S: FromBytes + IntoBytes + KnownLayout + Immutable>(from: &S, to: &mut S) {
    to.as_mut_bytes().copy_from_slice(from.as_bytes());
}

/// The same for what is small and consists of words: LLVM, which keeps to alignment here, copies four of them itself, and calls `memcpy` for more, which
/// costs as much again.
#[inline(always)]
fn copy_words<S: FromBytes + IntoBytes + KnownLayout + Immutable>(from: &S, to: &mut S) {
    const { assert!(align_of::<S>() == align_of::<u64>()) };
    let from = <[u64]>::ref_from_bytes(from.as_bytes()).expect(ALIGNED);
    let to = <[u64]>::mut_from_bytes(to.as_mut_bytes()).expect(ALIGNED);
    let (from, from_rest) = from.as_chunks::<4>();
    let (to, to_rest) = to.as_chunks_mut::<4>();
    for (from, to) in from.iter().zip(to) {
        // Word by word: an assignment of all four would be found to be part of a `memcpy`.
        let [a, b, c, d] = *from;
        to[0] = a;
        to[1] = b;
        to[2] = c;
        to[3] = d;
    }
    for (from, to) in from_rest.iter().zip(to_rest) {
        *to = *from;
    }
}

/// Out of line: in place they would be copied by LDR and STR, as LDP and STP do not reach so far into the structures that they are in.
#[inline(never)]
fn copy_registers(from: &Registers, to: &mut Registers) {
    copy_words(from, to);
}

impl<B: VmBackend> SaveState for QuiescedVm<'_, '_, B> {
    fn moment(&mut self) -> Moment {
        self.at
    }

    fn set_moment(&mut self, taken: Moment) {
        self.vm.set_time(Some(taken));
    }

    fn goes_around_caches(&self, first: &[Node]) -> bool {
        let (saved, _) = SavedVm::ref_from_prefix(first.as_bytes()).expect(ALIGNED);
        saved.around != 0
    }

    fn save(&mut self, id: u64, part: usize, to: &mut [Node]) {
        let mut bytes = to.as_mut_bytes();
        if part == 0 {
            self.around = self.who_goes_around();
            let (shared, rest) = bytes.split_at_mut(VM_BYTES);
            let (shared, _) = SavedVm::mut_from_prefix(shared).expect(ALIGNED);
            copy_words(self.devices, &mut shared.devices);
            copy_words(&self.gic.shared, &mut shared.gic);
            shared.taken_by = match self.initiator.index() {
                Some(index) if self.returns_id => index as u32 + 1,
                _ => 0,
            };
            shared.around = self.around.into();
            bytes = rest;
        }
        for index in self.vcpus(part) {
            let (vcpu, rest) = bytes.split_at_mut(vcpu_bytes::<System<B>>());
            self.save_vcpu(index, id, vcpu);
            bytes = rest;
        }
    }

    fn load(&mut self, part: usize, from: &[Node]) {
        let mut bytes = from.as_bytes();
        if part == 0 {
            let (shared, rest) = bytes.split_at(VM_BYTES);
            let (shared, _) = SavedVm::ref_from_prefix(shared).expect(ALIGNED);
            copy_words(&shared.devices, self.devices);
            copy_words(&shared.gic, &mut self.gic.shared);
            self.taken_by = shared.taken_by;
            self.restored = true;
            bytes = rest;
        }
        for index in self.vcpus(part) {
            let (vcpu, rest) = bytes.split_at(vcpu_bytes::<System<B>>());
            self.restore_vcpu(index, vcpu);
            bytes = rest;
        }
    }
}
