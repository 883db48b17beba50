//! Caches, and accesses around them.

use super::*;

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

/// A page of code that EL2 stores where the guest may fetch meanwhile: each step of B2.4.4's sequence.
#[test]
fn instructions_that_were_stored_are_executed_behind_dc_dsb_ic_dsb() {
    let fetched: Step = |kit| {
        let _ = kit.worst.fetch(0, PAGE, By::Cache);
    };
    const LINES: core::ops::Range<u64> = 0..64;
    let steps: [Step; 5] = [
        // SAFETY: the board's memory.
        |_| LINES.for_each(|line| unsafe { isa::store(Pa(OLD + line * 64), &[77]) }),
        |_| LINES.for_each(|line| isa::dc_cvau(OLD + line * 64)),
        |_| isa::dsb_ish(),
        // That line, and some that nobody looks at.
        |_| (0..4).for_each(|line| isa::ic_ivau(OLD + line * 64)),
        |_| isa::dsb_ish(),
    ];
    let executes: Step = |kit| assert_eq!(kit.worst.fetch(0, PAGE, By::Cache), Ok(OLD + 77));
    all_but_are_needed(fetched, |_| (), &steps, &[], executes);
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
