//! Where devices are, and accesses of every size to each of them.

use super::absent::regions;
use super::*;
use crate::limits::WINDOWS_MAX;
use pl011::tests::Terminal;
use std::vec::Vec;

#[test]
fn addresses() {
    let uart = Region::Device(Device::Uart);
    assert_eq!(Region::at(Ipa(0x0900_0000)), Some((uart, 0)));
    assert_eq!(Region::at(Ipa(0x0900_0fff)), Some((uart, 0xfff)));
    assert_eq!(Region::at(Ipa(0x0800_0000)), Some((Region::Distributor, 0)));
    let last = Some((Region::Distributor, 0xffff));
    assert_eq!(Region::at(Ipa(0x0800_ffff)), last);
    assert_eq!(
        Region::at(Ipa(0x0801_1000)),
        Some((Region::Deactivation, 0))
    );
    for nothing in [
        CPU_INTERFACE_BASE.0,
        CPU_INTERFACE_BASE.0 + CPU_INTERFACE_SIZE - 1,
        DEACTIVATION_BASE.0 + DEACTIVATION_SIZE,
        0x0801_ffff,
        0x080a_0000,
        0x08ff_ffff,
        0x0900_1000,
        0x0902_0018,
        0x0904_0000,
        0x0a00_4000,
        0x0c00_0000,
        0x0fff_ffff,
        0x4000_0000,
        0x40_0000_0000,
        0x100_0000_0000,
        u64::MAX,
    ] {
        assert_eq!(Region::at(Ipa(nothing)), None, "{nothing:#x}");
    }
}

#[test]
fn ranges_are_disjoint() {
    let ours = [
        (DISTRIBUTOR_BASE.0, DISTRIBUTOR_SIZE),
        (CPU_INTERFACE_BASE.0, CPU_INTERFACE_SIZE),
        (DEACTIVATION_BASE.0, DEACTIVATION_SIZE),
        (0x4000_0000, 15 << 30),
        (WINDOWS_BASE.0, WINDOWS_MAX as u64 * WINDOW_STRIDE),
    ];
    let rows = Device::ALL.iter().map(|device| device.row());
    let devices = rows.map(|row| (row.base.0, row.size));
    let mut all: Vec<_> = ours.into_iter().chain(regions()).chain(devices).collect();
    all.sort();
    for pair in all.windows(2) {
        assert!(pair[0].0 + pair[0].1 <= pair[1].0, "{pair:x?}");
    }
}

/// In one GiB, each at the start of a block, with its doorbell below the next one.
#[test]
fn windows_are_apart() {
    let window = |number, bytes| Window {
        number,
        name: "w",
        bytes,
    };
    for number in 0..WINDOWS_MAX {
        for bytes in [0x1000, 0x20_0000] {
            let this = window(number, bytes);
            assert!(this.ipa().0.is_multiple_of(0x20_0000));
            assert_eq!(this.doorbell().0, this.ipa().0 + bytes);
            let end = this.doorbell().0 + Window::DOORBELL_SIZE;
            assert!(end <= window(number + 1, bytes).ipa().0);
            assert_eq!((end - 1) >> 30, WINDOWS_BASE.0 >> 30);
            assert_eq!(Region::at(this.ipa()), None);
            assert_eq!(Region::at(this.doorbell()), None);
        }
    }
}

#[test]
fn what_is_absent_answers_as_in_an_empty_virt() {
    // Address, and what a load of 4 and of 8 bytes gives: xp/1xw of QEMU on such a machine, but for the clock, the GPIO's
    // identification and the GICv2m frame.
    for (address, word, long) in [
        (0x0000_0000, 0, 0),
        (0x07ff_fff8, 0, 0),
        (0x0802_0008, 0, 0),
        (0x0901_0000, 0, 0),
        (0x0902_0000, 0, 0),
        (0x0903_0fe0, 0, 0),
        (0x0a00_0000, 0x7472_6976, 0x1_7472_6976),
        (0x0a00_3e08, 0, 0x554d_4551_0000_0000),
        (0x0a00_0100, 0, 0),
        (0x1000_0000, 0xffff_ffff, u64::MAX),
        (0x3eff_0000, 0xffff_ffff, u64::MAX),
        (0x3fff_fff8, 0xffff_ffff, u64::MAX),
        (0x3f00_0000, 0xffff_ffff, u64::MAX),
        (0x40_1000_0000, 0xffff_ffff, u64::MAX),
        (0x40_1000_8000, 0xffff_ffff, u64::MAX),
        (0xff_ffff_fff8, 0xffff_ffff, u64::MAX),
    ] {
        let Some((Region::Absent(absent), offset)) = Region::at(Ipa(address)) else {
            panic!("{address:#x} is not absent");
        };
        let read = |size| absent.read(offset, size);
        assert_eq!(read(4), word, "{address:#x}");
        assert_eq!(read(8), long, "{address:#x}");
        assert_eq!(read(2), word & 0xffff, "{address:#x}");
        assert_eq!(read(1), word & 0xff, "{address:#x}");
    }
}

#[test]
fn accesses_of_every_size() {
    let mut devices = Devices::default();
    let mut terminal = Terminal::default();
    devices.write(Device::Uart, 0x24, 8, 0x0000_0011_0000_1234, &mut terminal);
    for (offset, size, expected) in [
        (0x24, 4, 0x1234),
        (0x28, 4, 0x11),
        (0x24, 8, 0x11_0000_1234),
        (0x24, 2, 0x1234),
        (0x24, 1, 0x34),
        (0x25, 1, 0x12),
        (0x26, 2, 0),
        (0xff8, 8, 0xb1_0000_0005),
        (0xffc, 8, 0xb1),
    ] {
        assert_eq!(
            devices.read(Device::Uart, offset, size, &mut terminal),
            expected,
            "{offset:#x} {size}"
        );
    }
    for size in [1, 2, 4, 8] {
        devices.write(Device::Uart, 0, size, 0xffff_ffff_ffff_ff41, &mut terminal);
    }
    devices.write(Device::Uart, 0x25, 1, 0xabcd, &mut terminal);
    assert_eq!(terminal.printed, b"AAAA");
    assert_eq!(devices.read(Device::Uart, 0x24, 4, &mut terminal), 0xcd00);
}

#[test]
fn an_empty_bus_is_all_ones_for_every_access() {
    for (base, bytes) in [
        PCIE_MEMORY,
        PCIE_PORTS,
        PCIE_CONFIGURATION,
        PCIE_HIGH_MEMORY,
    ] {
        for offset in [0, 1, 2, 3, 5, 0x2c, bytes - 8] {
            let Some((Region::Absent(bus), offset)) = Region::at(Ipa(base + offset)) else {
                panic!("{base:#x} + {offset:#x} is not absent");
            };
            for (size, ones) in [(1, 0xff), (2, 0xffff), (4, 0xffff_ffff), (8, u64::MAX)] {
                assert_eq!(
                    bus.read(offset, size),
                    ones,
                    "{base:#x} + {offset:#x}, {size}"
                );
            }
        }
    }
}

#[test]
fn no_access_panics() {
    let mut devices = Devices::default();
    let mut terminal = Terminal::default();
    // Miri takes a thousand times as long for each.
    let step = if cfg!(miri) { 61 } else { 1 };
    for offset in (0..0x1000).step_by(step) {
        for size in [1, 2, 4, 8] {
            for &device in Device::ALL {
                devices.write(device, offset, size, u64::MAX, &mut terminal);
                devices.read(device, offset, size, &mut terminal);
            }
            for absent in [Absent::Silent, Absent::EmptyBus, Absent::EmptySlot] {
                absent.read(offset, size);
            }
        }
    }
}
