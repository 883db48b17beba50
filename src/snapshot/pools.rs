//! Pools: the accounting that decides how many snapshots there may be, and the list of the pools, the oldest first.

use super::backend::{Backend, StateSize};
use super::fold::FOLD_RESERVE;
use super::frames::Frame;
use super::layout::NodeId;
use super::map::{self, FrameStore};
use super::nodes::{self, NODES_PER_SLAB};
use super::promise::ram_pages;
use super::record::{PartFrames, Pool, RecordAddr};
use super::{NoMemory, index};
use crate::addr::PAGE_SIZE;
use crate::config::{Accounting, PoolPlan};

/// The pools of a VM, a list from the oldest to the newest; and sums over them. A pool holds up to a fixed number of snapshots.
pub struct Pools {
    plan: PoolPlan,
    /// Pages of the VM's RAM.
    pages: u32,
    /// What a snapshot keeps besides RAM.
    pub(super) state: StateSize,
    pub(super) oldest: NodeId,
    pub(super) newest: NodeId,
    pub(super) count: u32,
    pub(super) snapshots: u32,
    pub(super) state_frames: u32,
}

impl Pools {
    /// No pools yet, for a VM of `pages` pages.
    pub(super) fn new(pages: u32, plan: PoolPlan, state: StateSize) -> Self {
        Self {
            plan,
            pages,
            state,
            oldest: NodeId::NONE,
            newest: NodeId::NONE,
            count: 0,
            snapshots: 0,
            state_frames: 0,
        }
    }

    /// Frames that must be free for the commit of a [`checkpoint`](super::Snapshots::checkpoint_piece), which cannot fail then: for the saved state, one
    /// for nodes, and what a fold takes to begin.
    pub(super) fn frames_for_commit(&self) -> u32 {
        FOLD_RESERVE + self.state.parts as u32 + 1
    }

    /// Frames for the nodes of the running VM and `snapshots` snapshots that share nothing.
    fn node_frames(&self, snapshots: u64) -> u64 {
        let each = u64::from(map::max_nodes(self.pages) + index::MAX_NEW_NODES + 1);
        (each * (snapshots + 1)).div_ceil(u64::from(NODES_PER_SLAB))
    }

    /// Frames for the saved states of a pool's snapshots, which share none with another pool's.
    fn state_frames_per_pool(&self) -> u64 {
        let capacity = u64::from(self.plan.capacity);
        let more = self.state.parts as u64 - 1;
        capacity.div_ceil(RecordAddr::snapshots_per_frame(self.state).into()) + capacity * more
    }

    /// Frames that the running VM and `pools` full pools take at the most, if nodes take `slabs` slabs now.
    ///
    /// Slabs that are in use stay so as long as any node in them is, but a new one is made only when all are full. So they
    /// never become more than the nodes of the worst case need, or than they are now.
    fn worst_case_frames(&self, pools: u32, slabs: u32) -> u64 {
        let pools = u64::from(pools);
        let snapshots = pools * u64::from(self.plan.capacity);
        let pages = ram_pages(self.pages.into(), snapshots);
        let nodes = self.node_frames(snapshots).max(u64::from(slabs));
        let states = self.state_frames_per_pool() * pools;
        pages + nodes + states + u64::from(self.frames_for_commit())
    }

    /// See [`min_frames`](super::min_frames).
    ///
    /// With on-demand accounting that is enough for the running VM and one snapshot that shares all pages with it: a snapshot that a store
    /// has no memory beside is freed. But the nodes of snapshots that are gone may have left the VM's nodes scattered, each in a slab of its
    /// own at the worst.
    pub(super) fn min_frames(&self) -> u64 {
        match self.plan.accounting {
            Accounting::Reserved => self.worst_case_frames(1, 0),
            Accounting::OnDemand => {
                self.worst_case_frames(0, map::max_nodes(self.pages)) + self.state.parts as u64
            }
        }
    }

    /// Whether the share suffices for the running VM and one full pool. With on-demand accounting always: nothing is promised.
    pub(super) fn fits_one(&self, memory: &FrameStore) -> bool {
        self.is_on_demand() || self.worst_case_frames(1, 0) <= u64::from(memory.frames.total())
    }

    /// Whether it suffices for all pools with one more snapshot.
    #[inline]
    pub(super) fn fits_another<B: Backend>(&self, b: &B, memory: &FrameStore) -> bool {
        self.is_on_demand() || {
            let pools = self.count + u32::from(self.newest_with_room(b).is_none());
            let most = self.worst_case_frames(pools, memory.nodes.slabs());
            most <= u64::from(memory.frames.total())
        }
    }

    fn is_on_demand(&self) -> bool {
        self.plan.accounting == Accounting::OnDemand
    }

    /// Pages that no existing pool and no page of RAM is promised. `free` frames are free, and `present` pages of RAM are not absent.
    pub(super) fn unpromised_pages(&self, memory: &FrameStore, free: u32, present: u32) -> u32 {
        match self.plan.accounting {
            Accounting::OnDemand => free.saturating_sub(self.pages - present),
            Accounting::Reserved => {
                let promised = self.worst_case_frames(self.count, memory.nodes.slabs());
                u64::from(memory.frames.total()).saturating_sub(promised) as u32
            }
        }
    }

    /// The newest pool, if it has room for one more snapshot.
    pub(super) fn newest_with_room<B: Backend>(&self, b: &B) -> Option<(NodeId, Pool)> {
        let id = self.newest;
        (!id.is_none())
            .then(|| (id, Pool::read(b, id)))
            .filter(|(_, pool)| pool.made < self.plan.capacity)
    }

    /// Adds a pool without snapshots as the newest one. Fails if its node takes a new slab and no frame is free.
    pub(super) fn push<B: Backend>(
        &mut self,
        b: &mut B,
        memory: &mut FrameStore,
    ) -> Result<(NodeId, Pool), NoMemory> {
        let pool = Pool {
            older: self.newest,
            newer: NodeId::NONE,
            made: 0,
            live: 0,
            next_record: 0,
            end: 0,
        };
        let id = memory.nodes.alloc(b, &mut memory.frames, &pool.to_node())?;
        self.set_newer(b, self.newest, id);
        self.newest = id;
        self.count += 1;
        let bytes = u64::from(self.plan.capacity) * u64::from(self.pages) * PAGE_SIZE;
        b.log(format_args!("new snapshot pool size: {}MB", bytes >> 20));
        Ok((id, pool))
    }

    /// Takes the pool out of the list and frees its node.
    pub(super) fn unlink<B: Backend>(&mut self, b: &mut B, memory: &mut FrameStore, id: NodeId) {
        let pool = Pool::read(b, id);
        self.set_newer(b, pool.older, pool.newer);
        match pool.newer {
            NodeId::NONE => self.newest = pool.older,
            newer => {
                *nodes::write(b, newer) = Pool {
                    older: pool.older,
                    ..Pool::read(b, newer)
                }
                .to_node()
            }
        }
        memory.nodes.free(b, &mut memory.frames, id);
        self.count -= 1;
    }

    /// Links `newer` behind `pool`; it becomes the oldest if `pool` is none.
    fn set_newer<B: Backend>(&mut self, b: &mut B, pool: NodeId, newer: NodeId) {
        match pool {
            NodeId::NONE => self.oldest = newer,
            pool => {
                *nodes::write(b, pool) = Pool {
                    newer,
                    ..Pool::read(b, pool)
                }
                .to_node()
            }
        }
    }

    /// Room for one more record in `pool`, and for the first part of a state. Fails if that takes a new frame and none is free.
    pub(super) fn alloc_record(
        &mut self,
        memory: &mut FrameStore,
        pool: &mut Pool,
    ) -> Result<RecordAddr, NoMemory> {
        let addr = if pool.next_record != 0 {
            let addr = RecordAddr::from_entry(pool.next_record);
            memory.frames.hold(addr.frame);
            addr
        } else {
            let frame = memory.frames.alloc()?;
            self.state_frames += 1;
            RecordAddr { frame, node: 0 }
        };
        pool.next_record = addr
            .next_in_frame(self.state)
            .map_or(0, RecordAddr::to_entry);
        Ok(addr)
    }

    /// Frames for the other parts of a state. [`frames_for_commit`](Self::frames_for_commit) were free before the record was allocated.
    #[inline]
    pub(super) fn alloc_parts(&mut self, memory: &mut FrameStore) -> Result<PartFrames, NoMemory> {
        let mut part_frames = [Frame(0); StateSize::PARTS_MAX - 1];
        for frame in &mut part_frames[..self.state.parts - 1] {
            *frame = memory.frames.alloc()?;
            self.state_frames += 1;
        }
        Ok(part_frames)
    }

    /// Frees the frames of a state's other parts; and the frame of the record at `addr`, if no other record is in it.
    pub(super) fn free_record(
        &mut self,
        memory: &mut FrameStore,
        pool: &mut Pool,
        addr: RecordAddr,
        part_frames: PartFrames,
    ) {
        for &frame in &part_frames[..self.state.parts - 1] {
            self.state_frames -= 1;
            memory.frames.free(frame);
        }
        if memory.frames.holders(addr.frame) == 1 {
            self.state_frames -= 1;
            if RecordAddr::from_entry(pool.next_record).frame == addr.frame {
                pool.next_record = 0;
            }
        }
        memory.frames.unhold(addr.frame);
    }
}
