//! Interrupts from their source to the guest and back.

use super::world::World;
use super::*;

#[test]
fn an_sgi_from_each_vcpu_comes_by_itself() {
    let (mut gic, mut hardware) = (ready(4), Hardware::default());
    for sender in [2, 0, 3] {
        assert_eq!(gic.write(sender, 0xf00, 4, 0x0002_0005), 2);
    }
    for sender in [0, 2, 3] {
        gic.flush(1, &mut hardware);
        assert_eq!(hardware.acknowledge(), sender << 10 | 5);
        hardware.end(sender << 10 | 5);
        assert_eq!(hardware.maintenance(), sender != 3);
    }
    gic.flush(1, &mut hardware);
    assert_eq!(hardware.acknowledge(), SPURIOUS);
}

#[test]
fn a_level_comes_until_its_line_falls() {
    let (mut gic, mut hardware) = (ready(1), Hardware::default());
    assert!(!gic.spi_line(UART_INTID));
    assert_eq!(gic.set_line(UART_INTID, 0, true), 1);
    assert_eq!(gic.set_line(UART_INTID, 0, true), 0, "nothing new");
    assert!(gic.spi_line(UART_INTID));
    assert!(!gic.spi_line(UART_INTID - 1) && !gic.spi_line(UART_INTID + 1));
    gic.flush(0, &mut hardware);
    for _ in 0..3 {
        assert_eq!(hardware.acknowledge(), UART_INTID);
        assert_eq!(hardware.acknowledge(), SPURIOUS);
        hardware.end(UART_INTID);
        assert!(hardware.maintenance());
        gic.flush(0, &mut hardware);
        assert!(!hardware.maintenance());
    }
    assert_eq!(
        gic.set_line(UART_INTID, 0, false),
        1,
        "it is taken back before the guest sees it"
    );
    gic.flush(0, &mut hardware);
    assert_eq!(hardware.acknowledge(), SPURIOUS);
}

#[test]
fn with_eoimode_the_guest_deactivates_later() {
    let (mut gic, mut hardware) = (ready(1), Hardware::default());
    hardware.split = true;
    gic.write(0, 0xf00, 4, 0x0200_0003);
    gic.flush(0, &mut hardware);
    assert_eq!(hardware.acknowledge(), 3);
    hardware.end(3);
    gic.write(0, 0xf00, 4, 0x0200_0003);
    gic.flush(0, &mut hardware);
    assert_eq!(hardware.acknowledge(), SPURIOUS, "still active");
    deactivate(&mut gic, &mut hardware, 3);
    assert_eq!(hardware.acknowledge(), 3);
}

#[test]
fn an_spi_goes_where_it_is_sent_when_it_has_ended() {
    let (mut gic, mut first, mut second) = (ready(2), Hardware::default(), Hardware::default());
    gic.write(0, 0x821, 1, 0b11);
    assert_eq!(
        gic.set_line(UART_INTID, 0, true),
        0b11,
        "all of its targets look, and the first has it"
    );
    gic.flush(0, &mut first);
    assert_eq!(first.acknowledge(), UART_INTID);

    assert_eq!(
        gic.prepare_access(1, 0x821, 1, true, &mut second),
        LrScope::All
    );
    gic.sync(0, &mut first);
    gic.sync(1, &mut second);
    gic.write(1, 0x821, 1, 0b10);
    assert_eq!(gic.flush(0, &mut first), 0);
    gic.flush(1, &mut second);
    assert_eq!(second.acknowledge(), SPURIOUS, "it is active on the first");

    first.end(UART_INTID);
    assert!(first.maintenance());
    assert_eq!(gic.flush(0, &mut first), 0b10);
    gic.flush(1, &mut second);
    assert_eq!(first.acknowledge(), SPURIOUS);
    assert_eq!(second.acknowledge(), UART_INTID);
}

#[test]
fn an_edge_comes_once() {
    let (mut gic, mut hardware) = (ready(1), Hardware::default());
    gic.write(0, 0xc08, 4, 8);
    assert_eq!(gic.set_line(UART_INTID, 0, true), 1);
    gic.flush(0, &mut hardware);
    assert_eq!(hardware.acknowledge(), UART_INTID);
    gic.set_line(UART_INTID, 0, false);
    assert_eq!(
        gic.set_line(UART_INTID, 0, true),
        1,
        "again, while it is active"
    );
    gic.flush(0, &mut hardware);
    hardware.end(UART_INTID);
    assert_eq!(hardware.acknowledge(), UART_INTID);
    hardware.end(UART_INTID);
    gic.flush(0, &mut hardware);
    assert_eq!(hardware.acknowledge(), SPURIOUS);
}

#[test]
fn group_and_enables_of_the_distributor() {
    let (mut gic, mut hardware) = (ready(1), Hardware::default());
    gic.write(0, 0x080, 4, 1 << 2);
    for (control, expected) in [(0, &[][..]), (1, &[1]), (2, &[2]), (3, &[1, 2])] {
        gic.write(0, 0, 4, control);
        gic.write(0, 0xf20, 4, 0x0001_0100);
        assert_eq!(gic.has_unlisted(0), control != 0);
        gic.flush(0, &mut hardware);
        for intid in expected {
            assert_eq!(hardware.acknowledge(), *intid);
            hardware.end(*intid);
        }
        assert_eq!(hardware.acknowledge(), SPURIOUS);
        gic.sync(0, &mut hardware);
        gic.write(0, 0xf10, 4, 0xffff_ffff);
    }
    gic.write(0, 0xf20, 4, 0x0001_0000);
    gic.flush(0, &mut hardware);
    assert!(hardware.lists.iter().any(|r| !r.is_done() && r.is_group1()));
}

#[test]
fn an_edge_that_waits_for_the_end_goes_where_it_is_sent_then() {
    let (mut gic, mut first, mut second) = (ready(2), Hardware::default(), Hardware::default());
    gic.write(0, 0xc08, 4, 8);
    gic.set_line(UART_INTID, 0, true);
    gic.flush(0, &mut first);
    assert_eq!(first.acknowledge(), UART_INTID);
    gic.sync(0, &mut first);
    gic.write(1, 0x821, 1, 0b10);
    gic.write(1, 0x204, 4, 2);
    gic.flush(0, &mut first);
    gic.flush(1, &mut second);
    assert_eq!(second.acknowledge(), SPURIOUS);
    first.end(UART_INTID);
    assert!(first.maintenance());
    assert_eq!(gic.flush(0, &mut first), 0b10);
    gic.flush(1, &mut second);
    assert_eq!(second.acknowledge(), UART_INTID);
}

#[test]
fn an_sgi_and_a_line_that_fell_in_one_look() {
    let (mut gic, mut hardware) = (ready(1), Hardware::default());
    gic.set_line(PTIMER_PPI, 0, true);
    gic.flush(0, &mut hardware);
    gic.set_line(PTIMER_PPI, 0, false);
    gic.write(0, 0xf00, 4, 0x0200_0001);
    gic.flush(0, &mut hardware);
    assert_eq!(hardware.acknowledge(), 1);
    hardware.end(1);
    assert_eq!(hardware.acknowledge(), SPURIOUS);
}

#[test]
fn an_sgi_made_active_is_nobodys() {
    let (mut gic, mut hardware) = (ready(2), Hardware::default());
    gic.write(1, 0xf00, 4, 0x0001_0007);
    gic.flush(0, &mut hardware);
    assert_eq!(hardware.acknowledge(), 1 << 10 | 7);
    gic.sync(0, &mut hardware);
    gic.flush(0, &mut hardware);
    hardware.end(1 << 10 | 7);
    gic.sync(0, &mut hardware);
    gic.write(0, 0x300, 4, 1 << 7);
    gic.flush(0, &mut hardware);
    hardware.split = true;
    deactivate(&mut gic, &mut hardware, 7);
    gic.sync(0, &mut hardware);
    assert_eq!(gic.read(0, 0x300, 4), 0);
}

#[test]
fn an_spi_has_a_group_and_a_priority_of_its_own() {
    let (mut gic, mut hardware) = (ready(1), Hardware::default());
    gic.write(0, 0x084, 4, 1 << 1);
    gic.write(0, 0x400 + 33, 1, 0x40);
    for (intid, group1, priority) in [(33, true, 0x40), (34, false, 0xa0), (63, false, 0xa0)] {
        gic.set_line(intid, 0, true);
        gic.flush(0, &mut hardware);
        let register = hardware.lists.iter().find(|r| r.intid() == intid).unwrap();
        assert_eq!(
            (register.is_group1(), register.priority()),
            (group1, priority),
            "{intid}"
        );
    }
}

/// An SPI that another vCPU has in a list register is taken back there.
#[test]
fn a_line_that_falls_is_the_business_of_the_vcpu_that_has_the_interrupt() {
    let (mut gic, mut hardware) = (ready(2), Hardware::default());
    gic.write(0, 0x821, 1, 0b10);
    assert_eq!(gic.set_line(UART_INTID, 0, true), 0b10);
    gic.flush(1, &mut hardware);
    assert_eq!(gic.set_line(UART_INTID, 0, false), 0b10);
    gic.flush(1, &mut hardware);
    assert_eq!(hardware.acknowledge(), SPURIOUS);
}

/// The fields of PPIs and of SPIs have a bit for each: PPI 30 and SPI 46 have the same.
#[test]
fn an_sgi_is_not_alone_when_others_have_the_same_bit() {
    let (mut gic, mut hardware) = (ready(1), Hardware::default());
    gic.set_line(PTIMER_PPI, 0, true);
    gic.set_line(46, 0, true);
    gic.write(0, 0xf00, 4, 0x0200_0001);
    gic.flush(0, &mut hardware);
    assert_eq!(listed(&hardware), [1, PTIMER_PPI, 46]);

    // A line, and the latch of the same PPI.
    let (mut gic, mut hardware) = (ready(1), Hardware::default());
    gic.set_line(PTIMER_PPI, 0, true);
    gic.write(0, 0x200, 4, 1 << PTIMER_PPI);
    gic.write(0, 0xf00, 4, 0x0200_0001);
    gic.flush(0, &mut hardware);
    assert_eq!(listed(&hardware), [1, PTIMER_PPI]);
}

#[test]
fn a_vcpu_with_one_or_two_things_to_do_is_not_idle() {
    let things: [fn(&mut Gic); 10] = [
        |gic| gic.lrs[0].used = 1,
        |gic| gic.lrs[0].hcr = 1,
        |gic| gic.lrs[0].stale = true,
        |gic| gic.private[0].active = 1,
        |gic| gic.private[0].lines = 1,
        |gic| gic.private[0].latched = 1,
        |gic| gic.private[0].sent[0] = 1,
        |gic| gic.private[0].sent[1] = 1,
        |gic| gic.shared.lines = 1,
        |gic| gic.shared.latched = 1,
    ];
    assert!(Gic::new(1).is_idle(0));
    for (n, first) in things.iter().enumerate() {
        for (m, second) in things.iter().enumerate() {
            let mut gic = Gic::new(1);
            first(&mut gic);
            second(&mut gic);
            assert!(!gic.is_idle(0), "things {n} and {m}");
        }
    }
}

/// What another target does not see while it is in a list register is given back when its vCPU is unloaded, also after it ended there.
#[test]
fn an_spi_that_ended_where_no_vcpu_is_loaded_comes_to_another_target() {
    const EDGE: u64 = 1 << 3;
    // Its line goes up, and down before `fall`: the acknowledge, the end, or never.
    for (configuration, fall) in [(EDGE, 0), (EDGE, 1), (0, 1), (0, 2)] {
        let mut world = World::new(2);
        world.write(0, 0x104, 4, 1 << 1);
        world.write(0, 0x821, 1, 0b11);
        world.write(0, 0xc08, 4, configuration);
        world.write(0, 0, 4, 1);
        world.set_line(0, UART_INTID, true);
        for step in [World::acknowledge, World::end].iter().enumerate() {
            if step.0 == fall {
                world.set_line(0, UART_INTID, false);
            }
            world.serve();
            step.1(&mut world, 0);
        }
        assert_eq!(world.running[0], [], "it was acknowledged, and ended");
        // It may have asked for a maintenance interrupt, which is not served any more.
        world.unload(0);
        world.set_line(0, UART_INTID, true);
        world.serve();
        world.check();
        world.acknowledge(1);
        assert_eq!(world.running[1], [UART_INTID], "{configuration} {fall}");
    }
}
