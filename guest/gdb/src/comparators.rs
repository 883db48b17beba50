//! The CPU's breakpoints and watchpoints: which of them has what.

use alloc::vec::Vec;
use core::ops::Range;

use crate::machine::{Kind, Machine, Refused};

/// The number of the first watchpoint, for the call.
const WATCHPOINTS: usize = 16;

/// What a comparator has: kind, virtual address, bytes.
pub type Watched = (Kind, u64, u64);

/// The comparators of a VM.
#[derive(Default)]
pub struct Comparators {
    breakpoints: Vec<Option<Watched>>,
    watchpoints: Vec<Option<Watched>>,
    /// Breakpoints at these addresses are not in the CPU now.
    left_out: Range<u64>,
}

impl Comparators {
    /// So many of each, with nothing in them.
    pub fn new((breakpoints, watchpoints): (usize, usize)) -> Self {
        Self {
            breakpoints: alloc::vec![None; breakpoints],
            watchpoints: alloc::vec![None; watchpoints],
            left_out: 0..0,
        }
    }

    fn side(&mut self, kind: Kind) -> (&mut Vec<Option<Watched>>, usize) {
        match kind {
            Kind::Execute => (&mut self.breakpoints, 0),
            _ => (&mut self.watchpoints, WATCHPOINTS),
        }
    }

    /// Puts it into one that is free.
    pub fn add(&mut self, machine: &mut impl Machine, what: Watched) -> Result<(), Refused> {
        let (side, first) = self.side(what.0);
        if side.contains(&Some(what)) {
            return Ok(());
        }
        let free = side.iter().position(Option::is_none);
        let free = free.ok_or(Refused::Invalid)?;
        machine.comparator(first + free, Some(what))?;
        side[free] = Some(what);
        Ok(())
    }

    /// Takes it out again.
    pub fn remove(&mut self, machine: &mut impl Machine, what: Watched) -> Result<(), Refused> {
        let (side, first) = self.side(what.0);
        let place = side.iter().position(|&other| other == Some(what));
        let place = place.ok_or(Refused::Invalid)?;
        machine.comparator(first + place, None)?;
        side[place] = None;
        Ok(())
    }

    /// Has the breakpoints at these addresses not act, and all others act. While it stands, all are there.
    pub fn leave_out(
        &mut self,
        machine: &mut impl Machine,
        except: &Range<u64>,
    ) -> Result<(), Refused> {
        let before = core::mem::replace(&mut self.left_out, except.clone());
        for (place, has) in self.breakpoints.iter().enumerate() {
            let Some(what) = *has else { continue };
            let is_left_out = except.contains(&what.1);
            if is_left_out != before.contains(&what.1) {
                machine.comparator(place, (!is_left_out).then_some(what))?;
            }
        }
        Ok(())
    }

    /// Takes all out.
    pub fn clear(&mut self, machine: &mut impl Machine) {
        for kind in [Kind::Execute, Kind::Access] {
            let (side, first) = self.side(kind);
            for (place, has) in side.iter_mut().enumerate() {
                if has.take().is_some() {
                    // It was set: it is there.
                    let _ = machine.comparator(first + place, None);
                }
            }
        }
    }

    /// How many watchpoints there are.
    pub fn watchpoints(&self) -> usize {
        self.watchpoints.len()
    }

    /// Which watchpoint an access to `address` is one of. The address that the CPU tells may lie some bytes before what is watched, where one
    /// instruction accesses more (Arm DDI 0487, D2.10.5): then it is the nearest one behind.
    pub fn watched(&self, address: u64) -> Option<Watched> {
        let set = || self.watchpoints.iter().flatten().copied();
        let hit = set().find(|&(_, at, bytes)| (at..at.saturating_add(bytes)).contains(&address));
        hit.or_else(|| set().min_by_key(|&(_, at, _)| at.abs_diff(address)))
    }
}
