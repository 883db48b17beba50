//! Snapshots go: one that is deleted, or a pool of them when memory is short. What they held is freed in pieces.

use super::backend::Backend;
use super::nodes::{self, FREED_AT_A_TIME};
use super::record::{Pool, Record, RecordAddr};
use super::{NotFound, Snapshots};
use core::task::Poll;

/// What it takes to let go of a snapshot, in nodes that are freed.
const SNAPSHOT_WORK: u32 = 3;

/// The oldest pool, as it goes: its snapshots do not exist any more, and are let go of one by one.
pub(super) struct Going {
    /// Ids from this one on exist.
    end: u64,
    /// Its first snapshot, and the last that it was let go of.
    first: u64,
    last: u64,
    /// Snapshots that are left to let go of.
    pub(super) left: u32,
    /// Frames that became free.
    pages: u32,
}

impl Snapshots {
    /// Ids below this one do not exist.
    #[inline]
    pub(super) fn first_kept(&self) -> u64 {
        self.going.as_ref().map_or(0, |going| going.end)
    }

    /// Deletes the snapshot `id`. What only this snapshot held is free at once, or waits to be freed. Its place in its pool is not used again.
    pub fn delete<B: Backend>(&mut self, b: &mut B, id: u64) -> Result<(), NotFound> {
        if id < self.first_kept() {
            return Err(NotFound);
        }
        self.remove(b, id)?;
        self.free_piece(b);
        Ok(())
    }

    /// Takes the snapshot `id` out of index and pool, and lets go of its state and its map. A pool without snapshots goes with its last one.
    fn remove<B: Backend>(&mut self, b: &mut B, id: u64) -> Result<(), NotFound> {
        let entry = self.index.remove(b, &mut self.memory, id).ok_or(NotFound)?;
        let addr = RecordAddr::from_entry(entry);
        let record = Record::read(b, addr);
        if self.newest == Some(id) {
            self.newest = self
                .index
                .last_to(b, u64::MAX)
                .filter(|&id| id >= self.first_kept());
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
        self.is_fold_due = true;
        Ok(())
    }

    /// The oldest pool begins to go, with all its snapshots; `false` if there is none.
    fn begin_oldest_pool<B: Backend>(&mut self, b: &mut B) -> bool {
        let oldest = self.pools.oldest;
        if oldest.is_none() {
            return false;
        }
        let pool = Pool::read(b, oldest);
        // Ids grow with time: those of the oldest pool are the smallest.
        let first = self.index.first_from(b, 0).unwrap_or_default();
        self.newest = self.newest.filter(|&id| id >= pool.end);
        self.going = Some(Going {
            end: pool.end,
            first,
            last: first,
            left: pool.live,
            pages: 0,
        });
        true
    }

    /// Whether something waits to be freed.
    #[inline]
    pub(crate) fn has_waiting(&self) -> bool {
        self.going.is_some()
            || !self.memory.nodes.waiting.is_empty()
            || !self.deferred.dropped.is_empty()
    }

    /// Frees a piece of what waits to be freed.
    pub(super) fn free_piece<B: Backend>(&mut self, b: &mut B) {
        // No pool had it.
        if self.free_dropped() {
            return;
        }
        let before = self.memory.frames.free_count();
        let mut left = FREED_AT_A_TIME;
        loop {
            let (nodes, frames) = (&mut self.memory.nodes, &mut self.memory.frames);
            left = nodes.free_waiting(b, frames, left);
            if left == 0 || !self.remove_going(b) {
                break;
            }
            left = left.saturating_sub(SNAPSHOT_WORK);
        }
        // A piece of a fold is as much as a piece of this.
        let is_short = left > FREED_AT_A_TIME / 2;
        if is_short && self.is_fold_due && !self.memory_waits() {
            self.is_fold_due = self.fold_if_only_holder(b);
        }
        let freed = self.memory.frames.free_count().saturating_sub(before);
        let is_gone = !self.memory_waits() && !self.is_fold_due;
        if let Some(going) = &mut self.going {
            going.pages += freed;
            if is_gone && going.left == 0 {
                self.end_pool(b);
            }
        }
    }

    fn memory_waits(&self) -> bool {
        !self.memory.nodes.waiting.is_empty()
    }

    /// Lets go of the next snapshot of the pool that goes, if there is one.
    fn remove_going<B: Backend>(&mut self, b: &mut B) -> bool {
        let Some(going) = self.going.as_mut().filter(|going| going.left != 0) else {
            return false;
        };
        going.left -= 1;
        let next = self.index.first_from(b, going.last).unwrap_or_default();
        going.last = next;
        self.remove(b, next).is_ok()
    }

    fn end_pool<B: Backend>(&mut self, b: &mut B) {
        if let Some(Going {
            first, last, pages, ..
        }) = self.going.take()
        {
            b.log(format_args!(
                "freed the oldest snapshot pool: snapshots #{first} to #{last}, {pages} pages"
            ));
        }
    }

    /// Memory is short: frees a piece of what waits to be freed; if nothing does, of the oldest pool. `false` if there is nothing to free, which a share
    /// of [`min_frames`](super::min_frames) frames rules out while a fault fails.
    #[cold]
    pub fn reclaim<B: Backend>(&mut self, b: &mut B) -> bool {
        #[cfg(test)]
        {
            self.pieces += 1;
        }
        if self.abandon_zeroing() {
            return true;
        }
        if !self.has_waiting() {
            // What a node that waited held as well may be behind dirty pages.
            let before = self.memory.frames.free_count();
            if self.fold_if_only_holder(b) || self.memory.frames.free_count() > before {
                return true;
            }
            if !self.begin_oldest_pool(b) {
                return false;
            }
        }
        self.free_piece(b);
        true
    }

    /// A piece of what has nothing wait to be freed any more. Ready if nothing does.
    pub fn settle<B: Backend>(&mut self, b: &mut B) -> Poll<()> {
        if !self.has_waiting() && !self.is_fold_due {
            return Poll::Ready(());
        }
        self.free_piece(b);
        match self.has_waiting() || self.is_fold_due {
            true => Poll::Pending,
            false => Poll::Ready(()),
        }
    }
}
