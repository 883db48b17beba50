//! A checkpoint: the dirty pages are folded into the base, one more snapshot holds the base, and the folded pages become clean.

use super::Snapshots;
use super::frames::NoMemory;
use super::nodes;
use super::record::Record;
use super::seam::{Machine, State};

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
}
