//! Vendor-specific hypervisor calls, 0x8600_0000 and on: who we are, and the snapshot calls.

use super::width::arguments;
use super::{Call, FunctionId, Results, which};
use crate::snapshot::Which;
use crate::trap::access::GeneralRegisters;

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

/// The general queries that the range requires (DEN0028, "General service queries").
const CALL_COUNT: FunctionId = FunctionId(0x8600_ff00);
const UID: FunctionId = FunctionId(0x8600_ff01);
const REVISION: FunctionId = FunctionId(0x8600_ff03);

/// The calls above, CHECKPOINT to GENERATION.
const CALLS: u64 = 7;

/// Avisor's UID, 573f1bb6-71db-4714-86dd-43da27b18993.
pub const UUID: [u8; 16] = 0x573f_1bb6_71db_4714_86dd_43da_27b1_8993_u128.to_be_bytes();

/// Revision of the snapshot calls, major and minor: a change that callers notice counts the first up, an addition the
/// second.
const CALLS_REVISION: [u64; 2] = [1, 0];

/// A snapshot call by SMCCC. Ids are as the guest gave them, existing or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Snapshot {
    /// Take a snapshot.
    Checkpoint,
    /// Go back.
    Restore {
        /// Where to.
        which: Which,
        /// What the CHECKPOINT that returns again has in x1: the value passed, 1 for 0, so never 0.
        value: u64,
    },
    /// Forget a snapshot.
    Delete {
        /// Its id.
        id: u64,
    },
    /// Ask about a snapshot.
    Info {
        /// Its id.
        id: u64,
    },
    /// Find the first snapshot from an id on.
    Next {
        /// The id to begin with.
        id: u64,
    },
    /// Ask about pools and memory.
    Stats,
    /// Ask for the number of restores.
    Generation,
}

#[inline]
pub(super) fn decode(function: FunctionId, x: &GeneralRegisters) -> Option<Call> {
    // With a name that is known: what has no arguments does not pay for them.
    let id = |function| arguments(function, x)[0];
    Some(Call::Snapshot(match function {
        CHECKPOINT => Snapshot::Checkpoint,
        RESTORE => Snapshot::Restore {
            which: which(id(RESTORE)),
            value: arguments(RESTORE, x)[1].max(1),
        },
        DELETE => Snapshot::Delete { id: id(DELETE) },
        INFO => Snapshot::Info { id: id(INFO) },
        NEXT => Snapshot::Next { id: id(NEXT) },
        STATS => Snapshot::Stats,
        GENERATION => Snapshot::Generation,
        CALL_COUNT => return Some(Call::Answered(Results::of([CALLS]))),
        UID => return Some(Call::Answered(uid())),
        REVISION => return Some(Call::Answered(Results::of(CALLS_REVISION))),
        _ => return None,
    }))
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

    #[test]
    fn who_we_are() {
        let uid = [0xb61b_3f57, 0x1447_db71, 0xda43_dd86, 0x9389_b127];
        assert_eq!(smccc(&[0x8600_ff01]), Call::Answered(Results::of(uid)));
        assert_eq!(smccc(&[0x8600_ff00]), Call::Answered(Results::of([7])));
        assert_eq!(smccc(&[0x8600_ff03]), Call::Answered(Results::of([1, 0])));
    }

    #[test]
    fn snapshot_calls() {
        let id = 0x1_0000_0005;
        for (arguments, call) in [
            (&[0xc600_0001][..], Snapshot::Checkpoint),
            (
                &[0xc600_0002, id, 9],
                Snapshot::Restore {
                    which: Which::Id(id),
                    value: 9,
                },
            ),
            (
                &[0xc600_0002, u64::MAX, 0],
                Snapshot::Restore {
                    which: Which::Latest,
                    value: 1,
                },
            ),
            (&[0xc600_0003, id], Snapshot::Delete { id }),
            (&[0xc600_0004, u64::MAX], Snapshot::Info { id: u64::MAX }),
            (&[0xc600_0005, 0], Snapshot::Next { id: 0 }),
            (&[0xc600_0006], Snapshot::Stats),
            (&[0xc600_0007], Snapshot::Generation),
        ] {
            assert_eq!(smccc(arguments), Call::Snapshot(call));
        }
        assert_eq!(
            smccc(&[0xc600_0008]),
            Call::Answered(Results::NOT_SUPPORTED)
        );
        assert_eq!(
            smccc(&[0xc600_0000]),
            Call::Answered(Results::NOT_SUPPORTED)
        );
    }
}
