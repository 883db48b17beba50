//! The function ids of all calls that the VM answers: their one home in the hypervisor.
//!
//! The guest crate and its C header have the numbers of their own, as guests do not depend on the hypervisor.

use super::FunctionId;

/// SMCCC_VERSION.
pub const SMCCC_VERSION: FunctionId = FunctionId(0x8000_0000);
/// SMCCC_ARCH_FEATURES.
pub const SMCCC_ARCH_FEATURES: FunctionId = FunctionId(0x8000_0001);

/// PSCI_VERSION.
pub const PSCI_VERSION: FunctionId = FunctionId(0x8400_0000);
/// CPU_SUSPEND, 32-bit arguments.
pub const PSCI_CPU_SUSPEND: FunctionId = FunctionId(0x8400_0001);
/// CPU_SUSPEND, 64-bit arguments.
pub const PSCI_CPU_SUSPEND_64: FunctionId = FunctionId(0xc400_0001);
/// CPU_OFF.
pub const PSCI_CPU_OFF: FunctionId = FunctionId(0x8400_0002);
/// CPU_ON, 32-bit arguments.
pub const PSCI_CPU_ON: FunctionId = FunctionId(0x8400_0003);
/// CPU_ON, 64-bit arguments.
pub const PSCI_CPU_ON_64: FunctionId = FunctionId(0xc400_0003);
/// AFFINITY_INFO, 32-bit arguments.
pub const PSCI_AFFINITY_INFO: FunctionId = FunctionId(0x8400_0004);
/// AFFINITY_INFO, 64-bit arguments.
pub const PSCI_AFFINITY_INFO_64: FunctionId = FunctionId(0xc400_0004);
/// MIGRATE_INFO_TYPE.
pub const PSCI_MIGRATE_INFO_TYPE: FunctionId = FunctionId(0x8400_0006);
/// SYSTEM_OFF.
pub const PSCI_SYSTEM_OFF: FunctionId = FunctionId(0x8400_0008);
/// SYSTEM_RESET.
pub const PSCI_SYSTEM_RESET: FunctionId = FunctionId(0x8400_0009);
/// PSCI_FEATURES.
pub const PSCI_FEATURES: FunctionId = FunctionId(0x8400_000a);
/// SYSTEM_RESET2, 32-bit arguments.
pub const PSCI_SYSTEM_RESET2: FunctionId = FunctionId(0x8400_0012);
/// SYSTEM_RESET2, 64-bit arguments.
pub const PSCI_SYSTEM_RESET2_64: FunctionId = FunctionId(0xc400_0012);

/// CHECKPOINT() -> id, 0; after a restore again: id, the value passed.
pub const CHECKPOINT: FunctionId = FunctionId(0xc600_0001);
/// RESTORE(id or -1, value) does not return, or x0 < 0.
pub const RESTORE: FunctionId = FunctionId(0xc600_0002);
/// DELETE(id) -> 0 or x0 < 0.
pub const DELETE: FunctionId = FunctionId(0xc600_0003);
/// INFO(id) -> 0, parent id or -1, pages that only it holds, virtual counter at its checkpoint; or x0 < 0.
pub const INFO: FunctionId = FunctionId(0xc600_0004);
/// NEXT(id) -> the smallest id >= the given one that exists, or x0 < 0.
pub const NEXT: FunctionId = FunctionId(0xc600_0005);
/// STATS() -> snapshots, pools, pages in use by snapshots, free pages.
pub const STATS: FunctionId = FunctionId(0xc600_0006);
/// GENERATION() -> restores of this VM so far.
pub const GENERATION: FunctionId = FunctionId(0xc600_0007);

/// EVENT(code, a, b), by a VM that another one controls, stops it -> 0 when it is run again; or x0 < 0.
pub const EVENT: FunctionId = FunctionId(0xc600_0008);
/// TARGET(t) -> 0; 0, 1 or 2: off, stopped, running; vCPUs; pages of RAM. Or x0 < 0, as all that follow.
pub const TARGET: FunctionId = FunctionId(0xc600_0010);
/// RUN(t, limit in ns or 0, vCPU + 1 to execute one instruction or 0) -> why it stopped, and what belongs to that.
pub const RUN: FunctionId = FunctionId(0xc600_0011);
/// STOP(t) -> 0.
pub const STOP: FunctionId = FunctionId(0xc600_0012);
/// READ(t, id or -1, address, to, bytes, vCPU + 1 whose address it is or 0) -> 0.
pub const READ: FunctionId = FunctionId(0xc600_0013);
/// WRITE(t, address, from, bytes, vCPU + 1 whose address it is or 0) -> 0.
pub const WRITE: FunctionId = FunctionId(0xc600_0014);
/// REGISTERS(t, id or -1, vcpu, to, bytes) -> bytes written.
pub const REGISTERS: FunctionId = FunctionId(0xc600_0015);
/// SET_REGISTERS(t, vcpu, from, bytes) -> 0.
pub const SET_REGISTERS: FunctionId = FunctionId(0xc600_0016);
/// DIFFERS(t, id or -1, id or -1, from) -> page, or how many pages there are.
pub const DIFFERS: FunctionId = FunctionId(0xc600_0017);
/// CHECKPOINT_OF(t) -> id.
pub const CHECKPOINT_OF: FunctionId = FunctionId(0xc600_0018);
/// RESTORE_OF(t, id or -1, value) -> id.
pub const RESTORE_OF: FunctionId = FunctionId(0xc600_0019);
/// DELETE_OF(t, id) -> 0.
pub const DELETE_OF: FunctionId = FunctionId(0xc600_001a);
/// INFO_OF(t, id) -> as INFO.
pub const INFO_OF: FunctionId = FunctionId(0xc600_001b);
/// NEXT_OF(t, id) -> as NEXT.
pub const NEXT_OF: FunctionId = FunctionId(0xc600_001c);
/// STATS_OF(t) -> as STATS.
pub const STATS_OF: FunctionId = FunctionId(0xc600_001d);

/// CATCH(t, what) -> 0, breakpoints, watchpoints.
pub const CATCH: FunctionId = FunctionId(0xc600_001e);
/// BREAKPOINT(t, number, kind, address, bytes) -> 0.
pub const BREAKPOINT: FunctionId = FunctionId(0xc600_001f);

/// TRANSLATE(t, id or -1, vCPU, address) -> 0, ipa, bytes from there to the end of its page or block.
pub const TRANSLATE: FunctionId = FunctionId(0xc600_0020);

/// The call count of the vendor-specific hypervisor service (DEN0028, "General service queries").
pub const VENDOR_CALL_COUNT: FunctionId = FunctionId(0x8600_ff00);
/// The UID of the vendor-specific hypervisor service.
pub const VENDOR_UID: FunctionId = FunctionId(0x8600_ff01);
/// The revision of the vendor-specific hypervisor service.
pub const VENDOR_REVISION: FunctionId = FunctionId(0x8600_ff03);
