//! Snapshots: what Avisor exists for. No hardware here; what the logic asks of it is [`Backend`].
//!
//! A snapshot is a page map ([`map`]) and the saved state of vCPUs and devices. Maps share what did not change. So a snapshot costs what
//! the guest changed since the snapshot before, and a restore costs what differs, however large the VM is.
//!
//! The running VM has a **base**, the map that its stage 2 shows, and a **dirty list**: the pages that the guest has stored to since the
//! base was that of a snapshot.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `checkpoint`, `restore`, `delete`, `info` | the verbs of the API |
//! | `look` | pages of now and of snapshots, for who is not the guest |
//! | `fault`, `fold`, `dirty` | the steps that move a page between the states below; the dirty list |
//! | `recent`, `write_back` | which dirty pages a restore leaves writable, with their old contents; how they get these |
//! | `work`, `deferred` | how much a restore changes at once; what it leaves for later: pages that are mapped at their first access, frames that are freed in pieces |
//! | `way_back` | where the last checkpoint differs from the one before, for a debugger |
//! | `map`, `change`, `place`, `remap` | page maps: the tree, copy on write, where a frame is held, stage 2 from one map to another |
//! | `pools`, `promise`, `record`, `index` | accounting; what is kept of a snapshot and of a pool; ids |
//! | `layout`, `frames`, `nodes`, `waiting` | the VM's share of memory: its frames, and the nodes that all bookkeeping is made of |
//! | `backend` | what all of this asks of the machine |
//!
//! | a page of the VM is | mapped | on the dirty list | its frame is held by |
//! | --- | --- | --- | --- |
//! | absent | not at all | no | no map: its first access fills a frame with zeros |
//! | clean | read-only, or not yet | no | the base, and any map that shares it |
//! | dirty | writable | `(page, base, private)` | the list alone; `base` is what the base has there |
//! | dirty and folded | writable | `(page, frame, frame)` | the base, and no other map |
//!
//! Three verbs move a page between these states:
//! - the first **store** takes a clean page to dirty, or straight to folded where no other map holds the frame. A fresh frame gets the old
//!   contents and takes the VM's place in the map, so that the VM keeps its frame; only where several leaves hold that frame the VM gets the
//!   fresh one;
//! - **fold** writes the dirty pages into the base. A node shared with a snapshot is copied on the way, so snapshots do not notice;
//! - **protect** makes folded pages clean.
//!
//! A checkpoint is fold, then one more holder for the base, then protect. A restore drops the dirty pages and changes stage 2 from the base
//! to the snapshot's map. A page that is dirtied round after round stays on the list instead, and gets the base's contents back. Deleting a snapshot takes a holder from its map; if only the running VM holds the base then, a fold frees the
//! pages that dirty ones replace. So memory in use is exactly what the existing snapshots and the running VM can reach.
//! Each step leaves all of this true: a step that runs out of memory half-way needs no roll-back.

mod change;
mod checkpoint;
mod deferred;
mod delete;
mod dirty;
mod fault;
mod fold;
mod frames;
mod index;
mod info;
mod layout;
mod look;
pub mod map;
mod nodes;
mod place;
mod pools;
mod promise;
mod recent;
mod record;
mod remap;

mod backend;
mod restore;
mod waiting;
mod way_back;
mod work;
mod write_back;

#[cfg(test)]
mod tests;

pub use backend::{Backend, Mapping, Moment, Page, PageEntries, Reach, SaveState, StateSize};
pub use change::LEAF_PAGES;
pub use fault::NotYet;
pub use frames::{Frame, Frames, MAX_FRAMES, NoMemory};
pub use info::Count;
pub use layout::{Bookkeeping, Node, each_difference_of_pair};
pub use look::MapOf;

use crate::config::PoolPlan;
use alloc::vec::Vec;
use core::ops::Range;
use deferred::Deferred;
use dirty::DirtyEntry;
use index::Index;
use layout::NodeId;
use map::FrameStore;
use pools::Pools;
use recent::Recent;
use way_back::WayBack;

/// The VM has no snapshot with that id; or, where the newest was asked for, none at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotFound;

/// Which snapshot a restore goes back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The newest that exists.
    Latest,
    /// The one with this id.
    Id(u64),
}

/// What the operator and the guest can learn of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// The snapshot that the VM ran on when this one was taken; it may be gone by now.
    pub parent: Option<u64>,
    /// Pages of 4 KiB that deleting it would free.
    pub pages: u32,
    /// When it was taken.
    pub taken: Moment,
}

/// How much a VM's snapshots amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Snapshots that exist.
    pub snapshots: u32,
    /// Pools that exist.
    pub pools: u32,
    /// Pages of 4 KiB that are kept for snapshots alone. Pages that the running VM has too are not counted.
    pub kept_pages: u32,
    /// Pages of 4 KiB that new snapshots may take before an old pool is freed.
    pub free_pages: u32,
}

/// The memory of one VM through time: its share of memory, the base and dirty list of the running VM, and its snapshots.
pub struct Snapshots {
    memory: FrameStore,
    /// Pages of the VM's RAM.
    pages: u32,
    /// Level of every map's root.
    level: u32,
    base: NodeId,
    dirty: Vec<DirtyEntry>,
    folded: fold::Folded,
    deferred: Deferred,
    /// The block that is being filled with zeros.
    zeroing: Option<fault::Zeroing>,
    /// Entries of `dirty` that a restore of the base writes back in place. 0 after a fold, although there may be some.
    keepers: u32,
    /// Those of them that a restore has not written back yet: places in `dirty`.
    owed: Range<usize>,
    recent: Recent,
    way_back: WayBack,
    /// Upper bound of the entries of `dirty` that are not folded and replace a page of the base. Exact, but after a fold that failed.
    superseding: u32,
    /// Upper bound of the entries of `dirty` that are not folded and whose page the base has no frame for. Exact, but after a fold that failed.
    added: u32,
    /// Pages of the VM's RAM that are not absent.
    present: u32,
    /// The snapshot that the VM was last saved as or restored to.
    current: Option<u64>,
    /// The largest id that exists.
    newest: Option<u64>,
    index: Index,
    pools: Pools,
    going: Option<delete::Going>,
    /// A snapshot went: if only the running VM holds the base now, the pages that dirty ones replace are to be freed.
    is_fold_due: bool,
    /// How often an access was not permitted at once: memory was short, or it was a piece of what that took.
    #[cfg(test)]
    pub(crate) pieces: u32,
    /// How many times the VM was restored.
    generation: u64,
}

/// How many frames a VM of `pages` pages needs at the least: to run, and for what `plan` promises for one pool of snapshots with such a state.
pub fn min_frames(pages: u32, plan: PoolPlan, state: StateSize) -> u64 {
    Pools::new(pages, plan, state).min_frames()
}

impl Snapshots {
    /// A VM with `pages` pages of RAM, all of them absent, and no snapshots. `None` if `frames` are fewer than [`min_frames`].
    pub fn new(pages: u32, plan: PoolPlan, state: StateSize, frames: Frames) -> Option<Self> {
        let pools = Pools::new(pages, plan, state);
        (pools.min_frames() <= u64::from(frames.total())).then(|| Self {
            memory: FrameStore {
                frames,
                nodes: nodes::Nodes::new(),
                work: work::Work::default(),
            },
            pages,
            level: map::root_level(pages),
            base: NodeId::NONE,
            // Each page is on the list at most once: it never grows.
            dirty: Vec::with_capacity(pages as usize),
            folded: fold::Folded::default(),
            deferred: Deferred::new(pages),
            zeroing: None,
            keepers: 0,
            owed: 0..0,
            recent: Recent::new(pages),
            way_back: WayBack::default(),
            superseding: 0,
            added: 0,
            present: 0,
            current: None,
            newest: None,
            index: Index::new(),
            pools,
            going: None,
            is_fold_due: false,
            #[cfg(test)]
            pieces: 0,
            generation: 0,
        })
    }

    /// Bytes of heap that the dirty list of a VM with `pages` pages takes, and what is remembered of pages and left for later.
    pub fn heap_bytes(pages: u64) -> u64 {
        let deferred = Deferred::bytes(pages as u32);
        pages * size_of::<DirtyEntry>() as u64 + Recent::bytes(pages) + deferred
    }

    /// Pages of the VM's RAM.
    pub fn pages(&self) -> u32 {
        self.pages
    }

    /// The snapshot that the VM was last saved as or restored to. It may be deleted by now.
    pub fn current(&self) -> Option<u64> {
        self.current
    }

    /// How many times the VM was restored. No restore takes this number back.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The smallest id that exists and is not below `from`, to list all of them in turn.
    pub fn first_id_from<B: Backend>(&self, b: &B, from: u64) -> Result<u64, NotFound> {
        let from = from.max(self.first_kept());
        self.index.first_from(b, from).ok_or(NotFound)
    }

    /// The largest id that exists and is not above `to`.
    pub fn last_id_to<B: Backend>(&self, b: &B, to: u64) -> Result<u64, NotFound> {
        let last = self.index.last_to(b, to);
        last.filter(|&id| id >= self.first_kept()).ok_or(NotFound)
    }

    /// The snapshot that [`first_id_from`](Self::first_id_from) finds, and three that it comes from, each the parent of the one before; without
    /// `from`, [`current`](Self::current) and three that the VM comes from. `None` behind one without a parent, and behind one that is gone.
    #[inline(never)]
    pub fn line_from<B: Backend>(
        &self,
        b: &B,
        from: Option<u64>,
    ) -> Result<[Option<u64>; 4], NotFound> {
        let wanted = from.or(self.current).ok_or(NotFound)?;
        let (mut id, mut found) = (wanted, self.find_in_line(b, wanted));
        if found.is_err() && from.is_some() {
            id = self.first_id_from(b, wanted)?;
            found = self.find(b, id);
        }
        let parent = |addr| record::Record::read(b, addr).parent.get();
        let mut line = [Some(id), found.ok().and_then(parent), None, None];
        for place in 2..line.len() {
            let found = line[place - 1].and_then(|id| self.find_in_line(b, id).ok());
            line[place] = found.and_then(parent);
        }
        Ok(line)
    }

    /// How much the snapshots amount to. What waits to be freed is not free ([`settle`](Self::settle)).
    pub fn stats(&self) -> Stats {
        let frames = &self.memory.frames;
        let used = frames.total()
            - frames.free_count()
            - self.memory.nodes.slabs()
            - self.pools.state_frames
            - self.zeroing_count();
        let going = self.going.as_ref();
        Stats {
            snapshots: self.pools.snapshots - going.map_or(0, |going| going.left),
            pools: self.pools.count - going.map_or(0, |going| u32::from(going.left != 0)),
            kept_pages: used - self.present,
            free_pages: {
                let free = frames.free_count() + self.zeroing_count();
                self.pools
                    .unpromised_pages(&self.memory, free, self.present)
            },
        }
    }

    /// Where the record of the snapshot `id` lies.
    #[inline(never)]
    fn find<B: Backend>(&self, b: &B, id: u64) -> Result<record::RecordAddr, NotFound> {
        self.find_in_line(b, id)
    }

    /// The same, where little else is done.
    #[inline(always)]
    fn find_in_line<B: Backend>(&self, b: &B, id: u64) -> Result<record::RecordAddr, NotFound> {
        if id < self.first_kept() {
            return Err(NotFound);
        }
        let entry = self.index.get(b, id).ok_or(NotFound)?;
        Ok(record::RecordAddr::from_entry(entry))
    }
}
