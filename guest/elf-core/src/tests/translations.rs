//! One address at a time: what the tables map, and nothing else.

use super::{Fake, RAM, Random, Tables, stage1};
use crate::machine::Stage1;
use crate::tables::{Half, Walk};
use crate::translate::translate;

fn of(machine: &mut Fake, stage1: &Stage1, va: u64) -> Option<(u64, u64)> {
    translate(machine, stage1, va).expect("it cannot fail")
}

/// All of what a walk over the whole tables finds, in each granule and half, and the addresses around.
#[test]
fn as_the_walk_over_all() {
    let mut random = Random(5);
    for (page, input) in [
        (12, 48),
        (12, 39),
        (12, 25),
        (14, 47),
        (14, 36),
        (16, 52),
        (16, 42),
    ] {
        for half in [Half::Lower, Half::Upper] {
            let mut machine = Fake::new(0x1000);
            let mut tables = Tables::new(page, input, RAM + 0x10_0000);
            let size = 1_u64 << page;
            let top = if half == Half::Upper {
                u64::MAX << input
            } else {
                0
            };
            for _ in 0..20 {
                let va = top | (random.below(1 << (input - page).min(6)) << page);
                tables.map(&mut machine, va, RAM + random.below(8) * size, 3);
            }
            let stage1 = match half {
                Half::Lower => stage1(Some(&tables), None),
                Half::Upper => stage1(None, Some(&tables)),
            };
            let all = Walk::default().ranges(&mut machine, &stage1, half, 100);
            let all = all.expect("it cannot fail");
            assert!(!all.is_empty());
            for n in 0..70 * 4 {
                let va = top | ((n * size / 4) + 8);
                let range = all
                    .iter()
                    .find(|range| range.va <= va && va <= range.last());
                let expected = range.map(|range| (range.ipa + (va - range.va), size - va % size));
                let expected = expected.filter(|_| va - top < 1 << input);
                let found = of(&mut machine, &stage1, va).filter(|_| va - top < 1 << input);
                assert_eq!(found, expected, "{page} {input} {half:?} {va:#x}");
            }
        }
    }
}

#[test]
fn blocks_and_devices() {
    let mut machine = Fake::new(16);
    let mut tables = Tables::new(12, 39, RAM);
    tables.map(&mut machine, 0x40_0000_0000, RAM, 1);
    tables.map(&mut machine, 0x20_0020_0000, 0x0900_0000 & !0x1f_ffff, 2);
    let stage1 = stage1(Some(&tables), None);
    let gib = 1 << 30;
    assert_eq!(
        of(&mut machine, &stage1, 0x40_0000_1234),
        Some((RAM + 0x1234, gib - 0x1234))
    );
    assert_eq!(
        of(&mut machine, &stage1, 0x20_0020_0018),
        Some((0x0900_0018, 0x1f_ffe8))
    );
    assert_eq!(of(&mut machine, &stage1, 0x20_0040_0018), None);
}

/// Tags, addresses that are none, and a walk that is off.
#[test]
fn addresses_that_are_no_addresses() {
    let mut machine = Fake::new(64);
    let mut lower = Tables::new(12, 39, RAM);
    let mut upper = Tables::new(12, 39, RAM + 0x1_0000);
    let top = u64::MAX << 39;
    lower.map(&mut machine, 0x5000, RAM + 0x3_0000, 3);
    upper.map(&mut machine, top + 0x5000, RAM + 0x3_1000, 3);
    let mut both = stage1(Some(&lower), Some(&upper));
    let tagged = [0x5a00_0000_0000_5000, 0x5aff_ff80_0000_5000];
    for va in tagged
        .into_iter()
        .chain([1 << 39 | 0x5000, 0xffff_ff00_0000_5000])
    {
        assert_eq!(of(&mut machine, &both, va), None, "{va:#x}");
    }
    both.tcr |= 3 << 37;
    assert_eq!(
        of(&mut machine, &both, tagged[0]),
        Some((RAM + 0x3_0000, 0x1000))
    );
    assert_eq!(
        of(&mut machine, &both, tagged[1]),
        Some((RAM + 0x3_1000, 0x1000))
    );
    assert_eq!(of(&mut machine, &both, 1 << 39 | 0x5000), None);
    assert_eq!(of(&mut machine, &stage1(None, None), 0x5000), None);
    assert_eq!(
        of(&mut machine, &Stage1::default(), 0x5001),
        Some((0x5001, 0xfff))
    );
}

/// Tables that lead nowhere, and in circles.
#[test]
fn tables_that_mean_harm() {
    let mut machine = Fake::new(16);
    let tables = Tables::new(12, 48, RAM);
    let stage1 = stage1(Some(&tables), Some(&tables));
    for entry in [
        RAM | 3,
        0x0900_0003,
        0xffff_ffff_f003,
        RAM + 0x1_0000 + 3,
        1,
        2,
    ] {
        machine.store(RAM, &entry.to_le_bytes());
        let found = of(&mut machine, &stage1, 0x10);
        assert_eq!(found, (entry == (RAM | 3)).then_some((RAM + 0x10, 0xff0)));
    }
}
