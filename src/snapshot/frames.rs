//! The frames of a VM's share of memory: who holds each, and which are free.
//!
//! | a frame is | its slot says | held by |
//! | --- | --- | --- |
//! | free | the next free frame | the list of free frames |
//! | in a free block | (its first frame's: the next free block) | the list of free blocks |
//! | in a run (see [`map`](super::map)) | nothing | the run's node |
//! | anything else | how many hold it | maps, the dirty list, bookkeeping |

use crate::addr::BLOCK_PAGES;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Number of a 4 KiB frame within the span of memory that a VM's share lies in. Frames 0 and 1 are never used: in a node,
/// 0 says "none" and 1 "a run".
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
#[repr(transparent)]
pub struct Frame(pub u32);

/// Frame numbers are below this (16 GiB), so that each word in each frame has a number of 32 bits.
pub const MAX_FRAMES: u32 = 1 << 22;

impl Frame {
    /// `None` for 0.
    pub(super) fn from_entry(entry: u32) -> Option<Self> {
        (entry != 0).then_some(Self(entry))
    }
}

/// Memory ran out; what was asked for was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory;

/// The frames of a VM's share.
pub struct Frames {
    slots: Vec<u32>,
    free_frames: u32,
    free_blocks: u32,
    /// A block that is being handed out frame by frame.
    opened: Range<u32>,
    free: u32,
    total: u32,
}

impl Frames {
    /// A share that consists of `ranges` of frame numbers, none of them containing frames 0 and 1.
    pub fn new(ranges: &[Range<u32>]) -> Self {
        let span = ranges.iter().map(|range| range.end).max().unwrap_or(0);
        assert!(span <= MAX_FRAMES, "frame numbers have 22 bits");
        let mut frames = Self {
            slots: vec![0; span as usize],
            free_frames: 0,
            free_blocks: 0,
            opened: 0..0,
            free: 0,
            total: 0,
        };
        for range in ranges {
            assert!(
                range.start > 1,
                "frames 0 and 1 say 'none' and 'a run' in a node"
            );
            frames.add(range.clone());
        }
        frames.total = frames.free;
        frames
    }

    fn add(&mut self, range: Range<u32>) {
        let start = range.start.next_multiple_of(BLOCK_PAGES).min(range.end);
        let end = (range.end / BLOCK_PAGES * BLOCK_PAGES).max(start);
        for frame in (range.start..start).chain(end..range.end) {
            self.release(Frame(frame));
        }
        // From the top down, so that blocks are handed out in ascending order.
        for first in (start..end).step_by(BLOCK_PAGES as usize).rev() {
            self.release_block(Frame(first));
        }
    }

    /// Frames that nobody holds.
    pub fn free(&self) -> u32 {
        self.free
    }

    /// Frames in the share.
    pub fn total(&self) -> u32 {
        self.total
    }

    /// A frame, held once. Its contents are whatever they were.
    #[inline]
    pub fn alloc(&mut self) -> Result<Frame, NoMemory> {
        let mut frame = self.free_frames;
        if frame != 0 {
            self.free_frames = self.slots[frame as usize];
        } else {
            frame = self.open_next()?;
        }
        self.slots[frame as usize] = 1;
        self.free -= 1;
        Ok(Frame(frame))
    }

    fn open_next(&mut self) -> Result<u32, NoMemory> {
        if self.opened.is_empty() {
            let first = self.pop_block().ok_or(NoMemory)?;
            self.opened = first..first + BLOCK_PAGES;
        }
        self.opened.next().ok_or(NoMemory)
    }

    fn pop_block(&mut self) -> Option<u32> {
        let first = self.free_blocks;
        if first == 0 {
            return None;
        }
        self.free_blocks = self.slots[first as usize];
        Some(first)
    }

    /// The first of 512 frames that make an aligned block, to become a run.
    pub fn alloc_block(&mut self) -> Result<Frame, NoMemory> {
        let first = self.pop_block().ok_or(NoMemory)?;
        self.free -= BLOCK_PAGES;
        Ok(Frame(first))
    }

    /// Gives a frame back that nobody holds any more.
    #[inline]
    pub fn release(&mut self, frame: Frame) {
        self.slots[frame.0 as usize] = self.free_frames;
        self.free_frames = frame.0;
        self.free += 1;
    }

    /// Gives a whole block back.
    pub fn release_block(&mut self, first: Frame) {
        self.slots[first.0 as usize] = self.free_blocks;
        self.free_blocks = first.0;
        self.free += BLOCK_PAGES;
    }

    /// How many hold the frame.
    #[inline]
    pub fn holders(&self, frame: Frame) -> u32 {
        self.slots[frame.0 as usize]
    }

    /// One more holds the frame.
    #[inline]
    pub fn hold(&mut self, frame: Frame) {
        self.slots[frame.0 as usize] += 1;
    }

    /// A frame that came out of a run is held once.
    #[inline]
    pub fn hold_first(&mut self, frame: Frame) {
        self.slots[frame.0 as usize] = 1;
    }

    /// One less holds the frame; the last one gives it back.
    #[inline]
    pub fn drop(&mut self, frame: Frame) {
        let holders = &mut self.slots[frame.0 as usize];
        *holders -= 1;
        if *holders == 0 {
            self.release(frame);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_frame_is_handed_out_once() {
        let mut frames = Frames::new(&[5..9, 1000..3000]);
        assert_eq!(frames.total(), 2004);
        let mut seen = BTreeSet::new();
        let block = frames.alloc_block().unwrap();
        assert_eq!(block.0 % BLOCK_PAGES, 0);
        seen.extend(block.0..block.0 + BLOCK_PAGES);
        while let Ok(frame) = frames.alloc() {
            assert!(seen.insert(frame.0), "{frame:?} twice");
        }
        assert_eq!(frames.free(), 0);
        assert_eq!(seen.len(), 2004);
        assert!(
            seen.iter()
                .all(|f| (5..9).contains(f) || (1000..3000).contains(f))
        );
        assert_eq!(frames.alloc_block(), Err(NoMemory));
    }

    #[test]
    fn the_last_holder_frees() {
        let mut frames = Frames::new(&[2..3, 3..4]);
        let frame = frames.alloc().unwrap();
        frames.hold(frame);
        frames.drop(frame);
        assert_eq!((frames.holders(frame), frames.free()), (1, 1));
        frames.drop(frame);
        assert_eq!(frames.free(), 2);
    }
}
