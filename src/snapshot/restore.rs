//! A restore: the dirty pages are taken back, and stage 2 changes where the base and the snapshot's map differ.

use super::frames::Frame;
use super::layout::NodeId;
use super::nodes;
use super::seam::{Machine, State};
use super::{NotFound, Snapshots, Which};

impl Snapshots {
    /// Takes the VM back to a snapshot; returns its id. Needs no memory. A refused id changes nothing.
    pub fn restore<M: Machine>(
        &mut self,
        m: &mut M,
        state: &mut impl State,
        which: Which,
    ) -> Result<u64, NotFound> {
        let id = match which {
            Which::Id(id) => id,
            Which::Latest => self.newest.ok_or(NotFound)?,
        };
        let (place, record) = self.find(m, id)?;
        m.begin_remap();
        self.rebase(m, record.root);
        let size = self.pools.state;
        // The time is set once, before any vCPU is loaded whose timers are compared with it.
        state.set_moment(record.taken);
        state.load(0, &m.bookkeeping(place.frame)[place.state(size)]);
        for part in 1..size.parts {
            let nodes = &m.bookkeeping(record.more[part - 1])[..size.nodes];
            state.load(part, nodes);
        }
        m.end_remap();
        self.present = record.present;
        self.current = Some(id);
        self.generation += 1;
        Ok(id)
    }

    /// Takes the VM's RAM back to what it was in the beginning: all of it absent. Its snapshots stay.
    pub fn reset<M: Machine>(&mut self, m: &mut M) {
        m.begin_remap();
        self.rebase(m, NodeId::NONE);
        m.end_remap();
        self.present = 0;
        self.current = None;
    }

    /// Takes the dirty list back, then goes from the base to the map `root`.
    fn rebase<M: Machine>(&mut self, m: &mut M, root: NodeId) {
        for entry in &self.dirty {
            let base = Frame::from_entry(entry.base);
            match (entry.is_block(), entry.is_folded()) {
                (true, folded) => {
                    m.set_block(entry.page(), base);
                    if !folded {
                        self.memory.frames.release_block(Frame(entry.private));
                    }
                }
                (false, folded) => {
                    m.set_page(entry.page(), base);
                    if !folded {
                        self.memory.frames.release(Frame(entry.private));
                    }
                }
            }
        }
        self.dirty.clear();
        (self.superseding, self.added) = (0, 0);
        if root != self.base {
            self.memory.remap(m, self.base, root, self.level, 0);
            if !root.is_none() {
                nodes::hold(m, root);
            }
            self.memory.drop_map(m, self.base, self.level);
            self.base = root;
        }
    }
}
