//! Vendor-specific hypervisor calls, 0x8600_0000 and on: who we are, the snapshot calls, and which others there are.

use super::ids::{
    CHECKPOINT, DELETE, EVENT, GENERATION, INFO, NEXT, RESTORE, STATS, VENDOR_CALL_COUNT,
    VENDOR_REVISION, VENDOR_UID,
};
use super::width::arguments;
use super::{FunctionId, Hypercall, Results, SnapshotCall, control, which};
use crate::trap::access::GeneralRegisters;

/// The snapshot calls, CHECKPOINT to GENERATION; EVENT; and those of a controller.
const CALLS: u64 = 8 + control::CALLS;

/// Avisor's UID, 573f1bb6-71db-4714-86dd-43da27b18993.
pub const UUID: [u8; 16] = 0x573f_1bb6_71db_4714_86dd_43da_27b1_8993_u128.to_be_bytes();

/// Revision of these calls, major and minor: a change that callers notice counts the first up, an addition the
/// second.
const CALLS_REVISION: [u64; 2] = [1, 2];

#[inline(always)]
pub(super) fn decode(function: FunctionId, x: &GeneralRegisters) -> Hypercall {
    if function.0 & !0xff != CHECKPOINT.0 & !0xff {
        return decode_query(function);
    }
    // All of them begin with the same three bytes.
    let is = |name: FunctionId| function.last_byte() == name.last_byte();
    // With a name that is known: what has no arguments does not pay for them.
    let id = |function| arguments(function, x)[0];
    Hypercall::Snapshot(match () {
        () if is(CHECKPOINT) => SnapshotCall::Checkpoint,
        () if is(RESTORE) => SnapshotCall::Restore {
            which: which(id(RESTORE)),
            value: arguments(RESTORE, x)[1].max(1),
        },
        () if is(DELETE) => SnapshotCall::Delete { id: id(DELETE) },
        () if is(INFO) => SnapshotCall::Info { id: id(INFO) },
        () if is(NEXT) => SnapshotCall::Next { id: id(NEXT) },
        () if is(STATS) => SnapshotCall::Stats,
        () if is(GENERATION) => SnapshotCall::Generation,
        () if is(EVENT) => return Hypercall::Event(arguments(EVENT, x)),
        () if control::has(function) => return Hypercall::Control,
        () => return Hypercall::UNKNOWN,
    })
}

/// The questions that each service answers (DEN0028, "General service queries").
#[cold]
#[inline(never)]
fn decode_query(function: FunctionId) -> Hypercall {
    Hypercall::Answered(match function {
        VENDOR_CALL_COUNT => Results::of([CALLS]),
        VENDOR_UID => uid(),
        VENDOR_REVISION => Results::of(CALLS_REVISION),
        _ => Results::NOT_SUPPORTED,
    })
}

/// Four bytes of the UUID to a register, the first of them lowest (DEN0028, "Service UID query").
fn uid() -> Results {
    let (words, _) = UUID.as_chunks::<4>();
    let word = |i: usize| u64::from(u32::from_le_bytes(words[i]));
    Results::of([word(0), word(1), word(2), word(3)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hvc::tests::smccc;
    use crate::snapshot::Which;

    #[test]
    fn who_we_are() {
        let uid = [0xb61b_3f57, 0x1447_db71, 0xda43_dd86, 0x9389_b127];
        assert_eq!(smccc(&[0x8600_ff01]), Hypercall::Answered(Results::of(uid)));
        assert_eq!(
            smccc(&[0x8600_ff00]),
            Hypercall::Answered(Results::of([25]))
        );
        assert_eq!(
            smccc(&[0x8600_ff03]),
            Hypercall::Answered(Results::of([1, 2]))
        );
    }

    #[test]
    fn snapshot_calls() {
        let id = 0x1_0000_0005;
        for (arguments, call) in [
            (&[0xc600_0001][..], SnapshotCall::Checkpoint),
            (
                &[0xc600_0002, id, 9],
                SnapshotCall::Restore {
                    which: Which::Id(id),
                    value: 9,
                },
            ),
            (
                &[0xc600_0002, u64::MAX, 0],
                SnapshotCall::Restore {
                    which: Which::Latest,
                    value: 1,
                },
            ),
            (&[0xc600_0003, id], SnapshotCall::Delete { id }),
            (
                &[0xc600_0004, u64::MAX],
                SnapshotCall::Info { id: u64::MAX },
            ),
            (&[0xc600_0005, 0], SnapshotCall::Next { id: 0 }),
            (&[0xc600_0006], SnapshotCall::Stats),
            (&[0xc600_0007], SnapshotCall::Generation),
        ] {
            assert_eq!(smccc(arguments), Hypercall::Snapshot(call));
        }
        assert_eq!(
            smccc(&[0xc600_0008, id, 2, 3]),
            Hypercall::Event([id, 2, 3])
        );
        assert_eq!(
            smccc(&[0xc600_0009]),
            Hypercall::Answered(Results::NOT_SUPPORTED)
        );
        assert_eq!(
            smccc(&[0xc600_0000]),
            Hypercall::Answered(Results::NOT_SUPPORTED)
        );
    }
}
