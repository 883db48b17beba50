//! Pools: how many snapshots there may be, and which go when memory is short.

use super::frames::Frame;
use super::layout::NodeId;
use super::map::{self, Memory};
use super::nodes::{self, NODES_PER_SLAB};
use super::promise::ram_pages;
use super::record::{MoreFrames, Place, Pool, Record};
use super::running::FOLD_RESERVE;
use super::seam::{Machine, State, StateSize};
use super::{NoMemory, NotFound, Snapshots, index};
use crate::addr::PAGE_SIZE;
use crate::config::{Accounting, PoolPlan};

/// The pools of a VM, a list from the oldest to the newest, and the sums over them.
pub struct Pools {
    plan: PoolPlan,
    /// Pages of the VM.
    pages: u32,
    /// What a snapshot keeps besides RAM.
    state: StateSize,
    oldest: NodeId,
    newest: NodeId,
    count: u32,
    snapshots: u32,
    state_frames: u32,
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

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    pub(super) fn snapshots(&self) -> u32 {
        self.snapshots
    }

    pub(super) fn state_frames(&self) -> u32 {
        self.state_frames
    }

    /// What a snapshot keeps besides RAM.
    pub(super) fn state(&self) -> StateSize {
        self.state
    }

    /// Frames that must be free for the second half of a checkpoint, which takes those for saved state and one for nodes.
    fn commit_frames(&self) -> u32 {
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
    fn fit(&self, pools: u32, slabs: u32, memory: &Memory) -> bool {
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
    fn with_room<M: Machine>(&self, m: &M) -> Option<(NodeId, Pool)> {
        let id = self.newest;
        (!id.is_none())
            .then(|| (id, Pool::read(m, id)))
            .filter(|(_, pool)| pool.made < self.plan.capacity)
    }

    fn push<M: Machine>(
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

    fn unlink<M: Machine>(&mut self, m: &mut M, memory: &mut Memory, id: NodeId) {
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
    fn take_place(&mut self, memory: &mut Memory, pool: &mut Pool) -> Result<Place, NoMemory> {
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
    fn take_more(&mut self, memory: &mut Memory) -> Result<MoreFrames, NoMemory> {
        let mut more = [Frame(0); StateSize::PARTS_MAX - 1];
        for frame in &mut more[..self.state.parts - 1] {
            *frame = memory.frames.alloc()?;
            self.state_frames += 1;
        }
        Ok(more)
    }

    fn leave_place(
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

impl Snapshots {
    /// Takes a snapshot, from which the VM goes on, and returns its id. That comes from `next_id`, which is asked when nothing can
    /// fail any more and whose answers must grow.
    ///
    /// If memory is short, the oldest pools are freed. An error says that this would not help, or did not; the VM is as it was.
    pub fn checkpoint<M: Machine>(
        &mut self,
        m: &mut M,
        state: &mut impl State,
        next_id: impl FnOnce() -> u64,
    ) -> Result<u64, NoMemory> {
        self.make_room(m)?;
        while let Err(error) = self.fold(m) {
            if !self.free_oldest_pool(m) {
                return Err(error);
            }
        }
        // The fold took nodes.
        self.make_room(m)?;
        let id = self.commit(m, state, next_id)?;
        self.protect(m);
        Ok(id)
    }

    /// Sees to it that there is room for one more snapshot.
    fn make_room<M: Machine>(&mut self, m: &mut M) -> Result<(), NoMemory> {
        loop {
            let pools = self.pools.count + u32::from(self.pools.with_room(m).is_none());
            let slabs = self.memory.nodes.slabs();
            if self.memory.frames.free() >= self.pools.commit_frames()
                && self.pools.fit(pools, slabs, &self.memory)
            {
                return Ok(());
            }
            // First see whether freeing can help at all.
            if !self.pools.fit(1, 0, &self.memory) || !self.free_oldest_pool(m) {
                return Err(NoMemory);
            }
        }
    }

    /// The part of a checkpoint that cannot fail, [`Pools::commit_frames`] being free.
    fn commit<M: Machine>(
        &mut self,
        m: &mut M,
        state: &mut impl State,
        next_id: impl FnOnce() -> u64,
    ) -> Result<u64, NoMemory> {
        let (pool_id, mut pool) = match self.pools.with_room(m) {
            Some(found) => found,
            None => self.pools.push(m, &mut self.memory)?,
        };
        let place = self.pools.take_place(&mut self.memory, &mut pool)?;
        let more = self.pools.take_more(&mut self.memory)?;
        let id = next_id();
        self.index
            .insert(m, &mut self.memory, id, place.to_entry())?;
        pool.made += 1;
        pool.live += 1;
        *nodes::write(m, pool_id) = pool.to_node();
        self.pools.snapshots += 1;
        if !self.base.is_none() {
            nodes::hold(m, self.base);
        }
        let record = Record {
            parent: self.current.into(),
            taken: state.moment(),
            root: self.base,
            pool: pool_id,
            present: self.present,
            more,
        };
        record.write(m, place);
        let size = self.pools.state;
        let first = &mut m.bookkeeping_mut(place.frame)[place.state(size)];
        state.save(id, 0, first);
        for part in 1..size.parts {
            let nodes = &mut m.bookkeeping_mut(more[part - 1])[..size.nodes];
            state.save(id, part, nodes);
        }
        self.current = Some(id);
        self.newest = Some(id);
        Ok(id)
    }

    /// Deletes a snapshot. What only it held is free at once; its place in its pool is not used again.
    pub fn delete<M: Machine>(&mut self, m: &mut M, id: u64) -> Result<(), NotFound> {
        self.remove(m, id)?;
        self.fold_if_alone(m);
        Ok(())
    }

    fn remove<M: Machine>(&mut self, m: &mut M, id: u64) -> Result<(), NotFound> {
        let entry = self.index.take(m, &mut self.memory, id).ok_or(NotFound)?;
        let place = Place::from_entry(entry);
        let record = Record::read(m, place);
        if self.newest == Some(id) {
            self.newest = self.index.last(m);
        }
        let mut pool = Pool::read(m, record.pool);
        self.pools
            .leave_place(&mut self.memory, &mut pool, place, record.more);
        pool.live -= 1;
        self.pools.snapshots -= 1;
        *nodes::write(m, record.pool) = pool.to_node();
        if pool.live == 0 {
            self.pools.unlink(m, &mut self.memory, record.pool);
        }
        self.memory.drop_map(m, record.root, self.level);
        Ok(())
    }

    /// Frees the oldest pool with all its snapshots; `false` if there is none.
    pub(super) fn free_oldest_pool<M: Machine>(&mut self, m: &mut M) -> bool {
        let oldest = self.pools.oldest;
        if oldest.is_none() {
            return false;
        }
        let before = self.memory.frames.free();
        // Ids grow with time: those of the oldest pool are the smallest.
        let first = self.index.next(m, 0).unwrap_or_default();
        let mut last = first;
        for _ in 0..Pool::read(m, oldest).live {
            last = self.index.next(m, last).unwrap_or_default();
            let _ = self.remove(m, last);
        }
        self.fold_if_alone(m);
        let pages = self.memory.frames.free().saturating_sub(before);
        m.log(format_args!(
            "freed the oldest snapshot pool: snapshots #{first} to #{last}, {pages} pages"
        ));
        true
    }
}
