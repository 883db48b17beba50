//! Who reads memory around the caches beside those that store through them: table walks, and vCPUs whose caches are off.

use super::super::hardware::guest;
use super::op::Op;
use super::*;
use crate::fake::worst::Luck;

impl World<'_> {
    /// What it stored there is to be read around the caches: its own maintenance.
    fn clean(&mut self, core: usize, va: u64) {
        let at = self.access(core, va, Access::Load, |worst| {
            worst.translate(core, va, Access::Load)
        });
        self.guest_does(core, Instruction::Dc(Cache::CleanAndInvalidate, at));
        self.dsb(core);
    }

    /// A vCPU maps one more page, if it has none there, and uses it.
    pub(super) fn map(&mut self, core: usize, slot: usize, page: usize) {
        let loaded = self.loaded[core].as_ref().unwrap();
        let (vm, vcpu) = (loaded.vm, loaded.vcpu);
        let mapped = self.models[vm].now.maps.get(&(vcpu, slot)).copied();
        let page = mapped.unwrap_or(PAGES[page]);
        if mapped.is_none() {
            self.models[vm].now.maps.insert((vcpu, slot), page);
            let entry = (TABLE_SLOT * PAGE_SIZE as usize + slot * 8) as u64;
            self.store_at(core, entry, page | 1);
            self.clean(core, entry);
        }
        self.expect(core, slot as u64 * PAGE_SIZE, page);
    }

    /// A load, of what the model has there.
    pub(super) fn expect(&mut self, core: usize, va: u64, ipa: u64) {
        let by = self.by(core);
        let value = self.access(core, va, Access::Load, |worst| worst.load(core, va, by));
        let vm = self.loaded[core].as_ref().unwrap().vm;
        let expected = self.models[vm].now.words.get(&ipa).copied().unwrap_or(0);
        assert_eq!(value, expected, "{ipa:#x}");
    }

    /// One with its caches on stores for those that have theirs off; they read it.
    pub(super) fn mail(&mut self, core: usize, word: u64, stamp: u64) {
        if self.by(core) == By::Around {
            return self.expect(core, MAIL + word, MAIL + word);
        }
        let va = MAIL_SLOT as u64 * PAGE_SIZE + word;
        self.store_at(core, va, stamp);
        self.clean(core, va);
        let vm = self.loaded[core].as_ref().unwrap().vm;
        self.models[vm].now.words.insert(MAIL + word, stamp);
        self.forget_the_freed(core);
    }

    /// What a vCPU beside the first does with its caches off, of what needs them on. Returns whether it was that.
    pub(super) fn step_around(&mut self, core: usize, op: Op, stamp: u64) -> bool {
        let loaded = self.loaded[core].as_ref().unwrap();
        let (vm, page) = (loaded.vm, off_page(loaded.vcpu));
        match op {
            Op::Store { word, .. } => {
                self.store_at(core, page + word, stamp);
                self.models[vm].now.words.insert(page + word, stamp);
                self.forget_the_freed(core);
            }
            Op::Load { word, .. } => self.expect(core, page + word, page + word),
            Op::Fetch { .. } | Op::On => self.switch_on(core),
            Op::Rounds { .. } => {}
            _ => return false,
        }
        true
    }
}

/// What two cores do, each in its turn, on boards with all kinds of luck: the last one has lines stay where they are.
fn each_board(vcpus: usize, uncached_walks: u8, ops: &[(usize, Op)]) {
    let lucks = (0..12).map(Luck::bad).chain([Luck::GOOD]);
    for (luck, defers) in lucks.flat_map(|luck| [(luck, false), (luck, true)]) {
        let worst = Worst::new(CORES, luck);
        worst.enter(0);
        let window = WINDOW_AT..Pa(WINDOW_AT.0 + WINDOW.bytes);
        FakeBoard::with(&[window], worst.clone()).zero(WINDOW_AT, WINDOW.bytes);
        let share = [share(0, 16)];
        let mut board = FakeBoard::with(&share, worst.clone());
        board.windows.push(WINDOW_AT);
        let vm = Vm::new(&PLANS[0][vcpus - 1], 0, board, &share, |vcpu| vcpu % CORES);
        let vms = [vm.unwrap()];
        if defers {
            defer_beyond(&vms[0], 0);
        }
        let mut world = World::new(&vms, &worst, uncached_walks);
        world.turn(0, 0);
        world.step(0, Op::On, 0);
        for (stamp, (core, op)) in ops.iter().enumerate() {
            world.step(*core, *op, stamp as u64 + 1);
        }
        (0..CORES).for_each(|core| world.save(core));
    }
}

const MAIL_OP: Op = Op::Mail { word: 0 };

/// A guest with Non-cacheable walks changes its table, goes back, and its walks read the table as it was, whatever is in the caches.
#[test]
fn walks_around_the_caches_find_what_came_back() {
    let map = |slot, page| (0, Op::Map { slot, page });
    let mut ops = Vec::from([map(0, 1), (0, Op::Checkpoint)]);
    for round in 0..4 {
        ops.extend([map(1, round), map(2, round + 1), (0, Op::Latest)]);
        ops.extend([map(0, 1), (0, Op::Load { slot: 1, word: 0 })]);
    }
    each_board(1, 1, &ops);
}

/// The same with walks and all else through the caches: from the third round on its table is written back where it is, and no core has a
/// translation by what it was.
#[test]
fn what_was_translated_by_a_table_that_is_written_back_is_forgotten() {
    let store = |slot| (0, Op::Store { slot, word: 0 });
    let mut ops: Vec<_> = (0..PAGES.len()).map(store).collect();
    ops.push((0, Op::Checkpoint));
    for round in 0..8 {
        ops.push((
            0,
            Op::Map {
                slot: 1,
                page: round,
            },
        ));
        ops.push((0, Op::Latest));
    }
    each_board(1, 0, &ops);
}

/// And a page that is executed.
#[test]
fn code_that_is_written_back_is_executed() {
    let (slot, word) = (0, 0);
    let (store, fetch) = ((0, Op::Store { slot, word }), (0, Op::Fetch { slot, word }));
    let mut ops = Vec::from([store, fetch, (0, Op::Checkpoint)]);
    for _ in 0..8 {
        ops.extend([store, fetch, (0, Op::Latest), fetch]);
    }
    each_board(1, 0, &ops);
}

/// A vCPU that has its caches off, beside one that stores and goes back.
#[test]
fn a_vcpu_with_its_caches_off_finds_what_came_back() {
    let mut ops = Vec::from([(0, Op::CpuOn(1)), (1, Op::Turn(0)), (0, MAIL_OP)]);
    ops.extend([(0, Op::Checkpoint), (1, Op::Turn(0)), (1, MAIL_OP)]);
    for _ in 0..4 {
        ops.extend([(0, MAIL_OP), (1, MAIL_OP), (0, Op::Latest)]);
        ops.extend([(1, Op::Turn(0)), (1, MAIL_OP)]);
    }
    each_board(2, 0, &ops);
}

/// One that goes on after the other went back.
#[test]
fn a_vcpu_that_goes_on_finds_what_came_back() {
    let mut ops = Vec::from([(0, MAIL_OP), (0, Op::Checkpoint)]);
    for _ in 0..4 {
        ops.extend([(0, MAIL_OP), (0, Op::Latest), (0, Op::CpuOn(1))]);
        ops.extend([(1, Op::Turn(0)), (1, MAIL_OP), (0, MAIL_OP), (1, MAIL_OP)]);
    }
    each_board(2, 0, &ops);
}

/// A guest switches its caches off behind a loop by set and way: what it stored to its window is in memory.
#[test]
fn what_was_stored_to_a_window_is_there_with_the_caches_off() {
    for word in [0, 0xfc0] {
        each_board(
            1,
            0,
            &[
                (0, Op::StoreWindow { word }),
                (0, Op::Off),
                (0, Op::LoadWindow { word }),
            ],
        );
    }
}

/// A guest with its caches off goes on storing to a page that it keeps: EL2's copy has left no line of it that would be old then. As no line comes
/// by itself on this board, that is all there is to see.
#[test]
fn a_copy_around_the_caches_leaves_no_line_of_what_is_kept() {
    let mut vm = guest(false);
    vm.store(DATA, 20);
    let worst = vm.core.worst.clone().unwrap();
    for at in [DATA, DATA + 64, DATA + PAGE_SIZE - 64] {
        worst.store(0, at, at, By::Around).unwrap();
        assert_eq!(worst.load(0, at, By::Cache), Ok(at), "{at:#x}");
    }
}

#[test]
fn what_was_stored_to_a_window_before_a_reset_is_there_with_the_caches_off() {
    for word in [8, 0xfc0] {
        each_board(
            1,
            0,
            &[
                (0, Op::On),
                (0, Op::StoreWindow { word }),
                (0, Op::Reset),
                (0, Op::Turn(0)),
                (0, Op::LoadWindow { word }),
            ],
        );
    }
}

#[test]
fn what_was_stored_to_a_window_before_a_restore_is_there_with_the_caches_off() {
    for word in [0, 0xfc0] {
        each_board(
            1,
            0,
            &[
                (0, Op::Checkpoint),
                (0, Op::On),
                (0, Op::StoreWindow { word }),
                (0, Op::Restore(0)),
                (0, Op::LoadWindow { word }),
            ],
        );
    }
}
