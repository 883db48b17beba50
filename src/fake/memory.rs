//! Physical memory: frames by address, each with what it is used for.

use crate::addr::{PAGE_SIZE, Pa};
use crate::snapshot::{Bookkeeping, Node};
use std::boxed::Box;
use std::collections::HashMap;
use std::ops::Range;
use std::vec::Vec;

type Bytes = [u8; PAGE_SIZE as usize];

/// What a frame is used for. A frame that was never given any contents is in no map: nobody may read it.
enum Frame {
    Bookkeeping(Box<Bookkeeping>),
    Zeros,
    Bytes(Box<Bytes>),
}

/// What a frame holds when it becomes bookkeeping memory: whatever was there.
const LEFT_OVER: Node = Node([0xdead_beef; 8]);

fn page_of(at: Pa) -> Pa {
    Pa(at.0 - at.page_offset())
}

/// Node and word in it.
fn place_of_word(at: Pa) -> (usize, usize) {
    assert!(at.0.is_multiple_of(4));
    let number = at.page_offset() as usize / 4;
    (number / 8, number % 8)
}

/// A VM's share of memory.
pub struct Memory {
    share: Vec<Range<Pa>>,
    frames: HashMap<u64, Frame>,
}

impl Memory {
    /// Memory in these ranges, none of which was used yet.
    pub fn new(share: &[Range<Pa>]) -> Self {
        Self {
            share: share.to_vec(),
            frames: HashMap::new(),
        }
    }

    /// The number of the frame at `at`, which must be whole and in the share.
    fn frame(&self, at: Pa) -> u64 {
        assert_eq!(at.page_offset(), 0, "{at:?} is no frame");
        assert!(
            self.share
                .iter()
                .any(|range| range.start <= at && at.0 + PAGE_SIZE <= range.end.0),
            "{at:?} belongs to somebody else"
        );
        at.0 / PAGE_SIZE
    }

    /// Whether the frame at `at` is bookkeeping memory.
    pub fn is_bookkeeping(&self, at: Pa) -> bool {
        matches!(
            self.frames.get(&self.frame(at)),
            Some(Frame::Bookkeeping(_))
        )
    }

    /// See [`VmBackend::bookkeeping`](crate::vm::VmBackend::bookkeeping).
    pub fn bookkeeping(&self, at: Pa) -> &Bookkeeping {
        match self.frames.get(&self.frame(at)) {
            Some(Frame::Bookkeeping(nodes)) => nodes,
            _ => panic!("{at:?} holds no bookkeeping"),
        }
    }

    /// The same, to change; a frame that was used otherwise is bookkeeping memory from here on.
    pub fn bookkeeping_mut(&mut self, at: Pa) -> &mut Bookkeeping {
        let number = self.frame(at);
        let frame = self.frames.entry(number).or_insert(Frame::Zeros);
        if !matches!(frame, Frame::Bookkeeping(_)) {
            *frame = Frame::Bookkeeping(Box::new([LEFT_OVER; 128]));
        }
        match frame {
            Frame::Bookkeeping(nodes) => nodes,
            _ => unreachable!(),
        }
    }

    /// A word of a frame that is bookkeeping memory.
    pub fn word(&self, at: Pa) -> &u32 {
        let (node, word) = place_of_word(at);
        &self.bookkeeping(page_of(at))[node].0[word]
    }

    /// The same, to change.
    pub fn word_mut(&mut self, at: Pa) -> &mut u32 {
        let (node, word) = place_of_word(at);
        &mut self.bookkeeping_mut(page_of(at))[node].0[word]
    }

    /// Copies a page of guest memory.
    pub fn copy(&mut self, from: Pa, to: Pa) {
        assert_ne!(from, to);
        let copy = match self.guest_frame(from) {
            Some(bytes) => Frame::Bytes(Box::new(*bytes)),
            None => Frame::Zeros,
        };
        let to = self.frame(to);
        self.frames.insert(to, copy);
    }

    /// Fills whole pages with zeros.
    pub fn zero(&mut self, at: Pa, bytes: u64) {
        assert!(bytes.is_multiple_of(PAGE_SIZE));
        for offset in (0..bytes).step_by(PAGE_SIZE as usize) {
            let frame = self.frame(Pa(at.0 + offset));
            self.frames.insert(frame, Frame::Zeros);
        }
    }

    /// Writes guest memory, within a page.
    pub fn write(&mut self, at: Pa, bytes: &[u8]) {
        let offset = at.page_offset() as usize;
        let page = page_of(at);
        if self.guest_frame(page).is_none() {
            let zeros = Frame::Bytes(Box::new([0; PAGE_SIZE as usize]));
            self.frames.insert(page.0 / PAGE_SIZE, zeros);
        }
        match self.frames.get_mut(&(page.0 / PAGE_SIZE)) {
            Some(Frame::Bytes(frame)) => {
                frame[offset..offset + bytes.len()].copy_from_slice(bytes);
            }
            _ => unreachable!(),
        }
    }

    /// A byte of guest memory.
    pub fn read(&self, at: Pa) -> u8 {
        let page = page_of(at);
        self.guest_frame(page)
            .map_or(0, |frame| frame[at.page_offset() as usize])
    }

    /// A frame of guest memory; `None` if it is all zeros.
    fn guest_frame(&self, at: Pa) -> Option<&Bytes> {
        match self.frames.get(&self.frame(at)) {
            Some(Frame::Bytes(bytes)) => Some(bytes),
            Some(Frame::Zeros) => None,
            Some(Frame::Bookkeeping(_)) => panic!("{at:?} holds bookkeeping: no guest may see it"),
            None => panic!("{at:?} was never filled: no guest may see what was there before"),
        }
    }
}
