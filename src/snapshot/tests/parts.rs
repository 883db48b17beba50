//! The parts of the bookkeeping, each by itself: nodes, ids, saved states, and the least share.

use super::model::ModelBackend;
use super::pair::{PAGES, Pair, SIZES, SMALL, plan};
use crate::addr::BLOCK_PAGES;
use crate::config::Accounting;
use crate::snapshot::nodes::{NODES_PER_SLAB, Nodes};
use crate::snapshot::*;
use core::slice;
use layout::FANOUT;
use std::collections::BTreeSet;
use std::vec::Vec;

/// Nodes in a share of so many frames.
struct Slabs {
    m: ModelBackend,
    frames: Frames,
    nodes: Nodes,
}

impl Slabs {
    fn new(frames: u32) -> Self {
        Self {
            m: ModelBackend::new(BLOCK_PAGES, frames + 2),
            frames: Frames::new(slice::from_ref(&(2..frames + 2))),
            nodes: Nodes::new(),
        }
    }

    fn alloc(&mut self, word: u32) -> Result<NodeId, NoMemory> {
        let node = Node([word; FANOUT]);
        self.nodes.alloc(&mut self.m, &mut self.frames, &node)
    }

    /// As many as there is room for, up to `most`.
    fn alloc_rest(&mut self, most: u32) -> Vec<NodeId> {
        let rest = core::iter::from_fn(|| self.alloc(0).ok());
        rest.take(most as usize).collect()
    }

    fn alloc_all(&mut self, words: [u32; FANOUT]) -> Result<[u32; FANOUT], NoMemory> {
        self.nodes
            .alloc_all(&mut self.m, &mut self.frames, |i| Node([words[i]; FANOUT]))
    }

    fn free(&mut self, id: NodeId) {
        self.nodes.free(&mut self.m, &mut self.frames, id);
    }
}

#[test]
fn a_slab_is_used_again_before_there_is_another() {
    let mut slabs = Slabs::new(2);
    let mut ids: Vec<_> = (0..NODES_PER_SLAB)
        .map(|i| slabs.alloc(i).unwrap())
        .collect();
    assert_eq!(slabs.nodes.slabs(), 1);
    // The slab is full; then a node of it is free.
    slabs.free(ids[5]);
    assert_eq!(slabs.alloc(5), Ok(ids[5]));
    ids.push(slabs.alloc(NODES_PER_SLAB).unwrap());
    assert_eq!(slabs.nodes.slabs(), 2);
    for (word, &id) in ids.iter().enumerate() {
        assert_eq!(nodes::read(&slabs.m, id).0, [word as u32; FANOUT]);
        assert_eq!(nodes::holders(&slabs.m, id), 1);
    }
    // Nodes of both go, in turn; the last one of a slab takes the slab along.
    slabs.free(ids[5]);
    slabs.free(ids.pop().unwrap());
    assert_eq!(slabs.nodes.slabs(), 1);
    ids.remove(5);
    ids.into_iter().for_each(|id| slabs.free(id));
    assert_eq!((slabs.nodes.slabs(), slabs.frames.free_count()), (0, 2));
}

/// However many nodes there are already: a node's children are eight nodes that nobody has, or none if memory has no room for all of them.
#[test]
fn children_come_all_or_not_at_all() {
    let all = 2 * NODES_PER_SLAB;
    for taken in 0..=all {
        let mut slabs = Slabs::new(2);
        let mut ids: Vec<_> = (0..taken).map(|_| slabs.alloc(7).unwrap()).collect();
        let words = [1, 2, 3, 4, 5, 6, 7, 8];
        slabs.m.looks.set(0);
        let children = slabs.alloc_all(words);
        if taken % NODES_PER_SLAB == 1 {
            assert_eq!(slabs.m.looks.get(), 1, "in a row they come at once");
        }
        assert_eq!(
            children.is_ok(),
            taken + FANOUT as u32 <= all,
            "{taken} of {all}"
        );
        ids.extend(children.iter().flatten().map(|&id| NodeId(id)));
        ids.extend(slabs.alloc_rest(all));
        assert_eq!(ids.len() as u32, all, "{taken}");
        assert_eq!(
            ids.iter().map(|id| id.0).collect::<BTreeSet<_>>().len(),
            ids.len(),
            "{taken}: one was given twice"
        );
        for (id, word) in children.into_iter().flatten().zip(words) {
            assert_eq!(nodes::read(&slabs.m, NodeId(id)).0, [word; FANOUT]);
            assert_eq!(nodes::holders(&slabs.m, NodeId(id)), 1);
        }
    }
}

/// Four slabs are filled and become empty again, in an order of their own each time.
#[test]
fn nodes_come_and_go_in_any_order() {
    let mut slabs = Slabs::new(5);
    let mut live: Vec<(NodeId, u32)> = Vec::new();
    for step in 0..3200_u32 {
        if step / 400 % 2 == 0 {
            live.push((slabs.alloc(step).unwrap(), step));
        } else {
            let (id, word) = live.swap_remove(step as usize * 7919 % live.len());
            assert_eq!(nodes::read(&slabs.m, id).0, [word; FANOUT]);
            slabs.free(id);
        }
        if step % 50 == 0 {
            let different: BTreeSet<_> = live.iter().map(|(id, _)| id.0).collect();
            assert_eq!(different.len(), live.len(), "step {step}");
            assert_eq!(slabs.nodes.slabs() + slabs.frames.free_count(), 5);
        }
    }
    assert_eq!((live.len(), slabs.nodes.slabs()), (0, 0));
}

/// The places of #2 to #5, two in each of two frames, have no bit that only one or three of them have.
#[test]
fn an_id_goes_without_its_neighbours() {
    let mut vm = Pair::new(plan(Accounting::OnDemand, 8), 3000);
    for id in 0..6 {
        vm.checkpoint(id).unwrap();
    }
    for id in 0..5 {
        vm.delete(id);
        assert!(vm.ids().into_iter().eq(id + 1..6));
    }
}

/// What the VM may still need for its own RAM is not free for snapshots, nor what a pool is promised.
#[test]
fn what_is_promised_is_not_free() {
    for (accounting, left) in [(Accounting::OnDemand, 1000), (Accounting::Reserved, 1000)] {
        let plan = plan(accounting, 1);
        let mut vm = Pair::new(plan, left);
        let free = |vm: &mut Pair| vm.settled_stats().free_pages;
        let whole = vm.s.memory.frames.total();
        let first = free(&mut vm);
        vm.write(0, 1);
        vm.read(BLOCK_PAGES);
        assert_eq!(free(&mut vm), first, "it is the VM's own");
        match accounting {
            Accounting::OnDemand => assert_eq!(first, whole - PAGES),
            Accounting::Reserved => assert!((left + PAGES..whole - PAGES).contains(&first)),
        }
        vm.checkpoint(0).unwrap();
        match accounting {
            // A slab, and the frame of the state.
            Accounting::OnDemand => assert_eq!(free(&mut vm), first - 2),
            Accounting::Reserved => assert_eq!(free(&mut vm), left),
        }
    }
}

#[test]
fn ids_may_lie_far_apart() {
    let mut vm = Pair::new(plan(Accounting::OnDemand, 3), 3000);
    let ids = [0, 7, 8, 63, 64, 1 << 20, u64::MAX - 1];
    for id in ids {
        vm.write(7, id);
        vm.checkpoint(id).unwrap();
    }
    assert_eq!(vm.ids(), ids);
    for id in [1, 9, 512, 1 << 40] {
        assert_eq!(vm.s.info(&mut vm.m, id), Err(NotFound));
    }
    for id in [64, u64::MAX - 1, 0] {
        vm.delete(id);
    }
    assert_eq!(vm.ids(), [7, 8, 63, 1 << 20]);
    vm.restore(Which::Latest);
    assert_eq!(vm.s.current(), Some(1 << 20));
    vm.audit();
}

#[test]
fn first_parts_of_states_share_a_frame_as_far_as_they_fit() {
    // A record and a state of 50 or of 62 nodes fit twice in a frame's 128 nodes, those of 40 three times.
    for (size, in_a_frame) in SIZES.into_iter().zip([2, 2, 1, 3, 1]) {
        let mut vm = Pair::with_state(PAGES, plan(Accounting::OnDemand, 6), size, PAGES);
        for id in 0..6 {
            vm.state.value = 100 + id as u32;
            vm.checkpoint(id).unwrap();
        }
        (0..6).for_each(|id| vm.restore(Which::Id(id)));
        let others = 6 * (size.parts as u32 - 1);
        assert_eq!(vm.s.pools.state_frames, 6 / in_a_frame + others, "{size:?}");
        vm.audit();
    }
}

#[test]
fn a_frame_of_states_that_has_gone_is_not_used_again() {
    let mut vm = Pair::new(plan(Accounting::OnDemand, 8), 3000);
    // Two in one frame, and one in another, which goes with it.
    for id in 0..3 {
        vm.checkpoint(id).unwrap();
    }
    vm.delete(2);
    vm.checkpoint(3).unwrap();
    vm.audit();
    // In the first frame no place is left: the second goes on to be used.
    vm.delete(0);
    vm.delete(1);
    vm.checkpoint(4).unwrap();
    vm.audit();
    assert_eq!(vm.s.pools.state_frames, 1);
}

#[test]
fn a_map_is_as_high_as_its_pages_need() {
    for (pages, level) in [
        (1, 2),
        (512, 2),
        (513, 3),
        (4096, 3),
        (4097, 4),
        (1 << 18, 5),
    ] {
        assert_eq!(map::root_level(pages), level, "{pages} pages");
    }
}

/// What a VM of one block must have at the least, counted by hand.
#[test]
fn the_least_share_is_ram_nodes_states_and_what_a_checkpoint_takes() {
    // For the VM and each snapshot a map of 64 leaves, 8 nodes above them and a root, 22 levels of ids twice, and a pool: 118 nodes.
    // 112 nodes are a slab.
    let slabs = |maps: u64| (118 * maps).div_ceil(112);
    let ram = |maps: u64| 512 * maps;
    let large = StateSize {
        nodes: StateSize::NODES_MAX,
        parts: 4,
    };
    // A checkpoint's commit takes the parts of a state, a slab, and leaves a fold two frames.
    let expected = [
        (Accounting::Reserved, 2, SMALL, ram(3) + slabs(3) + 1 + 4),
        (Accounting::Reserved, 3, SMALL, ram(4) + slabs(4) + 2 + 4),
        (Accounting::Reserved, 2, large, ram(3) + slabs(3) + 8 + 7),
        // The VM alone, each of the 73 nodes of its map in another slab, and a snapshot's state.
        (Accounting::OnDemand, 2, SMALL, ram(1) + 73 + 4 + 1),
        (Accounting::OnDemand, 2, large, ram(1) + 73 + 7 + 4),
    ];
    for (accounting, capacity, size, frames) in expected {
        let plan = plan(accounting, capacity);
        assert_eq!(
            min_frames(BLOCK_PAGES, plan, size),
            frames,
            "{plan:?}, {size:?}"
        );
    }
}
