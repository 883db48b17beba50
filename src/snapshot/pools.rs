//! Pools: how many snapshots there may be, and which go when memory is short.

use super::fold::FOLD_RESERVE;
use super::frames::Frame;
use super::layout::NodeId;
use super::map::{self, Memory};
use super::nodes::{self, NODES_PER_SLAB};
use super::promise::ram_pages;
use super::record::{MoreFrames, Place, Pool};
use super::seam::{Machine, StateSize};
use super::{NoMemory, index};
use crate::addr::PAGE_SIZE;
use crate::config::{Accounting, PoolPlan};

/// The pools of a VM, a list from the oldest to the newest, and the sums over them.
pub struct Pools {
    plan: PoolPlan,
    /// Pages of the VM.
    pages: u32,
    /// What a snapshot keeps besides RAM.
    pub(super) state: StateSize,
    pub(super) oldest: NodeId,
    newest: NodeId,
    pub(super) count: u32,
    pub(super) snapshots: u32,
    pub(super) state_frames: u32,
}

impl Pools {
    /// No pools yet.
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

    /// Frames that must be free for the second half of a checkpoint, which takes those for saved state and one for nodes.
    pub(super) fn commit_frames(&self) -> u32 {
        FOLD_RESERVE + self.state.parts as u32 + 1
    }

    /// Frames for the nodes of the running VM and `snapshots` snapshots that share nothing.
    fn node_frames(&self, snapshots: u64) -> u64 {
        let each = u64::from(map::most_nodes(self.pages) + index::MOST_NEW_NODES + 1);
        (each * (snapshots + 1)).div_ceil(u64::from(NODES_PER_SLAB))
    }

    /// Frames for the saved states of a pool's snapshots, which share none with another pool's.
    fn states_of_pool(&self) -> u64 {
        let capacity = u64::from(self.plan.capacity);
        let more = self.state.parts as u64 - 1;
        capacity.div_ceil(Place::sharing(self.state).into()) + capacity * more
    }

    /// Frames that the running VM and the snapshots of `pools` pools take at the most, `slabs` being in use for nodes already.
    ///
    /// Slabs that are in use stay so as long as any node in them is, but a new one is made only when all are full. So they
    /// never become more than the nodes of the worst case need, or than they are now.
    fn worst_case(&self, pools: u32, slabs: u32) -> u64 {
        let pools = u64::from(pools);
        let snapshots = pools * u64::from(self.plan.capacity);
        let pages = ram_pages(self.pages.into(), snapshots);
        let nodes = self.node_frames(snapshots).max(u64::from(slabs));
        let states = self.states_of_pool() * pools;
        pages + nodes + states + u64::from(self.commit_frames())
    }

    /// See [`least_share`](super::least_share).
    ///
    /// With on-demand accounting that is the running VM and a snapshot that shares everything with it, for one that stands in the way of a
    /// store is freed. But the VM's nodes may lie scattered, where those of snapshots that are gone lay between them: each in a slab of
    /// its own at the worst.
    pub(super) fn least_share(&self) -> u64 {
        match self.plan.accounting {
            Accounting::Reserved => self.worst_case(1, 0),
            Accounting::OnDemand => {
                self.worst_case(0, map::most_nodes(self.pages)) + self.state.parts as u64
            }
        }
    }

    /// Whether the memory suffices for `pools` pools, `slabs` being in use for nodes. On demand, there is no saying beforehand.
    pub(super) fn fit(&self, pools: u32, slabs: u32, memory: &Memory) -> bool {
        self.plan.accounting == Accounting::OnDemand
            || self.worst_case(pools, slabs) <= u64::from(memory.frames.total())
    }

    /// Pages that are promised to nobody; `present` of the VM's are in use.
    pub(super) fn spare(&self, memory: &Memory, present: u32) -> u32 {
        match self.plan.accounting {
            Accounting::OnDemand => memory.frames.free().saturating_sub(self.pages - present),
            Accounting::Reserved => {
                let promised = self.worst_case(self.count, memory.nodes.slabs());
                u64::from(memory.frames.total()).saturating_sub(promised) as u32
            }
        }
    }

    /// The newest pool, if it has room.
    pub(super) fn with_room<M: Machine>(&self, m: &M) -> Option<(NodeId, Pool)> {
        let id = self.newest;
        (!id.is_none())
            .then(|| (id, Pool::read(m, id)))
            .filter(|(_, pool)| pool.made < self.plan.capacity)
    }

    pub(super) fn push<M: Machine>(
        &mut self,
        m: &mut M,
        memory: &mut Memory,
    ) -> Result<(NodeId, Pool), NoMemory> {
        let pool = Pool {
            older: self.newest,
            newer: NodeId::NONE,
            made: 0,
            live: 0,
            next_place: 0,
        };
        let id = memory.nodes.alloc(m, &mut memory.frames, &pool.to_node())?;
        self.set_newer(m, self.newest, id);
        self.newest = id;
        self.count += 1;
        let bytes = u64::from(self.plan.capacity) * u64::from(self.pages) * PAGE_SIZE;
        m.log(format_args!("new snapshot pool size: {}MB", bytes >> 20));
        Ok((id, pool))
    }

    pub(super) fn unlink<M: Machine>(&mut self, m: &mut M, memory: &mut Memory, id: NodeId) {
        let pool = Pool::read(m, id);
        self.set_newer(m, pool.older, pool.newer);
        match pool.newer {
            NodeId::NONE => self.newest = pool.older,
            newer => {
                *nodes::write(m, newer) = Pool {
                    older: pool.older,
                    ..Pool::read(m, newer)
                }
                .to_node()
            }
        }
        memory.nodes.release(m, &mut memory.frames, id);
        self.count -= 1;
    }

    /// `newer` follows `pool`, or is the oldest if there is none.
    fn set_newer<M: Machine>(&mut self, m: &mut M, pool: NodeId, newer: NodeId) {
        match pool {
            NodeId::NONE => self.oldest = newer,
            pool => {
                *nodes::write(m, pool) = Pool {
                    newer,
                    ..Pool::read(m, pool)
                }
                .to_node()
            }
        }
    }

    /// A place for one more record and state in `pool`.
    pub(super) fn take_place(
        &mut self,
        memory: &mut Memory,
        pool: &mut Pool,
    ) -> Result<Place, NoMemory> {
        let place = if pool.next_place != 0 {
            let place = Place::from_entry(pool.next_place);
            memory.frames.hold(place.frame);
            place
        } else {
            let frame = memory.frames.alloc()?;
            self.state_frames += 1;
            Place { frame, node: 0 }
        };
        pool.next_place = place.next(self.state).map_or(0, Place::to_entry);
        Ok(place)
    }

    /// Frames for the other parts of the state.
    #[inline]
    pub(super) fn take_more(&mut self, memory: &mut Memory) -> Result<MoreFrames, NoMemory> {
        let mut more = [Frame(0); StateSize::PARTS_MAX - 1];
        for frame in &mut more[..self.state.parts - 1] {
            *frame = memory.frames.alloc()?;
            self.state_frames += 1;
        }
        Ok(more)
    }

    pub(super) fn leave_place(
        &mut self,
        memory: &mut Memory,
        pool: &mut Pool,
        place: Place,
        more: MoreFrames,
    ) {
        for &frame in &more[..self.state.parts - 1] {
            self.state_frames -= 1;
            memory.frames.release(frame);
        }
        if memory.frames.holders(place.frame) == 1 {
            self.state_frames -= 1;
            if Place::from_entry(pool.next_place).frame == place.frame {
                pool.next_place = 0;
            }
        }
        memory.frames.drop(place.frame);
    }
}
