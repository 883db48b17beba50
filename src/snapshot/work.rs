//! How much a restore changes at once in stage 2. What is more is left to the first accesses ([`deferred`](super::deferred)).

use super::backend::{Backend, Page};
use super::layout::FANOUT;
use crate::addr::BLOCK_PAGES;

/// How many times as long it takes where each page that is mapped has to be cleaned.
pub(super) const CLEANING: usize = 8;
/// Leaves that a restore remaps at once: some 160 instructions each.
const LEAVES_AT_ONCE: u32 = 200;
/// Entries of the dirty list that take as long as a leaf.
const ENTRIES_OF_A_LEAF: u32 = 5;
/// The pages of a group take as long as so many leaves, if they are looked up one by one.
pub(super) const LEAVES_OF_PAGES: u32 = 32;
/// Nodes above a block's that a restore defers one by one, before it defers all the rest of RAM.
const NODES_AT_ONCE: u32 = 256;

/// How much of stage 2 a restore changes at once, and what it has changed.
#[derive(Default)]
pub struct Work {
    /// Leaves that were remapped, or what takes as long.
    done: u32,
    /// How many of them are enough.
    limit: u32,
    /// Nodes that can be deferred one by one.
    nodes: u32,
    /// All blocks of RAM, as many as there are.
    blocks: u32,
    /// All the rest of RAM is deferred.
    is_over: bool,
    /// Memory has to have what is mapped ([`Backend::clean_frame`]).
    pub(super) cleans: bool,
}

impl Work {
    /// What a restore may still remap at once that took `entries` back from the dirty list, in RAM of so many blocks.
    pub(super) fn beside(b: &impl Backend, entries: usize, blocks: u32) -> Self {
        let cleans = b.cleans_what_it_maps();
        let leaves = match cleans {
            true => LEAVES_AT_ONCE / CLEANING as u32,
            false => LEAVES_AT_ONCE,
        };
        Self {
            done: 0,
            limit: leaves.saturating_sub(entries as u32 / ENTRIES_OF_A_LEAF),
            nodes: NODES_AT_ONCE,
            blocks,
            is_over: false,
            cleans,
        }
    }

    /// So many leaves are remapped.
    #[inline(always)]
    pub(super) fn take(&mut self, leaves: u32) {
        self.done += leaves;
    }

    /// Whether it was enough for now.
    #[inline(always)]
    pub(super) fn is_done(&self) -> bool {
        self.done >= self.limit
    }

    /// Leaves what a node of the level above a block's has, for the pages from `page` on, to the first accesses.
    #[cold]
    #[inline(never)]
    pub(super) fn defer(&mut self, b: &mut impl Backend, page: Page) {
        if self.is_over {
            return;
        }
        let left = self.blocks - page / BLOCK_PAGES;
        match self.nodes.checked_sub(1) {
            Some(nodes) => {
                self.nodes = nodes;
                b.unmap_blocks(page, left.min(FANOUT as u32));
            }
            None => {
                self.is_over = true;
                b.unmap_blocks(page, left);
            }
        }
    }
}
