//! A machine for tests: frames whose contents are one number each, and stage 2 as a table that checks its own rules.

mod backend;
mod sparse;
mod state;

pub use sparse::Sparse;
pub use state::ModelState;

use super::pair::Guest;
use crate::addr::BLOCK_PAGES;
use crate::snapshot::backend::{Backend, Mapping, Moment, Page, PageEntries, Reach, SaveState};
use crate::snapshot::frames::Frame;
use crate::snapshot::layout::{Bookkeeping, FANOUT, NODES_PER_FRAME, Node};
use core::fmt;
use std::boxed::Box;
use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

/// What a frame holds before anybody writes to it: no guest may ever see it.
const STALE: u64 = 0xdead;

/// Frame, node and word of a numbered word of bookkeeping memory.
fn place_of(number: u32) -> (Frame, usize, usize) {
    let number = number as usize;
    let (node, word) = (number / FANOUT, number % FANOUT);
    let frame = Frame((node / NODES_PER_FRAME) as u32);
    (frame, node % NODES_PER_FRAME, word)
}

/// Frame and whether it is writable; frame 0: absent.
type Pages = [(u32, bool); BLOCK_PAGES as usize];

#[derive(Clone, PartialEq, Debug)]
enum Block {
    Absent,
    Whole { first: u32, write: bool },
    Divided(Box<Pages>),
}

pub struct ModelBackend {
    contents: Sparse,
    words: HashMap<u32, Box<Bookkeeping>>,
    blocks: Vec<Block>,
    remapping: bool,
    /// Pages were protected, and other cores may not know yet.
    unflushed: bool,
    /// The guest's core may fault on what its TLB remembers of an older mapping.
    pub stale: bool,
    pub copies: u32,
    /// Pages that were written back in place, ever; and whether translations may be older than what they hold.
    pub written_back: u32,
    is_half_written: bool,
    /// How long it takes to write a page back.
    pub write_back_takes: i32,
    /// Pages were mapped, and other cores may not know yet.
    is_half_mapped: bool,
    /// The next restores want nothing mapped, and a page that is mapped at its first access takes long.
    pub unmaps_all: bool,
    pub cleans: bool,
    /// Mappings that restores changed, ever.
    pub changes: u32,
    /// How often the tables were detached.
    pub remaps: u32,
    /// How often bookkeeping memory was looked at.
    pub looks: Cell<u32>,
    /// What was logged.
    pub lines: Vec<String>,
}

impl ModelBackend {
    pub fn new(pages: u32, span: u32) -> Self {
        Self {
            contents: Sparse::new(span, STALE),
            words: HashMap::new(),
            blocks: vec![Block::Absent; pages.div_ceil(BLOCK_PAGES) as usize],
            remapping: false,
            unflushed: false,
            stale: false,
            copies: 0,
            written_back: 0,
            is_half_written: false,
            write_back_takes: 1,
            is_half_mapped: false,
            unmaps_all: false,
            cleans: false,
            changes: 0,
            remaps: 0,
            looks: Cell::new(0),
            lines: vec![],
        }
    }

    /// The frame of `page`, and whether a store to it is permitted.
    fn translate(&self, page: Page) -> Option<(u32, bool)> {
        match &self.blocks[(page / BLOCK_PAGES) as usize] {
            Block::Absent => None,
            Block::Whole { first, write } => Some((first + page % BLOCK_PAGES, *write)),
            Block::Divided(pages) => {
                Some(pages[(page % BLOCK_PAGES) as usize]).filter(|&(frame, _)| frame != 0)
            }
        }
    }

    /// The frame that a load of the guest reaches.
    pub fn readable(&self, page: Page) -> Option<u32> {
        assert!(!self.remapping && !self.unflushed);
        assert!(!self.is_half_written && !self.is_half_mapped);
        self.translate(page).map(|(frame, _)| frame)
    }

    /// What is in a frame.
    pub fn contents_of(&self, frame: u32) -> u64 {
        self.contents.get(frame)
    }

    fn block(&mut self, page: Page) -> &mut Block {
        &mut self.blocks[(page / BLOCK_PAGES) as usize]
    }

    /// The entry of `page`, whose block is divided.
    fn entry(&mut self, page: Page) -> &mut (u32, bool) {
        match self.block(page) {
            Block::Divided(pages) => &mut pages[(page % BLOCK_PAGES) as usize],
            other => panic!("{other:?} is not divided"),
        }
    }

    fn divide_block(&mut self, page: Page) {
        let block = self.block(page);
        let pages = match *block {
            Block::Divided(_) => return,
            Block::Absent => [(0, false); BLOCK_PAGES as usize],
            Block::Whole { first, write } => core::array::from_fn(|i| (first + i as u32, write)),
        };
        *block = Block::Divided(Box::new(pages));
    }
}

impl Guest for ModelBackend {
    type Backend = Self;

    fn reach(&self) -> Reach {
        Reach::Cached
    }

    fn backend(&self) -> &Self {
        self
    }

    fn backend_mut(&mut self) -> &mut Self {
        self
    }

    fn load(&self, page: Page) -> Option<u64> {
        let value = self.contents.get(self.readable(page)?);
        assert_ne!(value, STALE, "the guest sees what was in RAM before");
        Some(value)
    }

    fn store(&mut self, page: Page, value: u64) -> bool {
        match self.translate(page) {
            Some((frame, true)) => {
                self.contents.set(frame, value);
                true
            }
            _ => false,
        }
    }

    fn contents(&self, frame: Frame) -> Option<u64> {
        Some(self.contents.get(frame.0))
    }

    fn is_mapped(&self, block: u32) -> bool {
        self.blocks[block as usize] != Block::Absent
    }
}
