//! A restore: the dirty pages are taken back, and stage 2 changes where the base and the snapshot's map differ.

use super::backend::{Backend, SaveState};
use super::frames::Frame;
use super::layout::NodeId;
use super::nodes;
use super::{NotFound, Snapshots, Which};

impl Snapshots {
    /// Takes the VM back to a snapshot; returns its id. Needs no memory. Fails if there is no such snapshot, and changes nothing then. The VM
    /// must be stopped.
    pub fn restore<B: Backend>(
        &mut self,
        b: &mut B,
        state: &mut impl SaveState,
        which: Which,
    ) -> Result<u64, NotFound> {
        let id = match which {
            Which::Id(id) => id,
            Which::Latest => self.newest.ok_or(NotFound)?,
        };
        let (addr, record) = self.find(b, id)?;
        b.begin_remap();
        self.switch_base(b, record.root);
        let size = self.pools.state;
        // The time is set once, before any vCPU is loaded: timers of vCPUs are compared with it.
        state.set_moment(record.taken);
        state.load(0, &b.bookkeeping(addr.frame)[addr.state_nodes(size)]);
        for part in 1..size.parts {
            let nodes = &b.bookkeeping(record.part_frames[part - 1])[..size.nodes];
            state.load(part, nodes);
        }
        b.end_remap();
        self.present = record.present;
        self.current = Some(id);
        self.generation += 1;
        Ok(id)
    }

    /// Takes the VM's RAM back to its first state: all of it absent. The snapshots stay. The VM must be stopped.
    pub fn reset_ram<B: Backend>(&mut self, b: &mut B) {
        b.begin_remap();
        self.switch_base(b, NodeId::NONE);
        b.end_remap();
        self.present = 0;
        self.current = None;
    }

    /// Drops all dirty pages, and makes the map `root` the base. Stage 2, which is detached, shows it then.
    fn switch_base<B: Backend>(&mut self, b: &mut B, root: NodeId) {
        for entry in &self.dirty {
            let base = Frame::from_entry(entry.base);
            match (entry.is_block(), entry.is_folded()) {
                (true, folded) => {
                    b.set_block(entry.page(), base);
                    if !folded {
                        self.memory.frames.free_block(Frame(entry.private));
                    }
                }
                (false, folded) => {
                    b.set_page(entry.page(), base);
                    if !folded {
                        self.memory.frames.free(Frame(entry.private));
                    }
                }
            }
        }
        self.dirty.clear();
        (self.superseding, self.added) = (0, 0);
        if root != self.base {
            self.memory.remap(b, self.base, root, self.level, 0);
            if !root.is_none() {
                nodes::hold(b, root);
            }
            self.memory.unhold_map(b, self.base, self.level);
            self.base = root;
        }
    }
}
