//! Tables, TLBs, and the registers that walks depend on.

use super::*;

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
        |kit| isa::write("vttbr_el2", 1 << 48 | kit.level1.at().0),
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
        |kit| kit.level2.0[0].set(kit.level3.at().0 | 3),
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
        |kit| kit.level2.0[0].set(kit.level3.at().0 | 3),
        |_| isa::dsb_ishst(),
    ];
    all_are_needed(before, &steps, |kit| kit.everybody_loads(PAGE, NEW));
}

/// Memory that a guest has its own table in: a walk is an observer of its own.
#[test]
fn a_guests_table_that_el2_stores_is_walked_as_it_is_behind_dsb_and_tlbi() {
    let before: Step = |kit| {
        let _on = kit.worst.on(0);
        // The guest's table of stage 1, at its page 7, maps address 0 to that page.
        kit.put(OLD + 4096, BESIDE | 1);
        isa::write("ttbr0_el1", BESIDE);
        isa::write("tcr_el1", 1 << 10 | 1 << 8);
        isa::isb();
        isa::write("sctlr_el1", 5);
        isa::isb();
        assert_eq!(kit.worst.load(0, 0, By::Cache), Ok(BESIDE | 1));
        // No walk begins meanwhile: one could find both.
        isa::write("tcr_el1", 1 << 10 | 1 << 8 | 1 << 7);
        isa::isb();
    };
    let steps: [Step; 4] = [
        // SAFETY: the board's memory.
        |_| unsafe { isa::store(Pa(OLD + 4096), &(PAGE | 1).to_ne_bytes()) },
        |_| isa::dsb_ishst(),
        |_| isa::tlbi_vmalle1(),
        |_| isa::dsb_nsh(),
    ];
    all_but_are_needed(
        |_| (),
        before,
        &steps,
        &[],
        |kit| {
            let _on = kit.worst.on(0);
            isa::write("tcr_el1", 1 << 10 | 1 << 8);
            isa::isb();
            assert_eq!(kit.worst.load(0, 0, By::Cache), Ok(OLD));
        },
    );
}

/// Two guests with one stage 2 each; registers of one, then of the other.
#[test]
fn registers_of_two_guests_are_walked_half_and_half() {
    let goes_wrong = |seed: &u64, stop: bool| {
        let kit = Kit::new(Luck::bad(*seed));
        // Guest 2's RAM: page 5 is another frame, and its table of stage 1 at page 7 maps address 0 to page 5.
        let [level1, level2, level3] = [(); 3].map(|()| Box::new(Table::empty()));
        let on = kit.worst.on(0);
        level1.0[1].set(level2.at().0 | 3);
        level2.0[0].set(level3.at().0 | 3);
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
            isa::write("vttbr_el2", 1 << 48 | level1.at().0);
            isa::write("vttbr_el2", 2 << 48 | level1.at().0);
            isa::isb();
            isa::write("vttbr_el2", 1 << 48 | kit.level1.at().0);
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
