//! Ranges of several vCPUs together.

use super::{Fake, RAM, Random, Tables, stage1};
use crate::machine::{Stage1, Vcpu};
use crate::ranges::{Mapped, RANGES_MAX, overlaid};
use crate::tables::Range;

/// Each address of the first list, and those of the second that the first has not: address by address.
#[test]
fn one_above_the_other() {
    let mut random = Random(7);
    for _ in 0..2000 {
        let lists = [0, 1].map(|which| {
            let (mut va, mut list) = (0, Vec::new());
            for n in 0..random.below(6) {
                va += random.below(4);
                let bytes = 1 + random.below(5);
                let ipa = 1000 * (which + 1) + 100 * n;
                list.push(Range { va, ipa, bytes });
                va += bytes;
            }
            list
        });
        let at = |list: &[Range], va: u64| {
            let mut found = list
                .iter()
                .filter(|range| range.va <= va && va <= range.last());
            let range = found.next();
            assert_eq!(found.next(), None, "an overlap");
            range.map(|range| range.ipa + (va - range.va))
        };
        let all = overlaid(&lists[0], &lists[1]);
        assert!(all.is_sorted_by_key(|range| range.va), "{all:?}");
        for va in 0..60 {
            let expected = at(&lists[0], va).or(at(&lists[1], va));
            assert_eq!(at(&all, va), expected, "{lists:?} {all:?}");
        }
    }
}

fn vcpu(stage1: Stage1) -> Vcpu {
    Vcpu {
        is_on: true,
        stage1,
        ..Vcpu::OFF
    }
}

/// The kernel's half of all, the lower half of the first; one that is off has none.
#[test]
fn several_vcpus() {
    let mut machine = Fake::new(0x100);
    let mut tables = [0, 1, 2, 3].map(|n| Tables::new(12, 30, RAM + n * 0x1_0000));
    let top = u64::MAX << 30;
    let pages = [
        (0, 0x1000, 80),
        (1, 0x1000, 81),
        (1, 0x2000, 82),
        (2, top, 83),
        (3, top, 84),
        (3, top | 0x5000, 85),
    ];
    for (table, va, page) in pages {
        tables[table].map(&mut machine, va, RAM + page * 0x1000, 3);
    }
    let [first, second, kernel, other] = &tables;
    machine.vcpus = vec![
        Vcpu::OFF,
        vcpu(stage1(Some(first), Some(kernel))),
        vcpu(stage1(Some(second), Some(other))),
        vcpu(stage1(Some(second), Some(kernel))),
    ];
    let mapped = Mapped::of(&mut machine).expect("it cannot fail");
    let found: Vec<_> = mapped
        .ranges
        .iter()
        .map(|range| (range.va, (range.ipa - RAM) / 0x1000))
        .collect();
    assert_eq!(found, [(0x1000, 80), (top, 83), (top | 0x5000, 85)]);
    assert!(!mapped.is_cut);

    machine.vcpus.truncate(1);
    let mapped = Mapped::of(&mut machine).expect("it cannot fail");
    assert_eq!(mapped, Mapped::default());
}

/// More ranges than there may be: the upper half is what stays.
#[test]
fn too_many() {
    let mut machine = Fake::new(0x100);
    let mut lower = Tables::new(12, 39, RAM);
    let mut upper = Tables::new(12, 39, RAM + 0x6_0000);
    let top = u64::MAX << 39;
    for n in 0..RANGES_MAX as u64 {
        lower.map(&mut machine, n * 0x2000, RAM, 3);
    }
    for n in 0..50 {
        upper.map(&mut machine, top + n * 0x2000, RAM, 3);
    }
    machine.vcpus = vec![vcpu(stage1(Some(&lower), Some(&upper)))];
    let mapped = Mapped::of(&mut machine).expect("it cannot fail");
    assert!(mapped.is_cut);
    assert_eq!(mapped.ranges.len(), RANGES_MAX);
    let kept = mapped.ranges.iter().filter(|range| range.va >= top);
    assert_eq!(kept.count(), 50);
}
