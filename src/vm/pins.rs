//! Which core each vCPU is pinned to.

use alloc::vec::Vec;
use core::fmt;

use crate::config::VmConfig;

/// A VM's `cores` names a core that the board has not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoCore {
    /// The VM's name.
    vm: &'static str,
    /// The core's number in the configuration.
    core: usize,
    /// Cores of the board.
    cores: usize,
}

impl fmt::Display for NoCore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { vm, core, cores } = self;
        write!(
            f,
            "{vm}: `cores` names core {core}, and the machine's last is core {}",
            cores - 1
        )
    }
}

/// For each VM, the number of the core of each of its vCPUs, on a board with `cores` cores, one at the least. A VM's `cores` are taken in turn by its
/// vCPUs. The vCPUs of all VMs without that key take the board's cores in turn, as if there were no other VMs.
pub fn pins(configs: &[VmConfig], cores: usize) -> Result<Vec<Vec<usize>>, NoCore> {
    let mut turn = (0..cores).cycle();
    let of = |config: &VmConfig| {
        let vcpus = config.vcpus as usize;
        if let Some(&core) = config.cores.iter().find(|&&core| core >= cores) {
            let vm = config.name;
            return Err(NoCore { vm, core, cores });
        }
        Ok(match config.cores {
            [] => turn.by_ref().take(vcpus).collect(),
            named => named.iter().copied().cycle().take(vcpus).collect(),
        })
    };
    configs.iter().map(of).collect()
}
