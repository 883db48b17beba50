//! Each change of a table by itself, on the worst board: two guests' cores go on meanwhile.

use crate::addr::Va;
use crate::arch::vcpu::{SystemState, walks};
use crate::fake::FakeBoard;
use crate::fake::worst::{Access, By, Luck, Worst};
use crate::snapshot::PageEntries;
use crate::stage2::*;
use crate::vm::VmBackend;

const CORES: usize = 2;
const RAM: Ipa = Ipa(0x4000_0000);
const FRAMES: Pa = Pa(0x8000_0000);
/// Its page, whose frame holds the frame's address, and a neighbour.
const PAGE: Page = 5;
const BESIDE: Page = 6;

struct Kit {
    stage2: Stage2,
    board: FakeBoard,
    worst: Worst,
}

impl Kit {
    /// Both pages are mapped read-only, to frames 100 and 101.
    fn new(luck: Luck) -> Self {
        let worst = Worst::new(CORES, luck);
        worst.enter(0);
        let share = FRAMES..Pa(FRAMES.0 + 8 * BLOCK_SIZE);
        let mut kit = Self {
            stage2: Stage2::new(RAM, 3 * BLOCK_PAGES, FRAMES),
            board: FakeBoard::with(&[share], worst.clone()),
            worst,
        };
        kit.stage2.begin_remap(&mut kit.board);
        kit.stage2.divide(PAGE);
        for (page, frame) in [(PAGE, Frame(100)), (BESIDE, Frame(101))] {
            kit.fill(frame);
            kit.stage2.set_page(page, Some(frame));
        }
        kit.stage2.end_remap(&mut kit.board);
        for core in 0..CORES {
            kit.worst.enter(core);
            walks::load_stage2_context(kit.stage2.root(), 1, core as u32, false);
        }
        kit.worst.enter(0);
        kit
    }

    /// The frame holds its address.
    fn fill(&mut self, frame: Frame) {
        let at = self.stage2.pa(frame);
        self.board.zero(at, PAGE_SIZE);
        self.board.write(at, &at.0.to_ne_bytes());
    }

    fn loads(&self, page: Page, frame: Frame) {
        for core in 0..CORES {
            let value = self.worst.load(core, self.stage2.ipa(page).0, By::Cache);
            assert_eq!(value, Ok(self.stage2.pa(frame).0), "core {core}");
        }
    }

    /// As soon as the core has looked again at what permits it.
    fn fetches(&mut self, page: Page, frame: Frame) {
        for core in 0..CORES {
            self.worst.enter(core);
            let va = self.stage2.ipa(page).0;
            let fetched = (0..3).find_map(|_| {
                let fetched = self.worst.fetch(core, va, By::Cache);
                if fetched.is_err() {
                    self.stage2
                        .make_executable(&mut self.board, page, Some(Va(va)));
                }
                fetched.ok()
            });
            assert_eq!(fetched, Some(self.stage2.pa(frame).0), "core {core}");
        }
        self.worst.enter(0);
    }
}

fn kits() -> impl Iterator<Item = Kit> {
    (1..200).map(|seed| Kit::new(Luck::bad(seed)))
}

/// Walks go on all the time, and half of the stores to tables are seen late.
fn kits_that_walk() -> impl Iterator<Item = Kit> {
    let luck = |seed| Luck {
        seed,
        until: u32::MAX,
        walk: 250,
        late: 128,
        ..Luck::GOOD
    };
    (1..300).map(move |seed| Kit::new(luck(seed)))
}

#[test]
fn a_page_gets_another_frame() {
    for mut kit in kits() {
        kit.loads(PAGE, Frame(100));
        kit.fill(Frame(7));
        kit.stage2.map_page_writable(&mut kit.board, PAGE, Frame(7));
        kit.loads(PAGE, Frame(7));
        kit.loads(BESIDE, Frame(101));
    }
}

#[test]
fn a_frame_that_was_executed_holds_other_instructions() {
    for mut kit in kits() {
        kit.fetches(PAGE, Frame(100));
        kit.fill(Frame(7));
        kit.stage2.map_page_writable(&mut kit.board, PAGE, Frame(7));
        // Nobody has it any more, and so it is another page's.
        let [from, to] = [101, 100].map(|frame| kit.stage2.pa(Frame(frame)));
        kit.board.copy_page(from, to);
        kit.stage2
            .map_page_writable(&mut kit.board, BESIDE, Frame(100));
        kit.loads(BESIDE, Frame(101));
        kit.fetches(BESIDE, Frame(101));
    }
}

/// A TLB that does no more than it must, and holds what no table ever had.
#[test]
fn after_a_tlb_conflict_there_is_nothing_left_to_meet() {
    const NOBODYS: u64 = 0x8000_7000 | 1 << 10 | 3 << 8 | 3 << 6 | 0xf << 2 | 3;
    let mut kit = Kit::new(Luck {
        until: u32::MAX,
        keep: 255,
        ..Luck::GOOD
    });
    for core in 0..CORES {
        kit.worst.plant(core, 1, kit.stage2.ipa(PAGE).0, NOBODYS);
    }
    kit.stage2.invalidate_vm(&mut kit.board);
    kit.loads(PAGE, Frame(100));
}

/// By address, or all that there is of stage 1.
#[test]
fn a_page_becomes_writable_here_and_elsewhere_after_a_fault_more() {
    for (kit, by_address) in kits().zip([true, false].into_iter().cycle()) {
        let (mut kit, va) = (kit, kit_va());
        kit.loads(PAGE, Frame(100));
        for core in 0..CORES {
            kit.worst.enter(core);
            let stores = |kit: &Kit| kit.worst.translate(core, va.0, Access::Store).is_ok();
            let va = by_address.then_some(va);
            for i in 0.. {
                assert!(i < 3, "core {core} faults for ever");
                match kit.stage2.mapping(PAGE) {
                    _ if stores(&kit) => break,
                    Mapping::Read(_) => {
                        kit.stage2.make_page_writable(&mut kit.board, PAGE, va);
                    }
                    _ => kit.stage2.invalidate_local(&mut kit.board, PAGE, va),
                }
            }
        }
        kit.worst.enter(0);
        kit.loads(PAGE, Frame(100));
    }
}

/// The guest's MMU is off.
fn kit_va() -> Va {
    Va(RAM.0 + u64::from(PAGE) * PAGE_SIZE)
}

#[test]
fn what_is_protected_stays_as_it_is() {
    for mut kit in kits() {
        kit.fill(Frame(7));
        kit.stage2.map_page_writable(&mut kit.board, PAGE, Frame(7));
        let stores = |kit: &Kit, core| {
            let ipa = kit.stage2.ipa(PAGE).0;
            kit.worst.translate(core, ipa, Access::Store).is_ok()
        };
        assert!((0..CORES).all(|core| stores(&kit, core)));
        kit.stage2.pages().protect(PAGE);
        kit.stage2.end_protect(&mut kit.board);
        assert!(!(0..CORES).any(|core| stores(&kit, core)));
        kit.loads(PAGE, Frame(7));
    }
}

#[test]
fn what_lies_below_a_broken_path_is_new_when_it_is_whole_again() {
    for mut kit in kits_that_walk() {
        kit.loads(PAGE, Frame(100));
        kit.fill(Frame(7));
        kit.stage2.begin_remap(&mut kit.board);
        kit.stage2.set_page(PAGE, Some(Frame(7)));
        kit.stage2.end_remap(&mut kit.board);
        kit.loads(PAGE, Frame(7));
    }
}

#[test]
fn a_table_that_had_another_life_is_new() {
    for mut kit in kits().chain(kits_that_walk()) {
        kit.loads(PAGE, Frame(100));
        kit.stage2.begin_remap(&mut kit.board);
        kit.stage2.set_block(0, None);
        kit.stage2.end_remap(&mut kit.board);
        kit.fill(Frame(7));
        // Divides the block, which is absent now.
        kit.stage2
            .map_page_writable(&mut kit.board, BESIDE, Frame(7));
        kit.loads(BESIDE, Frame(7));
        let ipa = kit.stage2.ipa(PAGE).0;
        for core in 0..CORES {
            assert!(kit.worst.translate(core, ipa, Access::Load).is_err());
        }
    }
}

/// A page that is a table of the guest's stage 1 is written back where it is: no walk by what it was, on this core or on any.
#[test]
fn a_table_that_is_written_back_translates_as_it_was() {
    for only_here in [true, false] {
        for mut kit in kits().chain(kits_that_walk()) {
            let (now, before) = (Frame(100), Frame(102));
            kit.fill(before);
            for (frame, page) in [(now, PAGE), (before, BESIDE)] {
                let entry = kit.stage2.ipa(page).0 | 1;
                let at = Pa(kit.stage2.pa(frame).0 + 3 * 8);
                kit.board.write(at, &entry.to_ne_bytes());
            }
            let state = translating(kit.stage2.ipa(PAGE));
            let cores = if only_here { 1 } else { CORES };
            let check = |kit: &Kit, frame| {
                let wanted = Ok(kit.stage2.pa(frame).0);
                for core in 0..cores {
                    assert_eq!(
                        kit.worst.load(core, 0x3000, By::Cache),
                        wanted,
                        "core {core}"
                    );
                }
            };
            for core in 0..cores {
                kit.worst.enter(core);
                state.load();
            }
            check(&kit, now);
            // Where it is stopped it leaves its core, whose TLB keeps what it has.
            for core in 1..cores {
                kit.worst.enter(core);
                walks::put_context();
            }
            kit.worst.enter(0);
            let (from, to) = (kit.stage2.pa(before), kit.stage2.pa(now));
            kit.stage2.begin_write_back(&mut kit.board);
            kit.board.copy_page_cached(from, to);
            kit.stage2.end_write_back(&mut kit.board, only_here);
            state.load();
            for core in 1..cores {
                kit.worst.enter(core);
                walks::load_stage2_context(kit.stage2.root(), 1, core as u32, false);
                state.load();
            }
            check(&kit, Frame(101));
        }
    }
}

/// A vCPU with stage 1 and caches on, its table at `table`.
fn translating(table: Ipa) -> SystemState {
    let mut state = SystemState::reset();
    state.sctlr |= 5;
    state.tcr |= 1 << 10 | 1 << 8;
    state.el1.ttbr0 = table.0;
    state
}

/// A page that is executed is written back where it is. Meanwhile the core may fetch from it by speculation: what its TLB has it may use, though
/// no walk begins. What it fetched is not what it executes afterwards.
#[test]
fn code_that_is_written_back_is_executed_as_it_was() {
    for mut kit in kits() {
        let (now, before, table) = (Frame(101), Frame(100), Frame(102));
        kit.fill(table);
        let entry = kit.stage2.ipa(BESIDE).0 | 1;
        let at = Pa(kit.stage2.pa(table).0 + 3 * 8);
        kit.board.write(at, &entry.to_ne_bytes());
        kit.stage2.begin_remap(&mut kit.board);
        kit.stage2.set_page(PAGE, Some(table));
        kit.stage2.end_remap(&mut kit.board);
        let state = translating(kit.stage2.ipa(PAGE));
        state.load();
        let va = Va(0x3000);
        kit.stage2.make_executable(&mut kit.board, BESIDE, Some(va));
        let fetch = |kit: &Kit| kit.worst.fetch(0, va.0, By::Cache);
        assert_eq!(fetch(&kit), Ok(kit.stage2.pa(now).0));
        let [from, to] = [before, now].map(|frame| kit.stage2.pa(frame));
        kit.stage2.begin_write_back(&mut kit.board);
        kit.board.copy_page_cached(from, to);
        kit.board.invalidate_instructions(to, PAGE_SIZE);
        kit.stage2.end_write_back(&mut kit.board, true);
        state.load();
        assert_eq!(fetch(&kit), Ok(from.0));
    }
}
