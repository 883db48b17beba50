//! Which core each vCPU is pinned to.

use core::fmt;

use crate::config::VmConfig;

/// A VM's `cores` names a core that the board has not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoCore {
    /// The VM's name.
    vm: &'static str,
    /// The core's number in the configuration.
    core: usize,
    /// The number of the board's last core.
    last: usize,
}

impl fmt::Display for NoCore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { vm, core, last } = self;
        write!(
            f,
            "{vm}: `cores` names core {core}, and the machine's last is core {last}"
        )
    }
}

/// Whether a board with `cores` cores, one at the least, has all that `cores` of the VMs names.
pub fn check_cores(configs: &[VmConfig], cores: usize) -> Result<(), NoCore> {
    for config in configs {
        if let Some(&core) = config.cores.iter().find(|&&core| core >= cores) {
            return Err(NoCore {
                vm: config.name,
                core,
                last: cores - 1,
            });
        }
    }
    Ok(())
}

/// The core of vCPU number `vcpu` of VM number `vm`, on a board with `cores` cores. The vCPUs of a VM take its `cores` in turn. The vCPUs of
/// all VMs without that key take the board's cores in turn, as if there were no other VMs.
pub fn core_of(configs: &[VmConfig], cores: usize, vm: usize, vcpu: usize) -> usize {
    match configs[vm].cores {
        [] => {
            let before = configs[..vm].iter().filter(|vm| vm.cores.is_empty());
            let first: u32 = before.map(|vm| vm.vcpus).sum();
            (first as usize + vcpu) % cores
        }
        named => named[vcpu % named.len()],
    }
}
