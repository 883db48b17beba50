//! Snapshots go: one that is deleted, or a pool of them when memory is short.

use super::nodes;
use super::record::{Place, Pool, Record};
use super::seam::Machine;
use super::{NotFound, Snapshots};

impl Snapshots {
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
