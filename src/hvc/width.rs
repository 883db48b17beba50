//! How wide the arguments of each call are: the one place that says it.
//!
//! A call by an SMC32 name has w1, w2 and w3 (Arm DEN0028, "Argument passing"). One by an SMC64 name has what its own description says,
//! which for some arguments is a uint32 too (Arm DEN0022, each function's "Parameters"): w2, say, whatever the upper half of x2 holds.

use super::{FunctionId, ids};
use crate::trap::access::GeneralRegisters;

/// The bits of a register that are an argument.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
enum Width {
    /// None: the call has no such argument.
    No = 0,
    /// The lower half.
    W = 0xffff_ffff,
    /// All.
    X = u64::MAX,
}

/// The widths of x1, x2 and x3.
const fn widths(function: FunctionId) -> [Width; 3] {
    use Width::{No, W, X};
    match function {
        // Function id.
        ids::SMCCC_ARCH_FEATURES | ids::PSCI_FEATURES => [W, No, No],
        // Power state, entry, context.
        ids::PSCI_CPU_SUSPEND => [W, W, W],
        ids::PSCI_CPU_SUSPEND_64 => [W, X, X],
        // Target, entry, context.
        ids::PSCI_CPU_ON => [W, W, W],
        ids::PSCI_CPU_ON_64 => [X, X, X],
        // Target, lowest level.
        ids::PSCI_AFFINITY_INFO => [W, W, No],
        ids::PSCI_AFFINITY_INFO_64 => [X, W, No],
        // Kind, cookie.
        ids::PSCI_SYSTEM_RESET2 => [W, W, No],
        ids::PSCI_SYSTEM_RESET2_64 => [W, X, No],
        // Id, value.
        ids::RESTORE => [X, X, No],
        // Code, two values.
        ids::EVENT => [X, X, X],
        // Which VM, limit, step.
        ids::RUN => [X, X, X],
        // Which VM, what.
        ids::CATCH => [X, X, No],
        // With more of them in x4 and x5.
        ids::RESTORE_OF | ids::READ | ids::WRITE | ids::REGISTERS | ids::SET_REGISTERS => [X, X, X],
        ids::DIFFERS | ids::BREAKPOINT | ids::TRANSLATE => [X, X, X],
        ids::DELETE_OF | ids::INFO_OF | ids::NEXT_OF => [X, X, No],
        ids::TARGET | ids::STOP | ids::CHECKPOINT_OF | ids::STATS_OF => [X, No, No],
        // Id.
        ids::DELETE | ids::INFO | ids::NEXT => [X, No, No],
        _ => [No, No, No],
    }
}

/// The arguments of a call, from x1 on; 0 where it has none.
#[inline(always)]
pub(super) fn arguments(function: FunctionId, x: &GeneralRegisters) -> [u64; 3] {
    let [first, second, third] = widths(function);
    [
        x[1] & first as u64,
        x[2] & second as u64,
        x[3] & third as u64,
    ]
}

#[cfg(test)]
mod tests {
    use crate::hvc::tests::smccc;
    use crate::hvc::{ControlCall, Hypercall, control};
    use std::vec::Vec;

    /// Calls that are there, and how wide DEN0022, DEN0028 and the documentation say that x1 to x3 are: w, x, or - for none.
    const CALLS: [(u64, &str); 47] = [
        (0x8000_0000, "---"), // SMCCC_VERSION
        (0x8000_0001, "w--"), // SMCCC_ARCH_FEATURES(uint32)
        (0x8400_0000, "---"), // PSCI_VERSION
        (0x8400_0001, "www"), // CPU_SUSPEND(uint32, address, context)
        (0xc400_0001, "wxx"),
        (0x8400_0002, "---"), // CPU_OFF
        (0x8400_0003, "www"), // CPU_ON(MPIDR, address, context)
        (0xc400_0003, "xxx"),
        (0x8400_0004, "ww-"), // AFFINITY_INFO(MPIDR, uint32)
        (0xc400_0004, "xw-"),
        (0x8400_0006, "---"), // MIGRATE_INFO_TYPE
        (0x8400_0008, "---"), // SYSTEM_OFF
        (0x8400_0009, "---"), // SYSTEM_RESET
        (0x8400_000a, "w--"), // PSCI_FEATURES(uint32)
        (0x8400_0012, "w--"), // SYSTEM_RESET2(uint32, cookie); the cookie is not used
        (0xc400_0012, "w--"),
        (0xc600_0001, "---"), // CHECKPOINT
        (0xc600_0002, "xx-"), // RESTORE(id, value)
        (0xc600_0003, "x--"), // DELETE(id)
        (0xc600_0004, "x--"), // INFO(id)
        (0xc600_0005, "x--"), // NEXT(id)
        (0xc600_0006, "---"), // STATS
        (0xc600_0007, "---"), // GENERATION
        (0xc600_0008, "xxx"), // EVENT(code, a, b)
        (0xc600_0010, "x--"), // TARGET(t)
        (0xc600_0011, "xxx"), // RUN(t, limit, step)
        (0xc600_0012, "x--"), // STOP(t)
        (0xc600_0013, "xxx"), // READ(t, id, address, to, bytes, vcpu + 1)
        (0xc600_0014, "xxx"), // WRITE(t, address, from, bytes, vcpu + 1)
        (0xc600_0015, "xxx"), // REGISTERS(t, id, vcpu, to, bytes)
        (0xc600_0016, "xxx"), // SET_REGISTERS(t, vcpu, from, bytes)
        (0xc600_0017, "xxx"), // DIFFERS(t, id, id, from)
        (0xc600_0018, "x--"), // CHECKPOINT of t
        (0xc600_0019, "xxx"), // RESTORE of t(t, id, value)
        (0xc600_001a, "xx-"), // DELETE of t(t, id)
        (0xc600_001b, "xx-"), // INFO of t(t, id)
        (0xc600_001c, "xx-"), // NEXT of t(t, id)
        (0xc600_001d, "x--"), // STATS of t
        (0xc600_001e, "xx-"), // CATCH(t, what)
        (0xc600_001f, "xxx"), // BREAKPOINT(t, number, kind, address, bytes)
        (0xc600_0020, "xxx"), // TRANSLATE(t, id, vcpu, address)
        (0x8600_ff00, "---"), // call count
        (0x8600_ff01, "---"), // UID
        (0x8600_ff03, "---"), // revision
        (0x8400_0005, "---"), // MIGRATE: not supported
        (0xc600_0009, "---"), // nor is this one
        (0x8600_0002, "---"), // nor RESTORE by a 32-bit name
    ];

    /// Values for an argument: function ids, MPIDRs, levels, ids, addresses.
    const VALUES: [u64; 6] = [0, 1, 3, 0x4008_0000, 0x8000_0000, 0x8400_0003];
    const HIGH: [u64; 3] = [0x1_0000_0000, 0xdead_beef_0000_0000, 0xffff_ffff_0000_0000];

    /// The call with these in x0 on, completely decoded.
    fn decoded(arguments: &[u64; 4]) -> (Hypercall, Option<ControlCall>) {
        let call = smccc(arguments);
        let mut x = [0xdead_0000_dead; 31];
        x[..4].copy_from_slice(arguments);
        let control = control::decode(&x);
        assert_eq!(call == Hypercall::Control, control.is_some());
        (call, control)
    }

    #[test]
    fn upper_halves_count_where_the_argument_has_one() {
        for ((function, widths), value) in CALLS.iter().flat_map(|c| VALUES.map(|v| (c, v))) {
            let clean = decoded(&[*function, value, value, value]);
            for high in HIGH {
                assert_eq!(decoded(&[high | function, value, value, value]), clean);
                for (i, width) in widths.bytes().enumerate() {
                    let mut x = [*function, value, value, value];
                    x[i + 1] |= high;
                    let dirty = decoded(&x);
                    let counts = width == b'x' && !is_unused(*function, i);
                    assert_eq!(dirty != clean, counts, "{x:#x?}: {dirty:?}");
                    // Of what is no argument no bit counts.
                    x[i + 1] = !value;
                    assert!(width != b'-' || decoded(&x) == clean, "{x:#x?}");
                }
            }
        }
    }

    /// CPU_SUSPEND's entry and context, as every state is standby.
    fn is_unused(function: u64, argument: usize) -> bool {
        matches!(function, 0x8400_0001 | 0xc400_0001) && argument > 0
    }

    #[test]
    fn every_call_is_in_the_list() {
        let fast = [0x8000_0000_u64, 0xc000_0000].into_iter();
        let owners = fast.flat_map(|kind| (0..64_u64).map(move |owner| kind | owner << 24));
        let numbers = || (0..0x100_u64).chain(0xff00..0x1_0000);
        let there: Vec<u64> = owners
            .flat_map(|range| numbers().map(move |number| range | number))
            .filter(|&function| match smccc(&[function, 0x8000_0000]) {
                Hypercall::Answered(results) => results.as_slice()[0] != u64::MAX,
                _ => true,
            })
            .collect();
        let listed = |function: &u64| CALLS.iter().any(|(listed, _)| listed == function);
        assert!(there.iter().all(listed), "{there:#x?}");
        assert_eq!(there.len(), CALLS.len() - 3);
    }
}
