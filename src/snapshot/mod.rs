//! Snapshots: what Avisor exists for. No hardware here; the seam is [`Machine`].
//!
//! A snapshot is a page map ([`map`]) and the saved state of vCPUs and devices. Maps share what did not change, so a
//! snapshot costs what the guest changed since the one before, and going back costs what differs, however large the VM is.
//!
//! The running VM has a **base**, the map that its stage 2 shows, and a **dirty list**: the pages stored to since.
//!
//! | a page of the VM is | mapped | on the dirty list | its frame is held by |
//! | --- | --- | --- | --- |
//! | absent | not at all | no | nobody: it reads as zeros, from the first touch on |
//! | clean | read-only | no | the base, and any map that shares it |
//! | dirty | writable | `(page, base, private)` | the list alone; `base` is what the base has there |
//! | dirty and folded | writable | `(page, frame, frame)` | the base, which nobody else shares here |
//!
//! Three verbs move a page between these states:
//! - the first **store** takes a clean page to dirty by a copy, or straight to folded where no other map holds the frame;
//! - **fold** writes the dirty pages into the base. A node shared with a snapshot is copied on the way, so snapshots do not notice;
//! - **protect** makes folded pages clean.
//!
//! A checkpoint is fold, then one more holder for the base, then protect. A restore takes the dirty pages back and walks from
//! the base to the snapshot's map. Freeing a snapshot lets go of its map; if nobody but the running VM holds the base then, a
//! fold frees the pages behind the dirty ones. So memory in use is exactly what the existing snapshots and the running VM can reach.
//! Each step leaves all of this true, so that one that runs out of memory in the middle needs no undoing.

mod change;
mod checkpoint;
mod delete;
mod dirty;
mod fault;
mod fold;
mod frames;
mod index;
mod layout;
pub mod map;
mod nodes;
mod pools;
mod promise;
mod record;
mod remap;

mod restore;
mod seam;

#[cfg(test)]
mod tests;

pub use frames::{Frame, Frames, MAX_FRAMES, NoMemory};
pub use layout::{Bookkeeping, Node};
pub use seam::{Machine, Mapping, Moment, Page, State, StateSize};

use crate::config::PoolPlan;
use alloc::vec::Vec;
use dirty::Dirty;
use index::Index;
use layout::NodeId;
use map::Memory;
use pools::Pools;

/// No snapshot of this VM has that id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotFound;

/// Which snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The newest that exists.
    Latest,
    /// The one with this id.
    Id(u64),
}

/// What can be known of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// The snapshot that the VM ran on when this one was taken; it may be gone by now.
    pub parent: Option<u64>,
    /// Pages that deleting it would free.
    pub pages: u32,
    /// When it was taken.
    pub taken: Moment,
}

/// What a VM's snapshots amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Snapshots that exist.
    pub snapshots: u32,
    /// Pools that exist.
    pub pools: u32,
    /// Pages that are kept for snapshots alone; what the running VM shares is not counted.
    pub pages: u32,
    /// Pages that new snapshots may still take before an old pool is freed.
    pub free: u32,
}

/// The history of one VM: its memory, its base and dirty list, and its snapshots.
pub struct Snapshots {
    memory: Memory,
    /// Pages of the VM's RAM.
    pages: u32,
    /// Level of every map's root.
    level: u32,
    base: NodeId,
    dirty: Vec<Dirty>,
    /// Entries of `dirty` that are not folded (or have been since a fold failed): those that supersede a page of the base, ...
    superseding: u32,
    /// ... and those of which the base has nothing.
    added: u32,
    /// Pages of the VM that are not absent.
    present: u32,
    /// The snapshot that the VM was last saved as or restored to.
    current: Option<u64>,
    newest: Option<u64>,
    index: Index,
    pools: Pools,
    generation: u64,
}

/// Frames that a VM of `pages` pages needs to run, and to be promised what `plan` promises for one pool.
pub fn least_share(pages: u32, plan: PoolPlan, state: StateSize) -> u64 {
    Pools::new(pages, plan, state).least_share()
}

impl Snapshots {
    /// The history of a VM with `pages` pages of RAM, all of them absent; `None` if `frames` are fewer than [`least_share`].
    pub fn new(pages: u32, plan: PoolPlan, state: StateSize, frames: Frames) -> Option<Self> {
        let pools = Pools::new(pages, plan, state);
        (pools.least_share() <= u64::from(frames.total())).then(|| Self {
            memory: Memory {
                frames,
                nodes: nodes::Nodes::new(),
            },
            pages,
            level: map::root_level(pages),
            base: NodeId::NONE,
            // Each page is on the list at most once: it never grows.
            dirty: Vec::with_capacity(pages as usize),
            superseding: 0,
            added: 0,
            present: 0,
            current: None,
            newest: None,
            index: Index::new(),
            pools,
            generation: 0,
        })
    }

    /// Bytes of the heap that the dirty list of `pages` pages takes.
    pub fn dirty_list_bytes(pages: u64) -> u64 {
        pages * size_of::<Dirty>() as u64
    }

    /// Pages of the VM's RAM.
    pub fn pages(&self) -> u32 {
        self.pages
    }

    /// The snapshot that the VM stands on: the one that it was last saved as or restored to. It may be gone by now.
    pub fn current(&self) -> Option<u64> {
        self.current
    }

    /// How many times the VM was restored. Never taken back.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The smallest id that exists and is not below `from`.
    pub fn next<M: Machine>(&self, m: &M, from: u64) -> Result<u64, NotFound> {
        self.index.next(m, from).ok_or(NotFound)
    }

    /// What is known of a snapshot.
    pub fn info<M: Machine>(&mut self, m: &mut M, id: u64) -> Result<Info, NotFound> {
        // What is behind dirty pages of a base that only the VM stands on is held by nobody, but looks as if it were.
        self.fold_if_alone(m);
        let (_, record) = self.find(m, id)?;
        Ok(Info {
            parent: record.parent.get(),
            pages: self.pages_behind(m, record.root),
            taken: record.taken,
        })
    }

    /// What the snapshots amount to.
    pub fn stats(&self) -> Stats {
        let frames = &self.memory.frames;
        let used =
            frames.total() - frames.free() - self.memory.nodes.slabs() - self.pools.state_frames;
        Stats {
            snapshots: self.pools.snapshots,
            pools: self.pools.count,
            pages: used - self.present,
            free: self.pools.spare(&self.memory, self.present),
        }
    }

    /// The snapshot, and where its record lies.
    fn find<M: Machine>(
        &self,
        m: &M,
        id: u64,
    ) -> Result<(record::Place, record::Record), NotFound> {
        let place = record::Place::from_entry(self.index.get(m, id).ok_or(NotFound)?);
        Ok((place, record::Record::read(m, place)))
    }

    /// Pages that deleting the snapshot with this map would free.
    fn pages_behind<M: Machine>(&self, m: &M, root: NodeId) -> u32 {
        if root != self.base {
            return self.memory.exclusive_pages(m, root, self.level);
        }
        // The running VM stands on it: only what lies behind its dirty pages would go.
        let behind = |dirty: &&Dirty| {
            !dirty.is_folded()
                && self
                    .memory
                    .is_exclusive_to_shared_root(m, root, self.level, dirty.page())
        };
        self.dirty.iter().filter(behind).count() as u32
    }
}
