//! The audit of the tests: what the VM reads is right, and each frame and node has exactly the holders that can be found.

use super::pair::{Guest, Pair};
use crate::addr::BLOCK_PAGES;
use crate::snapshot::frames::Frame;
use crate::snapshot::layout::{FANOUT_BITS, NodeId};
use crate::snapshot::map::FrameStore;
use crate::snapshot::nodes;
use crate::snapshot::record::{Pool, Record, RecordAddr};
use std::collections::{HashMap, HashSet};

impl<M: Guest> Pair<M> {
    /// Contents are equal, and every frame has exactly the holders that can be found.
    pub(super) fn audit(&mut self) {
        self.settled_stats();
        let pages = self.s.pages();
        let used = |block: &u32| self.m.is_mapped(*block) || self.ram.is_used(*block);
        // What these hold is not known yet.
        let owed: HashSet<u32> = (self.s.owed.clone())
            .map(|place| self.s.dirty[place].page)
            .collect();
        for block in (0..pages.div_ceil(BLOCK_PAGES)).filter(used) {
            for page in (block * BLOCK_PAGES..pages).take(BLOCK_PAGES as usize) {
                if owed.contains(&page) {
                    continue;
                }
                let value = match self.m.load(page) {
                    None => self.deferred(page),
                    value => value,
                };
                if let Some(value) = value {
                    assert_eq!(value, self.ram.get(page), "page {page}");
                }
            }
        }
        let mut audit = Audit::default();
        for id in self.ids() {
            let addr = RecordAddr::from_entry(self.s.index.get(self.m.backend(), id).unwrap());
            *audit.frames.entry(addr.frame.0).or_default() += 1;
            let record = Record::read(self.m.backend(), addr);
            *audit.snapshots.entry(record.pool.0).or_default() += 1;
            for frame in &record.part_frames[..self.s.pools.state.parts - 1] {
                assert!(audit.frames.insert(frame.0, 1).is_none());
            }
            audit.map(self, record.root, self.s.level);
        }
        audit.map(self, self.s.base, self.s.level);
        self.audit_way_back();
        audit.dirty(self);
        audit.pools(self);
        audit.check(self);
    }

    /// If a snapshot has the map that the way back leads to, it is the base's but for the pages of the way.
    fn audit_way_back(&self) {
        let (b, s) = (self.m.backend(), &self.s);
        let roots = self.ids().into_iter().map(|id| s.index.get(b, id).unwrap());
        let mut roots = roots.map(|entry| Record::read(b, RecordAddr::from_entry(entry)).root);
        let Some(before) = roots.find(|&root| s.way_back.leads(s.base, root)) else {
            return;
        };
        let mut replaced = HashMap::new();
        for &(page, old) in s.way_back.pages() {
            replaced.entry(page).or_insert(old);
        }
        for page in 0..s.pages() {
            let [was, is] = [before, s.base].map(|root| {
                let frame = s.memory.frame_of(b, root, s.level, page);
                frame.map_or(0, |frame| frame.0)
            });
            assert_eq!(was, *replaced.get(&page).unwrap_or(&is), "page {page}");
        }
    }

    /// What `page` holds, which stage 2 does not map; nothing, if only an access would tell.
    fn deferred(&self, page: u32) -> Option<u64> {
        match self.s.frame_in_base(self.m.backend(), page) {
            None => Some(0),
            Some(frame) => self.m.contents(frame),
        }
    }
}

#[derive(Default)]
struct Audit {
    /// Holders found of each frame.
    frames: HashMap<u32, u32>,
    nodes: HashMap<u32, u32>,
    /// Snapshots found of each pool.
    snapshots: HashMap<u32, u32>,
}

impl Audit {
    fn map(&mut self, pair: &Pair<impl Guest>, node: NodeId, level: u32) {
        if node.is_none() {
            return;
        }
        let seen = self.nodes.entry(node.0).or_default();
        *seen += 1;
        if *seen > 1 {
            return;
        }
        let words = nodes::read(pair.m.backend(), node).0;
        let span = 1 << (FANOUT_BITS * (level + 1));
        if words[0] == 1 {
            let first = words[1];
            for frame in first..first + span {
                assert!(
                    self.frames.insert(frame, 0).is_none(),
                    "frame {frame} is in a run and elsewhere"
                );
            }
            return;
        }
        for entry in words.into_iter().filter(|&entry| entry != 0) {
            match level {
                0 => *self.frames.entry(entry).or_default() += 1,
                _ => self.map(pair, NodeId(entry), level - 1),
            }
        }
    }

    fn dirty(&mut self, pair: &Pair<impl Guest>) {
        let mut seen = HashSet::new();
        for entry in &pair.s.dirty {
            assert!(
                seen.insert(entry.page()),
                "page {} twice on the list",
                entry.page()
            );
            let frames = entry.private_frames();
            let base =
                pair.s
                    .memory
                    .frame_of(pair.m.backend(), pair.s.base, pair.s.level, entry.page());
            assert_eq!(base.map_or(0, |frame| frame.0), entry.base);
            if !entry.is_folded() {
                for frame in frames.clone() {
                    let holders = u32::from(frames.len() == 1);
                    assert!(
                        self.frames.insert(frame, holders).is_none(),
                        "private frame {frame} is held elsewhere"
                    );
                }
            }
        }
    }

    /// From the oldest pool to the newest, and none that is empty.
    fn pools(&self, pair: &Pair<impl Guest>) {
        let pools = &pair.s.pools;
        let (mut last, mut next, mut count) = (NodeId::NONE, pools.oldest, 0);
        while !next.is_none() {
            let pool = Pool::read(pair.m.backend(), next);
            assert_eq!(pool.older, last);
            assert_eq!(self.snapshots.get(&next.0), Some(&pool.live));
            (last, next, count) = (next, pool.newer, count + 1);
        }
        assert_eq!((pools.newest, pools.count), (last, count));
    }

    fn check(&self, pair: &Pair<impl Guest>) {
        let FrameStore { frames, nodes, .. } = &pair.s.memory;
        let mut slabs = HashSet::new();
        for (&node, &holders) in &self.nodes {
            assert_eq!(
                nodes::holders(pair.m.backend(), NodeId(node)),
                holders,
                "node {node:#x}"
            );
            slabs.insert(node >> 10);
        }
        for (&frame, &holders) in self.frames.iter().filter(|&(_, &holders)| holders != 0) {
            assert_eq!(frames.holders(Frame(frame)), holders, "frame {frame}");
        }
        assert!(slabs.iter().all(|slab| !self.frames.contains_key(slab)));
        // Slabs hold the index and the pools as well.
        assert!(slabs.len() as u32 <= nodes.slabs());
        let used = self.frames.len() as u32 + nodes.slabs() + pair.s.zeroing_count();
        assert_eq!(
            used,
            frames.total() - frames.free_count(),
            "frames were lost"
        );
        let stats = pair.s.stats();
        assert_eq!(stats.snapshots as usize, pair.kept.len());
        if pair.kept.is_empty() {
            // Then no index and no pools either: a slab without a node of the VM's is none.
            assert!(
                nodes.slabs() as usize <= self.nodes.len(),
                "nodes were lost"
            );
            assert_eq!(
                (stats.kept_pages, stats.pools),
                (0, 0),
                "nothing is kept for snapshots that are gone"
            );
        }
    }
}
