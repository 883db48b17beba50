//! Which crashes and hangs are new, and which rounds are of use as inputs to go on with.

use alloc::borrow::Cow;
use alloc::collections::BTreeSet;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use libafl::Error;
use libafl::executors::ExitKind;
use libafl::feedbacks::{Feedback, StateInitializer};
use libafl_bolts::Named;

use crate::target::Ending;

/// How the last round ended, and a number for the set of edges that it took.
#[derive(Clone, Copy, Debug)]
pub struct Last {
    /// How.
    pub ending: Ending,
    /// The same for the same edges, however often each was taken.
    pub edges: u64,
}

/// What rounds have ended with so far. A crash is told by its place, a hang by its edges, as is a reset.
#[derive(Debug)]
pub struct Endings {
    known: RefCell<BTreeSet<(u8, u64)>>,
    last: Cell<Last>,
    /// Those that were new, in their order.
    found: RefCell<Vec<Ending>>,
}

impl Endings {
    /// None so far.
    pub fn new() -> Rc<Self> {
        let last = Last {
            ending: Ending::Done,
            edges: 0,
        };
        Rc::new(Self {
            known: RefCell::default(),
            last: Cell::new(last),
            found: RefCell::default(),
        })
    }

    /// A round has ended.
    pub fn set(&self, last: Last) {
        self.last.set(last);
    }

    /// How the last round ended.
    pub fn last(&self) -> Ending {
        self.last.get().ending
    }

    /// Whether the last round ended badly, and as none did before. The next one that ends so is not new.
    pub fn is_new(&self) -> bool {
        let Last { ending, edges } = self.last.get();
        let key = match ending {
            Ending::Done => return false,
            Ending::Crash { place } => (0, place),
            Ending::Hang => (1, edges),
            Ending::Reset => (2, edges),
            Ending::Off => (3, edges),
        };
        let is_new = self.known.borrow_mut().insert(key);
        if is_new {
            self.found.borrow_mut().push(ending);
        }
        is_new
    }

    /// The ending that was new as number `index`.
    pub fn found(&self, index: usize) -> Ending {
        self.found.borrow()[index]
    }
}

/// Wants inputs that end in a way that is new.
pub struct IsNew(pub Rc<Endings>);

/// Wants inputs with which the target is through: LibAFL goes on with no other.
pub struct IsDone;

impl Named for IsNew {
    fn name(&self) -> &Cow<'static, str> {
        &Cow::Borrowed("is-new")
    }
}

impl Named for IsDone {
    fn name(&self) -> &Cow<'static, str> {
        &Cow::Borrowed("is-done")
    }
}

impl<S> StateInitializer<S> for IsNew {}
impl<S> StateInitializer<S> for IsDone {}

impl<EM, I, OT, S> Feedback<EM, I, OT, S> for IsNew {
    fn is_interesting(
        &mut self,
        _: &mut S,
        _: &mut EM,
        _: &I,
        _: &OT,
        _: &ExitKind,
    ) -> Result<bool, Error> {
        Ok(self.0.is_new())
    }
}

impl<EM, I, OT, S> Feedback<EM, I, OT, S> for IsDone {
    fn is_interesting(
        &mut self,
        _: &mut S,
        _: &mut EM,
        _: &I,
        _: &OT,
        exit: &ExitKind,
    ) -> Result<bool, Error> {
        Ok(*exit == ExitKind::Ok)
    }
}
