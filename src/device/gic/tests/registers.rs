//! The registers one by one. What they do to delivery is next door.

use super::*;
use zerocopy::IntoBytes;

const SIZES: [u8; 4] = [1, 2, 4, 8];

#[test]
fn as_after_a_reset_and_after_ones() {
    for (offset, reset, ones) in [
        (0x000, 0, 3),
        (0x004, 0x61, 0x61),
        (0x008, 0x0200_143b, 0x0200_143b),
        (0x00c, 0, 0),
        (0x080, 0, 0xffff_ffff),
        (0x084, 0, 0xffff_ffff),
        (0x088, 0, 0),
        (0x100, 0xffff, 0xffff_ffff),
        (0x104, 0, 0xffff_ffff),
        (0x108, 0, 0),
        (0x17c, 0, 0),
        (0x180, 0xffff, 0xffff),
        (0x184, 0, 0),
        (0x200, 0, 0xffff_0000),
        (0x204, 0, 0xffff_ffff),
        (0x280, 0, 0),
        (0x300, 0, 0xffff_ffff),
        (0x304, 0, 0xffff_ffff),
        (0x380, 0, 0),
        (0x400, 0, 0xf8f8_f8f8),
        (0x43c, 0, 0xf8f8_f8f8),
        (0x440, 0, 0),
        (0x7fc, 0, 0),
        (0x800, 0x0202_0202, 0x0202_0202),
        (0x81c, 0x0202_0202, 0x0202_0202),
        (0x820, 0, 0x0f0f_0f0f),
        (0x83c, 0, 0x0f0f_0f0f),
        (0x840, 0, 0),
        (0xc00, 0xaaaa_aaaa, 0xaaaa_aaaa),
        (0xc04, 0, 0),
        (0xc08, 0, 0xaaaa_aaaa),
        (0xc0c, 0, 0xaaaa_aaaa),
        (0xc10, 0, 0),
        (0xd00, 0, 0),
        (0xf00, 0, 0),
        (0xf10, 0, 0),
        (0xf1c, 0, 0),
        (0xf20, 0, 0x0f0f_0f0f),
        (0xf2c, 0, 0x0f0f_0f0f),
        (0xf30, 0, 0),
        (0xfcc, 0, 0),
        (0xfe8, 0x2b, 0x2b),
        (0x1000, 0, 0),
    ] {
        let mut gic = Gic::new(4);
        assert_eq!(gic.read(1, offset, 4), reset, "{offset:#x} after reset");
        gic.write(1, offset, 4, 0xffff_ffff);
        assert_eq!(gic.read(1, offset, 4), ones, "{offset:#x} after ones");
    }
}

#[test]
fn identification_as_gic_400() {
    let gic = Gic::new(1);
    let bytes: std::vec::Vec<_> = (0..12).map(|n| gic.read(0, 0xfd0 + 4 * n, 4)).collect();
    assert_eq!(
        bytes,
        [4, 0, 0, 0, 0x90, 0xb4, 0x2b, 0, 0x0d, 0xf0, 0x05, 0xb1]
    );
}

#[test]
fn number_of_vcpus() {
    for (asked, vcpus) in [(0, 1), (1, 1), (2, 2), (8, 8), (9, 8), (usize::MAX, 8)] {
        let mut gic = Gic::new(asked);
        assert_eq!(gic.read(0, 4, 4), 1 | (vcpus - 1) << 5);
        gic.write(0, 0x820, 4, 0xffff_ffff);
        let targets = if vcpus == 1 {
            0
        } else {
            ((1 << vcpus) - 1) * 0x0101_0101
        };
        assert_eq!(
            gic.read(0, 0x820, 4),
            targets,
            "none to choose from with one vCPU"
        );
    }
}

#[test]
fn private_registers_are_each_vcpus_own() {
    let mut gic = Gic::new(8);
    for vcpu in 0..8 {
        gic.write(vcpu, 0x100, 4, 0x1_0000 << vcpu);
        gic.write(vcpu, 0x41b, 1, 8 * vcpu as u64);
    }
    for vcpu in 0..8 {
        assert_eq!(gic.read(vcpu, 0x100, 4), 0xffff | 0x1_0000 << vcpu);
        assert_eq!(gic.read(vcpu, 0x418, 4), (8 * vcpu as u64) << 24);
        assert_eq!(
            gic.read(vcpu, 0x800, 1),
            1 << vcpu,
            "Linux learns its number from this"
        );
    }
    gic.write(0, 0x104, 4, 2);
    assert_eq!(gic.read(7, 0x104, 4), 2, "of SPIs there is one");
}

#[test]
fn set_and_clear() {
    let mut gic = Gic::new(1);
    for (set, clear) in [
        (0x104, 0x184),
        (0x204, 0x284),
        (0x304, 0x384),
        (0xf20, 0xf10),
    ] {
        gic.write(0, set, 4, 0x0101_0101);
        gic.write(0, set, 4, 0);
        gic.write(0, clear, 4, 0x0001_0001);
        for offset in [set, clear] {
            assert_eq!(gic.read(0, offset, 4), 0x0100_0100, "{offset:#x}");
        }
    }
}

#[test]
fn sgis_are_not_disabled_nor_made_pending_by_bits() {
    let mut gic = Gic::new(1);
    gic.write(0, 0x180, 4, 0xffff_ffff);
    assert_eq!(gic.read(0, 0x180, 4), 0xffff);
    gic.write(0, 0x200, 4, 0xffff);
    assert_eq!(gic.read(0, 0x200, 4), 0);
    gic.write(0, 0xf21, 1, 1);
    gic.write(0, 0x280, 4, 0xffff_ffff);
    assert_eq!(gic.read(0, 0x200, 4), 2);
}

#[test]
fn accesses_of_every_size() {
    let mut gic = Gic::new(2);
    gic.write(0, 0x400, 8, 0x8070_6050_4030_2010);
    gic.write(0, 0x402, 1, 0x1234_5698);
    gic.write(0, 0x404, 2, 0xffff_0808);
    assert_eq!(gic.read(0, 0x400, 8), 0x8070_0808_4098_2010);
    for (offset, size, expected) in [(0x402, 1, 0x98), (0x402, 2, 0x4098), (0x407, 1, 0x80)] {
        assert_eq!(gic.read(0, offset, size), expected, "{offset:#x} {size}");
    }
    gic.write(0, 0x105, 1, 0xa5);
    gic.write(0, 0x185, 1, 0x05);
    assert_eq!(gic.read(0, 0x104, 4), 0xa000);
    gic.write(0, 0xc09, 1, 0xff);
    assert_eq!(gic.read(0, 0xc08, 4), 0xaa00);
    gic.write(0, 0xc0a, 2, 0x8001);
    assert_eq!(gic.read(0, 0xc08, 8), 0x8000_aa00);
    gic.write(0, 0xf00, 2, 0x0200_0001);
    gic.write(0, 0xf02, 2, 0x0200);
    assert_eq!(gic.read(0, 0xf20, 8), 0, "SGIR takes words");
    gic.write(0, 0xf00, 8, 0x0200_0001);
    assert_eq!(gic.read(0, 0xf21, 1), 1, "or two of them");
}

#[test]
fn software_interrupts() {
    for (value, targets) in [
        (0x00ff_0003, 0b111),
        (0x0005_8003, 0b101),
        (0x0000_0003, 0),
        (0x0100_0003, 0b101),
        (0x01ff_0003, 0b101),
        (0x0200_0003, 0b010),
        (0x03ff_0003, 0),
    ] {
        let mut gic = Gic::new(3);
        assert_eq!(gic.write(1, 0xf00, 4, value), targets, "{value:#x}");
        for target in 0..3 {
            let senders = if targets >> target & 1 != 0 { 0b10 } else { 0 };
            assert_eq!(
                gic.read(target, 0xf23, 1),
                senders,
                "{value:#x} at {target}"
            );
            assert_eq!(gic.read(target, 0x200, 4), u64::from(senders != 0) << 3);
        }
    }
}

#[test]
fn who_is_synced_before() {
    let (mut gic, mut first, mut second) = (ready(2), Hardware::default(), Hardware::default());
    gic.set_line(UART_INTID, 0, true);
    gic.write(0, 0xf00, 4, 0x0002_0001);
    let all = |gic: &mut Gic, vcpu, expected: &[(u64, bool, LrScope)]| {
        for &(offset, write, scope) in expected {
            assert_eq!(
                gic.prepare_access(vcpu, offset, 4, write, &mut Hardware::default()),
                scope,
                "{offset:#x} {write}"
            );
        }
    };
    for offset in (0..0x1000).step_by(4) {
        all(
            &mut gic,
            0,
            &[
                (offset, true, LrScope::None),
                (offset, false, LrScope::None),
            ],
        );
    }

    gic.flush(0, &mut first);
    gic.flush(1, &mut second);
    for (vcpu, of_uart, of_sgi) in [
        (0, LrScope::Own, LrScope::None),
        (1, LrScope::All, LrScope::Own),
    ] {
        for (offset, read, write) in [
            (0x000, LrScope::None, LrScope::All),
            (0x004, LrScope::None, LrScope::None),
            (0x084, LrScope::None, of_uart),
            (0x100, LrScope::None, of_sgi),
            (0x104, LrScope::None, of_uart),
            (0x184, LrScope::None, of_uart),
            (0x200, of_sgi, of_sgi),
            (0x204, of_uart, of_uart),
            (0x284, of_uart, of_uart),
            (0x304, of_uart, of_uart),
            (0x384, of_uart, of_uart),
            (0x400, LrScope::None, of_sgi),
            (0x404, LrScope::None, LrScope::None),
            (0x420, LrScope::None, of_uart),
            (0x424, LrScope::None, LrScope::None),
            (0x820, LrScope::None, of_uart),
            (0xc08, LrScope::None, of_uart),
            (0xc0c, LrScope::None, LrScope::None),
            (0xf00, LrScope::None, LrScope::None),
            (0xf20, of_sgi, of_sgi),
            (0xfe8, LrScope::None, LrScope::None),
        ] {
            all(
                &mut gic,
                vcpu,
                &[(offset, false, read), (offset, true, write)],
            );
        }
    }
    assert_eq!(
        gic.prepare_access(1, 0x400, 8, true, &mut Hardware::default()),
        LrScope::Own
    );
    assert_eq!(
        gic.prepare_access(1, 0x3fc, 8, true, &mut Hardware::default()),
        LrScope::Own,
        "the second of two"
    );
}

#[test]
fn no_access_panics() {
    let mut gic = ready(8);
    let mut hardware: [Hardware; 8] = core::array::from_fn(|_| Hardware::default());
    // Miri takes a thousand times as long for each.
    let step = if cfg!(miri) { 61 } else { 1 };
    for vcpu in [0, 7, 8, 255, usize::MAX] {
        for offset in (0..0x1010)
            .step_by(step)
            .chain([0x1_0000, u64::MAX - 7, u64::MAX])
        {
            for size in SIZES.into_iter().chain([0, 3, 255]) {
                for value in [0, 0x0203_0405_0607_0809, u64::MAX] {
                    gic.prepare_access(vcpu, offset, size, true, &mut Hardware::default());
                    gic.write(vcpu, offset, size, value);
                    gic.prepare_access(vcpu, offset, size, false, &mut Hardware::default());
                    gic.read(vcpu, offset, size);
                }
            }
        }
        for intid in 0..0x100 {
            gic.set_line(intid, vcpu, intid % 3 == 0);
        }
    }
    for (vcpu, hardware) in hardware.iter_mut().enumerate() {
        gic.flush(vcpu, hardware);
        gic.sync(vcpu, hardware);
    }
}

#[test]
fn state_is_plain_data() {
    let gic = ready(2);
    assert_eq!(gic.shared.as_bytes().len(), 96);
    assert_eq!(gic.private[0].as_bytes().len(), 104);
}

#[test]
fn an_spi_that_is_made_active_is_so_on_its_first_target() {
    let mut gic = ready(4);
    gic.write(0, 0x821, 1, 0b0110);
    gic.write(0, 0x822, 1, 0);
    gic.write(3, 0x304, 4, 0b110);
    let active = |vcpu: usize| gic.private[vcpu].active >> 32;
    assert_eq!([0, 1, 2, 3].map(active), [0, 0b010, 0, 0b100]);
}
