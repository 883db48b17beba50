//! The board judged by the textbooks: what the manual says suffices is never refused, and each step that is left out of it is.

mod memory;
mod tables;

use super::isa::{self, TableEntry};
use super::*;
use crate::addr::Pa;
use crate::arch::memory::table::Table;
use std::boxed::Box;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

const CORES: usize = 2;
const RAM: u64 = 0x4000_0000;
/// The page that all is about, and one in the same block.
const PAGE: u64 = RAM + 0x5000;
const BESIDE: u64 = RAM + 0x7000;
/// Frames, and what is in them.
const OLD: u64 = 0x1_0000_0000;
const NEW: u64 = 0x1_0020_0000;
const WRITABLE: u64 = 1 << 7;
const EXECUTE_NEVER: u64 = 1 << 54;

/// AF, inner shareable, readable, write-back.
fn page(frame: u64) -> u64 {
    frame | 1 << 10 | 0b11 << 8 | 1 << 6 | 0b1111 << 2 | 0b11
}

fn block(frame: u64) -> u64 {
    page(frame) & !0b10
}

/// Two guests with their tables: VMID 1 and 2.
struct Kit {
    worst: Worst,
    level1: Box<Table>,
    level2: Box<Table>,
    level3: Box<Table>,
}

impl Kit {
    fn new(luck: Luck) -> Self {
        let kit = Self {
            worst: Worst::new(CORES, luck),
            level1: Box::new(Table::empty()),
            level2: Box::new(Table::empty()),
            level3: Box::new(Table::empty()),
        };
        let _on = kit.worst.on(0);
        kit.level1.0[1].set(kit.level2.at().0 | 3);
        kit.level2.0[0].set(kit.level3.at().0 | 3);
        kit.level3.0[5].set(page(OLD) | WRITABLE);
        kit.level3.0[7].set(page(OLD + 4096) | WRITABLE);
        for frame in [OLD, NEW] {
            for offset in (0..0x8000).step_by(4096) {
                kit.put(frame + offset, frame + offset);
            }
        }
        isa::dsb_sy();
        for core in 0..CORES {
            let _on = kit.worst.on(core);
            kit.enter(1);
        }
        kit
    }

    /// What EL2 puts into memory, clean.
    fn put(&self, at: u64, value: u64) {
        // SAFETY: the board's memory.
        unsafe { isa::store(Pa(at), &value.to_ne_bytes()) };
        isa::dc_civac(at);
        isa::dsb_sy();
    }

    fn enter(&self, vmid: u64) {
        isa::write("vttbr_el2", vmid << 48 | self.level1.at().0);
        isa::isb();
    }

    fn entry(&self) -> &TableEntry {
        &self.level3.0[5]
    }

    /// The guests do something, whatever comes of it.
    fn guests_go_on(&self) {
        for core in 0..CORES {
            let _ = self.worst.load(core, PAGE, By::Cache);
            let _ = self.worst.load(core, BESIDE, By::Cache);
        }
    }

    fn everybody_loads(&self, va: u64, value: u64) {
        for core in 0..CORES {
            assert_eq!(self.worst.load(core, va, By::Cache), Ok(value));
        }
    }

    fn nobody_stores(&self, va: u64) {
        for core in 0..CORES {
            assert!(self.worst.store(core, va, 9, By::Cache).is_err());
        }
    }
}

type Step = fn(&Kit);

std::thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Whether it panics; nobody hears it.
fn panics(run: impl FnOnce()) -> bool {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                loud(info);
            }
        }));
    });
    QUIET.set(true);
    let result = catch_unwind(AssertUnwindSafe(run));
    QUIET.set(false);
    result.is_err()
}

/// How often it goes wrong in so many tries.
fn refusals(before: Step, steps: &[Step], left_out: Option<usize>, after: Step) -> usize {
    refusals_with(Kit::guests_go_on, before, steps, left_out, after)
}

/// The same, with something else between the steps.
fn refusals_with(
    between: Step,
    before: Step,
    steps: &[Step],
    left_out: Option<usize>,
    after: Step,
) -> usize {
    let goes_wrong = |seed: &u64| {
        let run = || {
            let kit = Kit::new(Luck::bad(*seed));
            before(&kit);
            between(&kit);
            let on = kit.worst.on(0);
            for (i, step) in steps.iter().enumerate() {
                if left_out != Some(i) {
                    step(&kit);
                }
                between(&kit);
            }
            drop(on);
            after(&kit);
        };
        panics(run)
    };
    (1..=TRIES).filter(goes_wrong).count()
}

const TRIES: u64 = 400;

/// The steps suffice, and each of them is needed, whatever the guests do between them.
fn all_are_needed(before: Step, steps: &[Step], after: Step) {
    all_but_are_needed(Kit::guests_go_on, before, steps, &[], after);
}

/// The same, but for those that nothing here needs.
fn all_but_are_needed(between: Step, before: Step, steps: &[Step], but: &[usize], after: Step) {
    let refusals = |left_out| refusals_with(between, before, steps, left_out, after);
    assert_eq!(refusals(None), 0, "it is right");
    for i in (0..steps.len()).filter(|i| !but.contains(i)) {
        assert_ne!(refusals(Some(i)), 0, "without {i}");
    }
}

/// The steps suffice if the guests do nothing meanwhile.
fn suffices_alone(steps: &[Step], after: Step) -> bool {
    refusals_with(|_| (), |_| (), steps, None, after) == 0
}

fn suffices(steps: &[Step], after: Step) -> bool {
    refusals(|_| (), steps, None, after) == 0
}

const PAGE_IPA: Ipa = Ipa(PAGE);

#[test]
fn with_good_luck_all_is_done_at_once() {
    let kit = Kit::new(Luck::GOOD);
    kit.everybody_loads(PAGE, OLD);
    let _on = kit.worst.on(0);
    kit.entry().set(page(NEW));
    kit.everybody_loads(PAGE, OLD);
    isa::tlbi_vmalls12e1is();
    kit.everybody_loads(PAGE, NEW);
    assert_eq!(kit.worst.held(1), 4, "two ways, and two entries");
}
