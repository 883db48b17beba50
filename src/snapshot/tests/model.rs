//! A machine for tests: frames whose contents are one number each, stage 2 as a table that checks its own rules; and registers.

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

/// A number for each page or frame. Most of them are the same, `rest`: only blocks in which one differs take memory, and copies share them.
#[derive(Clone)]
pub struct Sparse {
    blocks: Vec<Option<Rc<[u64; BLOCK_PAGES as usize]>>>,
    rest: u64,
}

impl Sparse {
    pub fn new(count: u32, rest: u64) -> Self {
        Self {
            blocks: vec![None; count.div_ceil(BLOCK_PAGES) as usize],
            rest,
        }
    }

    pub fn get(&self, at: u32) -> u64 {
        self.blocks[(at / BLOCK_PAGES) as usize]
            .as_ref()
            .map_or(self.rest, |block| block[(at % BLOCK_PAGES) as usize])
    }

    pub fn set(&mut self, at: u32, value: u64) {
        let rest = || Rc::new([self.rest; BLOCK_PAGES as usize]);
        let block = self.blocks[(at / BLOCK_PAGES) as usize].get_or_insert_with(rest);
        Rc::make_mut(block)[(at % BLOCK_PAGES) as usize] = value;
    }

    pub fn clear(&mut self) {
        self.blocks.fill(None);
    }

    /// Whether the block may hold anything but `rest`.
    pub fn is_used(&self, block: u32) -> bool {
        self.blocks[block as usize].is_some()
    }
}

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

impl Backend for ModelBackend {
    fn bookkeeping(&self, frame: Frame) -> &Bookkeeping {
        self.looks.update(|looks| looks + 1);
        &self.words[&frame.0]
    }

    fn bookkeeping_mut(&mut self, frame: Frame) -> &mut Bookkeeping {
        self.looks.update(|looks| looks + 1);
        self.contents.set(frame.0, STALE);
        self.words
            .entry(frame.0)
            .or_insert_with(|| Box::new([Node([0xdead_beef; FANOUT]); NODES_PER_FRAME]))
    }

    fn word(&self, number: u32) -> u32 {
        let (frame, node, word) = place_of(number);
        self.bookkeeping(frame)[node].0[word]
    }

    fn word_mut(&mut self, number: u32) -> &mut u32 {
        let (frame, node, word) = place_of(number);
        &mut self.bookkeeping_mut(frame)[node].0[word]
    }

    fn node(&self, number: u32) -> &Node {
        let (frame, node, word) = place_of(number);
        assert_eq!(word, 0);
        &self.bookkeeping(frame)[node]
    }

    fn node_mut(&mut self, number: u32) -> &mut Node {
        let (frame, node, word) = place_of(number);
        assert_eq!(word, 0);
        &mut self.bookkeeping_mut(frame)[node]
    }

    fn copy_frame(&mut self, from: Frame, to: Frame, _: Reach) {
        self.words.remove(&to.0);
        self.contents.set(to.0, self.contents.get(from.0));
        self.copies += 1;
    }

    fn clean_frame(&mut self, _: Frame) {
        self.written_back += 1;
    }

    fn begin_restore(&mut self, _: bool) -> bool {
        self.unmaps_all
    }

    fn cleans_what_is_accessed(&self) -> bool {
        self.cleans
    }

    fn map_clean_page(&mut self, page: Page, frame: Frame) {
        assert!(matches!(
            self.mapping(page),
            Mapping::Absent | Mapping::AbsentBlock
        ));
        self.divide_block(page);
        *self.entry(page) = (frame.0, false);
        self.is_half_mapped = true;
    }

    fn map_clean_block(&mut self, page: Page, first: Frame) {
        assert_eq!(
            (page % BLOCK_PAGES, self.mapping(page), self.cleans),
            (0, Mapping::AbsentBlock, false)
        );
        *self.block(page) = Block::Whole {
            first: first.0,
            write: false,
        };
        self.is_half_mapped = true;
    }

    fn end_map_clean(&mut self) {
        self.is_half_mapped = false;
    }

    fn unmap_blocks(&mut self, page: Page, count: u32) {
        assert!(self.remapping && page.is_multiple_of(BLOCK_PAGES));
        let first = (page / BLOCK_PAGES) as usize;
        self.blocks[first..first + count as usize].fill(Block::Absent);
        self.changes += count;
    }

    fn cleans_what_it_maps(&self) -> bool {
        self.cleans
    }

    fn zero_frames(&mut self, first: Frame, pages: u32) {
        for frame in first.0..first.0 + pages {
            self.words.remove(&frame);
            self.contents.set(frame, 0);
        }
    }

    fn mapping(&self, page: Page) -> Mapping {
        match (
            &self.blocks[(page / BLOCK_PAGES) as usize],
            self.translate(page),
        ) {
            (Block::Absent, _) => Mapping::AbsentBlock,
            (Block::Whole { write: true, .. }, _) => Mapping::WriteBlock,
            (Block::Whole { first, .. }, _) => Mapping::ReadBlock(Frame(*first)),
            (Block::Divided(_), None) => Mapping::Absent,
            (Block::Divided(_), Some((_, true))) => Mapping::Write,
            (Block::Divided(_), Some((frame, false))) => Mapping::Read(Frame(frame)),
        }
    }

    fn map_page_writable(&mut self, page: Page, frame: Frame) {
        assert!(matches!(
            self.mapping(page),
            Mapping::Read(_) | Mapping::Absent | Mapping::AbsentBlock
        ));
        self.divide_block(page);
        *self.entry(page) = (frame.0, true);
    }

    fn map_block_writable(&mut self, page: Page, first: Frame) {
        assert_eq!(
            (page % BLOCK_PAGES, self.mapping(page)),
            (0, Mapping::AbsentBlock)
        );
        *self.block(page) = Block::Whole {
            first: first.0,
            write: true,
        };
    }

    fn make_page_writable(&mut self, page: Page) {
        assert!(matches!(self.mapping(page), Mapping::Read(_)));
        self.entry(page).1 = true;
    }

    fn make_block_writable(&mut self, page: Page) {
        let Mapping::ReadBlock(first) = self.mapping(page) else {
            panic!("{:?}", self.mapping(page))
        };
        *self.block(page) = Block::Whole {
            first: first.0,
            write: true,
        };
    }

    fn split_live(&mut self, page: Page) {
        assert!(matches!(self.mapping(page), Mapping::ReadBlock(_)));
        self.divide_block(page);
    }

    fn invalidate_local(&mut self, _: Page) {
        assert!(self.stale, "this machine's TLB remembers nothing");
    }

    fn page_entries(&mut self) -> impl PageEntries {
        self
    }

    fn protect_block(&mut self, page: Page) {
        let Block::Whole { first, write: true } = *self.block(page) else {
            panic!()
        };
        *self.block(page) = Block::Whole {
            first,
            write: false,
        };
        self.unflushed = true;
    }

    fn end_protect(&mut self) {
        self.unflushed = false;
    }

    fn begin_remap(&mut self) {
        assert!(!self.remapping);
        self.remapping = true;
        self.remaps += 1;
    }

    fn split_unreachable(&mut self, page: Page) -> bool {
        assert!(self.remapping);
        let is_mapped = *self.block(page) != Block::Absent;
        if is_mapped {
            self.divide_block(page);
        }
        is_mapped
    }

    fn set_page(&mut self, page: Page, frame: Option<Frame>) {
        assert!(self.remapping);
        self.changes += 1;
        *self.entry(page) = (frame.map_or(0, |frame| frame.0), false);
    }

    fn set_leaf(&mut self, page: Page, from: u32, to: u32) {
        assert!(page.is_multiple_of(FANOUT as u32));
        let [from, to] = [from, to].map(|leaf| *self.node(leaf));
        for i in (0..FANOUT).filter(|&i| from.0[i] != to.0[i]) {
            self.set_page(page + i as u32, Frame::from_entry(to.0[i]));
        }
    }

    fn set_block(&mut self, page: Page, first: Option<Frame>) {
        assert!(self.remapping && page.is_multiple_of(BLOCK_PAGES));
        self.changes += 1;
        *self.block(page) = first.map_or(Block::Absent, |first| Block::Whole {
            first: first.0,
            write: false,
        });
    }

    fn end_remap(&mut self) {
        assert!(self.remapping);
        self.remapping = false;
        self.is_half_written = false;
    }

    fn write_back(&mut self, page: Page, from: Frame, to: Frame) -> i32 {
        assert_eq!(self.translate(page), Some((to.0, true)));
        assert_ne!(from, to);
        self.contents.set(to.0, self.contents.get(from.0));
        self.written_back += 1;
        self.is_half_written = true;
        self.write_back_takes
    }

    fn begin_write_back(&mut self) {
        assert!(!self.remapping);
    }

    fn end_write_back(&mut self) {
        assert!(!self.remapping);
        self.is_half_written = false;
    }

    fn log(&mut self, message: fmt::Arguments) {
        self.lines.push(message.to_string());
    }
}

impl PageEntries for &mut ModelBackend {
    fn set(&mut self, page: Page, frame: u32) -> bool {
        let is_ram = ((page / BLOCK_PAGES) as usize) < self.blocks.len();
        if is_ram {
            self.set_page(page, Frame::from_entry(frame));
        }
        is_ram
    }

    fn protect(&mut self, page: Page) -> bool {
        let is_ram = ((page / BLOCK_PAGES) as usize) < self.blocks.len();
        if is_ram {
            assert_eq!(self.mapping(page), Mapping::Write);
            self.entry(page).1 = false;
            self.unflushed = true;
        }
        is_ram
    }
}

/// Registers, all with the same value but for their part's number.
#[derive(Default)]
pub struct ModelState {
    pub value: u32,
    /// The moment that a restore told last.
    pub taken: Moment,
}

impl SaveState for ModelState {
    fn moment(&mut self) -> Moment {
        Moment {
            physical: !u64::from(self.value),
            counter: u64::from(self.value) << 32 | 7,
        }
    }

    fn set_moment(&mut self, taken: Moment) {
        self.taken = taken;
    }

    fn goes_around_caches(&self, _: &[Node]) -> bool {
        false
    }

    fn save(&mut self, _: u64, part: usize, to: &mut [Node]) {
        to.fill(Node([self.value + part as u32; 8]));
    }

    fn load(&mut self, part: usize, from: &[Node]) {
        if part == 0 {
            self.value = from[0].0[0];
            let taken = self.taken;
            assert_eq!(taken, self.moment(), "the time is set first");
        }
        let expected = Node([self.value + part as u32; 8]);
        assert!(from.iter().all(|node| node.0 == expected.0));
    }
}
