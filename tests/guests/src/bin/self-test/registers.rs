//! Every register of EL1, at a checkpoint and after a restore.

use avisor_guest::Shared;
use avisor_guest::snapshot::{self, CHECKPOINT, RESTORE};

use crate::context::{
    Context, avisor_checkpoint_hvc, avisor_checkpoint_smccc, avisor_restore_hvc,
    avisor_restore_smccc,
};
use crate::system;
use avisor_guest::check::{Failure, Outcome, equal, holds};

const LATEST: u64 = u64::MAX;
const VALUE: u64 = 0x7a1e;

/// How a checkpoint or a restore is asked for.
#[derive(Clone, Copy, PartialEq)]
enum Conduit {
    /// `hvc #1`, `hvc #2`.
    Immediate,
    /// `hvc #0` with a function id.
    Smccc,
}

static WANT: Shared<Context> = Shared::new(Context::ZERO);
static SCRAMBLE: Shared<Context> = Shared::new(Context::ZERO);
static GOT: Shared<Context> = Shared::new(Context::ZERO);

/// `hvc #1` and `hvc #2`.
pub fn plain() -> Outcome {
    round(Conduit::Immediate, Conduit::Immediate, 1)
}

/// Checkpoint and restore by SMCCC calls.
pub fn smccc() -> Outcome {
    round(Conduit::Smccc, Conduit::Smccc, 1)
}

/// `hvc #1`, and a restore by an SMCCC call: there is no place for its value.
pub fn mixed() -> Outcome {
    round(Conduit::Immediate, Conduit::Smccc, 1)
}

/// EL1 on the stack pointer of EL0.
pub fn on_sp_el0() -> Outcome {
    round(Conduit::Immediate, Conduit::Immediate, 0)
}

fn round(checkpoint: Conduit, restore: Conduit, spsel: u64) -> Outcome {
    system::enable_simd();
    let plan = system::plan();
    system::check_plan(&plan)?;
    let ours = system::read();
    let want = wanted(checkpoint, spsel);
    WANT.set(want.clone());
    let before = snapshot::generation()?;

    system::write(&plan.want);
    // SAFETY: the code keeps what Rust needs, and the context's stack pointer leads to `GOT`.
    unsafe {
        match checkpoint {
            Conduit::Immediate => avisor_checkpoint_hvc(WANT.address()),
            Conduit::Smccc => avisor_checkpoint_smccc(WANT.address()),
        }
    }
    // First of all: these are the registers that an exception would change.
    let system = system::read();
    system::write(&ours);

    let got = GOT.get();
    let restored = snapshot::generation()? != before;
    // An SMCCC call has results in x0 to x3.
    let first_kept = if checkpoint == Conduit::Smccc { 4 } else { 0 };
    // Both, so that all that differs is printed.
    let same_system = system::compare(&plan.want, &system);
    want.compare(&got, first_kept).and(same_system)?;
    if checkpoint == Conduit::Smccc {
        let value = if restored { VALUE } else { 0 };
        holds((got.x[0] as i64) >= 0, "the checkpoint was refused")?;
        equal("x1 after the checkpoint", value, got.x[1])?;
    }
    if restored {
        return equal("GENERATION", before + 1, snapshot::generation()?);
    }
    scramble_and_restore(restore, &plan.scramble);
    system::write(&ours);
    Err(Failure::Says("the restore was refused"))
}

fn wanted(checkpoint: Conduit, spsel: u64) -> Context {
    let mut want = Context::wanted();
    want.spsel = spsel;
    want.sp = GOT.address() as u64;
    if spsel == 0 {
        want.sp_el0 = want.sp;
    } else {
        want.sp_el1 = want.sp;
    }
    if checkpoint == Conduit::Smccc {
        want.x[0] = CHECKPOINT;
    }
    want
}

fn scramble_and_restore(restore: Conduit, system: &system::All) {
    let mut scramble = Context::scrambled();
    match restore {
        Conduit::Immediate => scramble.x[0] = LATEST,
        Conduit::Smccc => scramble.x[..3].copy_from_slice(&[RESTORE, LATEST, VALUE]),
    }
    SCRAMBLE.set(scramble);
    system::write(system);
    // SAFETY: the code keeps what Rust needs, in case that it comes back.
    unsafe {
        match restore {
            Conduit::Immediate => avisor_restore_hvc(SCRAMBLE.address()),
            Conduit::Smccc => avisor_restore_smccc(SCRAMBLE.address()),
        }
    }
}
