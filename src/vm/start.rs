//! From a plan to a VM that is ready to run: its share of memory, its image and device tree in RAM, its first registers.

use super::memory::{GuestMachine, RAM_BASE};
use super::quiesce::{Gate, OFF};
use super::saved::state_size;
use super::vcpu::{NEVER, Phase, Slot, Vcpu};
use super::{Core, Hardware, RAM_PAGES_MAX, Shared, System, Vm};
use crate::addr::{BLOCK_SIZE, Ipa, PAGE_SIZE, Pa};
use crate::arch::Mutex;
use crate::arch::sync::{AtomicBool, AtomicU64};
use crate::config::VmPlan;
use crate::device::Devices;
use crate::device::gic::Gic;
use crate::guest_image::device_tree::{self, TreeParams};
use crate::guest_image::{Image, NoRoom};
use crate::snapshot::{Frames, MAX_FRAMES, Machine, Mapping, Snapshots, least_share};
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
use log::Level;

/// Why a VM cannot be started.
#[derive(Debug)]
pub enum StartError {
    /// What is loaded with its image does not fit.
    NoRoom(NoRoom),
    /// Its device tree could not be made.
    DeviceTree(device_tree::Error),
    /// The board has not as much memory as it needs.
    Memory {
        /// Bytes that it needs: RAM, bookkeeping, and what its accounting promises.
        needed: u64,
        /// Bytes that it could have.
        available: u64,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoom(error) => write!(f, "{error}"),
            Self::DeviceTree(error) => write!(f, "its device tree: {error}"),
            Self::Memory { needed, available } => write!(
                f,
                "it needs {} MiB of memory, and {} MiB are free: give the machine more, or the VM less `memory`, \
                 a smaller `pool_capacity` or `accounting = \"on-demand\"`",
                needed.div_ceil(1 << 20),
                available >> 20
            ),
        }
    }
}

impl From<NoRoom> for StartError {
    fn from(error: NoRoom) -> Self {
        Self::NoRoom(error)
    }
}

impl From<device_tree::Error> for StartError {
    fn from(error: device_tree::Error) -> Self {
        Self::DeviceTree(error)
    }
}

/// Bytes of the heap that a VM takes besides its share, if the board has `memory` bytes: a word for each frame, stage 2 and the dirty list;
/// each rounded up to a power of two, as the heap does, and some for what is made while it starts.
pub fn bookkeeping(plan: &VmPlan, memory: u64) -> u64 {
    let pages = plan.memory / PAGE_SIZE;
    let parts = [
        4 * memory / PAGE_SIZE + BLOCK_SIZE,
        8 * pages,
        Snapshots::dirty_list_bytes(pages),
        1 << 20,
    ];
    parts.into_iter().map(u64::next_power_of_two).sum()
}

/// Divides memory among VMs: each gets what it needs, and of the rest as much as its RAM is of all RAM. `memory` are ranges of whole
/// 2 MiB blocks. When there is not enough each gets less than it needs, and [`Vm::new`] says so.
pub fn shares<C: Core>(plans: &[VmPlan], memory: &[Range<Pa>]) -> Vec<Vec<Range<Pa>>> {
    let blocks = |range: &Range<Pa>| (range.end.0 - range.start.0) / BLOCK_SIZE;
    let total: u64 = memory.iter().map(blocks).sum();
    let least = |plan: &VmPlan| (needed::<C>(plan)).div_ceil(BLOCK_SIZE);
    let all_needed: u64 = plans.iter().map(least).sum();
    let all_ram: u64 = plans.iter().map(|plan| plan.memory).sum();
    let spare = total.saturating_sub(all_needed);
    let mut rest = memory.to_vec();
    let mut left = total;
    let mut shares = Vec::new();
    for (i, plan) in plans.iter().enumerate() {
        let part = (u128::from(spare) * u128::from(plan.memory) / u128::from(all_ram)) as u64;
        // What rounding left is the last one's.
        let take = match i + 1 == plans.len() {
            true => left,
            false => (least(plan) + part).min(left),
        };
        left -= take;
        shares.push(split_off(&mut rest, take));
    }
    shares
}

/// Takes so many blocks from the front of `ranges`.
fn split_off(ranges: &mut Vec<Range<Pa>>, mut blocks: u64) -> Vec<Range<Pa>> {
    let mut taken = Vec::new();
    while blocks > 0
        && let Some(first) = ranges.first_mut()
    {
        let size = (first.end.0 - first.start.0).min(blocks * BLOCK_SIZE);
        taken.push(first.start..Pa(first.start.0 + size));
        first.start = Pa(first.start.0 + size);
        blocks -= size / BLOCK_SIZE;
        if first.is_empty() {
            ranges.remove(0);
        }
    }
    taken
}

/// Bytes of frames that a VM needs to run, and to be promised what its plan promises for one pool.
fn needed<C: Core>(plan: &VmPlan) -> u64 {
    let pages = (plan.memory / PAGE_SIZE) as u32;
    least_share(pages, plan.pools, state_size::<C::System>(plan.vcpus)) * PAGE_SIZE
}

impl<H: Hardware> Vm<H> {
    /// Makes a VM in `share`, ranges of whole 2 MiB blocks that nobody else uses, and loads its image. Its vCPUs are pinned to the cores
    /// that `core_of` names.
    pub fn new(
        plan: &'static VmPlan,
        number: usize,
        hardware: H,
        share: &[Range<Pa>],
        core_of: impl Fn(usize) -> usize,
    ) -> Result<Self, StartError> {
        let pages = (plan.memory / PAGE_SIZE) as u32;
        assert!(pages <= RAM_PAGES_MAX, "build.rs bounds `memory`");
        let (base, frames) = frames_of(share);
        let memory = StartError::Memory {
            needed: needed::<H::Core>(plan),
            available: u64::from(frames.total()) * PAGE_SIZE,
        };
        let state = state_size::<System<H>>(plan.vcpus);
        let snapshots = Snapshots::new(pages, plan.pools, state, frames).ok_or(memory)?;
        let vcpus = plan.vcpus as usize;
        let slot = |i| Slot::new(Vcpu::reset(H::Core::RESET, 0, 0), core_of(i));
        let vm = Self {
            plan,
            number,
            vcpus: (0..vcpus).map(slot).collect(),
            gate: Gate::default(),
            offset: AtomicU64::new(0),
            paused_at: AtomicU64::new(NEVER),
            next_checkpoint: AtomicU64::new(NEVER),
            input: AtomicBool::new(false),
            shared: Mutex::new(Shared {
                machine: GuestMachine::new(hardware, pages, base),
                snapshots,
                devices: Devices::default(),
                gic: Gic::new(vcpus),
                tries: 0,
                caches_agree: false,
            }),
        };
        // It ends with a DSB behind the last entry of the tables, so that other cores' walks find all of them.
        let start = vm.shared.lock().load(plan)?;
        vm.begin(&start, &mut vm.vcpus[0].lock());
        vm.plan_checkpoint(H::Core::count());
        Ok(vm)
    }

    /// Its time begins, with vCPU 0 about to run; the others are off.
    pub(super) fn begin(&self, start: &Start, vcpu: &mut Vcpu<System<H>>) {
        self.set_time(None);
        for slot in &self.vcpus {
            slot.set_phase(Phase::Off);
        }
        *vcpu = Vcpu::reset(H::Core::RESET, start.entry.0, start.tree.0);
        self.vcpus[0].set_phase(Phase::Ready);
        self.gate.open(OFF);
    }
}

/// Where a VM starts.
pub(super) struct Start {
    entry: Ipa,
    /// The device tree, for x0.
    tree: Ipa,
}

impl<H: Hardware> Shared<H> {
    /// Loads image, initial RAM disk and device tree into RAM, which is all absent.
    pub(super) fn load(&mut self, plan: &VmPlan) -> Result<Start, StartError> {
        let ram = RAM_BASE..Ipa(RAM_BASE.0 + self.memory_bytes());
        let image = &plan.image;
        let initrd = plan
            .initrd
            .map(|disk| image.initrd(&ram, disk.len() as u64));
        let initrd = initrd.transpose()?;
        let tree = device_tree::generate(&TreeParams {
            ram: ram.clone(),
            vcpus: plan.vcpus,
            gic: true,
            cmdline: plan.cmdline,
            initrd: initrd.clone(),
        })?;
        let places = image.device_tree(&ram, tree.len() as u64, initrd.as_ref())?;
        // What follows a segment's bytes is zero already.
        for segment in image.segments {
            self.write(segment.ipa, segment.bytes);
        }
        if let (Some(disk), Some(at)) = (plan.initrd, initrd) {
            self.write(at.start, disk);
        }
        for at in places.at_start.into_iter().chain([places.passed]) {
            self.write(at, &tree);
        }
        self.announce(plan, image);
        Ok(Start {
            entry: image.entry,
            tree: places.passed,
        })
    }

    fn announce(&mut self, plan: &VmPlan, image: &Image<'_>) {
        let (mib, Image { format, entry, .. }) = (self.memory_bytes() >> 20, image);
        let what = format_args!("{mib} MiB of RAM, {format:?} image, entered at {entry:#x}");
        self.say_named(plan.name, Level::Info, what);
    }

    /// Writes into the guest's RAM, as the guest would: what a snapshot holds stays as it is.
    fn write(&mut self, at: Ipa, mut bytes: &[u8]) {
        let mut at = at;
        while !bytes.is_empty() {
            let room = (PAGE_SIZE - at.page_offset()) as usize;
            let (chunk, rest) = bytes.split_at(room.min(bytes.len()));
            let stage2 = &self.machine.stage2;
            let page = stage2.page_at(at).expect("build.rs keeps to RAM");
            if !matches!(
                self.machine.mapping(page),
                Mapping::Write | Mapping::WriteBlock
            ) {
                self.touch(page, true);
            }
            let stage2 = &self.machine.stage2;
            let pa = stage2.translate(at).expect("it was just made present");
            self.machine.hardware.write(pa, chunk);
            at = Ipa(at.0 + chunk.len() as u64);
            bytes = rest;
        }
    }
}

/// The share's frames, and where frame 0 would be: one block in front of it, so that 0 can say "none". Memory too far up to
/// have a number is left out.
fn frames_of(share: &[Range<Pa>]) -> (Pa, Frames) {
    let start = share
        .iter()
        .map(|range| range.start.0)
        .filter(|&start| start >= BLOCK_SIZE)
        .min();
    let base = start.unwrap_or(BLOCK_SIZE) - BLOCK_SIZE;
    let number = |pa: Pa| (pa.0.saturating_sub(base) / PAGE_SIZE).min(u64::from(MAX_FRAMES)) as u32;
    let numbered = |range: &Range<Pa>| number(range.start).max(2)..number(range.end).max(2);
    let ranges: Vec<Range<u32>> = share
        .iter()
        .map(numbered)
        .filter(|range| !range.is_empty())
        .collect();
    (Pa(base), Frames::new(&ranges))
}
