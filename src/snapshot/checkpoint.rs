//! A checkpoint: the dirty pages are folded into the base, one more snapshot holds the base, and the folded pages become clean.

use super::Snapshots;
use super::backend::{Backend, SaveState};
use super::fold::DIRTY_AT_ONCE;
use super::frames::NoMemory;
use super::nodes;
use super::record::Record;
use core::task::Poll;

impl Snapshots {
    /// Takes a snapshot and returns its id, which `next_id` gave. `next_id` is called when nothing can fail any more; each of its ids is larger
    /// than those before. The VM must be stopped.
    ///
    /// If memory is short, the oldest pools are freed. Fails if that would not help, or did not. The VM's RAM and state are then as they were.
    ///
    /// What it takes is bounded only behind [`prepare_checkpoint`](Self::prepare_checkpoint), and while the VM does not run in between.
    pub fn checkpoint<B: Backend>(
        &mut self,
        b: &mut B,
        state: &mut impl SaveState,
        next_id: impl FnOnce() -> u64,
    ) -> Result<u64, NoMemory> {
        self.make_room(b)?;
        while let Err(error) = self.fold(b) {
            if !self.free_oldest_pool(b) {
                return Err(error);
            }
        }
        // The fold took nodes: there may be no room any more.
        self.make_room(b)?;
        let id = self.commit(b, state, next_id)?;
        self.protect(b);
        self.recent.forget();
        Ok(id)
    }

    /// Whether a [`checkpoint`](Self::checkpoint) would take long.
    #[inline]
    pub fn needs_preparation(&self) -> bool {
        self.dirty.len() > DIRTY_AT_ONCE
    }

    /// A piece of what a [`checkpoint`](Self::checkpoint) has to do while the VM may run: makes most of its dirty pages clean. Ready if the rest can
    /// be done at once, or nothing can be done. The VM does not notice, whether the checkpoint follows or not.
    pub fn prepare_checkpoint<B: Backend>(&mut self, b: &mut B) -> Poll<()> {
        if !self.needs_preparation() || self.make_room(b).is_err() {
            return Poll::Ready(());
        }
        match self.clean_piece(b) {
            Ok(true) => Poll::Ready(()),
            Ok(false) => Poll::Pending,
            Err(_) if self.free_oldest_pool(b) => Poll::Pending,
            Err(_) => Poll::Ready(()),
        }
    }

    /// Makes room for one more snapshot: frees the oldest pools until accounting permits it, and [`frames_for_commit`](super::pools::Pools::frames_for_commit) are free. Frees none
    /// if that cannot help.
    fn make_room<B: Backend>(&mut self, b: &mut B) -> Result<(), NoMemory> {
        loop {
            let pools = self.pools.count + u32::from(self.pools.newest_with_room(b).is_none());
            let slabs = self.memory.nodes.slabs();
            if self.memory.frames.free_count() >= self.pools.frames_for_commit()
                && self.pools.fits(pools, slabs, &self.memory)
            {
                return Ok(());
            }
            // If even one pool does not fit, freeing does not help.
            if !self.pools.fits(1, 0, &self.memory) || !self.free_oldest_pool(b) {
                return Err(NoMemory);
            }
        }
    }

    /// Saves the state and makes the folded base the snapshot's map. Cannot fail if [`frames_for_commit`](super::pools::Pools::frames_for_commit) are free.
    fn commit<B: Backend>(
        &mut self,
        b: &mut B,
        state: &mut impl SaveState,
        next_id: impl FnOnce() -> u64,
    ) -> Result<u64, NoMemory> {
        let (pool_id, mut pool) = match self.pools.newest_with_room(b) {
            Some(found) => found,
            None => self.pools.push(b, &mut self.memory)?,
        };
        let addr = self.pools.alloc_record(&mut self.memory, &mut pool)?;
        let part_frames = self.pools.alloc_parts(&mut self.memory)?;
        let id = next_id();
        self.index
            .insert(b, &mut self.memory, id, addr.to_entry())?;
        pool.made += 1;
        pool.live += 1;
        *nodes::write(b, pool_id) = pool.to_node();
        self.pools.snapshots += 1;
        if !self.base.is_none() {
            nodes::hold(b, self.base);
        }
        let record = Record {
            parent: self.current.into(),
            taken: state.moment(),
            root: self.base,
            pool: pool_id,
            present: self.present,
            part_frames,
        };
        record.write(b, addr);
        let size = self.pools.state;
        let first = &mut b.bookkeeping_mut(addr.frame)[addr.state_nodes(size)];
        state.save(id, 0, first);
        for part in 1..size.parts {
            let nodes = &mut b.bookkeeping_mut(part_frames[part - 1])[..size.nodes];
            state.save(id, part, nodes);
        }
        self.current = Some(id);
        self.newest = Some(id);
        Ok(id)
    }
}
