//! The board judged by the textbooks: what the manual says suffices is never refused, and each step that is left out of it is.

use super::isa::{self, TableEntry};
use super::*;
use crate::addr::Pa;
use std::boxed::Box;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

#[repr(C, align(4096))]
struct Table([TableEntry; 512]);

impl Table {
    fn new() -> Box<Self> {
        Box::new(Self([const { TableEntry::invalid() }; 512]))
    }

    fn at(&self) -> u64 {
        core::ptr::from_ref(self).addr() as u64
    }
}

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
            level1: Table::new(),
            level2: Table::new(),
            level3: Table::new(),
        };
        let _on = kit.worst.on(0);
        kit.level1.0[1].set(kit.level2.at() | 3);
        kit.level2.0[0].set(kit.level3.at() | 3);
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
        isa::write("vttbr_el2", vmid << 48 | self.level1.at());
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
fn another_frame_takes_break_before_make() {
    let steps: [Step; 8] = [
        |kit| kit.entry().set(0),
        |_| isa::dsb_ishst(),
        |_| isa::tlbi_ipas2e1is(PAGE_IPA),
        |_| isa::dsb_ish(),
        |_| isa::tlbi_vmalle1is(),
        |_| isa::dsb_ish(),
        |kit| kit.entry().set(page(NEW)),
        |_| isa::dsb_ishst(),
    ];
    all_are_needed(|_| (), &steps, |kit| kit.everybody_loads(PAGE, NEW));
}

#[test]
fn what_is_for_this_core_alone_does_not_reach_the_others() {
    let after: Step = |kit| kit.nobody_stores(PAGE);
    let narrow: Step = |kit| kit.entry().set(page(OLD));
    let right: [Step; 4] = [
        narrow,
        |_| isa::dsb_ishst(),
        |_| isa::tlbi_vmalls12e1is(),
        |_| isa::dsb_ish(),
    ];
    assert!(suffices(&right, after));
    let local_tlbi: [Step; 6] = [
        narrow,
        |_| isa::dsb_ishst(),
        |_| isa::tlbi_ipas2e1(PAGE_IPA),
        |_| isa::dsb_nsh(),
        |_| isa::tlbi_vmalle1(),
        |_| isa::dsb_nsh(),
    ];
    assert!(!suffices(&local_tlbi, after));
    let local_dsb: [Step; 4] = [narrow, right[1], right[2], |_| isa::dsb_nsh()];
    assert!(!suffices(&local_dsb, after));
    let dsb_for_stores: [Step; 4] = [narrow, right[1], right[2], |_| isa::dsb_ishst()];
    assert!(!suffices(&dsb_for_stores, after));
}

#[test]
fn a_permission_is_narrow_after_tlbi_and_dsb() {
    let steps: [Step; 4] = [
        |kit| kit.entry().set(page(OLD)),
        |_| isa::dsb_ishst(),
        |_| isa::tlbi_vmalls12e1is(),
        |_| isa::dsb_ish(),
    ];
    all_are_needed(|_| (), &steps, |kit| kit.nobody_stores(PAGE));
}

#[test]
fn tlbi_by_ipa_leaves_what_combines_both_stages() {
    let steps: [Step; 4] = [
        |kit| kit.entry().set(page(OLD)),
        |_| isa::dsb_ishst(),
        |_| isa::tlbi_ipas2e1is(PAGE_IPA),
        |_| isa::dsb_ish(),
    ];
    assert!(!suffices(&steps, |kit| kit.nobody_stores(PAGE)));
    let other_way: [Step; 4] = [steps[0], steps[1], |_| isa::tlbi_vmalle1is(), steps[3]];
    assert!(!suffices(&other_way, |kit| kit.nobody_stores(PAGE)));
}

#[test]
fn tlbi_before_the_dsb_is_too_early() {
    let steps: [Step; 4] = [
        |kit| kit.entry().set(page(OLD)),
        |_| isa::tlbi_vmalls12e1is(),
        |_| isa::dsb_ish(),
        |_| isa::dsb_ishst(),
    ];
    assert!(!suffices(&steps, |kit| kit.nobody_stores(PAGE)));
}

#[test]
fn a_tlbi_is_for_the_vmid_in_effect() {
    let narrow: Step = |kit| kit.entry().set(page(OLD));
    let steps: [Step; 7] = [
        narrow,
        |_| isa::dsb_ishst(),
        |_| isa::write("vttbr_el2", 0),
        |_| isa::isb(),
        |kit| isa::write("vttbr_el2", 1 << 48 | kit.level1.at()),
        |_| isa::isb(),
        |_| isa::tlbi_vmalls12e1is(),
    ];
    // Between ISBs no guest runs: only the last of them is needed, or the TLBI is for nobody.
    let run = |left_out| {
        let goes_wrong = |seed: &u64| {
            let kit = Kit::new(Luck::bad(*seed));
            kit.guests_go_on();
            let on = kit.worst.on(0);
            for (i, step) in steps.iter().enumerate() {
                if left_out != Some(i) {
                    step(&kit);
                }
            }
            isa::dsb_ish();
            drop(on);
            panics(|| kit.nobody_stores(PAGE))
        };
        (1..=TRIES).filter(goes_wrong).count()
    };
    assert_eq!(run(None), 0);
    assert_ne!(run(Some(4)), 0, "another VM's");
    assert_ne!(run(Some(5)), 0, "not in effect yet");
}

#[test]
fn a_block_is_divided_behind_a_broken_entry() {
    let before: Step = |kit| {
        let _on = kit.worst.on(0);
        let path = &kit.level2.0[0];
        path.set(0);
        isa::dsb_ishst();
        isa::tlbi_vmalls12e1is();
        isa::dsb_ish();
        path.set(block(NEW));
        isa::dsb_ishst();
        kit.guests_go_on();
        for (i, entry) in kit.level3.0.iter().enumerate().take(8) {
            entry.set(page(NEW + i as u64 * 4096));
        }
        isa::dsb_ishst();
    };
    let steps: [Step; 6] = [
        |kit| kit.level2.0[0].set(0),
        |_| isa::dsb_ishst(),
        |_| isa::tlbi_vmalls12e1is(),
        |_| isa::dsb_ish(),
        |kit| kit.level2.0[0].set(kit.level3.at() | 3),
        |_| isa::dsb_ishst(),
    ];
    // The last one is the first of what comes then.
    all_but_are_needed(Kit::guests_go_on, before, &steps, &[5], |kit| {
        let _on = kit.worst.on(0);
        kit.level3.0[5].set(0);
        isa::dsb_ishst();
        isa::tlbi_ipas2e1is(PAGE_IPA);
        isa::dsb_ish();
        isa::tlbi_vmalle1is();
        isa::dsb_ish();
        kit.level3.0[5].set(page(OLD));
        isa::dsb_ishst();
        kit.everybody_loads(PAGE, OLD);
        kit.everybody_loads(BESIDE, NEW + 0x7000);
    });
}

#[test]
fn a_table_is_filled_before_it_is_linked() {
    let before: Step = |kit| {
        let _on = kit.worst.on(0);
        kit.level2.0[0].set(0);
        kit.level3.0[5].set(page(OLD));
        isa::dsb_ishst();
        isa::tlbi_vmalls12e1is();
        isa::dsb_ish();
    };
    let steps: [Step; 4] = [
        |kit| kit.level3.0[5].set(page(NEW)),
        |_| isa::dmb_ishst(),
        |kit| kit.level2.0[0].set(kit.level3.at() | 3),
        |_| isa::dsb_ishst(),
    ];
    all_are_needed(before, &steps, |kit| kit.everybody_loads(PAGE, NEW));
}

#[test]
fn what_a_guest_stored_around_the_caches_is_read_behind_dsb_dc_dsb() {
    let steps: [Step; 3] = [|_| isa::dsb_sy(), |_| isa::dc_civac(OLD), |_| isa::dsb_sy()];
    // The DC and the load of the same line are in order without the last.
    all_but_are_needed(
        |_| (),
        |kit| kit.worst.store(0, PAGE, 77, By::Around).unwrap(),
        &steps,
        &[2],
        |kit| {
            let _on = kit.worst.on(0);
            // SAFETY: the board's memory.
            assert_eq!(unsafe { isa::load(Pa(OLD)) }, 77);
        },
    );
}

#[test]
fn what_el2_stored_is_read_around_the_caches_behind_dc_and_dsb() {
    let steps: [Step; 3] = [
        // SAFETY: the board's memory.
        |_| unsafe { isa::store(Pa(OLD), &77u64.to_ne_bytes()) },
        |_| isa::dc_civac(OLD),
        |_| isa::dsb_sy(),
    ];
    let reads: Step = |kit| assert_eq!(kit.worst.load(0, PAGE, By::Around), Ok(77));
    all_but_are_needed(|_| (), |_| (), &steps, &[], reads);
    // Who goes around the caches is outside the inner-shareable domain.
    let inner: [Step; 3] = [steps[0], steps[1], |_| isa::dsb_ish()];
    assert!(!suffices_alone(&inner, reads));
    let lost: [Step; 3] = [
        steps[0],
        |_| {
            current(|board, core| {
                board.perform(core, Instruction::Dc(Cache::Invalidate, OLD));
            });
        },
        steps[2],
    ];
    assert!(
        !suffices_alone(&lost, reads),
        "IVAC loses what was not cleaned"
    );
}

#[test]
fn a_line_that_came_by_speculation_hides_what_is_stored_around_it() {
    let stale: Step = |kit| {
        kit.worst.store(0, PAGE, 77, By::Around).unwrap();
        kit.worst
            .guest_does(0, Instruction::Dsb(Domain::System, Barrier::All));
        kit.everybody_loads(PAGE, 77);
    };
    assert!(!suffices(&[], stale));
    assert!(suffices(&[], |kit| {
        kit.worst.store(0, PAGE, 77, By::Around).unwrap();
        let _on = kit.worst.on(0);
        isa::dsb_sy();
        isa::dc_civac(OLD);
        isa::dsb_sy();
        kit.everybody_loads(PAGE, 77);
    }));
}

#[test]
fn zeros_reach_memory_behind_dc_and_dsb() {
    let steps: [Step; 3] = [
        |_| {
            current(|board, core| board.perform(core, Instruction::Dc(Cache::Zero, OLD)));
        },
        |_| isa::dc_civac(OLD),
        |_| isa::dsb_sy(),
    ];
    all_but_are_needed(
        |_| (),
        |_| (),
        &steps,
        &[],
        |kit| assert_eq!(kit.worst.load(0, PAGE, By::Around), Ok(0)),
    );
}

/// Both ways of IC, each with its own reach.
#[test]
fn instructions_are_new_after_ic_and_dsb() {
    let fetched: Step = |kit| {
        let _ = kit.worst.fetch(0, PAGE, By::Cache);
        let _ = kit.worst.fetch(1, PAGE, By::Cache);
    };
    let store: Step = |kit| kit.put(OLD, 77);
    let fetches: Step = |kit| {
        assert_eq!(kit.worst.fetch(0, PAGE, By::Cache), Ok(77));
        assert_eq!(kit.worst.fetch(1, PAGE, By::Cache), Ok(77));
    };
    for ic in [
        (|_| isa::ic_ialluis()) as Step,
        (|_| isa::ic_ivau(OLD)) as Step,
    ] {
        all_are_needed(fetched, &[store, ic, |_| isa::dsb_ish()], fetches);
    }
    let steps: [Step; 3] = [store, |_| isa::ic_iallu(), |_| isa::dsb_nsh()];
    assert_ne!(refusals(fetched, &steps, None, fetches), 0, "this core's");
}

#[test]
fn what_must_not_be_executed_is_not_fetched_ahead() {
    let stays_out: Step = |kit| {
        let _on = kit.worst.on(0);
        kit.put(OLD, 77);
        kit.entry().set(page(OLD));
        isa::dsb_ishst();
        isa::tlbi_vmalls12e1is();
        isa::dsb_ish();
        assert_eq!(kit.worst.fetch(0, PAGE, By::Cache), Ok(77));
    };
    let before: Step = |kit| {
        let _on = kit.worst.on(0);
        kit.entry().set(page(OLD) | EXECUTE_NEVER);
        isa::dsb_ishst();
        isa::tlbi_vmalls12e1is();
        isa::dsb_ish();
        kit.guests_go_on();
        // What was fetched while it was executable.
        isa::ic_ialluis();
        isa::dsb_ish();
        kit.guests_go_on();
    };
    assert_eq!(refusals(before, &[], None, stays_out), 0);
    assert_ne!(refusals(|_| (), &[], None, stays_out), 0, "executable");
}

/// Two guests with one stage 2 each; registers of one, then of the other.
#[test]
fn registers_of_two_guests_are_walked_half_and_half() {
    let goes_wrong = |seed: &u64, stop: bool| {
        let kit = Kit::new(Luck::bad(*seed));
        // Guest 2's RAM: page 5 is another frame, and its table of stage 1 at page 7 maps address 0 to page 5.
        let [level1, level2, level3] = [Table::new(), Table::new(), Table::new()];
        let on = kit.worst.on(0);
        level1.0[1].set(level2.at() | 3);
        level2.0[0].set(level3.at() | 3);
        level3.0[5].set(page(NEW));
        level3.0[7].set(page(NEW + 4096));
        kit.put(OLD + 4096, PAGE | 1);
        kit.put(NEW + 4096, PAGE | 1);
        isa::dsb_sy();
        isa::write("ttbr0_el1", BESIDE);
        isa::isb();
        isa::write("sctlr_el1", 1);
        isa::isb();
        drop(on);
        panics(|| {
            assert_eq!(kit.worst.load(0, 0, By::Cache), Ok(OLD));
            let _on = kit.worst.on(0);
            if stop {
                isa::write("tcr_el1", 1 << 7);
                isa::isb();
            }
            // With guest 1's VMID walks go by guest 2's tables, if they go.
            isa::write("vttbr_el2", 1 << 48 | level1.at());
            isa::write("vttbr_el2", 2 << 48 | level1.at());
            isa::isb();
            isa::write("vttbr_el2", 1 << 48 | kit.level1.at());
            isa::isb();
            isa::write("tcr_el1", 0);
            isa::isb();
            // The TLB was not asked to forget.
            assert_eq!(kit.worst.load(0, 0, By::Cache), Ok(OLD));
        })
    };
    assert_eq!((1..=TRIES).filter(|s| goes_wrong(s, true)).count(), 0);
    assert_ne!((1..=TRIES).filter(|s| goes_wrong(s, false)).count(), 0);
}

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
