//! What is known of a snapshot, and how many pages it keeps alone. These are counted in pieces.

use super::backend::{Backend, Page};
use super::frames::Frame;
use super::layout::{FANOUT, NodeId};
use super::map::{FrameStore, entry_index, run_start, span};
use super::nodes;
use super::record::Record;
use super::{Info, NotFound, Snapshots};
use core::task::Poll;

/// Nodes of a map that are looked at in a piece: some 80 instructions each at the most.
const COUNTED_AT_A_TIME: u32 = 320;
/// Entries of the dirty list that are looked at in a piece: some 60 instructions each, if no two of them are of a leaf.
const DIRTY_AT_A_TIME: u32 = 512;

/// How far the pages that a snapshot keeps alone are counted.
#[derive(Clone, Copy)]
pub struct Count {
    /// What is counted; `None`: the count has not begun.
    what: Option<Counted>,
    /// The page of the map, or the entry of the dirty list, to go on from.
    pub(super) next: Page,
    /// How many there are so far.
    pub(super) pages: u32,
    /// How many nodes are looked at before this piece ends.
    pub(super) left: u32,
}

impl Count {
    /// Nothing is counted yet.
    pub const NOT_BEGUN: Self = Self {
        what: None,
        next: 0,
        pages: 0,
        left: 0,
    };
}

/// Where pages are that a snapshot keeps alone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counted {
    /// In the nodes of its map that no other map has.
    Map,
    /// Behind dirty pages, as its map is the base of the running VM.
    Dirty,
}

impl Snapshots {
    /// A piece of what it takes to know a snapshot: ready when `count` is complete, which is [`Count::NOT_BEGUN`] at first. If snapshots come and go, or
    /// the VM goes back, between two pieces, it is of several moments. May fold dirty pages; the guest does not notice.
    pub fn info_piece<B: Backend>(
        &mut self,
        b: &mut B,
        id: u64,
        count: &mut Count,
    ) -> Poll<Result<Info, NotFound>> {
        let record = Record::read(b, self.find(b, id)?);
        if count.what.is_none() {
            // If only the running VM holds the base, the base has pages that dirty ones replace: a fold has them not counted.
            self.is_fold_due = true;
            if self.settle(b).is_pending() {
                return Poll::Pending;
            }
        }
        let mut what = match record.root == self.base {
            true => Counted::Dirty,
            false => Counted::Map,
        };
        // Once at the most: a VM that goes back and is saved, again and again, would have it begin anew for ever. What its base has is shared, then.
        let begins = match count.what {
            None => true,
            Some(before) => before == Counted::Dirty && what == Counted::Map,
        };
        if begins {
            *count = Count {
                what: Some(what),
                ..Count::NOT_BEGUN
            };
        } else if count.what == Some(Counted::Map) {
            what = Counted::Map;
        }
        count.left = COUNTED_AT_A_TIME;
        let end = match what {
            Counted::Map => {
                let (root, level) = (record.root, self.level);
                self.memory.count_exclusive(b, root, level, 0, count);
                self.pages
            }
            Counted::Dirty => {
                count.left = DIRTY_AT_A_TIME;
                self.count_behind_dirty(b, count);
                self.dirty.len() as u32
            }
        };
        if count.next < end {
            return Poll::Pending;
        }
        Poll::Ready(Ok(Info {
            parent: record.parent.get(),
            pages: count.pages,
            taken: record.taken,
        }))
    }

    /// What is known of the snapshot `id`, however long that takes.
    #[cfg(test)]
    pub fn info<B: Backend>(&mut self, b: &mut B, id: u64) -> Result<Info, NotFound> {
        let mut count = Count::NOT_BEGUN;
        loop {
            if let Poll::Ready(info) = self.info_piece(b, id, &mut count) {
                return info;
            }
        }
    }

    /// Goes on counting the pages that would be freed if the snapshot went whose map the base of the running VM is: only pages that dirty ones
    /// replace.
    fn count_behind_dirty<B: Backend>(&self, b: &B, count: &mut Count) {
        let first = count.next as usize;
        let end = self.dirty.len().min(first + count.left as usize);
        let mut leaf = (u32::MAX, Leaf::Shared);
        for entry in self.dirty.get(first..end).unwrap_or_default() {
            if entry.is_folded() {
                continue;
            }
            let page = entry.page();
            // Pages of a leaf mostly follow each other.
            if leaf.0 != page / FANOUT as u32 {
                let found = self
                    .memory
                    .leaf_below_shared_root(b, self.base, self.level, page);
                leaf = (page / FANOUT as u32, found);
            }
            let is_exclusive = match leaf.1 {
                Leaf::Shared => false,
                Leaf::InRun => true,
                Leaf::Plain(node) => self.memory.holds_alone(b, node, page),
            };
            count.pages += u32::from(is_exclusive);
        }
        count.next = end.max(first) as u32;
    }
}

/// Where a page is in a map whose root the running VM and one snapshot hold.
#[derive(Clone, Copy)]
enum Leaf {
    /// Nowhere, or in nodes that other maps have as well.
    Shared,
    /// In a run.
    InRun,
    /// In this leaf, which is plain.
    Plain(NodeId),
}

impl FrameStore {
    /// Goes on counting the pages that would be freed if the only holder of `node` went, which is of `level` and whose first page is `page`; none,
    /// if it has several holders. Stops where `count` says.
    fn count_exclusive<B: Backend>(
        &self,
        b: &B,
        node: NodeId,
        level: u32,
        page: Page,
        count: &mut Count,
    ) {
        let end = page + span(level);
        if end <= count.next || count.left == 0 {
            return;
        }
        count.left -= 1;
        if !node.is_none() && nodes::holders(b, node) == 1 {
            let words = nodes::read(b, node);
            if run_start(words).is_some() {
                count.pages += span(level);
            } else if level == 0 {
                let frames = words.0.iter().filter(|&&frame| frame != 0);
                let exclusive = |frame: &&u32| self.frames.holders(Frame(**frame)) == 1;
                count.pages += frames.filter(exclusive).count() as u32;
            } else {
                let step = span(level - 1);
                for (i, &child) in words.0.iter().enumerate() {
                    let at = page + i as u32 * step;
                    self.count_exclusive(b, NodeId(child), level - 1, at, count);
                }
                // The last of them has gone on to the end, or the limit is reached.
                return;
            }
        }
        count.next = end;
    }

    /// The leaf of `page` in the map `root`, which the running VM and one snapshot hold, as far as no other map has it.
    fn leaf_below_shared_root<B: Backend>(
        &self,
        b: &B,
        root: NodeId,
        level: u32,
        page: Page,
    ) -> Leaf {
        let (mut node, mut allowed) = (root, 2);
        for level in (0..=level).rev() {
            if node.is_none() || nodes::holders(b, node) > allowed {
                return Leaf::Shared;
            }
            let words = nodes::read(b, node);
            if run_start(words).is_some() {
                return Leaf::InRun;
            }
            if level == 0 {
                break;
            }
            node = NodeId(words.0[entry_index(page, level)]);
            allowed = 1;
        }
        Leaf::Plain(node)
    }

    /// Whether `leaf`, which is plain, has a frame for `page` that nothing else holds.
    #[inline]
    fn holds_alone<B: Backend>(&self, b: &B, leaf: NodeId, page: Page) -> bool {
        let frame = nodes::read(b, leaf).0[entry_index(page, 0)];
        frame != 0 && self.frames.holders(Frame(frame)) == 1
    }
}
