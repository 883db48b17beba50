//! What `configs/*.toml` says, as the hypervisor sees it: checked and written out as Rust by `build.rs`.

/// Everything that was decided when the image was built.
#[derive(Debug)]
pub struct Plan {
    /// The most verbose level that reaches the console.
    pub log: log::LevelFilter,
    /// The VMs, in the order of the file.
    pub vms: &'static [VmPlan],
}

/// One VM.
#[derive(Debug)]
pub struct VmPlan {
    /// Its name, as the console shows it.
    pub name: &'static str,
    /// The guest: an arm64 `Image`, an ELF64 or a raw binary.
    pub image: &'static [u8],
    /// Bytes of RAM: a multiple of 2 MiB.
    pub memory: u64,
    /// Where a raw binary is loaded and entered (IPA); `None`: RAM base + 0x8_0000.
    pub load_address: Option<u64>,
    /// How its snapshots are kept.
    pub pools: PoolPlan,
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
