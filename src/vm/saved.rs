//! What a snapshot keeps of a VM besides its RAM.
//!
//! | part of the state | nodes hold |
//! | --- | --- |
//! | 0 | [`Common`], vCPU 0, vCPU 1 |
//! | n | vCPU 2n, vCPU 2n + 1 |
//!
//! List registers are not in it: what they hold goes back to the model of the interrupt controller first.

use super::memory::GuestMachine;
use super::quiesce::{OFF, Others};
use super::vcpu::{Lists, Phase, Vcpu};
use super::{Core, Hardware, Shared, System, Vm};
use crate::arch::vcpu::Registers;
use crate::device::Devices;
use crate::device::debug::DebugState;
use crate::device::gic::{self, Gic};
use crate::device::timer::PhysicalTimer;
use crate::snapshot::{Moment, Node, NotFound, Snapshots, State, StateSize, Which};
use core::sync::atomic::{AtomicU64, Ordering};
use log::Level;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The next snapshot's id: counted for all VMs together, so that no id ever names two snapshots.
static NEXT_ID: AtomicU64 = AtomicU64::new(0);

/// vCPUs in a part.
const PER_PART: usize = 2;

/// What the vCPUs share.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Common {
    devices: Devices,
    gic: gic::Shared,
    /// The vCPU that asked by SMCCC, so that x0 and x1 are its results, plus 1; or 0.
    asked: u64,
}

/// A vCPU, but for what the core has of it.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Rest {
    registers: Registers,
    gic: gic::Private,
    interface: [u32; 2],
    timer: PhysicalTimer,
    debug: DebugState,
    /// [`Phase`].
    phase: u64,
}

/// Bytes of a saved vCPU.
const fn vcpu_bytes<S>() -> usize {
    (size_of::<S>() + size_of::<Rest>()).next_multiple_of(16)
}

/// Bytes of [`Common`].
const COMMON: usize = size_of::<Common>().next_multiple_of(16);

const ALIGNED: &str = "`state_size` counts these bytes, and nodes are aligned to 16";

/// What a snapshot of a VM with so many vCPUs takes besides RAM.
pub(super) const fn state_size<S>(vcpus: u32) -> StateSize {
    let vcpus = vcpus as usize;
    let in_first = if vcpus < PER_PART { vcpus } else { PER_PART };
    let bytes = COMMON + in_first * vcpu_bytes::<S>();
    StateSize {
        nodes: bytes.div_ceil(size_of::<Node>()),
        parts: vcpus.div_ceil(PER_PART),
    }
}

/// The vCPU that asks for something that the whole VM must stop for, on its core; or just the core, when the operator asks.
pub(super) struct Asker<'a, H: Hardware> {
    pub core: &'a mut H::Core,
    pub vcpu: Option<(usize, &'a mut Vcpu<System<H>>)>,
}

impl<H: Hardware> Asker<'_, H> {
    /// The same, to be given away once more.
    pub fn again(&mut self) -> Asker<'_, H> {
        Asker {
            core: self.core,
            vcpu: self
                .vcpu
                .as_mut()
                .map(|(index, vcpu)| (*index, &mut **vcpu)),
        }
    }

    /// The vCPU that asks is not going on as it is: nothing of it is live on its core any more, so that no walk through its tables of stage 1
    /// starts by speculation. Before stage 2 is flushed, or while its path is broken: nothing comes into the TLBs behind the flush then.
    pub(super) fn forget(&mut self) {
        if self.vcpu.is_some() {
            self.core.synchronize_errors();
            self.core.load_system(&H::Core::RESET);
        }
    }

    fn index(&self) -> Option<usize> {
        self.vcpu.as_ref().map(|(index, _)| *index)
    }
}

/// A stopped VM, to be saved or loaded.
struct Stopped<'a, 'b, H: Hardware> {
    vm: &'a Vm<H>,
    asker: Asker<'a, H>,
    others: &'a mut Others<'b, System<H>>,
    devices: &'a mut Devices,
    gic: &'a mut Gic,
    /// A checkpoint: the one that asks has results in x0 and x1. A restore: what the x1 of one that did becomes.
    result: Option<u64>,
    /// [`Common::asked`] of what was loaded.
    asked: u64,
    /// It was.
    loaded: bool,
    /// When it was stopped.
    at: Moment,
}

impl<H: Hardware> Stopped<'_, '_, H> {
    /// The vCPUs of a part.
    fn vcpus(&self, part: usize) -> core::ops::Range<usize> {
        let first = part * PER_PART;
        first..(first + PER_PART).min(self.vm.vcpus.len())
    }

    #[inline]
    fn save_vcpu(&mut self, index: usize, id: u64, to: &mut [u8]) {
        let (system, to) = System::<H>::mut_from_prefix(to).expect(ALIGNED);
        let (rest, _) = Rest::mut_from_prefix(to).expect(ALIGNED);
        let phase = self.vm.vcpus[index].phase();
        rest.phase = phase as u64;
        copy(&self.gic.private[index], &mut rest.gic);
        let vcpu = match &mut self.asker.vcpu {
            Some((own, vcpu)) if *own == index => {
                if self.result.is_some() {
                    [vcpu.registers.x[0], vcpu.registers.x[1]] = [id, 0];
                }
                rest.interface = self.asker.core.interface();
                // The core's state goes straight to its place, without a copy on the stack.
                self.asker.core.save_system(system);
                vcpu
            }
            _ => match self.others.get(index) {
                Some(vcpu) if phase != Phase::Off => {
                    rest.interface = vcpu.interface;
                    copy(&vcpu.system, system);
                    vcpu
                }
                _ => return,
            },
        };
        copy(&vcpu.registers, &mut rest.registers);
        rest.timer = vcpu.timer;
        vcpu.debug.copy_to(&mut rest.debug);
    }

    #[inline]
    fn load_vcpu(&mut self, index: usize, from: &[u8]) {
        let (system, from) = System::<H>::ref_from_prefix(from).expect(ALIGNED);
        let (rest, _) = Rest::ref_from_prefix(from).expect(ALIGNED);
        self.gic.private[index] = rest.gic;
        self.gic.set_off(index);
        let phase = Phase::from_number(rest.phase);
        let slot = &self.vm.vcpus[index];
        slot.set_phase(phase);
        if phase == Phase::Waiting && self.gic.has_waiting(index) {
            // It was told, and did not look yet.
            slot.call();
        }
        if phase == Phase::Off {
            if self.asker.index() == Some(index) {
                self.asker.forget();
            }
            return;
        }
        let vcpu = match &mut self.asker.vcpu {
            Some((own, vcpu)) if *own == index => {
                let core = &mut *self.asker.core;
                // What comes of a store that is taken back is dropped with it.
                core.synchronize_errors();
                rest.debug.restore_to(&mut vcpu.debug);
                core.load_system(system);
                core.load_debug(&vcpu.debug);
                core.set_interface(rest.interface);
                core.set_timer_active(self.gic.timer_is_active(index));
                vcpu
            }
            _ => {
                let Some(vcpu) = self.others.get(index) else {
                    return;
                };
                copy(system, &mut vcpu.system);
                rest.debug.restore_to(&mut vcpu.debug);
                vcpu.interface = rest.interface;
                vcpu.lists = Lists::default();
                vcpu.timer = rest.timer;
                slot.set_deadline(self.vm.deadline(vcpu));
                vcpu
            }
        };
        vcpu.registers = rest.registers;
        if self.asked == index as u64 + 1 {
            vcpu.registers.x[1] = self.result.unwrap_or(1);
        }
        vcpu.timer = rest.timer;
        vcpu.waiting = phase == Phase::Waiting;
    }
}

/// Copies plain data. An assignment may become a slow `memmove`, where the compiler does not see that the two are not the same.
#[inline]
fn copy<S: FromBytes + IntoBytes + KnownLayout + Immutable>(from: &S, to: &mut S) {
    to.as_mut_bytes().copy_from_slice(from.as_bytes());
}

impl<H: Hardware> State for Stopped<'_, '_, H> {
    fn moment(&mut self) -> Moment {
        self.at
    }

    fn set_moment(&mut self, taken: Moment) {
        self.vm.set_time(Some(taken));
    }

    fn save(&mut self, id: u64, part: usize, to: &mut [Node]) {
        let mut bytes = to.as_mut_bytes();
        if part == 0 {
            let (common, rest) = bytes.split_at_mut(COMMON);
            let (common, _) = Common::mut_from_prefix(common).expect(ALIGNED);
            copy(self.devices, &mut common.devices);
            copy(&self.gic.shared, &mut common.gic);
            common.asked = match (self.asker.index(), self.result) {
                (Some(index), Some(_)) => index as u64 + 1,
                _ => 0,
            };
            bytes = rest;
        }
        for index in self.vcpus(part) {
            let (vcpu, rest) = bytes.split_at_mut(vcpu_bytes::<System<H>>());
            self.save_vcpu(index, id, vcpu);
            bytes = rest;
        }
    }

    fn load(&mut self, part: usize, from: &[Node]) {
        let mut bytes = from.as_bytes();
        if part == 0 {
            let (common, rest) = bytes.split_at(COMMON);
            let (common, _) = Common::ref_from_prefix(common).expect(ALIGNED);
            *self.devices = common.devices;
            self.gic.shared = common.gic;
            self.asked = common.asked;
            self.loaded = true;
            if self.asker.vcpu.is_some() {
                self.asker.core.set_virtual_offset(self.vm.offset());
            }
            bytes = rest;
        }
        for index in self.vcpus(part) {
            let (vcpu, rest) = bytes.split_at(vcpu_bytes::<System<H>>());
            self.load_vcpu(index, vcpu);
            bytes = rest;
        }
    }
}

impl<H: Hardware> Vm<H> {
    /// Takes a snapshot of the whole VM, and returns its id; `result` if the one that asks takes that in x0. The caller holds the shared part.
    pub(super) fn checkpoint(
        &self,
        shared: &mut Shared<H>,
        asker: Asker<'_, H>,
        result: bool,
    ) -> Option<u64> {
        let taken = self.stopped(shared, asker, result.then_some(0), |shared, state| {
            let next_id = || NEXT_ID.fetch_add(1, Ordering::Relaxed);
            let (snapshots, machine) = shared;
            snapshots.checkpoint(machine, state, next_id).ok()
        });
        match taken {
            Some(_) => shared.tries = 0,
            None => {
                let what = format_args!("no memory for a snapshot");
                shared.say_named(self.plan.name, Level::Error, what);
            }
        }
        taken
    }

    /// Goes back to a snapshot, and returns its id. A vCPU that took it by SMCCC has `value` in x1 then. The caller holds the shared part.
    pub(super) fn restore(
        &self,
        shared: &mut Shared<H>,
        asker: Asker<'_, H>,
        which: Which,
        value: u64,
    ) -> Result<u64, NotFound> {
        let restored =
            self.stopped(shared, asker, Some(value), |(snapshots, machine), state| {
                let restored = snapshots.restore(machine, state, which)?;
                // Before the cores are told to look: they sleep again while it is off.
                self.gate.open(OFF);
                Ok(restored)
            })?;
        shared.caches_agree = false;
        Ok(restored)
    }

    /// Does something with a stopped VM none of whose interrupts are in list registers.
    fn stopped<R>(
        &self,
        shared: &mut Shared<H>,
        mut asker: Asker<'_, H>,
        result: Option<u64>,
        action: impl FnOnce((&mut Snapshots, &mut GuestMachine<H>), &mut Stopped<'_, '_, H>) -> R,
    ) -> R {
        let own = asker.index();
        let mut others = self.stop(asker.core, own);
        let Shared {
            machine,
            snapshots,
            devices,
            gic,
            ..
        } = shared;
        let mut called = 0;
        let mut settled = false;
        for i in 0..self.vcpus.len() {
            if Some(i) == own {
                settled = !gic.is_quiet(i);
                if settled {
                    called |= gic.settle(i, asker.core);
                }
            } else if let Some(vcpu) = others.get(i) {
                called |= gic.settle(i, &mut vcpu.lists);
            }
        }
        let physical = H::Core::count();
        let at = Moment {
            physical,
            counter: self.virtual_count_at(physical),
        };
        let mut state = Stopped {
            vm: self,
            asker: asker.again(),
            others: &mut others,
            devices,
            gic,
            result,
            asked: 0,
            loaded: false,
            at,
        };
        let done = action((snapshots, machine), &mut state);
        let changed = settled || state.loaded;
        // One that is off has nothing in list registers: it begins with none.
        if let Some(own) = own
            && changed
            && self.vcpus[own].phase() != Phase::Off
        {
            called |= gic.refill(own, asker.core);
            if let Some((_, vcpu)) = asker.vcpu {
                vcpu.note_review(gic.needs_review(own), asker.core);
            }
        }
        self.release(asker.core, others);
        self.call(asker.core, called);
        done
    }
}
