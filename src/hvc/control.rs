//! The calls by which a VM drives another one, 0xc600_0010 on, decoded.

use super::ids;
use super::width::arguments;
use super::{FunctionId, SnapshotCall, which};
use crate::trap::access::GeneralRegisters;

/// A call of a controller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ControlCall {
    /// The place of the VM that it is about in the caller's `controls`, as the caller gave it.
    pub target: u64,
    /// What is to be done.
    pub action: ControlAction,
}

/// What a controller has done with a VM. Numbers are as it gave them, sensible or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ControlAction {
    /// Says how it does.
    Target,
    /// Runs it until something happens.
    Run {
        /// For so many ns of its own time; 0: however long it takes.
        limit: u64,
        /// One instruction of the vCPU before this number; 0: all that it does.
        step: u64,
    },
    /// Stops it.
    Stop,
    /// Reads its memory.
    Read {
        /// As it is in this snapshot; or now.
        id: Option<u64>,
        /// From there on.
        address: u64,
        /// To there in the caller's memory.
        to: u64,
        /// So much.
        bytes: u64,
        /// The vCPU before this number knows the address; 0: it is guest-physical.
        vcpu: u64,
    },
    /// Writes its memory.
    Write {
        /// From there on.
        address: u64,
        /// What is there in the caller's memory.
        from: u64,
        /// So much.
        bytes: u64,
        /// The vCPU before this number knows the address; 0: it is guest-physical.
        vcpu: u64,
    },
    /// Reads a vCPU's registers.
    Registers {
        /// As they are in this snapshot; or now.
        id: Option<u64>,
        /// The vCPU's number.
        vcpu: u64,
        /// To there in the caller's memory.
        to: u64,
        /// The room there.
        bytes: u64,
    },
    /// Sets a vCPU's registers.
    SetRegisters {
        /// The vCPU's number.
        vcpu: u64,
        /// What is there in the caller's memory.
        from: u64,
        /// How much there is.
        bytes: u64,
    },
    /// Finds the first page that is not the same in two snapshots.
    Differs {
        /// These; or now.
        ids: [Option<u64>; 2],
        /// From this one on.
        from: u64,
    },
    /// Says where a virtual address leads.
    Translate {
        /// By the tables of this snapshot; or of now.
        id: Option<u64>,
        /// The number of the vCPU that they are of.
        vcpu: u64,
        /// The address.
        va: u64,
    },
    /// Says which debug exceptions stop it.
    Catch {
        /// Those.
        what: u64,
    },
    /// Sets a breakpoint or watchpoint: number, kind, address, bytes.
    Breakpoint([u64; 4]),
    /// One of the snapshot calls, as if it had made it itself.
    Snapshot(SnapshotCall),
}

/// How many calls there are here.
pub(super) const CALLS: u64 = 17;

/// All ones in a register names no snapshot, but the VM as it is.
const fn snapshot(x: u64) -> Option<u64> {
    if x == u64::MAX { None } else { Some(x) }
}

const FIRST: u8 = ids::TARGET.last_byte();
const LAST: u8 = ids::TRANSLATE.last_byte();
const _: () = assert!((LAST - FIRST) as u64 + 1 == CALLS);

/// Whether the name is one of a controller's, among those that begin as these do.
#[inline]
pub(super) fn has(function: FunctionId) -> bool {
    matches!(function.last_byte(), FIRST..=LAST)
}

/// The call that `x` holds, if it is one of a controller's.
#[inline]
pub fn decode(x: &GeneralRegisters) -> Option<ControlCall> {
    let function = FunctionId(x[0] as u32);
    // With names that are known, as in `vendor`.
    let second = |function| arguments(function, x)[1];
    let action = match function {
        ids::TARGET => ControlAction::Target,
        ids::RUN => ControlAction::Run {
            limit: second(ids::RUN),
            step: arguments(ids::RUN, x)[2],
        },
        ids::STOP => ControlAction::Stop,
        ids::READ => ControlAction::Read {
            id: snapshot(x[2]),
            address: x[3],
            to: x[4],
            bytes: x[5],
            vcpu: x[6],
        },
        ids::WRITE => ControlAction::Write {
            address: x[2],
            from: x[3],
            bytes: x[4],
            vcpu: x[5],
        },
        ids::REGISTERS => ControlAction::Registers {
            id: snapshot(x[2]),
            vcpu: x[3],
            to: x[4],
            bytes: x[5],
        },
        ids::SET_REGISTERS => ControlAction::SetRegisters {
            vcpu: x[2],
            from: x[3],
            bytes: x[4],
        },
        ids::DIFFERS => ControlAction::Differs {
            ids: [snapshot(x[2]), snapshot(x[3])],
            from: x[4],
        },
        ids::CHECKPOINT_OF => ControlAction::Snapshot(SnapshotCall::Checkpoint),
        ids::RESTORE_OF => ControlAction::Snapshot(SnapshotCall::Restore {
            which: which(second(ids::RESTORE_OF)),
            value: arguments(ids::RESTORE_OF, x)[2].max(1),
        }),
        ids::DELETE_OF => ControlAction::Snapshot(SnapshotCall::Delete {
            id: second(ids::DELETE_OF),
        }),
        ids::INFO_OF => ControlAction::Snapshot(SnapshotCall::Info {
            id: second(ids::INFO_OF),
        }),
        ids::NEXT_OF => ControlAction::Snapshot(SnapshotCall::Next {
            id: second(ids::NEXT_OF),
        }),
        ids::STATS_OF => ControlAction::Snapshot(SnapshotCall::Stats),
        // Those of a debugger, which is in no hurry.
        function => return decode_debugger(function, x),
    };
    // Each of them begins with it.
    let target = arguments(ids::TARGET, x)[0];
    Some(ControlCall { target, action })
}

#[cold]
#[inline(never)]
fn decode_debugger(function: FunctionId, x: &GeneralRegisters) -> Option<ControlCall> {
    let action = match function {
        ids::CATCH => ControlAction::Catch {
            what: arguments(function, x)[1],
        },
        ids::TRANSLATE => ControlAction::Translate {
            id: snapshot(x[2]),
            vcpu: x[3],
            va: x[4],
        },
        ids::BREAKPOINT => ControlAction::Breakpoint([x[2], x[3], x[4], x[5]]),
        _ => return None,
    };
    let target = x[1];
    Some(ControlCall { target, action })
}
