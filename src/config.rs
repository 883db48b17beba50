//! What `configs/*.toml` says, as the hypervisor sees it: checked and written out as Rust by `build.rs`.

use crate::device::Window;
use crate::guest_image::Image;

/// Everything that was decided when the image was built.
#[derive(Debug)]
pub struct Config {
    /// The most verbose level that reaches the console.
    pub log: log::LevelFilter,
    /// The VMs, in the order of the file.
    pub vms: &'static [VmConfig],
    /// The windows, in the order of the file.
    pub windows: &'static [Window],
}

/// One VM.
#[derive(Debug)]
pub struct VmConfig {
    /// Its name, as the console shows it.
    pub name: &'static str,
    /// The guest.
    pub image: Image<'static>,
    /// Its initial RAM disk, if it has one.
    pub initrd: Option<&'static [u8]>,
    /// Its kernel's command line, if it has one: printable ASCII.
    pub cmdline: Option<&'static str>,
    /// Virtual CPUs, 1 to 8.
    pub vcpus: u32,
    /// The numbers of the cores that its vCPUs are pinned to, in turn: as many as it has vCPUs at the most. Empty: all cores, in turn with
    /// the vCPUs of the other VMs that name none.
    pub cores: &'static [usize],
    /// Bytes of RAM: a multiple of 2 MiB.
    pub memory: u64,
    /// The windows that it has.
    pub windows: &'static [Window],
    /// What becomes of it when it resets itself.
    pub on_reset: OnReset,
    /// Milliseconds between the snapshots that are taken without being asked for; `None`: none are.
    pub checkpoint_every: Option<u64>,
    /// What a restore does to its clock.
    pub time: Time,
    /// How its snapshots are kept.
    pub pools: PoolPlan,
    /// The numbers of the VMs that it controls. No VM controls one that controls it, be it by way of others.
    pub controls: &'static [usize],
    /// The number of the VM that controls it.
    pub controlled_by: Option<usize>,
    /// What it does when the board starts.
    pub start: Start,
    /// Where its UART leads.
    pub uart: Uart,
}

/// Where a VM's UART leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uart {
    /// To the console, which the VMs, the log and the monitor share.
    Console,
    /// To the board's second UART, as it is: for one VM at the most.
    Second,
}

/// What a VM does when the board starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// It runs.
    Running,
    /// It waits for the VM that controls it.
    Stopped,
}

/// How the snapshots of a VM are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolPlan {
    /// Snapshots in a pool, 1 to 1024.
    pub capacity: u32,
    /// How a pool's memory is accounted for.
    pub accounting: Accounting,
}

/// How a pool's memory is accounted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accounting {
    /// A pool sets aside its worst case, capacity times guest RAM, when it is made.
    Reserved,
    /// A pool uses what its snapshots really hold.
    OnDemand,
}

/// What becomes of a VM that resets itself (PSCI SYSTEM_RESET).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnReset {
    /// It starts from its image.
    Restart,
    /// It goes back to its latest snapshot.
    Restore {
        /// How often, 1 to 1000, before it starts from its image.
        tries: u32,
    },
}

/// What a restore does to a VM's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Time {
    /// It goes on from where it was at the checkpoint: the guest sees no time pass.
    Stops,
    /// It has gone on meanwhile: the guest sees how long it was gone.
    Passes,
}
