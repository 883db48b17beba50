//! Arm architecture calls, 0x8000_0000 and on (Arm DEN0028, "Arm Architecture Calls").

use super::ids::{SMCCC_ARCH_FEATURES, SMCCC_VERSION};
use super::width::arguments;
use super::{FunctionId, Hypercall, Results};
use crate::trap::access::GeneralRegisters;

/// 1.2: the first version that promises what Avisor does, x4-x17 preserved by every call. Later ones speak of SVE and
/// SME state, which a VM does not have.
const IMPLEMENTED: u64 = 0x1_0002;

/// SOC_ID and the workarounds for speculation have no service here: the first would name a board, the second would
/// promise what only the firmware can keep.
#[inline(always)]
pub(super) fn decode(function: FunctionId, x: &GeneralRegisters) -> Hypercall {
    match function {
        SMCCC_VERSION => Hypercall::Answered(Results::of([IMPLEMENTED])),
        SMCCC_ARCH_FEATURES => match FunctionId(arguments(SMCCC_ARCH_FEATURES, x)[0] as u32) {
            SMCCC_VERSION | SMCCC_ARCH_FEATURES => Hypercall::Answered(Results::SUCCESS),
            _ => Hypercall::UNKNOWN,
        },
        _ => Hypercall::UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use crate::hvc::tests::smccc;
    use crate::hvc::{Hypercall, Results};

    #[test]
    fn version_and_features() {
        assert_eq!(
            smccc(&[0x8000_0000]),
            Hypercall::Answered(Results::of([0x1_0002]))
        );
        for (asked, answer) in [
            (0x8000_0000, Results::SUCCESS),
            (0x5555_0000_8000_0001, Results::SUCCESS),
            (0x8000_0002, Results::NOT_SUPPORTED), // SOC_ID
            (0x8000_8000, Results::NOT_SUPPORTED), // WORKAROUND_1
            (0x8400_0000, Results::NOT_SUPPORTED),
        ] {
            assert_eq!(
                smccc(&[0x8000_0001, asked]),
                Hypercall::Answered(answer),
                "{asked:#x}"
            );
        }
        assert_eq!(
            smccc(&[0xc000_0000]),
            Hypercall::Answered(Results::NOT_SUPPORTED)
        );
    }
}
