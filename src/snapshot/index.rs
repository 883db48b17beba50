//! Ids: an ordered map from a snapshot's id to its record. The map is a radix tree of nodes. As ids grow, the tree gets new levels at the top.

use super::backend::Backend;
use super::frames::NoMemory;
use super::layout::{FANOUT, FANOUT_BITS, Node, NodeId};
use super::map::FrameStore;
use super::nodes;

/// A tree of this many levels covers every id of 64 bits.
const MAX_LEVELS: u32 = 64_u32.div_ceil(FANOUT_BITS);

/// How many nodes one insertion makes at the most: a new way down, and as many new roots.
pub const MAX_NEW_NODES: u32 = 2 * MAX_LEVELS;

/// A map from ids to records. A record is a number that is not 0.
pub struct Index {
    root: NodeId,
    /// Levels below and including the root's; 0: empty.
    levels: u32,
}

/// Whether a tree of so many levels has room for `id`.
fn covers(levels: u32, id: u64) -> bool {
    levels >= MAX_LEVELS || id >> (FANOUT_BITS * levels) == 0
}

/// Index of the entry on the way to `id` in a node of `level`.
fn slot(id: u64, level: u32) -> usize {
    (id >> (FANOUT_BITS * level)) as usize % FANOUT
}

impl Index {
    /// No ids.
    pub const fn new() -> Self {
        Self {
            root: NodeId::NONE,
            levels: 0,
        }
    }

    /// The record of `id`, if it is there.
    pub fn get<B: Backend>(&self, b: &B, id: u64) -> Option<u32> {
        if !covers(self.levels, id) {
            return None;
        }
        let mut entry = self.root.0;
        for level in (0..self.levels).rev() {
            if entry == 0 {
                return None;
            }
            entry = nodes::read(b, NodeId(entry)).0[slot(id, level)];
        }
        (entry != 0).then_some(entry)
    }

    /// Adds `id`, which is not there yet. The caller has made sure of memory for [`MAX_NEW_NODES`]: on an error the insertion would be half done.
    pub fn insert<B: Backend>(
        &mut self,
        b: &mut B,
        memory: &mut FrameStore,
        id: u64,
        record: u32,
    ) -> Result<(), NoMemory> {
        let FrameStore { frames, nodes, .. } = memory;
        if self.root.is_none() {
            self.root = nodes.alloc(b, frames, &Node::EMPTY)?;
            self.levels = (1..)
                .find(|&levels| covers(levels, id))
                .unwrap_or(MAX_LEVELS);
        }
        while !covers(self.levels, id) {
            // The old root holds the smallest ids of the new one.
            self.root = nodes.alloc(b, frames, &Node([self.root.0, 0, 0, 0, 0, 0, 0, 0]))?;
            self.levels += 1;
        }
        let mut node = self.root;
        for level in (1..self.levels).rev() {
            let mut child = nodes::read(b, node).0[slot(id, level)];
            if child == 0 {
                child = nodes.alloc(b, frames, &Node::EMPTY)?.0;
                nodes::write(b, node).0[slot(id, level)] = child;
            }
            node = NodeId(child);
        }
        nodes::write(b, node).0[slot(id, 0)] = record;
        Ok(())
    }

    /// Removes `id`, and frees the nodes that are empty then. Returns its record, if it was there.
    pub fn remove<B: Backend>(
        &mut self,
        b: &mut B,
        memory: &mut FrameStore,
        id: u64,
    ) -> Option<u32> {
        if !covers(self.levels, id) {
            return None;
        }
        // By level.
        let mut path = [NodeId::NONE; MAX_LEVELS as usize];
        let mut entry = self.root.0;
        for level in (0..self.levels).rev() {
            if entry == 0 {
                return None;
            }
            path[level as usize] = NodeId(entry);
            entry = nodes::read(b, NodeId(entry)).0[slot(id, level)];
        }
        if entry == 0 {
            return None;
        }
        let FrameStore { frames, nodes, .. } = memory;
        for level in 0..self.levels {
            let node = path[level as usize];
            let words = nodes::write(b, node);
            words.0[slot(id, level)] = 0;
            if !words.is_empty() {
                return Some(entry);
            }
            nodes.free(b, frames, node);
        }
        *self = Self::new();
        Some(entry)
    }

    /// The smallest id that is there and not below `from`.
    pub fn first_from<B: Backend>(&self, b: &B, from: u64) -> Option<u64> {
        if !covers(self.levels, from) {
            return None;
        }
        first_below(b, self.root, self.levels, from)
    }

    /// The largest id that is there and not above `to`.
    pub fn last_to<B: Backend>(&self, b: &B, to: u64) -> Option<u64> {
        let to = match covers(self.levels, to) {
            true => to,
            false => u64::MAX,
        };
        last_below(b, self.root, self.levels, to)
    }
}

/// The largest id not above `to`, in the tree of `levels` levels below `node`; what of `to` is above them does not count.
fn last_below<B: Backend>(b: &B, node: NodeId, levels: u32, to: u64) -> Option<u64> {
    if levels == 0 {
        return None;
    }
    let level = levels - 1;
    let words = &nodes::read(b, node).0;
    let end = slot(to, level);
    (0..=end).rev().filter(|&i| words[i] != 0).find_map(|i| {
        let below = match level {
            0 => 0,
            _ => {
                let to = if i == end { to } else { u64::MAX };
                last_below(b, NodeId(words[i]), level, to)?
            }
        };
        Some((i as u64) << (FANOUT_BITS * level) | below)
    })
}

/// The smallest id not below `from`, in the tree of `levels` levels below `node`.
fn first_below<B: Backend>(b: &B, node: NodeId, levels: u32, from: u64) -> Option<u64> {
    if levels == 0 {
        return None;
    }
    let level = levels - 1;
    let words = &nodes::read(b, node).0;
    let start = slot(from, level);
    let rest = from & !(u64::MAX << (FANOUT_BITS * level));
    (start..FANOUT).filter(|&i| words[i] != 0).find_map(|i| {
        let below = match level {
            0 => 0,
            _ => first_below(
                b,
                NodeId(words[i]),
                level,
                if i == start { rest } else { 0 },
            )?,
        };
        Some((i as u64) << (FANOUT_BITS * level) | below)
    })
}
