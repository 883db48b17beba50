//! Numbers of which most are the same.

use super::*;

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
