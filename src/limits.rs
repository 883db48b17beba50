//! The most VMs, vCPUs, cores and windows that there may be. The build script reads this file too: it refuses configurations that ask for more.

/// VMs on a board.
pub const VMS_MAX: usize = 8;
/// vCPUs of a VM: as many CPUs as a GICv2 serves.
pub const VCPUS_MAX: usize = 8;
/// Cores of a board that are used: as many as a GICv2 has interfaces for. The others stay off.
pub const CORES_MAX: usize = 8;
/// Windows of a configuration.
pub const WINDOWS_MAX: usize = 8;
