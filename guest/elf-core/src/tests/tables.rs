//! Walks over tables of all granules, and over those that mean harm.

use super::{Fake, RAM, Tables, stage1};
use crate::machine::Stage1;
use crate::tables::{Half, Range, Walk};

fn walked(machine: &mut Fake, stage1: &Stage1, half: Half) -> Vec<Range> {
    let mut walk = Walk::default();
    let found = walk.ranges(machine, stage1, half, 100);
    assert!(!walk.is_cut());
    found.expect("it cannot fail")
}

fn range(va: u64, ipa: u64, bytes: u64) -> Range {
    Range { va, ipa, bytes }
}

#[test]
fn while_the_mmu_is_off_addresses_are_the_same() {
    let mut machine = Fake::new(8);
    let off = Stage1::default();
    let all = [range(RAM, RAM, 0x8000)];
    assert_eq!(walked(&mut machine, &off, Half::Lower), all);
    assert_eq!(walked(&mut machine, &off, Half::Upper), []);
}

/// Pages and blocks of each granule, in both halves; neighbours become one range.
#[test]
fn each_granule_and_size() {
    let shapes = [
        (12, 48, 0),
        (12, 39, 1),
        (12, 32, 1),
        (12, 30, 2),
        (12, 25, 2),
        (12, 40, 0),
        (14, 48, 0),
        (14, 47, 1),
        (14, 37, 1),
        (14, 36, 2),
        (16, 52, 1),
        (16, 48, 1),
        (16, 42, 2),
        (16, 30, 2),
        (16, 28, 3),
    ];
    for (page, input, first) in shapes {
        for half in [Half::Lower, Half::Upper] {
            let mut machine = Fake::new(0x1000);
            let size = 1 << page;
            let mut tables = Tables::new(page, input, RAM + 0x10_0000);
            assert_eq!(tables.first_level(), first, "{page} {input}");
            let top = match half {
                Half::Lower => 0,
                Half::Upper => u64::MAX << input,
            };
            // The first page, two neighbours, one whose neighbour lies elsewhere, and the last one.
            let last = top | ((1 << input) - size);
            let middle = top | 3 << (input - 3);
            let pages = [
                (top, RAM + size),
                (middle, RAM + 2 * size),
                (middle + size, RAM + 3 * size),
                (middle + 2 * size, RAM + 6 * size),
                (last, RAM),
            ];
            for (va, ipa) in pages {
                tables.map(&mut machine, va, ipa, 3);
            }
            let mut expected = vec![
                range(top, RAM + size, size),
                range(middle, RAM + 2 * size, 2 * size),
                range(middle + 2 * size, RAM + 6 * size, size),
                range(last, RAM, size),
            ];
            // A block that is there in part only: RAM has 16 MiB.
            let block = 1 << (page + page - 3);
            let address = top | 1 << (input - 1);
            if input > page + page - 3 + 1 {
                tables.map(&mut machine, address, RAM, 2);
                expected.insert(3, range(address, RAM, (16 << 20).min(block)));
            }
            let stage1 = match half {
                Half::Lower => stage1(Some(&tables), None),
                Half::Upper => stage1(None, Some(&tables)),
            };
            let found = walked(&mut machine, &stage1, half);
            assert_eq!(found, expected, "{page} {input} {half:?}");
            let other = [Half::Lower, Half::Upper][usize::from(half == Half::Lower)];
            assert_eq!(walked(&mut machine, &stage1, other), []);
        }
    }
}

#[test]
fn blocks_of_the_first_level() {
    let mut machine = Fake::new(16);
    let mut tables = Tables::new(12, 39, RAM);
    tables.map(&mut machine, 0x40_0000_0000, RAM, 1);
    // RAM lies somewhere in it.
    tables.map(&mut machine, 0x50_0000_0000, 0, 1);
    tables.map(&mut machine, 0x60_0000_0000, 0x8000_0000, 1);
    let stage1 = stage1(Some(&tables), None);
    let found = walked(&mut machine, &stage1, Half::Lower);
    assert_eq!(found, [range(0x40_0000_0000, RAM, 0x1_0000)]);
}

#[test]
fn what_is_no_ram_is_no_range() {
    let mut machine = Fake::new(16);
    let mut tables = Tables::new(12, 25, RAM);
    tables.map(&mut machine, 0x1000, 0x0900_0000, 3);
    tables.map(&mut machine, 0x2000, RAM + 0x1_0000, 3);
    tables.map(&mut machine, 0x3000, RAM + 0xf000, 3);
    // A table that is no RAM, one that ends where there is none any more, and one at the end of all addresses.
    for (n, at) in [(1, 0x0900_0000), (2, RAM + 0x1_0000), (3, 0xffff_ffff_f000)] {
        machine.store(RAM + n * 8, &(at | 3_u64).to_le_bytes());
    }
    let stage = stage1(Some(&tables), None);
    let found = walked(&mut machine, &stage, Half::Lower);
    assert_eq!(found, [range(0x3000, RAM + 0xf000, 0x1000)]);
    for root in [0, 0xffff_ffff_f000, RAM + 0x1_0000] {
        let mut stage = stage;
        stage.ttbr[0] = root;
        assert_eq!(walked(&mut machine, &stage, Half::Lower), []);
    }
}

/// Sizes and granules that are none: there is an answer, whatever it is.
#[test]
fn registers_of_all_kinds() {
    let mut machine = Fake::new(16);
    machine.ram.fill(0);
    for size in 0..64_u64 {
        for granule in 0..4_u64 {
            let stage = Stage1 {
                sctlr: 1,
                tcr: size | granule << 14 | size << 16 | granule << 30,
                ttbr: [RAM, RAM],
            };
            assert_eq!(walked(&mut machine, &stage, Half::Lower), []);
            assert_eq!(walked(&mut machine, &stage, Half::Upper), []);
        }
    }
}

/// Each entry of the one table is that table: 512^4 pages.
#[test]
fn tables_in_a_circle() {
    let mut machine = Fake::new(16);
    let tables = Tables::new(12, 48, RAM);
    for n in 0..512 {
        machine.store(RAM + n * 8, &(RAM | 3).to_le_bytes());
    }
    let stage1 = stage1(Some(&tables), Some(&tables));
    let mut walk = Walk::default();
    let found = walk.ranges(&mut machine, &stage1, Half::Upper, 100);
    assert_eq!(found.expect("it cannot fail").len(), 100);
    assert!(walk.is_cut());
}

/// Four levels of tables in circles without a page at their end: there is an end to it, too.
#[test]
fn tables_in_a_circle_without_pages() {
    let mut machine = Fake::new(16);
    let tables = Tables::new(12, 48, RAM);
    for (table, next) in [(0, 1), (1, 2), (2, 3)] {
        for n in 0..512 {
            let entry = (RAM + next * 0x1000) | 3;
            machine.store(RAM + table * 0x1000 + n * 8, &entry.to_le_bytes());
        }
    }
    let stage1 = stage1(Some(&tables), None);
    let mut walk = Walk::default();
    let found = walk.ranges(&mut machine, &stage1, Half::Lower, 100);
    assert_eq!(found.expect("it cannot fail"), []);
    assert!(walk.is_cut());
}
