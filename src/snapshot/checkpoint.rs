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
    /// than those before. The VM must be stopped. If memory is short, a piece of what waits to be freed is freed, or of the oldest pool, and nothing
    /// else has happened: pending, to be called again.
    ///
    /// Fails if freeing pools would not help, or did not. The VM's RAM and state are then as they were.
    ///
    /// What it takes is bounded only behind [`prepare_checkpoint`](Self::prepare_checkpoint), and while the VM does not run in between.
    pub fn checkpoint_piece<B: Backend>(
        &mut self,
        b: &mut B,
        state: &mut impl SaveState,
        next_id: impl FnOnce() -> u64,
    ) -> Poll<Result<u64, NoMemory>> {
        if !self.has_room(b) {
            return self.make_room(b);
        }
        if self.has_unfolded() {
            if self.fold(b).is_err() {
                return match self.reclaim(b) {
                    true => Poll::Pending,
                    false => Poll::Ready(Err(NoMemory)),
                };
            }
            // The fold took nodes: there may be no room any more.
            if !self.has_room(b) {
                return self.make_room(b);
            }
        }
        let id = self.commit(b, state, next_id)?;
        self.protect(b);
        self.way_back.end(self.base);
        self.recent.forget();
        Poll::Ready(Ok(id))
    }

    /// Whether a checkpoint would fold and protect much.
    #[inline]
    pub fn needs_preparation(&self) -> bool {
        self.dirty.len() > DIRTY_AT_ONCE
    }

    /// A piece of what a checkpoint has to do while the VM may run: makes most of its dirty pages clean. Ready if the rest can be done at once, or
    /// nothing can be done. The VM does not notice, whether the checkpoint follows or not.
    pub fn prepare_checkpoint<B: Backend>(&mut self, b: &mut B) -> Poll<()> {
        if !self.needs_preparation() {
            return Poll::Ready(());
        }
        if !self.has_room(b) {
            return self.make_room(b).map(|_: Result<u64, NoMemory>| ());
        }
        match self.clean_piece(b) {
            Ok(true) => Poll::Ready(()),
            Ok(false) => Poll::Pending,
            Err(_) if self.reclaim(b) => Poll::Pending,
            Err(_) => Poll::Ready(()),
        }
    }

    /// Whether there is room for one more snapshot: accounting permits it, and [`frames_for_commit`](super::pools::Pools::frames_for_commit) are
    /// free. It does not go into a pool that goes.
    #[inline]
    fn has_room<B: Backend>(&self, b: &B) -> bool {
        self.going.is_none()
            && self.memory.frames.free_count() >= self.pools.frames_for_commit()
            && self.pools.fits_another(b, &self.memory)
    }

    /// Makes some room for one more snapshot: frees a piece of what waits to be freed, or of the oldest pool. Frees nothing, and fails, if that cannot
    /// help.
    #[cold]
    fn make_room<B: Backend, T>(&mut self, b: &mut B) -> Poll<Result<T, NoMemory>> {
        // If even one pool does not fit, freeing does not help.
        match self.pools.fits_one(&self.memory) && self.reclaim(b) {
            true => Poll::Pending,
            false => Poll::Ready(Err(NoMemory)),
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
        pool.end = id + 1;
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
