//! The same random histories on the worst board: real tables, the image's own maintenance and copies, guests on several cores.

use super::histories::{FAR, Op, any_plan, far, op, plan_for, step};
use super::pair::{Guest, PAGES, Pair};
use crate::addr::{BLOCK_PAGES, PAGE_SIZE, Pa};
use crate::arch::entry::fixup;
use crate::arch::vcpu::{SystemState, walks};
use crate::fake::worst::{Barrier, By, Domain, Instruction, Luck, Worst, any_luck};
use crate::fake::{FakeBoard, cases, performed};
use crate::snapshot::*;
use crate::stage2::Maintenance;
use crate::vm::{GuestMemory, RAM_BASE};
use proptest::prelude::*;
use std::cell::Cell;
use std::ops::Range;
use std::vec::Vec;

const CORES: usize = 3;
const VMID: u8 = 1;
/// Frame 0.
const FRAMES: u64 = 0x1_0000_0000;

/// A VM's memory on the worst board, with a vCPU on each core.
struct WorstBackend {
    memory: GuestMemory<FakeBoard>,
    worst: Worst,
    /// How its guest reaches memory.
    by: By,
    /// The core that does the next access, and whether it has stored something that others do not see yet.
    core: Cell<usize>,
    stored: Cell<bool>,
    turns: Cell<u64>,
}

impl WorstBackend {
    fn new(pages: u32, share: &[Range<u32>], by: By, luck: Luck) -> Self {
        let worst = Worst::new(CORES, luck);
        let at = |frame: u32| Pa(FRAMES + u64::from(frame) * PAGE_SIZE);
        let share: Vec<_> = share
            .iter()
            .map(|range| at(range.start)..at(range.end))
            .collect();
        worst.enter(0);
        let board = FakeBoard::with(&share, worst.clone());
        let mut machine = Self {
            memory: GuestMemory::new(board, pages, Pa(FRAMES), &[]),
            worst,
            by,
            core: Cell::new(0),
            stored: Cell::new(false),
            turns: Cell::new(luck.seed),
        };
        // In a VM what is loaded ends with one.
        machine.memory.backend.complete_stores();
        machine.go_on();
        machine
    }

    /// Another core's turn, now and then. What goes around the caches is not seen by others before a DSB of the guest's own.
    fn next_core(&self) -> usize {
        let turn = self
            .turns
            .get()
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        self.turns.set(turn);
        let next = (turn >> 40) as usize % (2 * CORES);
        if next < CORES && next != self.core.get() {
            if self.stored.take() && self.by == By::Around {
                let dsb = Instruction::Dsb(Domain::System, Barrier::All);
                self.worst.guest_does(self.core.get(), dsb);
            }
            self.core.set(next);
        }
        self.worst.enter(self.core.get());
        self.core.get()
    }

    /// One of the words of `page`, which all hold the same as far as they are used.
    fn word(&self, page: Page) -> u64 {
        let words = [0, 8, 0x7f8, 0xff8];
        RAM_BASE.0 + u64::from(page) * PAGE_SIZE + words[(self.turns.get() >> 50) as usize % 4]
    }
}

impl Guest for WorstBackend {
    type Backend = GuestMemory<FakeBoard>;

    fn backend(&self) -> &Self::Backend {
        &self.memory
    }

    fn backend_mut(&mut self) -> &mut Self::Backend {
        &mut self.memory
    }

    fn load(&self, page: Page) -> Option<u64> {
        let core = self.next_core();
        self.worst.load(core, self.word(page), self.by).ok()
    }

    fn store(&mut self, page: Page, value: u64) -> bool {
        let core = self.next_core();
        let start = RAM_BASE.0 + u64::from(page) * PAGE_SIZE;
        let stored = [0, 8, 0x7f8, 0xff8]
            .iter()
            .all(|at| self.worst.store(core, start + at, value, self.by).is_ok());
        self.stored.set(true);
        stored
    }

    fn is_mapped(&self, block: u32) -> bool {
        self.memory.mapping(block * BLOCK_PAGES) != Mapping::AbsentBlock
    }

    fn reach(&self) -> Reach {
        match self.by {
            By::Cache => Reach::Cached,
            By::Around => Reach::Around,
        }
    }

    /// As `LoadedVcpu::put` has it.
    fn stop(&mut self) {
        for core in (0..CORES).filter(|&core| core != self.core.get()) {
            self.worst.enter(core);
            fixup::synchronize_errors();
            walks::put_context();
        }
        self.worst.enter(self.core.get());
    }

    /// As `LoadedVcpu::go_on` has it.
    fn end_piece(&mut self) {
        SystemState::reset().load();
    }

    /// As `Vm::load` has it.
    fn go_on(&mut self) {
        for core in 0..CORES {
            self.worst.enter(core);
            walks::load_stage2_context(self.memory.stage2.root(), VMID, core as u32, false);
            SystemState::reset().load();
        }
        self.worst.enter(self.core.get());
    }
}

/// An operation of [`op`], most of them on few pages, which are used again and again: some in one block, some in another.
fn near(op: Op) -> Op {
    const NEAR: [u32; 8] = [
        0,
        1,
        2,
        64,
        BLOCK_PAGES - 1,
        BLOCK_PAGES,
        BLOCK_PAGES + 5,
        PAGES - 1,
    ];
    let near = |page: u32| NEAR[page as usize % NEAR.len()];
    match op {
        Op::Write { page, count } if count < 40 => Op::Write {
            page: near(page),
            count: count % 3 + 1,
        },
        Op::Write { page, .. } => Op::Write { page, count: 100 },
        Op::Read { page } => Op::Read { page: near(page) },
        Op::Rounds { page, rounds } => Op::Rounds {
            page: near(page),
            rounds,
        },
        op => op,
    }
}

proptest! {
    #![proptest_config(cases(300))]

    /// Most of them small, on few pages; some of any size, in places far from each other.
    #[test]
    fn the_worst_board_agrees_with_the_naive_model(
        luck in any_luck(),
        (plan, size) in any_plan(),
        around in any::<bool>(),
        pages in prop_oneof![9 => Just(PAGES), 1 => prop::sample::select(FAR.as_slice())],
        extra in 0..2 * PAGES,
        ops in prop::collection::vec((op(), prop::option::weighted(0.05, 0..12_u32)), 1..100),
    ) {
        let by = if around { By::Around } else { By::Cache };
        let machine = |share: &[Range<u32>]| WorstBackend::new(pages, share, by, luck);
        let mut vm = Pair::on(machine, pages, plan_for(plan, pages), size, extra);
        let mut next_id = 0;
        performed("snapshot::tests::worst", ops.len());
        for (stamp, (op, left)) in ops.into_iter().enumerate() {
            if let Some(left) = left {
                vm.steal(left);
            }
            let op = if pages == PAGES { near(op) } else { far(op, pages) };
            step(&mut vm, &op, &mut next_id, stamp as u64 + 1);
            vm.give_back();
            if stamp % 32 == 31 {
                vm.audit();
            }
        }
        vm.audit();
    }
}
