//! The SMCCC snapshot calls: ids, errors, the tree, values, and the counter that goes back in time.

use core::arch::asm;

use avisor_guest::Id;
use avisor_guest::Shared;
use avisor_guest::snapshot::{self, Checkpoint, Error};
use avisor_guest::{psci, smccc};

use avisor_guest::check::{Failure, Outcome, equal, holds};

/// Memory that goes back with each restore.
static CELL: Shared<u64> = Shared::new(0);

/// Takes a snapshot that nobody will go back to.
fn take() -> Result<Id, Failure> {
    match snapshot::checkpoint()? {
        Checkpoint::Taken(id) => Ok(id),
        Checkpoint::Restored { .. } => Err(Failure::Says("nobody should have come back here")),
    }
}

fn refused<T>(what: &'static str, result: Result<T, Error>) -> Outcome {
    match result {
        Err(Error::NotFound) => Ok(()),
        Err(_) => Err(Failure::Says(what)),
        Ok(_) => Err(Failure::Says(what)),
    }
}

fn unknown(id: Id) -> Outcome {
    refused(
        "INFO knows a snapshot that does not exist",
        snapshot::info(id),
    )?;
    refused("DELETE deleted what does not exist", snapshot::delete(id))?;
    let error = snapshot::restore_with(id, 1);
    holds(
        error == Error::NotFound,
        "RESTORE of what does not exist: not NOT_FOUND",
    )?;
    // hvc #2 says nothing; it only must not change x0.
    let mut x0 = id.0;
    // SAFETY: refused, so nothing changes.
    unsafe { asm!("hvc #2", inout("x0") x0, options(nostack)) }
    equal("x0 after a refused hvc #2", id.0, x0)
}

/// Ids are counted, errors are told, and deleted is deleted.
pub fn ids_and_errors() -> Outcome {
    for id in [1 << 20, 1 << 32, i64::MAX as u64, u64::MAX - 1] {
        unknown(Id(id))?;
        refused(
            "NEXT found an id that was never given",
            snapshot::next(Id(id)),
        )?;
    }
    let first = take()?;
    let second = take()?;
    equal("the next snapshot's id", first.0 + 1, second.0)?;
    equal(
        "NEXT of an id that exists",
        first.0,
        snapshot::next(first)?.0,
    )?;
    snapshot::delete(first)?;
    unknown(first)?;
    equal("NEXT of a deleted id", second.0, snapshot::next(first)?.0)?;

    let mut count = 0;
    let mut id = Id(0);
    while let Ok(found) = snapshot::next(id) {
        snapshot::info(found)?;
        count += 1;
        id = Id(found.0 + 1);
    }
    let stats = snapshot::stats()?;
    equal("STATS: snapshots", count, stats.snapshots)?;
    holds(stats.pools > 0, "STATS: no pool holds the snapshots")?;
    snapshot::delete(second)?;
    equal(
        "STATS: snapshots after DELETE",
        count - 1,
        snapshot::stats()?.snapshots,
    )
}

/// Going back to one snapshot leaves the later ones valid, and the next one is its child.
pub fn tree() -> Outcome {
    let parent = |id| Ok::<_, Failure>(snapshot::info(id)?.parent.map_or(u64::MAX, |id| id.0));
    CELL.set(1);
    match snapshot::checkpoint()? {
        Checkpoint::Taken(first) => {
            CELL.set(2);
            match snapshot::checkpoint()? {
                Checkpoint::Taken(second) => {
                    equal("the parent of the second", first.0, parent(second)?)?;
                    CELL.set(3);
                    Err(snapshot::restore_with(first, second.0).into())
                }
                Checkpoint::Restored { .. } => equal("memory at the second", 2, CELL.get()),
            }
        }
        Checkpoint::Restored { id: first, value } => {
            let second = Id(value);
            equal("memory at the first", 1, CELL.get())?;
            CELL.set(4);
            let third = take()?;
            equal("the id of the third", second.0 + 1, third.0)?;
            equal("the parent of the third", first.0, parent(third)?)?;
            Err(snapshot::restore_with(second, 1).into())
        }
    }
}

/// What the restorer passes arrives, and each restore counts, but not the refused ones.
pub fn values() -> Outcome {
    let before = snapshot::generation()?;
    let result = snapshot::checkpoint()?;
    let restores = snapshot::generation()? - before;
    match (result, restores) {
        (Checkpoint::Taken(id), 0) => {
            let _ = snapshot::restore_with(Id(id.0 + 1), 5);
            equal(
                "GENERATION after a refusal",
                before,
                snapshot::generation()?,
            )?;
            Err(snapshot::restore_with(id, 0).into())
        }
        (Checkpoint::Restored { id, value }, 1) => {
            equal("0 as a value", 1, value)?;
            Err(snapshot::restore_with(id, u64::MAX).into())
        }
        (Checkpoint::Restored { id, value }, 2) => {
            equal("the value", u64::MAX, value)?;
            avisor_guest::restore(id);
            Err(Failure::Says("hvc #2 was refused"))
        }
        // After an hvc #2 any value will do, if it is not 0.
        (Checkpoint::Restored { .. }, 3) => Ok(()),
        (_, restores) => Err(Failure::Differs {
            what: "GENERATION, or whether a checkpoint was restored",
            want: 0,
            got: restores,
        }),
    }
}

/// Upper halves that are not part of an argument do not count, and those that are do.
pub fn widths() -> Outcome {
    const HIGH: u64 = 0xdead_beef_0000_0000;
    let psci = |function, first, second| psci::call(function, [first, second, HIGH]) as u64;
    let parameters = psci::INVALID_PARAMETERS as u64;
    let [level, target, features] = [
        psci(psci::AFFINITY_INFO, 0, HIGH),
        psci(psci::AFFINITY_INFO, HIGH, 0),
        psci(psci::FEATURES, HIGH | psci::CPU_ON, HIGH),
    ];
    equal("AFFINITY_INFO, upper half of the level", 0, level)?;
    equal("AFFINITY_INFO, of the target", parameters, target)?;
    equal("PSCI_FEATURES, of the function", 0, features)?;
    // SYSTEM_RESET2 of a kind that does not exist.
    for function in [0x8400_0012, 0xc400_0012] {
        let kind = psci(function, HIGH | 1, 0);
        equal("SYSTEM_RESET2, of the kind", parameters, kind)?;
    }
    let version = smccc::hvc([HIGH | psci::VERSION, HIGH, HIGH, HIGH])[0];
    let expected = smccc::hvc([psci::VERSION, 0, 0, 0])[0];
    equal("PSCI_VERSION, of the function id", expected, version)?;
    let id = take()?;
    unknown(Id(1 << 32 | id.0))?;
    snapshot::delete(id).map_err(Failure::from)
}

fn counter() -> u64 {
    let count: u64;
    // SAFETY: reads the virtual counter.
    unsafe { asm!("isb", "mrs {}, cntvct_el0", out(reg) count, options(nostack)) }
    count
}

fn frequency() -> u64 {
    let frequency: u64;
    // SAFETY: reads the counter's frequency.
    unsafe { asm!("mrs {}, cntfrq_el0", out(reg) frequency, options(nostack)) }
    frequency
}

/// Virtual time continues from the checkpoint.
pub fn virtual_counter() -> Outcome {
    let (second, start) = (frequency(), counter());
    match snapshot::checkpoint()? {
        Checkpoint::Taken(id) => {
            let taken = snapshot::info(id)?.virtual_counter;
            holds(
                (start..=counter()).contains(&taken),
                "INFO's counter is not that of the checkpoint",
            )?;
            while counter() - start < second / 2 {}
            Err(snapshot::restore_with(id, 1).into())
        }
        Checkpoint::Restored { .. } => {
            let now = counter();
            holds(
                now >= start,
                "the virtual counter is earlier than at the checkpoint",
            )?;
            holds(
                now - start < second / 4,
                "the virtual counter did not go back to the checkpoint",
            )
        }
    }
}
