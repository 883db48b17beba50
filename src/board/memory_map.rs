//! Which physical memory is there and free: what the device tree lists, less what is taken. Pure, fixed size: it runs
//! before there is a heap.

use core::ops::Range;

use crate::addr::{PAGE_SIZE, align_inwards};

/// A range of physical memory as a device tree writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhysRange {
    /// First byte.
    pub base: u64,
    /// Bytes.
    pub size: u64,
}

impl PhysRange {
    /// Its addresses; clipped at the end of the address space.
    pub fn range(self) -> Range<u64> {
        self.base..self.base.saturating_add(self.size)
    }
}

/// More pieces than a board's memory falls into.
const PIECES: usize = 64;

/// The memory falls into too many pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyPieces;

/// A set of addresses: disjoint, non-empty ranges, in no order.
#[derive(Debug, Clone)]
pub struct MemoryMap {
    pieces: [(u64, u64); PIECES],
    used: usize,
}

impl Default for MemoryMap {
    fn default() -> Self {
        Self {
            pieces: [(0, 0); PIECES],
            used: 0,
        }
    }
}

impl MemoryMap {
    /// Adds `range`; what of it is in the set already counts once.
    pub fn add(&mut self, range: Range<u64>) -> Result<(), TooManyPieces> {
        self.remove(range.clone())?;
        self.push(range)
    }

    /// Takes `range` out, as far as it is in.
    pub fn remove(&mut self, range: Range<u64>) -> Result<(), TooManyPieces> {
        if range.is_empty() {
            return Ok(());
        }
        let mut index = 0;
        while index < self.used {
            let (start, end) = self.pieces[index];
            if end <= range.start || range.end <= start {
                index += 1;
                continue;
            }
            self.used -= 1;
            self.pieces[index] = self.pieces[self.used];
            // What is left of the piece lies outside `range`: when the loop meets it again it stays.
            self.push(start..range.start.max(start))?;
            self.push(range.end.min(end)..end)?;
        }
        Ok(())
    }

    fn push(&mut self, range: Range<u64>) -> Result<(), TooManyPieces> {
        if range.is_empty() {
            return Ok(());
        }
        *self.pieces.get_mut(self.used).ok_or(TooManyPieces)? = (range.start, range.end);
        self.used += 1;
        Ok(())
    }

    /// The pieces, shrunk to whole pages.
    pub fn pages(&self) -> impl Iterator<Item = Range<u64>> {
        let pieces = self.pieces[..self.used].iter();
        pieces
            .map(|&(start, end)| align_inwards(start..end, PAGE_SIZE))
            .filter(|range| !range.is_empty())
    }

    /// Bytes in [`Self::pages`].
    pub fn bytes(&self) -> u64 {
        self.pages().map(|range| range.end - range.start).sum()
    }
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "a map with one range")]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn sorted(map: &MemoryMap) -> Vec<Range<u64>> {
        let mut pages: Vec<_> = map.pages().collect();
        pages.sort_by_key(|range| range.start);
        pages
    }

    fn map(ranges: &[Range<u64>]) -> MemoryMap {
        let mut map = MemoryMap::default();
        ranges
            .iter()
            .for_each(|range| map.add(range.clone()).unwrap());
        map
    }

    #[test]
    fn a_hole_splits_and_an_edge_shrinks() {
        let mut map = map(&[0x4000_0000..0x8000_0000]);
        map.remove(0x4800_0000..0x4810_0000).unwrap();
        map.remove(0x3000_0000..0x4000_1000).unwrap();
        map.remove(0x7fff_f000..u64::MAX).unwrap();
        assert_eq!(
            sorted(&map),
            [0x4000_1000..0x4800_0000, 0x4810_0000..0x7fff_f000]
        );
    }

    #[test]
    fn pieces_that_overlap_count_once() {
        let map = map(&[0x1000..0x5000, 0x3000..0x8000, 0x4000..0x4800]);
        assert_eq!(map.bytes(), 0x6000);
    }

    #[test]
    fn half_pages_are_not_handed_out() {
        let mut map = map(&[0x1000..0x5000]);
        map.remove(0x2800..0x2801).unwrap();
        assert_eq!(sorted(&map), [0x1000..0x2000, 0x3000..0x5000]);
    }

    #[test]
    fn a_removal_may_take_several_pieces_or_none() {
        let mut map = map(&[0x1000..0x2000, 0x3000..0x4000, 0x5000..0x6000]);
        map.remove(0x1000..0x5000).unwrap();
        assert_eq!(sorted(&map), [0x5000..0x6000]);
        map.remove(0x9000..0x9000).unwrap();
        map.remove(0..u64::MAX).unwrap();
        assert_eq!(map.bytes(), 0);
    }

    #[test]
    fn too_many_pieces_are_refused() {
        let mut map = map(&[0..PIECES as u64 * 0x2000 + 0x1000]);
        let holes = (0..PIECES as u64 + 1)
            .map(|hole| map.remove(hole * 0x2000 + 0x1000..hole * 0x2000 + 0x2000));
        assert!(holes.into_iter().any(|result| result == Err(TooManyPieces)));
    }
}
