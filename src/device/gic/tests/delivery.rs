//! Interrupts from their source to the guest and back.

use super::*;

/// The physical timer interrupt comes in.
fn fire(gic: &mut Gic, vcpu: usize, hardware: &mut Hardware) {
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
    assert!(!gic.deliverable(0) && !gic.timer_is_active(0));
}

#[test]
fn the_timer_waits_in_the_model() {
    let (mut gic, mut hardware) = (ready(1), Hardware::default());
    fire(&mut gic, 0, &mut hardware);
    gic.settle(0, &mut hardware);
    assert!(hardware.is_settled() && hardware.timer_active);
    assert!(gic.deliverable(0) && gic.timer_is_active(0));
    let saved = (gic.shared, gic.private);

    gic.refill(0, &mut hardware);
    assert_eq!(hardware.acknowledge(), TIMER_PPI);
    gic.settle(0, &mut hardware);
    assert!(!gic.deliverable(0) && gic.timer_is_active(0), "active");
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
fn an_sgi_from_each_vcpu_comes_by_itself() {
    let (mut gic, mut hardware) = (ready(4), Hardware::default());
    for sender in [2, 0, 3] {
        assert_eq!(gic.write(sender, 0xf00, 4, 0x0002_0005), 2);
    }
    for sender in [0, 2, 3] {
        gic.refill(1, &mut hardware);
        assert_eq!(hardware.acknowledge(), sender << 10 | 5);
        hardware.end(sender << 10 | 5);
        assert_eq!(hardware.maintenance(), sender != 3);
    }
    gic.refill(1, &mut hardware);
    assert_eq!(hardware.acknowledge(), SPURIOUS);
}

#[test]
fn a_level_comes_until_its_line_falls() {
    let (mut gic, mut hardware) = (ready(1), Hardware::default());
    assert_eq!(gic.set_line(UART_INTID, 0, true), 1);
    assert_eq!(gic.set_line(UART_INTID, 0, true), 0, "nothing new");
    gic.refill(0, &mut hardware);
    for _ in 0..3 {
        assert_eq!(hardware.acknowledge(), UART_INTID);
        assert_eq!(hardware.acknowledge(), SPURIOUS);
        hardware.end(UART_INTID);
        assert!(hardware.maintenance());
        gic.refill(0, &mut hardware);
        assert!(!hardware.maintenance());
    }
    assert_eq!(
        gic.set_line(UART_INTID, 0, false),
        1,
        "it is taken back before the guest sees it"
    );
    gic.refill(0, &mut hardware);
    assert_eq!(hardware.acknowledge(), SPURIOUS);
}

#[test]
fn more_than_list_registers() {
    let (mut gic, mut hardware) = (ready(1), Hardware::default());
    for intid in 32..64u32 {
        gic.write(0, 0x400 + u64::from(intid), 1, u64::from(8 * (63 - intid)));
    }
    assert_eq!(gic.write(0, 0x204, 4, 0xffff_ffff), 1);
    gic.refill(0, &mut hardware);
    for intid in (32..64u32).rev() {
        assert!(!hardware.maintenance(), "it would never end");
        assert_eq!(hardware.acknowledge(), intid);
        hardware.end(intid);
        if hardware.maintenance() {
            gic.refill(0, &mut hardware);
        }
    }
    assert_eq!(hardware.acknowledge(), SPURIOUS);
}

#[test]
fn with_eoimode_the_guest_deactivates_later() {
    let (mut gic, mut hardware) = (ready(1), Hardware::default());
    hardware.split = true;
    gic.write(0, 0xf00, 4, 0x0200_0003);
    gic.refill(0, &mut hardware);
    assert_eq!(hardware.acknowledge(), 3);
    hardware.end(3);
    gic.write(0, 0xf00, 4, 0x0200_0003);
    gic.refill(0, &mut hardware);
    assert_eq!(hardware.acknowledge(), SPURIOUS, "still active");
    hardware.deactivate(3);
    assert_eq!(hardware.acknowledge(), 3);
}
