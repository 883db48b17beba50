//! What a VM does for the client, and what the client is told of.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use crate::machine::{Id, Kind, Registers};

/// What a VM does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// It stands.
    Stand,
    /// All its vCPUs run.
    Run {
        /// They run already.
        begun: bool,
    },
    /// One vCPU executes an instruction, and more as long as it is within `from..to`.
    Step {
        /// Which one.
        vcpu: usize,
        /// The first address of the range.
        from: u64,
        /// The address behind it; not above `from`: one instruction.
        to: u64,
        /// Instructions so far.
        taken: u64,
        /// In the midst of a sequence that cannot be stepped through.
        sequence: Option<Sequence>,
    },
    /// Goes to the stop before.
    Back,
    /// Goes to the instruction before, of this vCPU.
    BackStep(usize),
    /// Looks for what was one instruction before.
    Replay(Box<Replay>),
}

impl Plan {
    /// All run.
    pub const RUN: Self = Self::Run { begun: false };

    /// One instruction of a vCPU, and more within the range.
    pub fn step(vcpu: usize, from: u64, to: u64) -> Self {
        Self::Step {
            vcpu,
            from,
            to,
            taken: 0,
            sequence: None,
        }
    }
}

/// In the midst of what is one step, and several instructions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sequence {
    /// From a load exclusive to one of these places.
    Ends {
        /// The load's address.
        load: u64,
        /// The one behind the store first.
        ends: Vec<u64>,
        /// How often the program may try again.
        tries: u32,
    },
    /// From a store exclusive that failed to the load exclusive with which the program tries again.
    Retry {
        /// The address behind the store.
        behind: u64,
        /// How many instructions it may take at the most.
        left: u32,
        /// How often the program may try again.
        tries: u32,
    },
}

/// Why it stopped, for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The client wanted it.
    Interrupt,
    /// A step is over, or it is somewhere else.
    Trap,
    /// A software breakpoint.
    Breakpoint,
    /// A hardware breakpoint.
    HardwareBreakpoint,
    /// A watchpoint of this kind, and the address that it watches.
    Watchpoint(Kind, u64),
    /// There is no more history.
    Begin,
    /// The guest said something, of which the text tells.
    Event,
}

/// A stop that the client is told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Why.
    pub why: Why,
    /// What the user reads besides.
    pub text: String,
}

impl Told {
    /// Without a text.
    pub fn plain(why: Why) -> Self {
        Self {
            why,
            text: String::new(),
        }
    }

    /// With a text.
    pub fn with(why: Why, text: String) -> Self {
        Self { why, text }
    }
}

/// A step's outcome.
pub enum Stepped {
    /// The instruction is done.
    Done,
    /// Not yet.
    NotYet,
    /// Something else happened.
    Other(Told),
}

/// A run that is run again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// Whose.
    pub vcpu: usize,
    /// Where it begins.
    pub from: Id,
    /// Where it should end.
    pub to: Id,
    /// Instructions so far.
    pub taken: u64,
    /// The registers of the vCPU in `to`.
    pub wanted: Registers,
    /// Those before the last instruction.
    pub before: Registers,
    /// The instruction is known: so many lie before it.
    pub found: Option<u64>,
    /// In the midst of a sequence that cannot be stepped through.
    pub sequence: Option<Sequence>,
}
