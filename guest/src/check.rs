//! Expectations of programs that test, and how they report the one that was not met.

use core::fmt;

use crate::snapshot::Error;

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

/// Numbers that look like nothing that could be there by accident (splitmix64).
pub fn pattern(seed: u64) -> u64 {
    let z = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}
