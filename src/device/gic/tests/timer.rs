//! The timer's interrupt, and the physical one behind it.

use super::*;

/// The physical timer interrupt comes in.
pub fn fire(gic: &mut Gic, vcpu: usize, hardware: &mut Hardware) {
    hardware.timer_line = true;
    hardware.timer_active = true;
    gic.vtimer_fired(vcpu, hardware);
}

#[test]
fn the_timer_is_linked() {
    let (mut gic, mut hardware) = (ready(1), Hardware::default());
    for _ in 0..3 {
        hardware.accesses = 0;
        fire(&mut gic, 0, &mut hardware);
        assert_eq!(hardware.accesses, 2, "ELRSR0 and a list register");
        assert_eq!(hardware.acknowledge(), VTIMER_PPI);
        assert_eq!(hardware.acknowledge(), SPURIOUS);
        hardware.timer_line = false;
        hardware.end(VTIMER_PPI);
        assert!(!hardware.timer_active);
    }
    gic.sync(0, &mut hardware);
    assert!(hardware.is_synced());
    assert!(!gic.has_unlisted(0) && !gic.vtimer_needs_hw_active(0));
}

#[test]
fn the_timer_waits_in_the_model() {
    let (mut gic, mut hardware) = (ready(1), Hardware::default());
    fire(&mut gic, 0, &mut hardware);
    gic.sync(0, &mut hardware);
    assert!(hardware.is_synced() && hardware.timer_active);
    assert!(gic.has_unlisted(0) && gic.vtimer_needs_hw_active(0));
    let saved = (gic.shared, gic.private);

    gic.flush(0, &mut hardware);
    assert_eq!(hardware.acknowledge(), VTIMER_PPI);
    gic.sync(0, &mut hardware);
    assert!(
        !gic.has_unlisted(0) && gic.vtimer_needs_hw_active(0),
        "active"
    );
    gic.flush(0, &mut hardware);
    hardware.end(VTIMER_PPI);
    assert!(!hardware.timer_active, "the link is kept");
    gic.sync(0, &mut hardware);
    assert!(!gic.vtimer_needs_hw_active(0));

    let mut restored = Gic::new(1);
    (restored.shared, restored.private) = saved;
    hardware.timer_active = restored.vtimer_needs_hw_active(0);
    hardware.timer_line = false;
    restored.flush(0, &mut hardware);
    assert_eq!(hardware.acknowledge(), SPURIOUS, "it was turned off");
    assert!(!hardware.timer_active);
}

#[test]
fn a_disabled_timer_is_not_lost() {
    let (mut gic, mut hardware) = (ready(1), Hardware::default());
    gic.write(0, 0x180, 4, 1 << VTIMER_PPI);
    fire(&mut gic, 0, &mut hardware);
    assert_eq!(hardware.acknowledge(), SPURIOUS);
    assert!(hardware.timer_active, "or it would come for ever");
    assert_eq!(gic.write(0, 0x100, 4, 1 << VTIMER_PPI), 1);
    gic.flush(0, &mut hardware);
    assert_eq!(hardware.acknowledge(), VTIMER_PPI);
    hardware.end(VTIMER_PPI);

    // Disabled while it is in a list register; then it is turned off, and enabled.
    fire(&mut gic, 0, &mut hardware);
    assert_eq!(
        gic.prepare_access(0, 0x180, 4, true, &mut hardware),
        LrScope::Own
    );
    gic.sync(0, &mut hardware);
    gic.write(0, 0x180, 4, 1 << VTIMER_PPI);
    gic.flush(0, &mut hardware);
    assert_eq!(hardware.acknowledge(), SPURIOUS);
    hardware.timer_line = false;
    gic.write(0, 0x100, 4, 1 << VTIMER_PPI);
    gic.flush(0, &mut hardware);
    assert_eq!(hardware.acknowledge(), SPURIOUS);
    assert!(!hardware.timer_active, "or it would never come again");
}

#[test]
fn the_timer_deactivated_through_the_distributor() {
    let (mut gic, mut hardware) = (ready(1), Hardware::default());
    fire(&mut gic, 0, &mut hardware);
    hardware.acknowledge();
    gic.sync(0, &mut hardware);
    assert_eq!(gic.write(0, 0x380, 4, 1 << VTIMER_PPI), 1);
    assert!(!gic.vtimer_needs_hw_active(0));
    gic.flush(0, &mut hardware);
    assert!(!hardware.timer_active);
}

#[test]
fn a_timer_interrupt_that_the_guest_made_has_no_link() {
    let (mut gic, mut hardware) = (ready(1), Hardware::default());
    assert_eq!(gic.write(0, 0x200, 4, 1 << VTIMER_PPI), 1);
    gic.flush(0, &mut hardware);
    assert!(!hardware.lists[0].is_linked());
    // The real one joins it: one interrupt, and one more only if the line is still up at its end.
    fire(&mut gic, 0, &mut hardware);
    assert_eq!(hardware.acknowledge(), VTIMER_PPI);
    hardware.timer_line = false;
    hardware.end(VTIMER_PPI);
    gic.flush(0, &mut hardware);
    assert_eq!(hardware.acknowledge(), SPURIOUS);
    assert!(!hardware.timer_active);
}

#[test]
fn one_that_the_guest_makes_while_it_is_active_comes_after() {
    let (mut gic, mut hardware) = (ready(1), Hardware::default());
    fire(&mut gic, 0, &mut hardware);
    assert_eq!(hardware.acknowledge(), VTIMER_PPI);
    hardware.timer_line = false;
    gic.sync(0, &mut hardware);
    gic.write(0, 0x200, 4, 1 << VTIMER_PPI);
    gic.flush(0, &mut hardware);
    assert!(
        !hardware.timer_active,
        "what is linked cannot be pending as well"
    );
    assert_eq!(hardware.acknowledge(), SPURIOUS);
    hardware.end(VTIMER_PPI);
    assert_eq!(hardware.acknowledge(), VTIMER_PPI);
    hardware.end(VTIMER_PPI);
    gic.flush(0, &mut hardware);
    assert_eq!(hardware.acknowledge(), SPURIOUS);
}

#[test]
fn disabled_it_does_not_come_however_it_was_made() {
    let (mut gic, mut hardware) = (ready(1), Hardware::default());
    for register in [0x180, 0x200, 0x300] {
        gic.write(0, register, 4, 1 << VTIMER_PPI);
    }
    gic.flush(0, &mut hardware);
    gic.sync(0, &mut hardware);
    gic.write(0, 0x380, 4, 1 << VTIMER_PPI);
    gic.flush(0, &mut hardware);
    assert_eq!(hardware.acknowledge(), SPURIOUS);
    gic.write(0, 0x300, 4, 1 << VTIMER_PPI);
    gic.flush(0, &mut hardware);
    hardware.split = true;
    deactivate(&mut gic, &mut hardware, VTIMER_PPI);
    gic.flush(0, &mut hardware);
    assert_eq!(hardware.acknowledge(), SPURIOUS);
}

#[test]
fn it_waits_behind_better_ones_that_have_no_list_register() {
    let (mut gic, mut hardware) = (ready(1), Hardware::default());
    for intid in 1..6u64 {
        gic.write(0, 0x400 + intid, 1, intid << 4);
        gic.write(0, 0xf20 + intid, 1, 1);
    }
    gic.flush(0, &mut hardware);
    assert_eq!(hardware.acknowledge(), 1);
    hardware.end(1);
    fire(&mut gic, 0, &mut hardware);
    for intid in [2, 3, 4, 5, VTIMER_PPI] {
        assert_eq!(hardware.acknowledge(), intid);
        hardware.end(intid);
        if hardware.maintenance() {
            gic.flush(0, &mut hardware);
        }
    }
}

#[test]
fn it_comes_in_before_what_the_guest_did_is_looked_at() {
    let (mut gic, mut hardware) = (ready(1), Hardware::default());
    gic.write(0, 0x200, 4, 1 << VTIMER_PPI);
    fire(&mut gic, 0, &mut hardware);
    assert_eq!(hardware.acknowledge(), VTIMER_PPI);
    hardware.timer_line = false;
    hardware.end(VTIMER_PPI);
    gic.flush(0, &mut hardware);
    assert_eq!(hardware.acknowledge(), SPURIOUS, "both were one");

    gic.write(0, 0x300, 4, 1 << VTIMER_PPI);
    fire(&mut gic, 0, &mut hardware);
    assert_eq!(hardware.acknowledge(), SPURIOUS, "it is active");
    gic.sync(0, &mut hardware);
    gic.write(0, 0x380, 4, 1 << VTIMER_PPI);
    gic.flush(0, &mut hardware);
    assert_eq!(hardware.acknowledge(), VTIMER_PPI);
}

#[test]
fn a_timer_that_waits_is_reviewed_until_its_line_falls() {
    let (mut gic, mut hardware) = (ready(1), Hardware::default());
    gic.write(0, 0x180, 4, 1 << VTIMER_PPI);
    fire(&mut gic, 0, &mut hardware);
    for _ in 0..2 {
        assert_eq!(gic.review(0, false, &mut hardware), 0);
        assert_eq!(gic.review_needed(0), Review::Timer);
        assert!(hardware.timer_active);
    }
    hardware.timer_line = false;
    assert_eq!(gic.review(0, false, &mut hardware), 0);
    assert_eq!(gic.review_needed(0), Review::Nothing);
    assert!(!hardware.timer_active, "or it would never come again");
}

#[test]
fn another_takes_the_list_register_of_a_timer_whose_line_fell() {
    let (mut gic, mut hardware) = (ready(1), Hardware::default());
    gic.write(0, 0x400 + u64::from(VTIMER_PPI), 1, 0x10);
    fire(&mut gic, 0, &mut hardware);
    for intid in 1..5u64 {
        gic.write(0, 0xf20 + intid, 1, 1);
        gic.flush(0, &mut hardware);
    }
    let listed = |hardware: &Hardware| hardware.lists.map(|it| it.intid());
    let before = listed(&hardware);
    assert!(before.contains(&VTIMER_PPI), "{before:?}");
    hardware.timer_line = false;
    gic.review(0, false, &mut hardware);
    let mut after = listed(&hardware);
    after.sort();
    assert_eq!(after, [1, 2, 3, 4], "before: {before:?}");
}
