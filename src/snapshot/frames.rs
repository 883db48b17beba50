//! The frames of a VM's share of memory: how many holders each has, and which are free.
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
    /// The frame that an entry of a node or of the dirty list names; `None` for 0.
    pub fn from_entry(entry: u32) -> Option<Self> {
        (entry != 0).then_some(Self(entry))
    }
}

/// The share has no free frame left. What was asked for is not done, and everything is as valid as it was.
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
    /// A share that consists of `ranges` of frame numbers, all free. Panics if one of them contains frame 0 or 1, or reaches [`MAX_FRAMES`].
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
            self.free(Frame(frame));
        }
        // From the top down, so that blocks are handed out in ascending order.
        for first in (start..end).step_by(BLOCK_PAGES as usize).rev() {
            self.free_block(Frame(first));
        }
    }

    /// How many frames are free.
    pub fn free_count(&self) -> u32 {
        self.free
    }

    /// How many frames the share has.
    pub fn total(&self) -> u32 {
        self.total
    }

    /// A frame with one holder. Its contents are what they were before.
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

    /// The first of 512 free frames that make an aligned block, to become a run. Fails if no whole block is free, though single frames may be.
    pub fn alloc_block(&mut self) -> Result<Frame, NoMemory> {
        let first = self.pop_block().ok_or(NoMemory)?;
        self.free -= BLOCK_PAGES;
        Ok(Frame(first))
    }

    /// Frees a frame whose last holder went.
    #[inline]
    pub fn free(&mut self, frame: Frame) {
        self.slots[frame.0 as usize] = self.free_frames;
        self.free_frames = frame.0;
        self.free += 1;
    }

    /// Begins to free many frames: their list and count are at hand meanwhile.
    #[inline]
    pub fn begin_free(&mut self) -> Freeing<'_> {
        Freeing {
            slots: &mut self.slots,
            head: self.free_frames,
            free: self.free,
            at_end: (&mut self.free_frames, &mut self.free),
        }
    }

    /// Frees the 512 frames from `first` on, which were a run with one holder.
    pub fn free_block(&mut self, first: Frame) {
        self.slots[first.0 as usize] = self.free_blocks;
        self.free_blocks = first.0;
        self.free += BLOCK_PAGES;
    }

    /// How many holders the frame has. Not for a frame of a run, whose holder is the run's node.
    #[inline]
    pub fn holders(&self, frame: Frame) -> u32 {
        self.slots[frame.0 as usize]
    }

    /// Adds a holder to the frame.
    #[inline]
    pub fn hold(&mut self, frame: Frame) {
        self.slots[frame.0 as usize] += 1;
    }

    /// Starts the count of a frame that came out of a run: it has one holder.
    #[inline]
    pub fn init_hold(&mut self, frame: Frame) {
        self.slots[frame.0 as usize] = 1;
    }

    /// Takes a holder from the frame, and frees it if that was the last one.
    #[inline]
    pub fn unhold(&mut self, frame: Frame) {
        let holders = &mut self.slots[frame.0 as usize];
        *holders -= 1;
        if *holders == 0 {
            self.free(frame);
        }
    }
}

/// Frees many frames. What it freed is free when it is dropped.
pub struct Freeing<'a> {
    slots: &'a mut [u32],
    head: u32,
    free: u32,
    /// What `head` and `free` become in the end.
    at_end: (&'a mut u32, &'a mut u32),
}

impl Freeing<'_> {
    /// Frees a frame whose last holder went.
    #[inline(always)]
    pub fn free(&mut self, frame: Frame) {
        self.slots[frame.0 as usize] = self.head;
        self.head = frame.0;
        self.free += 1;
    }
}

impl Drop for Freeing<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        (*self.at_end.0, *self.at_end.1) = (self.head, self.free);
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
        assert_eq!(frames.free_count(), 0);
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
        frames.unhold(frame);
        assert_eq!((frames.holders(frame), frames.free_count()), (1, 1));
        frames.unhold(frame);
        assert_eq!(frames.free_count(), 2);
    }
}
