//! The timer's interrupt, and the physical one behind it.

use super::*;

/// The physical timer interrupt comes in.
pub fn fire(gic: &mut Gic, vcpu: usize, hardware: &mut Hardware) {
    hardware.timer_line = true;
    hardware.timer_active = true;
    gic.timer_fired(vcpu, hardware);
}

#[test]
fn the_timer_is_linked() {
    let (mut gic, mut hardware) = (ready(1), Hardware::default());
    for _ in 0..3 {
        hardware.accesses = 0;
        fire(&mut gic, 0, &mut hardware);
        assert_eq!(hardware.accesses, 2, "ELRSR0 and a list register");
        assert_eq!(hardware.acknowledge(), TIMER_PPI);
        assert_eq!(hardware.acknowledge(), SPURIOUS);
        hardware.timer_line = false;
        hardware.end(TIMER_PPI);
        assert!(!hardware.timer_active);
    }
    gic.settle(0, &mut hardware);
    assert!(hardware.is_settled());
    assert!(!gic.has_waiting(0) && !gic.timer_is_active(0));
}

#[test]
fn the_timer_waits_in_the_model() {
    let (mut gic, mut hardware) = (ready(1), Hardware::default());
    fire(&mut gic, 0, &mut hardware);
    gic.settle(0, &mut hardware);
    assert!(hardware.is_settled() && hardware.timer_active);
    assert!(gic.has_waiting(0) && gic.timer_is_active(0));
    let saved = (gic.shared, gic.private);

    gic.refill(0, &mut hardware);
    assert_eq!(hardware.acknowledge(), TIMER_PPI);
    gic.settle(0, &mut hardware);
    assert!(!gic.has_waiting(0) && gic.timer_is_active(0), "active");
    gic.refill(0, &mut hardware);
    hardware.end(TIMER_PPI);
    assert!(!hardware.timer_active, "the link is kept");
    gic.settle(0, &mut hardware);
    assert!(!gic.timer_is_active(0));

    let mut restored = Gic::new(1);
    (restored.shared, restored.private) = saved;
    hardware.timer_active = restored.timer_is_active(0);
    hardware.timer_line = false;
    restored.refill(0, &mut hardware);
    assert_eq!(hardware.acknowledge(), SPURIOUS, "it was turned off");
    assert!(!hardware.timer_active);
}

#[test]
fn a_disabled_timer_is_not_lost() {
    let (mut gic, mut hardware) = (ready(1), Hardware::default());
    gic.write(0, 0x180, 4, 1 << TIMER_PPI);
    fire(&mut gic, 0, &mut hardware);
    assert_eq!(hardware.acknowledge(), SPURIOUS);
    assert!(hardware.timer_active, "or it would come for ever");
    assert_eq!(gic.write(0, 0x100, 4, 1 << TIMER_PPI), 1);
    gic.refill(0, &mut hardware);
    assert_eq!(hardware.acknowledge(), TIMER_PPI);
    hardware.end(TIMER_PPI);

    // Disabled while it is in a list register; then it is turned off, and enabled.
    fire(&mut gic, 0, &mut hardware);
    assert_eq!(
        gic.settle_before(0, 0x180, 4, true, &mut hardware),
        Settle::Own
    );
    gic.settle(0, &mut hardware);
    gic.write(0, 0x180, 4, 1 << TIMER_PPI);
    gic.refill(0, &mut hardware);
    assert_eq!(hardware.acknowledge(), SPURIOUS);
    hardware.timer_line = false;
    gic.write(0, 0x100, 4, 1 << TIMER_PPI);
    gic.refill(0, &mut hardware);
    assert_eq!(hardware.acknowledge(), SPURIOUS);
    assert!(!hardware.timer_active, "or it would never come again");
}

#[test]
fn the_timer_deactivated_through_the_distributor() {
    let (mut gic, mut hardware) = (ready(1), Hardware::default());
    fire(&mut gic, 0, &mut hardware);
    hardware.acknowledge();
    gic.settle(0, &mut hardware);
    assert_eq!(gic.write(0, 0x380, 4, 1 << TIMER_PPI), 1);
    assert!(!gic.timer_is_active(0));
    gic.refill(0, &mut hardware);
    assert!(!hardware.timer_active);
}

#[test]
fn a_timer_interrupt_that_the_guest_made_has_no_link() {
    let (mut gic, mut hardware) = (ready(1), Hardware::default());
    assert_eq!(gic.write(0, 0x200, 4, 1 << TIMER_PPI), 1);
    gic.refill(0, &mut hardware);
    assert!(!hardware.lists[0].is_linked());
    // The real one joins it: one interrupt, and one more only if the line is still up at its end.
    fire(&mut gic, 0, &mut hardware);
    assert_eq!(hardware.acknowledge(), TIMER_PPI);
    hardware.timer_line = false;
    hardware.end(TIMER_PPI);
    gic.refill(0, &mut hardware);
    assert_eq!(hardware.acknowledge(), SPURIOUS);
    assert!(!hardware.timer_active);
}

#[test]
fn one_that_the_guest_makes_while_it_is_active_comes_after() {
    let (mut gic, mut hardware) = (ready(1), Hardware::default());
    fire(&mut gic, 0, &mut hardware);
    assert_eq!(hardware.acknowledge(), TIMER_PPI);
    hardware.timer_line = false;
    gic.settle(0, &mut hardware);
    gic.write(0, 0x200, 4, 1 << TIMER_PPI);
    gic.refill(0, &mut hardware);
    assert!(
        !hardware.timer_active,
        "what is linked cannot be pending as well"
    );
    assert_eq!(hardware.acknowledge(), SPURIOUS);
    hardware.end(TIMER_PPI);
    assert_eq!(hardware.acknowledge(), TIMER_PPI);
    hardware.end(TIMER_PPI);
    gic.refill(0, &mut hardware);
    assert_eq!(hardware.acknowledge(), SPURIOUS);
}

#[test]
fn disabled_it_does_not_come_however_it_was_made() {
    let (mut gic, mut hardware) = (ready(1), Hardware::default());
    for register in [0x180, 0x200, 0x300] {
        gic.write(0, register, 4, 1 << TIMER_PPI);
    }
    gic.refill(0, &mut hardware);
    gic.settle(0, &mut hardware);
    gic.write(0, 0x380, 4, 1 << TIMER_PPI);
    gic.refill(0, &mut hardware);
    assert_eq!(hardware.acknowledge(), SPURIOUS);
    gic.write(0, 0x300, 4, 1 << TIMER_PPI);
    gic.refill(0, &mut hardware);
    hardware.split = true;
    deactivate(&mut gic, &mut hardware, TIMER_PPI);
    gic.refill(0, &mut hardware);
    assert_eq!(hardware.acknowledge(), SPURIOUS);
}

#[test]
fn it_waits_behind_better_ones_that_have_no_list_register() {
    let (mut gic, mut hardware) = (ready(1), Hardware::default());
    for intid in 1..6u64 {
        gic.write(0, 0x400 + intid, 1, intid << 4);
        gic.write(0, 0xf20 + intid, 1, 1);
    }
    gic.refill(0, &mut hardware);
    assert_eq!(hardware.acknowledge(), 1);
    hardware.end(1);
    fire(&mut gic, 0, &mut hardware);
    for intid in [2, 3, 4, 5, TIMER_PPI] {
        assert_eq!(hardware.acknowledge(), intid);
        hardware.end(intid);
        if hardware.maintenance() {
            gic.refill(0, &mut hardware);
        }
    }
}

#[test]
fn it_comes_in_before_what_the_guest_did_is_looked_at() {
    let (mut gic, mut hardware) = (ready(1), Hardware::default());
    gic.write(0, 0x200, 4, 1 << TIMER_PPI);
    fire(&mut gic, 0, &mut hardware);
    assert_eq!(hardware.acknowledge(), TIMER_PPI);
    hardware.timer_line = false;
    hardware.end(TIMER_PPI);
    gic.refill(0, &mut hardware);
    assert_eq!(hardware.acknowledge(), SPURIOUS, "both were one");

    gic.write(0, 0x300, 4, 1 << TIMER_PPI);
    fire(&mut gic, 0, &mut hardware);
    assert_eq!(hardware.acknowledge(), SPURIOUS, "it is active");
    gic.settle(0, &mut hardware);
    gic.write(0, 0x380, 4, 1 << TIMER_PPI);
    gic.refill(0, &mut hardware);
    assert_eq!(hardware.acknowledge(), TIMER_PPI);
}
