//! Random histories against a naive model: all that the guest sees, as a copy for each snapshot.

use super::guest::*;
use crate::addr::BLOCK_SIZE;
use crate::config::{Accounting, PoolPlan, VmConfig};
use crate::fake::{performed, seeds};
use crate::vm::ExitAction;
use std::collections::BTreeMap;
use std::vec::Vec;

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

/// Pages that the history plays on: some close to each other, some in every block, none that was loaded.
fn pages() -> Vec<u64> {
    let near = (0..40).map(|i| DATA + i * 0x1000);
    let far =
        (0..4).flat_map(|block| [0x3_0000, 0x1f_f000].map(|at| RAM + block * BLOCK_SIZE + at));
    near.chain(far).collect()
}

#[derive(Clone)]
struct Kept {
    memory: BTreeMap<u64, u8>,
    state: State,
    returns_results: bool,
}

struct History {
    guest: Guest,
    random: Random,
    pages: Vec<u64>,
    memory: BTreeMap<u64, u8>,
    snapshots: BTreeMap<u64, Kept>,
    generation: u64,
}

impl History {
    fn new(plan: VmConfig, blocks: u64, seed: u64) -> Self {
        Self {
            guest: Guest::start(plan, share(0, blocks)).unwrap(),
            random: Random(seed),
            pages: pages(),
            memory: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            generation: 0,
        }
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..=44 => self.store(),
            45..=64 => self.check_a_page(),
            65..=69 => {
                let seed = self.random.next();
                self.guest.scramble(seed);
            }
            70..=83 => self.checkpoint(),
            84..=94 => self.restore(),
            95..=98 => self.delete(),
            _ => self.reset(),
        }
        self.forget_what_is_gone();
    }

    fn store(&mut self) {
        for _ in 0..=self.random.below(8) {
            let page = self.random.of(&self.pages);
            let value = self.random.next() as u8;
            self.guest.store(page, value);
            self.memory.insert(page, value);
        }
    }

    fn check_a_page(&mut self) {
        let page = self.random.of(&self.pages);
        let expected = self.memory.get(&page).copied().unwrap_or(0);
        let seen = match self.random.below(2) {
            0 => self.guest.load(page),
            _ => self.guest.fetch(page),
        };
        assert_eq!(seen, expected, "{page:#x}");
    }

    fn check_all_pages(&mut self) {
        for &page in &self.pages {
            let expected = self.memory.get(&page).copied().unwrap_or(0);
            assert_eq!(self.guest.load(page), expected, "{page:#x}");
        }
    }

    fn checkpoint(&mut self) {
        let returns_results = self.random.below(2) == 0;
        let mut state = self.guest.state();
        let before = self.newest();
        if returns_results {
            self.guest.registers().x[0] = CHECKPOINT;
            assert_eq!(self.guest.hvc(0), ExitAction::Resume);
        } else {
            assert_eq!(self.guest.hvc(1), ExitAction::Resume);
        }
        state.registers.pc += 4;
        let id = self.ids().pop().expect("the new one");
        assert!(before.is_none_or(|before| before < id));
        if returns_results {
            [state.registers.x[0], state.registers.x[1]] = [id, 0];
        }
        assert_eq!(self.guest.state(), state);
        let memory = self.memory.clone();
        let kept = Kept {
            memory,
            state,
            returns_results,
        };
        self.snapshots.insert(id, kept);
    }

    fn restore(&mut self) {
        let mut choices: Vec<u64> = self.snapshots.keys().copied().collect();
        choices.extend([LATEST, NOBODY]);
        let id = self.random.of(&choices);
        let target = match id {
            LATEST => self.newest(),
            id => Some(id),
        };
        let value = self.random.below(3);
        let smccc = self.random.below(2) == 0;
        let mut expected = self.guest.state();
        if smccc {
            self.guest.registers().x[..3].copy_from_slice(&[RESTORE, id, value]);
            expected.registers.x[..3].copy_from_slice(&[NOT_FOUND, id, value]);
            assert_eq!(self.guest.hvc(0), ExitAction::Resume);
        } else {
            self.guest.registers().x[0] = id;
            expected.registers.x[0] = id;
            assert_eq!(self.guest.hvc(2), ExitAction::Resume);
        }
        expected.registers.pc += 4;
        if let Some(kept) = target.and_then(|id| self.snapshots.get(&id)) {
            expected = kept.state.clone();
            self.memory = kept.memory.clone();
            if kept.returns_results {
                expected.registers.x[1] = if smccc { value.max(1) } else { 1 };
            }
            self.generation += 1;
        }
        assert_eq!(self.guest.state(), expected);
        self.check_all_pages();
    }

    fn delete(&mut self) {
        let mut choices: Vec<u64> = self.snapshots.keys().copied().collect();
        choices.push(NOBODY);
        let id = self.random.of(&choices);
        let expected = match self.snapshots.remove(&id) {
            Some(_) => 0,
            None => NOT_FOUND,
        };
        assert_eq!(self.guest.smccc(DELETE, &[id])[0], expected);
    }

    fn reset(&mut self) {
        self.guest.reset();
        self.memory.clear();
        self.check_all_pages();
        assert_eq!(self.guest.bytes(RAM + 0x8_0000, IMAGE.len()), IMAGE);
    }

    /// All ids that the VM has; asking changes no register in the end.
    fn ids(&mut self) -> Vec<u64> {
        let registers = *self.guest.registers();
        let mut ids = Vec::new();
        let mut from = 0;
        loop {
            let [id, ..] = self.guest.smccc(NEXT, &[from]);
            if id == NOT_FOUND {
                break;
            }
            assert!(id >= from);
            ids.push(id);
            from = id + 1;
        }
        *self.guest.registers() = registers;
        ids
    }

    fn newest(&self) -> Option<u64> {
        self.snapshots.keys().next_back().copied()
    }

    /// Old pools may have been freed; never one that is not older than all that are left.
    fn forget_what_is_gone(&mut self) {
        let ids = self.ids();
        let first = ids.first().copied().unwrap_or(u64::MAX);
        self.snapshots.retain(|&id, _| id >= first);
        assert!(self.snapshots.keys().copied().eq(ids));
    }

    fn play(mut self, steps: u64) {
        for _ in 0..steps {
            self.step();
        }
        let ids: Vec<u64> = self.snapshots.keys().copied().collect();
        for id in ids {
            let Some(kept) = self.snapshots.get(&id) else {
                continue;
            };
            self.memory = kept.memory.clone();
            self.guest.restore(id, 1);
            self.generation += 1;
            self.check_all_pages();
            self.forget_what_is_gone();
        }
        assert_eq!(self.guest.smccc(GENERATION, &[])[0], self.generation);
    }
}

fn play(capacity: u32, accounting: Accounting, blocks: u64) {
    for seed in seeds(0..8) {
        performed("vm::tests::history", 1500);
        let pools = PoolPlan {
            capacity,
            accounting,
        };
        History::new(VmConfig { pools, ..PLAN }, blocks, seed).play(1500);
    }
}

#[test]
fn with_room_for_two_pools() {
    play(3, Accounting::Reserved, 32);
}

#[test]
fn with_no_more_than_one_snapshot() {
    play(1, Accounting::Reserved, 9);
}

#[test]
fn on_demand_with_plenty() {
    play(2, Accounting::OnDemand, 64);
}

#[test]
fn on_demand_with_as_little_as_it_starts_with() {
    play(4, Accounting::OnDemand, 5);
}
