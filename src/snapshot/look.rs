//! Looking at the VM's memory, of now or of a snapshot: nothing changes.

use super::backend::{Backend, Mapping, Page};
use super::frames::Frame;
use super::layout::{FANOUT, Node, NodeId};
use super::map::{run_start, span};
use super::nodes;
use super::record::Record;
use super::{Count, NotFound, Snapshots};
use crate::addr::BLOCK_PAGES;
use core::task::Poll;

/// Entries of the dirty list that are looked at in one piece, some 10 instructions each. Where there are more, stage 2 is looked at.
const LISTED_AT_A_TIME: usize = 1024;
/// Mappings that are looked at in a piece: some 25 instructions each.
const LOOKED_AT_A_TIME: u32 = 1024;

/// A snapshot's page map. Valid as long as the snapshot is not freed.
#[derive(Clone, Copy)]
pub struct MapOf(NodeId);

/// What a map has for the pages that a node spans.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Subtree {
    /// Nothing.
    Absent,
    /// The frames from this one on.
    Run(Frame),
    /// What the node says.
    Plain(NodeId),
}

impl Subtree {
    fn of<B: Backend>(b: &B, node: NodeId) -> Self {
        if node.is_none() {
            return Self::Absent;
        }
        match run_start(nodes::read(b, node)) {
            Some(first) => Self::Run(first),
            None => Self::Plain(node),
        }
    }

    /// The `i`th child; `step` pages belong to each.
    fn child<B: Backend>(self, b: &B, i: usize, step: u32) -> Self {
        match self {
            Self::Absent => Self::Absent,
            Self::Run(first) => Self::Run(Frame(first.0 + i as u32 * step)),
            Self::Plain(node) => Self::of(b, NodeId(nodes::read(b, node).0[i])),
        }
    }

    /// The frame of the `i`th page of a leaf.
    fn frame<B: Backend>(self, b: &B, i: usize) -> Option<Frame> {
        match self {
            Self::Absent => None,
            Self::Run(first) => Some(Frame(first.0 + i as u32)),
            Self::Plain(node) => Frame::from_entry(nodes::read(b, node).0[i]),
        }
    }
}

impl Snapshots {
    /// The map of the snapshot `id`.
    pub fn map_of<B: Backend>(&self, b: &B, id: u64) -> Result<MapOf, NotFound> {
        let record = Record::read(b, self.find(b, id)?);
        Ok(MapOf(record.root))
    }

    /// The frame of `page` in a snapshot; `None` if the page was absent, and all zeros.
    pub fn frame_in<B: Backend>(&self, b: &B, map: MapOf, page: Page) -> Option<Frame> {
        self.memory.frame_of(b, map.0, self.level, page)
    }

    /// Part number `part` of the state that [`SaveState::save`](super::SaveState::save) left for the snapshot `id`.
    pub fn saved_part<'b, B: Backend>(
        &self,
        b: &'b B,
        id: u64,
        part: usize,
    ) -> Result<&'b [Node], NotFound> {
        let addr = self.find(b, id)?;
        let record = Record::read(b, addr);
        let size = self.pools.state;
        Ok(match part.checked_sub(1) {
            None => &b.bookkeeping(addr.frame)[addr.state_nodes(size)],
            Some(further) => &b.bookkeeping(record.part_frames[further])[..size.nodes],
        })
    }

    /// The first page from `from` on that two snapshots have in different frames; `None` stands for the running VM. A page that was stored to
    /// is in another frame, whatever was stored. What both maps share costs nothing. Or a piece of that, which goes on from `count`,
    /// [`Count::NOT_BEGUN`] at first.
    pub fn first_difference<B: Backend>(
        &self,
        b: &B,
        ids: [Option<u64>; 2],
        from: Page,
        count: &mut Count,
    ) -> Poll<Result<Option<Page>, NotFound>> {
        let mut roots = [self.base; 2];
        for (root, id) in roots.iter_mut().zip(ids) {
            if let Some(id) = id {
                *root = self.map_of(b, id)?.0;
            }
        }
        if ids[0] == ids[1] {
            return Poll::Ready(Ok(None));
        }
        let trees = roots.map(|root| Subtree::of(b, root));
        let in_maps = first_difference(b, trees, self.level, 0, from);
        if !ids.contains(&None) {
            return Poll::Ready(Ok(in_maps));
        }
        if self.dirty.len() <= LISTED_AT_A_TIME {
            let stored = self.first_listed(from);
            return Poll::Ready(Ok([in_maps, stored].into_iter().flatten().min()));
        }
        let end = in_maps.unwrap_or(self.pages);
        self.first_writable(b, from, end, count)
            .map(|stored| Ok(stored.or(in_maps)))
    }

    /// The first page from `from` on that was stored to since the base was a snapshot's.
    pub(super) fn first_listed(&self, from: Page) -> Option<Page> {
        let pages = self.dirty.iter().map(|entry| {
            let count = if entry.is_block() { BLOCK_PAGES } else { 1 };
            entry.page()..entry.page() + count
        });
        pages
            .filter(|pages| pages.end > from)
            .map(|pages| pages.start.max(from))
            .min()
    }

    /// The same where the list is long, up to the page `end`: pages on it, and no others, are mapped writable.
    #[cold]
    #[inline(never)]
    pub(super) fn first_writable<B: Backend>(
        &self,
        b: &B,
        from: Page,
        end: Page,
        count: &mut Count,
    ) -> Poll<Option<Page>> {
        count.next = count.next.max(from);
        for _ in 0..LOOKED_AT_A_TIME {
            if count.next >= end {
                return Poll::Ready(None);
            }
            let pages = match b.mapping(count.next) {
                Mapping::Write | Mapping::WriteBlock => return Poll::Ready(Some(count.next)),
                Mapping::Absent | Mapping::Read(_) => 1,
                Mapping::AbsentBlock | Mapping::ReadBlock(_) => {
                    BLOCK_PAGES - count.next % BLOCK_PAGES
                }
            };
            count.next += pages;
        }
        Poll::Pending
    }
}

/// The first page from `from` on of which two subtrees have different frames. Both are of `level`, for the pages from `first` on.
fn first_difference<B: Backend>(
    b: &B,
    trees: [Subtree; 2],
    level: u32,
    first: Page,
    from: Page,
) -> Option<Page> {
    let [one, other] = trees;
    if one == other {
        return None;
    }
    let step = span(level) / FANOUT as u32;
    let from_here = (from.saturating_sub(first) / step) as usize;
    (from_here..FANOUT).find_map(|i| {
        let at = first + i as u32 * step;
        match level {
            0 => (one.frame(b, i) != other.frame(b, i)).then_some(at),
            _ => {
                let children = trees.map(|tree| tree.child(b, i, step));
                first_difference(b, children, level - 1, at, from)
            }
        }
    })
}
