//! What the monitor asks of the VMs.

use core::fmt;

use crate::snapshot::{Stats, Which};

/// What the monitor calls to see and control the VMs. VMs are numbered from 0, in the order of the configuration; the monitor passes no
/// number that [`vms`](Self::vms) does not cover.
///
/// Each call is one whole step: when it returns, what it says has happened, and what it refused has changed nothing. Calls may
/// stop a VM's vCPUs for that long. Anything may happen between two calls: a snapshot that [`last_snapshot_to`](Self::last_snapshot_to) named may be
/// gone when [`snapshot_info`](Self::snapshot_info) asks for it.
pub trait VmControl {
    /// How many VMs there are, 1 to [`VMS_MAX`](crate::limits::VMS_MAX).
    fn vms(&self) -> usize;

    /// A VM's name in the configuration. No two are the same.
    fn name(&self, vm: usize) -> &'static str;

    /// How a VM does.
    fn status(&mut self, vm: usize) -> VmStatus;

    /// What vCPU number `vcpu` of a VM does; `vcpu` is below [`VmStatus::vcpus`].
    fn vcpu_status(&mut self, vm: usize, vcpu: u32) -> VcpuStatus;

    /// The number of the VM that has the keyboard.
    fn attached(&self) -> usize;

    /// Gives the keyboard to a VM.
    fn attach(&mut self, vm: usize) -> Result<(), Refusal>;

    /// Takes a snapshot of a VM, running or paused, and gives its id.
    fn checkpoint(&mut self, vm: usize) -> Result<u64, Refusal>;

    /// The largest id of a snapshot of the VM that is not above `id`.
    fn last_snapshot_to(&mut self, vm: usize, id: u64) -> Option<u64>;

    /// What is known of snapshot `id` of the VM; `None` if there is no such snapshot.
    fn snapshot_info(&mut self, vm: usize, id: u64) -> Option<SnapshotInfo>;

    /// Takes a VM back to a snapshot, and gives that one's id. A paused VM stays paused; a VM that is off runs again.
    fn restore(&mut self, vm: usize, which: Which) -> Result<u64, Refusal>;

    /// Deletes a snapshot of a VM.
    fn delete(&mut self, vm: usize, id: u64) -> Result<(), Refusal>;

    /// Stops all vCPUs of a VM, and its virtual time with them if the VM's time stops.
    fn pause(&mut self, vm: usize) -> Result<(), Refusal>;

    /// Lets a paused VM go on.
    fn resume(&mut self, vm: usize) -> Result<(), Refusal>;

    /// Starts a VM from its image, running, paused or off. Its snapshots stay.
    fn reset(&mut self, vm: usize) -> Result<(), Refusal>;

    /// What the VM and its snapshots take.
    fn stats(&mut self, vm: usize) -> VmStats;
}

/// How a VM does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VmStatus {
    /// Whether it runs.
    pub state: VmState,
    /// Its vCPUs, 1 to 8.
    pub vcpus: u32,
    /// Bytes of its RAM.
    pub memory: u64,
    /// Snapshots that exist.
    pub snapshots: u32,
}

/// Whether a VM runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VmState {
    /// It runs, as far as its vCPUs have something to do.
    Running,
    /// The operator paused it.
    Paused,
    /// The VM that controls it stopped it, or has not run it yet.
    Stopped,
    /// It switched itself off, or could not start.
    Off,
}

/// What a vCPU does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VcpuStatus {
    /// Whether it is on.
    pub state: VcpuState,
    /// The board's core that it is pinned to.
    pub core: usize,
}

/// Whether a vCPU is on (PSCI).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VcpuState {
    /// On, with something to do.
    On,
    /// On, and waiting for an interrupt.
    Waiting,
    /// Off.
    Off,
}

/// What is known of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// The snapshot that the VM stood on when this one was taken; it may be gone by now.
    pub parent: Option<u64>,
    /// Milliseconds since it was taken.
    pub age: u64,
    /// Pages that deleting it would free.
    pub pages: u32,
    /// The VM stands on it: it was last saved as this snapshot, or taken back to it.
    pub is_current: bool,
}

/// What a VM and its snapshots take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VmStats {
    /// Its snapshots, and the pages for them.
    pub snapshots: Stats,
    /// How many times it was taken back.
    pub generation: u64,
    /// Times that its vCPUs came to EL2.
    pub exits: u64,
}

/// Why something is not done. The monitor puts the VM's name in front, so each reads on from that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No snapshot has this id.
    NoSnapshot(u64),
    /// There is no snapshot at all, so none is the latest.
    NoSnapshots,
    /// Memory does not suffice, even with all that may be freed freed.
    NoMemory,
    /// It is off.
    Off,
    /// It is paused already.
    Paused,
    /// It is not paused.
    NotPaused,
    /// It has no keyboard, but a serial line of its own.
    Elsewhere,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::NoSnapshot(id) => write!(f, "has no snapshot #{id}"),
            Self::NoSnapshots => f.write_str("has no snapshots"),
            Self::NoMemory => f.write_str("has not enough memory left for a snapshot"),
            Self::Off => f.write_str("is off"),
            Self::Paused => f.write_str("is paused already"),
            Self::NotPaused => f.write_str("is not paused"),
            Self::Elsewhere => f.write_str("is on the second UART"),
        }
    }
}
