//! For programs that test: expectations, how the one that was not met is reported, and a `main` that runs tests by their names.

use core::fmt;

use crate::snapshot::{self, Error};
use crate::{power_off, println};

/// What a test ends with.
pub type Outcome = Result<(), Failure>;

/// An expectation that was not met.
pub enum Failure {
    /// Something has another value than it should.
    Differs {
        /// What it is.
        what: &'static str,
        /// The value that it should have.
        want: u64,
        /// The value that it has.
        got: u64,
    },
    /// The same, in a numbered series.
    DiffersAt {
        /// Of what series.
        what: &'static str,
        /// The number in it.
        index: usize,
        /// The value that it should have.
        want: u64,
        /// The value that it has.
        got: u64,
    },
    /// A snapshot call was refused that should not have been.
    Refused(Error),
    /// Anything else.
    Says(&'static str),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Failure::Differs { what, want, got } => {
                write!(f, "{what}: want {want:#x}, got {got:#x}")
            }
            Failure::DiffersAt {
                what,
                index,
                want,
                got,
            } => write!(f, "{what}{index}: want {want:#x}, got {got:#x}"),
            Failure::Refused(error) => write!(f, "a snapshot call was refused: {error}"),
            Failure::Says(text) => f.write_str(text),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Refused(error)
    }
}

/// `what` must be `want`.
pub fn equal(what: &'static str, want: u64, got: u64) -> Outcome {
    if want == got {
        Ok(())
    } else {
        Err(Failure::Differs { what, want, got })
    }
}

/// Number `index` of `what` must be `want`.
pub fn equal_at(what: &'static str, index: usize, want: u64, got: u64) -> Outcome {
    equal(what, want, got).map_err(|_| Failure::DiffersAt {
        what,
        index,
        want,
        got,
    })
}

/// `condition` must hold; `otherwise` says what is wrong if it does not.
pub fn holds(condition: bool, otherwise: &'static str) -> Outcome {
    if condition {
        Ok(())
    } else {
        Err(Failure::Says(otherwise))
    }
}

/// A test by its name.
pub struct Group {
    name: &'static str,
    needs_snapshots: bool,
    test: fn() -> Outcome,
}

impl Group {
    /// A test of what every machine has.
    pub const fn of_machine(name: &'static str, test: fn() -> Outcome) -> Self {
        Self {
            name,
            needs_snapshots: false,
            test,
        }
    }

    /// A test that makes snapshot calls.
    pub const fn of_snapshots(name: &'static str, test: fn() -> Outcome) -> Self {
        Self {
            name,
            needs_snapshots: true,
            test,
        }
    }
}

/// Runs each of `groups`, after `prepare`, prints what came of it, and switches the machine off: the rest of a `main`.
///
/// A group prints one line, `<program>: <group>: PASS`, or `FAIL` with what was not met. Groups that need snapshots are skipped
/// where there are none, so that the others can be tried on QEMU alone. The last line is `<program>: <n> passed, <n> failed`.
pub fn run(program: &str, groups: &[Group], prepare: fn()) -> ! {
    let available = snapshot::available();
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for group in groups {
        if group.needs_snapshots && !available {
            skipped += 1;
            continue;
        }
        prepare();
        match (group.test)() {
            Ok(()) => {
                println!("{program}: {}: PASS", group.name);
                passed += 1;
            }
            Err(failure) => {
                println!("{program}: {}: FAIL: {failure}", group.name);
                failed += 1;
            }
        }
    }
    if skipped > 0 {
        println!("{program}: {skipped} skipped: there are no snapshot calls here");
    }
    println!("{program}: {passed} passed, {failed} failed");
    power_off()
}
