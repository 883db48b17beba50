//! Which interrupts are in list registers, if there are more than fit, and how many accesses that takes.

use super::*;

#[test]
fn more_than_list_registers() {
    let (mut gic, mut hardware) = (ready(1), Hardware::default());
    // The lowest of 32 priorities passes no mask.
    for intid in 33..64u32 {
        gic.write(0, 0x400 + u64::from(intid), 1, u64::from(8 * (63 - intid)));
    }
    assert_eq!(gic.write(0, 0x204, 4, 0xffff_fffe), 1);
    gic.flush(0, &mut hardware);
    for intid in (33..64u32).rev() {
        assert!(!hardware.maintenance(), "it would never end");
        assert_eq!(hardware.acknowledge(), intid);
        hardware.end(intid);
        if hardware.maintenance() {
            gic.flush(0, &mut hardware);
        }
    }
    assert_eq!(hardware.acknowledge(), SPURIOUS);
}

#[test]
fn five_nested_with_four_list_registers() {
    let (mut gic, mut hardware) = (ready(1), Hardware::default());
    let mut running = std::vec::Vec::new();
    for intid in 40..48u32 {
        gic.write(0, 0x400 + u64::from(intid), 1, u64::from(8 * (63 - intid)));
        gic.write(0, 0x204, 4, 1 << (intid - 32));
        gic.flush(0, &mut hardware);
        assert_eq!(hardware.acknowledge(), intid, "it preempts {running:?}");
        running.push(intid);
    }
    gic.sync(0, &mut hardware);
    assert_eq!(gic.read(0, 0x304, 4), 0xff00);
    gic.flush(0, &mut hardware);
    while let Some(intid) = running.pop() {
        hardware.end(intid);
        for _ in 0..2 {
            if hardware.maintenance() {
                gic.flush(0, &mut hardware);
            }
        }
        assert!(!hardware.maintenance(), "it would never end");
        gic.sync(0, &mut hardware);
        assert_eq!(
            gic.read(0, 0x304, 4),
            (1 << (intid - 32)) - 0x100,
            "the others are active"
        );
        gic.flush(0, &mut hardware);
    }
}

#[test]
fn an_acknowledge_keeps_its_place_whatever_its_priority_is_later() {
    let (mut gic, mut hardware) = (ready(1), Hardware::default());
    for (intid, priority) in [(40, 0x80), (41, 0x40)] {
        gic.write(0, 0x400 + intid, 1, priority);
        gic.write(0, 0x204, 4, 1 << (intid - 32));
        gic.flush(0, &mut hardware);
        assert_eq!(u64::from(hardware.acknowledge()), intid);
    }
    // It waits.
    gic.write(0, 0x204, 4, 1 << 10);
    for priority in [0x80, 0x20] {
        gic.write(0, 0x400 + 40, 1, priority);
        gic.flush(0, &mut hardware);
        gic.sync(0, &mut hardware);
        assert_eq!(
            gic.private[0].last_acknowledged(1 << 40 | 1 << 41),
            Some(41)
        );
        assert_eq!(gic.private[0].last_acknowledged(1 << 42), None);
    }
}

#[test]
fn an_sgi_costs_two_accesses() {
    let (mut gic, mut hardware) = (ready(2), Hardware::default());
    for _ in 0..3 {
        gic.write(0, 0xf00, 4, 0x0002_0001);
        hardware.accesses = 0;
        gic.flush(1, &mut hardware);
        assert_eq!(hardware.accesses, 2, "ELRSR0 and a list register");
        assert_eq!(hardware.acknowledge(), 1);
        hardware.end(1);
    }
}

#[test]
fn one_more_interrupt_leaves_the_others_where_they_are() {
    let (mut gic, mut hardware) = (ready(1), Hardware::default());
    let added = [20, 21, 22].map(|intid| {
        gic.write(0, 0x200, 4, 1 << intid);
        hardware.accesses = 0;
        gic.flush(0, &mut hardware);
        hardware.accesses
    });
    assert_eq!(
        added,
        [2, 3, 4],
        "ELRSR0, its own, and those that may have ended"
    );
}

#[test]
fn without_list_registers_nothing_storms() {
    struct None(u32);
    impl Gich for None {
        fn empty_lrs(&mut self) -> u32 {
            0
        }
        fn list_register(&mut self, _: usize) -> ListRegister {
            ListRegister::EMPTY
        }
        fn set_list_register(&mut self, n: usize, _: ListRegister) {
            panic!("there is no list register {n}");
        }
        fn hcr(&mut self) -> u32 {
            self.0
        }
        fn set_hcr(&mut self, hcr: u32) {
            self.0 = hcr;
        }
        fn vtimer_line(&mut self) -> bool {
            true
        }
        fn deactivate_vtimer(&mut self) {}
        fn cpu_interface(&mut self) -> CpuInterface {
            CpuInterface::default()
        }
    }
    let (mut gic, mut nothing) = (ready(1), None(1));
    gic.write(0, 0xf00, 4, 0x0200_0001);
    gic.vtimer_fired(0, &mut nothing);
    gic.flush(0, &mut nothing);
    assert_eq!(nothing.0, 1);
}

#[test]
fn ends_of_nothing_do_not_count_when_there_are_more_active_than_list_registers() {
    let (mut gic, mut hardware) = (ready(1), Hardware::default());
    hardware.active = !0;
    for _ in 0..7 {
        hardware.end(5);
    }
    hardware.active = 0;
    gic.write(0, 0x304, 4, 0x1f);
    gic.flush(0, &mut hardware);
    assert!(!hardware.maintenance());
    gic.sync(0, &mut hardware);
    assert_eq!(gic.read(0, 0x304, 4), 0x1f);
}

#[test]
fn groups_that_the_interface_has_off_come_last() {
    let (mut gic, mut hardware) = (ready(1), Hardware::default());
    hardware.enabled = [true, false];
    gic.write(0, 0x084, 4, 0xffff);
    for intid in [40, 41, 42, 43, 50, 51, 52, 53] {
        let priority = if intid < 48 { 0x10 } else { 0xa0 };
        gic.write(0, 0x400 + u64::from(intid), 1, priority);
        gic.set_line(intid, 0, true);
    }
    gic.flush(0, &mut hardware);
    assert_eq!(listed(&hardware), [50, 51, 52, 53]);
}

#[test]
fn others_take_the_list_register_of_an_spi_that_another_target_has() {
    let (mut gic, mut hardware, mut other) = (ready(2), Hardware::default(), Hardware::default());
    gic.write(0, 0x400 + 40, 1, 0x10);
    gic.write(0, 0x800 + 40, 1, 0b11);
    gic.write(0, 0x204, 4, 1 << (40 - 32));
    gic.flush(0, &mut hardware);
    // The other target would take it, as far as is noted of it.
    gic.poll_signalled(1, &mut other);
    for intid in 1..5u64 {
        gic.write(0, 0xf20 + intid, 1, 1);
        gic.flush(0, &mut hardware);
    }
    let listed = |hardware: &Hardware| hardware.lists.map(|it| it.intid());
    let before = listed(&hardware);
    assert!(before.contains(&40), "{before:?}");
    gic.review(0, true, &mut hardware);
    let mut after = listed(&hardware);
    after.sort();
    assert_eq!(after, [1, 2, 3, 4], "before: {before:?}");
}
