//! The Power State Coordination Interface, version 1.1 (Arm DEN0022): which call it is, and what the VM is to do.
//!
//! All that 1.1 makes mandatory is here, by its 32-bit and where there is one its 64-bit name. What is optional is not
//! supported, but for SYSTEM_RESET2: MIGRATE and MIGRATE_INFO_UP_CPU (there is no Trusted OS), CPU_FREEZE,
//! CPU_DEFAULT_SUSPEND, NODE_HW_STATE, SYSTEM_SUSPEND, PSCI_SET_SUSPEND_MODE, statistics, MEM_PROTECT.

use super::ids::{
    PSCI_AFFINITY_INFO, PSCI_AFFINITY_INFO_64, PSCI_CPU_OFF, PSCI_CPU_ON, PSCI_CPU_ON_64,
    PSCI_CPU_SUSPEND, PSCI_CPU_SUSPEND_64, PSCI_FEATURES, PSCI_MIGRATE_INFO_TYPE, PSCI_SYSTEM_OFF,
    PSCI_SYSTEM_RESET, PSCI_SYSTEM_RESET2, PSCI_SYSTEM_RESET2_64, PSCI_VERSION, SMCCC_VERSION,
};
use super::width::arguments;
use super::{FunctionId, Hypercall, Results};
use crate::addr::Ipa;
use crate::trap::access::GeneralRegisters;

/// Return codes (DEN0022, "Return error codes").
pub mod error {
    /// There is no such function.
    pub const NOT_SUPPORTED: i64 = -1;
    /// An argument is outside what the function takes: no such CPU, reserved bits.
    pub const INVALID_PARAMETERS: i64 = -2;
    /// CPU_ON of a CPU that runs.
    pub const ALREADY_ON: i64 = -4;
    /// CPU_ON of a CPU that is being started.
    pub const ON_PENDING: i64 = -5;
    /// CPU_ON at an address where no code can be.
    pub const INVALID_ADDRESS: i64 = -9;
}

/// PSCI 1.1: SYSTEM_RESET2 is what it adds to 1.0.
const IMPLEMENTED: u64 = 0x1_0001;
/// MIGRATE_INFO_TYPE: no Trusted OS, or one that need not migrate.
const MIGRATION_NOT_REQUIRED: u64 = 2;

/// A power call. Arguments are the guest's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PowerCall {
    /// Wait for an interrupt in a power state.
    CpuSuspend {
        /// The power state.
        state: u32,
    },
    /// The calling CPU stops.
    CpuOff,
    /// Another CPU starts.
    CpuOn {
        /// Its MPIDR affinity fields.
        target: u64,
        /// Where, at EL1 with its MMU off.
        entry: Ipa,
        /// Its x0.
        context: u64,
    },
    /// Whether CPUs are on.
    AffinityInfo {
        /// MPIDR affinity fields.
        target: u64,
        /// The fields below this one (0-3) do not count.
        lowest_level: u32,
    },
    /// The VM stops.
    SystemOff,
    /// The VM starts again.
    SystemReset,
    /// The VM starts again in a way that can be chosen.
    SystemReset2 {
        /// 0: warm; bit 31: a vendor's own.
        kind: u32,
    },
}

// Apart, it would take its arguments and its answer through memory.
#[inline(always)]
pub(super) fn decode(function: FunctionId, x: &GeneralRegisters) -> Hypercall {
    let [first, second, third] = arguments(function, x);
    let answered = |value| Hypercall::Answered(Results::of([value]));
    Hypercall::Psci(match function {
        PSCI_CPU_SUSPEND | PSCI_CPU_SUSPEND_64 => PowerCall::CpuSuspend {
            state: first as u32,
        },
        PSCI_CPU_OFF => PowerCall::CpuOff,
        PSCI_CPU_ON | PSCI_CPU_ON_64 => PowerCall::CpuOn {
            target: first,
            entry: Ipa(second),
            context: third,
        },
        PSCI_AFFINITY_INFO | PSCI_AFFINITY_INFO_64 => PowerCall::AffinityInfo {
            target: first,
            lowest_level: second as u32,
        },
        PSCI_SYSTEM_OFF => PowerCall::SystemOff,
        PSCI_SYSTEM_RESET => PowerCall::SystemReset,
        PSCI_SYSTEM_RESET2 | PSCI_SYSTEM_RESET2_64 => {
            PowerCall::SystemReset2 { kind: first as u32 }
        }
        PSCI_VERSION => return answered(IMPLEMENTED),
        PSCI_MIGRATE_INFO_TYPE => return answered(MIGRATION_NOT_REQUIRED),
        // For every function here the feature flags are 0; for CPU_SUSPEND that says: original format of the power
        // state, no OS-initiated mode. SMCCC_VERSION is asked after to learn whether there is more than SMCCC 1.0.
        PSCI_FEATURES if is_function(FunctionId(first as u32)) => return answered(0),
        _ => return Hypercall::UNKNOWN,
    })
}

/// Whether PSCI_FEATURES knows it.
fn is_function(id: FunctionId) -> bool {
    id == SMCCC_VERSION
        || id == PSCI_FEATURES
        || id.owner() == Some(super::Owner::StandardSecure)
            && decode(id, &[0; 31]) != Hypercall::UNKNOWN
}

/// Where a CPU of the VM is between off and on, as AFFINITY_INFO says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PowerState {
    /// It runs, or waits in WFI or CPU_SUSPEND.
    On = 0,
    /// It was never started, or stopped by CPU_OFF.
    Off = 1,
    /// CPU_ON was accepted, and it does not run yet.
    OnPending = 2,
}

/// What a power call must know of the VM.
pub trait PowerView {
    /// The affinity fields of each CPU's MPIDR, no two the same, and its state.
    fn cpus(&self) -> impl Iterator<Item = (u64, PowerState)>;

    /// Whether a CPU can start there.
    fn is_ram(&self, entry: Ipa) -> bool;
}

/// What the VM is to do. A refused call is a [`Action::Return`] like a successful one without effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Nothing: the guest continues with these results.
    Return(Results),
    /// The calling CPU waits as in WFI, then continues with SUCCESS.
    Standby,
    /// The calling CPU is off from now on. If no other is on, nothing can turn it on again.
    CpuOff,
    /// Start this CPU, which is off; then the caller continues with SUCCESS.
    CpuOn {
        /// Its MPIDR affinity fields, one of [`PowerView::cpus`].
        target: u64,
        /// Its first pc, in RAM.
        entry: Ipa,
        /// Its x0.
        context: u64,
    },
    /// The VM stops.
    SystemOff,
    /// The VM starts again from its image.
    SystemReset,
}

impl PowerCall {
    /// Decides the call. Whatever can be refused is refused here, before anything is touched.
    pub fn handle(self, vm: &impl PowerView) -> Action {
        let refuse = |code| Action::Return(Results::error(code));
        match self {
            Self::CpuSuspend { state } if state & SUSPEND_RESERVED != 0 => {
                refuse(error::INVALID_PARAMETERS)
            }
            // A power-down state may end at once, as if an interrupt had come (DEN0022, CPU_SUSPEND, "Return values"):
            // so all states are standby, nothing of the CPU is lost, and the entry point is not used.
            Self::CpuSuspend { .. } => Action::Standby,
            Self::CpuOff => Action::CpuOff,
            Self::CpuOn {
                target,
                entry,
                context,
            } => match vm.cpus().find(|(affinity, _)| *affinity == target) {
                None => refuse(error::INVALID_PARAMETERS),
                Some((_, PowerState::On)) => refuse(error::ALREADY_ON),
                Some((_, PowerState::OnPending)) => refuse(error::ON_PENDING),
                Some((_, PowerState::Off)) if entry.0 & 3 != 0 || !vm.is_ram(entry) => {
                    refuse(error::INVALID_ADDRESS)
                }
                Some((_, PowerState::Off)) => Action::CpuOn {
                    target,
                    entry,
                    context,
                },
            },
            Self::AffinityInfo {
                target,
                lowest_level,
            } => Action::Return(affinity_info(target, lowest_level, vm)),
            Self::SystemOff => Action::SystemOff,
            Self::SystemReset
            | Self::SystemReset2 {
                kind: SYSTEM_WARM_RESET,
            } => Action::SystemReset,
            Self::SystemReset2 { .. } => refuse(error::INVALID_PARAMETERS),
        }
    }
}

/// The bits of CPU_SUSPEND's power state that must be zero in its original format.
const SUSPEND_RESERVED: u32 = 0xfcfe_0000;
/// The one architectural reset type of SYSTEM_RESET2.
const SYSTEM_WARM_RESET: u32 = 0;

/// A group of CPUs is on if one of them is, off if all are.
fn affinity_info(target: u64, lowest_level: u32, vm: &impl PowerView) -> Results {
    /// Bit of MPIDR_EL1 where affinity field 0, 1, 2, 3 begins.
    const FIELDS: [u32; 4] = [0, 8, 16, 32];
    let group = match FIELDS.get(lowest_level as usize) {
        Some(shift) => u64::MAX << shift,
        None => return Results::error(error::INVALID_PARAMETERS),
    };
    let states = vm
        .cpus()
        .filter(|(affinity, _)| affinity & group == target & group)
        .map(|(_, s)| s);
    let state = states.min_by_key(|state| match state {
        PowerState::On => 0,
        PowerState::OnPending => 1,
        PowerState::Off => 2,
    });
    state.map_or(Results::error(error::INVALID_PARAMETERS), |state| {
        Results::of([state as u64])
    })
}

#[cfg(test)]
mod tests;
