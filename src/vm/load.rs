//! From a plan to a VM that is ready to run: its share of memory, its image and device tree in RAM, its first registers.

use super::hardware::Hardware;
use super::machine::{GuestMachine, RAM_BASE};
use super::{RAM_PAGES_MAX, Vm};
use crate::addr::{BLOCK_SIZE, Ipa, PAGE_SIZE, Pa};
use crate::arch::vcpu::Registers;
use crate::config::VmPlan;
use crate::guest_image::device_tree::{self, TreeParams};
use crate::guest_image::{self, ImageError, LoadPlan};
use crate::snapshot::{Frames, MAX_FRAMES, Machine, Mapping, Snapshots, least_share};
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

/// Why a VM cannot be started.
#[derive(Debug)]
pub enum StartError {
    /// Its image cannot be loaded.
    Image(ImageError),
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
            Self::Image(error) => write!(f, "{error}"),
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

impl From<ImageError> for StartError {
    fn from(error: ImageError) -> Self {
        Self::Image(error)
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

impl<H: Hardware> Vm<H> {
    /// Makes a VM in `share`, ranges of whole 2 MiB blocks that nobody else uses, and loads its image.
    pub fn new(
        plan: &'static VmPlan,
        mut hardware: H,
        share: &[Range<Pa>],
    ) -> Result<Self, StartError> {
        let pages = (plan.memory / PAGE_SIZE) as u32;
        assert!(pages <= RAM_PAGES_MAX, "build.rs bounds `memory`");
        let state_nodes = GuestMachine::<H>::STATE_NODES;
        let needed = least_share(pages, plan.pools, state_nodes) * PAGE_SIZE;
        let (base, frames) = frames_of(share);
        let available = u64::from(frames.total()) * PAGE_SIZE;
        let snapshots = Snapshots::new(pages, plan.pools, state_nodes, frames)
            .ok_or(StartError::Memory { needed, available })?;
        let pstate_features = hardware.pstate_features();
        let machine = GuestMachine::new(hardware, pages, base);
        let mut vm = Self {
            plan,
            machine,
            snapshots,
            pstate_features,
            stray_interrupt: false,
        };
        vm.machine.hardware.activate(vm.machine.stage2.root());
        vm.machine.reset();
        vm.load()?;
        Ok(vm)
    }

    /// Loads the image and the device tree into RAM, which is all absent, and points the vCPU at them.
    pub(super) fn load(&mut self) -> Result<(), StartError> {
        let ram = RAM_BASE..Ipa(RAM_BASE.0 + self.memory_bytes());
        let image = guest_image::plan(self.plan.image, ram.clone(), self.plan.load_address)?;
        let tree = device_tree::generate(&TreeParams {
            ram,
            vcpus: 1,
            gic: false,
            cmdline: None,
            initrd: None,
        })?;
        let places = image.device_tree(tree.len() as u64, None)?;
        // What follows a segment's bytes is zero already.
        for segment in image.segments() {
            self.write(segment.ipa, segment.bytes);
        }
        for at in places.at_start.into_iter().chain([places.passed]) {
            self.write(at, &tree);
        }
        self.machine.registers = Registers::reset(image.entry.0, places.passed.0);
        self.announce(&image);
        Ok(())
    }

    fn announce(&self, image: &LoadPlan<'_>) {
        log::info!(
            "{}: {} MiB of RAM, {:?} image, entered at {:#x}",
            self.plan.name,
            self.memory_bytes() >> 20,
            image.format,
            image.entry
        );
    }

    /// Writes into the guest's RAM, as the guest would: what a snapshot holds stays as it is.
    fn write(&mut self, at: Ipa, mut bytes: &[u8]) {
        let mut at = at;
        while !bytes.is_empty() {
            let room = (PAGE_SIZE - at.page_offset()) as usize;
            let (chunk, rest) = bytes.split_at(room.min(bytes.len()));
            let page = self
                .machine
                .stage2
                .page_at(at)
                .expect("the plan keeps to RAM");
            if !matches!(
                self.machine.mapping(page),
                Mapping::Write | Mapping::WriteBlock
            ) {
                self.touch(page, true);
            }
            let pa = self
                .machine
                .stage2
                .translate(at)
                .expect("it was just made present");
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
