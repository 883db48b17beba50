//! Snapshots go: one that is deleted, or a pool of them when memory is short.

use super::backend::Backend;
use super::nodes;
use super::record::{Pool, Record, RecordAddr};
use super::{NotFound, Snapshots};

impl Snapshots {
    /// Deletes the snapshot `id`. What only this snapshot held is free at once. Its place in its pool is not used again.
    pub fn delete<B: Backend>(&mut self, b: &mut B, id: u64) -> Result<(), NotFound> {
        self.remove(b, id)?;
        self.fold_if_only_holder(b);
        Ok(())
    }

    /// Takes the snapshot `id` out of index and pool, and lets go of its state and its map. A pool without snapshots goes with its last one.
    fn remove<B: Backend>(&mut self, b: &mut B, id: u64) -> Result<(), NotFound> {
        let entry = self.index.remove(b, &mut self.memory, id).ok_or(NotFound)?;
        let addr = RecordAddr::from_entry(entry);
        let record = Record::read(b, addr);
        if self.newest == Some(id) {
            self.newest = self.index.last(b);
        }
        let mut pool = Pool::read(b, record.pool);
        self.pools
            .free_record(&mut self.memory, &mut pool, addr, record.part_frames);
        pool.live -= 1;
        self.pools.snapshots -= 1;
        *nodes::write(b, record.pool) = pool.to_node();
        if pool.live == 0 {
            self.pools.unlink(b, &mut self.memory, record.pool);
        }
        self.memory.unhold_map(b, record.root, self.level);
        Ok(())
    }

    /// Frees the oldest pool with all its snapshots; `false` if there is none.
    pub(super) fn free_oldest_pool<B: Backend>(&mut self, b: &mut B) -> bool {
        let oldest = self.pools.oldest;
        if oldest.is_none() {
            return false;
        }
        let before = self.memory.frames.free_count();
        // Ids grow with time: those of the oldest pool are the smallest.
        let first = self.index.first_from(b, 0).unwrap_or_default();
        let mut last = first;
        for _ in 0..Pool::read(b, oldest).live {
            last = self.index.first_from(b, last).unwrap_or_default();
            let _ = self.remove(b, last);
        }
        self.fold_if_only_holder(b);
        let pages = self.memory.frames.free_count().saturating_sub(before);
        b.log(format_args!(
            "freed the oldest snapshot pool: snapshots #{first} to #{last}, {pages} pages"
        ));
        true
    }
}
