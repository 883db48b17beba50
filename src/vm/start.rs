//! A VM is made: from its configuration and its share of memory to vCPU 0 about to run.

use super::clock::NEVER;
use super::errand::Errands;
use super::memory::GuestMemory;
use super::memory_share::{frames_of, needed_bytes};
use super::quiesce::{Gate, STOPPED};
use super::saved::state_size;
use super::slot::VcpuSlot;
use super::target::Target;
use super::vcpu::Vcpu;
use super::{Core, RAM_PAGES_MAX, System, Vm, VmBackend, VmShared};
use crate::addr::{PAGE_SIZE, Pa};
use crate::arch::Mutex;
use crate::arch::sync::{AtomicBool, AtomicU64};
use crate::config::{Start, VmConfig};
use crate::device::Devices;
use crate::device::gic::Gic;
use crate::guest_image::NoRoom;
use crate::guest_image::device_tree;
use crate::snapshot::Snapshots;
use core::fmt;
use core::ops::Range;

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

impl<B: VmBackend> Vm<B> {
    /// Makes a VM in `share`, ranges of whole 2 MiB blocks that are this VM's alone, and loads its image. Its vCPUs are pinned to the cores
    /// that `core_of` names.
    pub fn new(
        config: &'static VmConfig,
        number: usize,
        backend: B,
        share: &[Range<Pa>],
        core_of: impl Fn(usize) -> usize,
    ) -> Result<Self, StartError> {
        let pages = (config.memory / PAGE_SIZE) as u32;
        assert!(pages <= RAM_PAGES_MAX, "build.rs bounds `memory`");
        let (base, frames) = frames_of(share);
        let too_little = StartError::Memory {
            needed: needed_bytes::<B::Core>(config),
            available: u64::from(frames.total()) * PAGE_SIZE,
        };
        let state = state_size::<System<B>>(config.vcpus);
        let mut snapshots = Snapshots::new(pages, config.pools, state, frames).ok_or(too_little)?;
        if config.controlled_by.is_some() {
            snapshots.keep_way_back();
        }
        let vcpus = config.vcpus as usize;
        let slot = |i| VcpuSlot::new(Vcpu::new(B::Core::RESET, 0, 0), core_of(i));
        let vm = Self {
            config,
            number,
            vcpus: (0..vcpus).map(slot).collect(),
            gate: Gate::default(),
            offset: AtomicU64::new(0),
            paused_at: AtomicU64::new(NEVER),
            limit: AtomicU64::new(NEVER),
            abandons: AtomicBool::new(false),
            abandoning: Mutex::new(()),
            next_checkpoint: AtomicU64::new(NEVER),
            input: AtomicBool::new(false),
            wanted: core::sync::atomic::AtomicBool::new(false),
            shared: Mutex::new(VmShared {
                memory: GuestMemory::new(backend, pages, base, config.windows),
                snapshots,
                devices: Devices::default(),
                gic: Gic::new(vcpus),
                restores_since_snapshot: 0,
                target: config
                    .controlled_by
                    .map(|_| Target::new(config.start == Start::Running)),
                caches_agree: false,
                loading: None,
                errands: Errands::default(),
                cleaned: 0,
                windows: config.windows,
                unclean_windows: None,
            }),
        };
        // Loading ends with a DSB behind the last entry of the tables, so that other cores' walks find all of them.
        let entry = vm.shared.lock().begin_loading(config)?;
        vm.shared.lock().finish_loading();
        vm.boot(&entry, &mut vm.vcpus[0].lock());
        if config.start == Start::Stopped {
            vm.stand_still(STOPPED);
        }
        vm.schedule_checkpoint(B::Core::physical_count());
        Ok(vm)
    }
}
