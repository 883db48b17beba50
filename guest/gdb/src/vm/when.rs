//! When bytes of a VM changed: between which of the snapshots that it comes from.
//!
//! Two snapshots of one line that have a page in the same frame have it unchanged from the one to the other: a page that is stored to gets another
//! frame, and the old one stays the older snapshot's. So a whole line is asked about at once, and only the parts of it that differ are looked at
//! more closely: for few changes among many snapshots that is few calls.

use alloc::vec;
use alloc::vec::Vec;

use super::{RAM, Vm};
use crate::machine::{Id, Machine, Refused};

/// The most bytes that are asked about.
pub const BYTES_MAX: u64 = 1 << 16;
/// Bytes of a page.
const PAGE: u64 = 4096;

/// The bytes are not the same in these two, of which the newer one comes from the older one. `None` is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Before it.
    pub older: Option<Id>,
    /// After it.
    pub newer: Option<Id>,
}

/// What is asked about: parts of pages, by physical addresses.
struct Bytes(Vec<(u64, usize)>);

impl<M: Machine> Vm<M> {
    /// Between which snapshots the bytes from the virtual address `va` on changed, the newest change first. The tables are those of `vcpu` now, or of the
    /// snapshot that is looked at.
    pub fn changes(&mut self, vcpu: usize, va: u64, bytes: u64) -> Result<Vec<Change>, Refused> {
        if bytes == 0 || bytes > BYTES_MAX {
            return Err(Refused::Invalid);
        }
        let mut parts = Vec::new();
        let mut done = 0;
        while done < bytes {
            let left = (bytes - done) as usize;
            let (at, count) = self.piece(vcpu, va.wrapping_add(done), left)?;
            parts.push((at, count));
            done += count as u64;
        }
        let here = self.history.here();
        let line = self.history.line(&self.machine, here);
        let mut points = vec![None];
        points.extend(line.into_iter().map(Some));
        let bytes = Bytes(parts);
        let mut found = Vec::new();
        if self.search(&bytes, &points, &mut found) == Err(Refused::NotFound) {
            // Some are gone. To ask that of each before would cost more than all the rest.
            found.clear();
            points.retain(|id| id.is_none_or(|id| self.machine.next(id) == Ok(id)));
            self.search(&bytes, &points, &mut found)?;
        }
        Ok(found)
    }

    /// Adds the changes between neighbours of `points`, the newest first.
    fn search(
        &self,
        bytes: &Bytes,
        points: &[Option<Id>],
        found: &mut Vec<Change>,
    ) -> Result<(), Refused> {
        let [newer, .., older] = *points else {
            return Ok(());
        };
        if self.has_same_frames(bytes, newer, older)? {
            return Ok(());
        }
        if points.len() == 2 {
            if !self.has_same_bytes(bytes, newer, older)? {
                found.push(Change { older, newer });
            }
            return Ok(());
        }
        // The one in the middle belongs to both.
        let middle = points.len() / 2;
        self.search(bytes, &points[..=middle], found)?;
        self.search(bytes, &points[middle..], found)
    }

    fn has_same_frames(
        &self,
        bytes: &Bytes,
        one: Option<Id>,
        other: Option<Id>,
    ) -> Result<bool, Refused> {
        let mut known = 0..0;
        for &(at, _) in &bytes.0 {
            let page = at.wrapping_sub(RAM) / PAGE;
            if known.contains(&page) {
                continue;
            }
            let differs = self.machine.differs(one, other, page)?;
            if differs == page {
                return Ok(false);
            }
            known = page..differs;
        }
        Ok(true)
    }

    fn has_same_bytes(
        &self,
        bytes: &Bytes,
        one: Option<Id>,
        other: Option<Id>,
    ) -> Result<bool, Refused> {
        for &(at, count) in &bytes.0 {
            let mut both = [vec![0; count], vec![0; count]];
            for (bytes, id) in both.iter_mut().zip([one, other]) {
                self.read_physical(id, at, bytes)?;
            }
            if both[0] != both[1] {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
