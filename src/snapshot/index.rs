//! Ids: an ordered map from a snapshot's id to its record, as a radix tree of the same nodes that grows upwards as ids do.

use super::frames::NoMemory;
use super::layout::{FANOUT, FANOUT_BITS, Node, NodeId};
use super::map::Memory;
use super::nodes;
use super::seam::Machine;

/// A tree of this many levels covers every id of 64 bits.
const MOST_LEVELS: u32 = 64_u32.div_ceil(FANOUT_BITS);

/// The most nodes that one insertion makes: a new way down, and as many new roots.
pub const MOST_NEW_NODES: u32 = 2 * MOST_LEVELS;

/// From ids to records; a record is any number but 0.
pub struct Index {
    root: NodeId,
    /// Levels below and including the root's; 0: empty.
    levels: u32,
}

fn covers(levels: u32, id: u64) -> bool {
    levels >= MOST_LEVELS || id >> (FANOUT_BITS * levels) == 0
}

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

    /// The record of `id`.
    pub fn get<M: Machine>(&self, m: &M, id: u64) -> Option<u32> {
        if !covers(self.levels, id) {
            return None;
        }
        let mut entry = self.root.0;
        for level in (0..self.levels).rev() {
            if entry == 0 {
                return None;
            }
            entry = nodes::read(m, NodeId(entry)).0[slot(id, level)];
        }
        (entry != 0).then_some(entry)
    }

    /// Adds an id. The caller has made sure of memory for [`MOST_NEW_NODES`], so that there is no half-done insertion.
    pub fn insert<M: Machine>(
        &mut self,
        m: &mut M,
        memory: &mut Memory,
        id: u64,
        record: u32,
    ) -> Result<(), NoMemory> {
        let Memory { frames, nodes } = memory;
        if self.root.is_none() {
            self.root = nodes.alloc(m, frames, &Node::EMPTY)?;
            self.levels = (1..)
                .find(|&levels| covers(levels, id))
                .unwrap_or(MOST_LEVELS);
        }
        while !covers(self.levels, id) {
            // The old root holds the smallest ids of the new one.
            self.root = nodes.alloc(m, frames, &Node([self.root.0, 0, 0, 0, 0, 0, 0, 0]))?;
            self.levels += 1;
        }
        let mut node = self.root;
        for level in (1..self.levels).rev() {
            let mut child = nodes::read(m, node).0[slot(id, level)];
            if child == 0 {
                child = nodes.alloc(m, frames, &Node::EMPTY)?.0;
                nodes::write(m, node).0[slot(id, level)] = child;
            }
            node = NodeId(child);
        }
        nodes::write(m, node).0[slot(id, 0)] = record;
        Ok(())
    }

    /// Takes an id out, and the nodes that held nothing else; returns its record.
    pub fn take<M: Machine>(&mut self, m: &mut M, memory: &mut Memory, id: u64) -> Option<u32> {
        if !covers(self.levels, id) {
            return None;
        }
        // By level.
        let mut path = [NodeId::NONE; MOST_LEVELS as usize];
        let mut entry = self.root.0;
        for level in (0..self.levels).rev() {
            if entry == 0 {
                return None;
            }
            path[level as usize] = NodeId(entry);
            entry = nodes::read(m, NodeId(entry)).0[slot(id, level)];
        }
        if entry == 0 {
            return None;
        }
        let Memory { frames, nodes } = memory;
        for level in 0..self.levels {
            let node = path[level as usize];
            let words = &mut nodes::write(m, node).0;
            words[slot(id, level)] = 0;
            if words.iter().fold(0, |any, entry| any | entry) != 0 {
                return Some(entry);
            }
            nodes.release(m, frames, node);
        }
        *self = Self::new();
        Some(entry)
    }

    /// The smallest id that is not below `from`.
    pub fn next<M: Machine>(&self, m: &M, from: u64) -> Option<u64> {
        if !covers(self.levels, from) {
            return None;
        }
        first_below(m, self.root, self.levels, from)
    }

    /// The largest id.
    pub fn last<M: Machine>(&self, m: &M) -> Option<u64> {
        let mut id = 0;
        let mut node = self.root;
        for _ in 0..self.levels {
            let words = &nodes::read(m, node).0;
            let i = words.iter().rposition(|&entry| entry != 0)?;
            id = id << FANOUT_BITS | i as u64;
            node = NodeId(words[i]);
        }
        (self.levels != 0).then_some(id)
    }
}

fn first_below<M: Machine>(m: &M, node: NodeId, levels: u32, from: u64) -> Option<u64> {
    if levels == 0 {
        return None;
    }
    let level = levels - 1;
    let words = &nodes::read(m, node).0;
    let start = slot(from, level);
    let rest = from & !(u64::MAX << (FANOUT_BITS * level));
    (start..FANOUT).filter(|&i| words[i] != 0).find_map(|i| {
        let below = match level {
            0 => 0,
            _ => first_below(
                m,
                NodeId(words[i]),
                level,
                if i == start { rest } else { 0 },
            )?,
        };
        Some((i as u64) << (FANOUT_BITS * level) | below)
    })
}
