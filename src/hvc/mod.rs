//! What a guest can ask for with `hvc`: decoding, and the answers that need nothing but the question.
//!
//! `hvc #0` is the SMC Calling Convention (Arm DEN0028): w0 names the function, and each owner's range of names is
//! one module, which alone knows the calls in it. One table says how wide their arguments are (`width.rs`). `hvc #1` and `hvc #2` are the snapshot
//! calls without a convention.
//! Every other immediate and every name without an owner answers NOT_SUPPORTED.

pub mod architecture;
pub mod control;
pub mod function;
pub mod ids;
pub mod psci;
mod snapshot;
pub mod vendor;
mod width;

pub use control::{ControlAction, ControlCall};
pub use function::{FunctionId, Owner, Results};
pub use snapshot::SnapshotCall;

use crate::snapshot::Which;
use crate::trap::access::GeneralRegisters;
use core::hint::cold_path;

/// Return codes of SMCCC (DEN0028, "Return codes") and of the snapshot calls, for x0.
pub mod error {
    /// There is no such function.
    pub const NOT_SUPPORTED: i64 = -1;
    /// An argument makes no sense: memory that is none, or too much; a vCPU that does not exist; registers that no guest could have.
    pub const INVALID_PARAMETER: i64 = -3;
    /// There is no snapshot with that id.
    pub const NOT_FOUND: i64 = -4;
    /// The memory for it could not be had.
    pub const NO_MEMORY: i64 = -5;
    /// The caller controls no such VM, or not as it is now.
    pub const DENIED: i64 = -6;
}

/// A decoded `hvc`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hypercall {
    /// `hvc #1`: take a checkpoint. No register changes.
    BareCheckpoint,
    /// `hvc #2`: go back to the snapshot that x0 names. No register changes unless it succeeds.
    BareRestore(Which),
    /// A snapshot call by SMCCC.
    Snapshot(SnapshotCall),
    /// EVENT: tells the VM's controller this.
    Event([u64; 3]),
    /// A call of a controller: [`control::decode`] says which.
    Control,
    /// A power call.
    Psci(psci::PowerCall),
    /// The answer needed the question only: versions, UID, features, and everything that is not supported.
    Answered(Results),
}

/// All ones in a register names the newest snapshot.
#[inline]
const fn which(x: u64) -> Which {
    if x == u64::MAX {
        Which::Latest
    } else {
        Which::Id(x)
    }
}

impl Hypercall {
    /// Decodes `hvc #immediate` with the registers `x`. An `smc` that the VM answers is `hvc #0`.
    // Inlined, each name goes straight to its handler, and results to the registers; apart, all go through memory.
    #[inline(always)]
    pub fn decode(immediate: u16, x: &GeneralRegisters) -> Self {
        match immediate {
            0 => Self::decode_smccc(x),
            // The shortest calls come first; these are not among them.
            immediate => {
                cold_path();
                match immediate {
                    1 => Self::BareCheckpoint,
                    2 => Self::BareRestore(which(x[0])),
                    _ => Self::UNKNOWN,
                }
            }
        }
    }

    /// A call that nobody here knows.
    const UNKNOWN: Self = Self::Answered(Results::NOT_SUPPORTED);

    #[inline(always)]
    fn decode_smccc(x: &GeneralRegisters) -> Self {
        let function = FunctionId(x[0] as u32);
        match function.owner() {
            Some(Owner::Architecture) => architecture::decode(function, x),
            Some(Owner::StandardSecure) => psci::decode(function, x),
            Some(Owner::VendorHypervisor) => vendor::decode(function, x),
            Some(Owner::Other) | None => Self::UNKNOWN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn smccc(arguments: &[u64]) -> Hypercall {
        let mut x = [0xdead_0000_dead; 31];
        x[..arguments.len()].copy_from_slice(arguments);
        Hypercall::decode(0, &x)
    }

    const UNKNOWN: Hypercall = Hypercall::Answered(Results::NOT_SUPPORTED);

    #[test]
    fn immediates() {
        let mut x = [7; 31];
        assert_eq!(Hypercall::decode(1, &x), Hypercall::BareCheckpoint);
        assert_eq!(
            Hypercall::decode(2, &x),
            Hypercall::BareRestore(Which::Id(7))
        );
        x[0] = u64::MAX;
        assert_eq!(
            Hypercall::decode(2, &x),
            Hypercall::BareRestore(Which::Latest)
        );
        x[0] = 0x8400_0008;
        for immediate in [3, 4, 0xff, 0x4242, 0xffff] {
            assert_eq!(Hypercall::decode(immediate, &x), UNKNOWN);
        }
    }

    #[test]
    fn names_that_nobody_owns_are_not_supported() {
        for function in [
            0,           // the range of yielding calls
            0x0600_0001, // a yielding call in our range
            0x8100_0000, // CPU services
            0x8500_0020, // PV_TIME_FEATURES
            0xc500_0020, // its 64-bit name
            0x8400_0050, // TRNG_VERSION
            0x8600_0000, // KVM's features
            0x8600_0001, // a snapshot call by a 32-bit name
            0xc600_ff01, // the UID by a 64-bit name
            0xbf00_ff01, // Trusted OS
            0xffff_ffff,
        ] {
            assert_eq!(smccc(&[function]), UNKNOWN, "{function:#x}");
        }
    }

    #[test]
    fn the_name_is_w0() {
        assert_eq!(
            smccc(&[0xffff_ffff_8400_0008]),
            Hypercall::Psci(psci::PowerCall::SystemOff)
        );
    }

    #[test]
    fn results_leave_other_registers_alone() {
        let mut x = [9; 31];
        Results::error(error::NOT_FOUND).write_to(&mut x);
        assert_eq!((x[0] as i64, &x[1..]), (-4, &[9; 30][..]));
        Results::of([1, 2, 3, 4]).write_to(&mut x);
        assert_eq!((&x[..4], &x[4..]), (&[1, 2, 3, 4][..], &[9; 27][..]));
        Results::of([5, 0]).write_to(&mut x);
        assert_eq!(x[..5], [5, 0, 3, 4, 9]);
    }
}
