//! ELF files made by hand, and what becomes of them.

use super::tests::{CODE, DATA, Header, LOAD, elf, placement, places, refusal};
use super::*;

#[test]
fn segments_go_to_their_physical_addresses() {
    let note = (4, 4, 0x200, 0, 0, 0x20, 0x20);
    let empty = (LOAD, 6, 0x9999_0000, 0, 0, 0, 0);
    let zeroes = (LOAD, 6, 0x9999_0000, 0, 0x4010_0000, 0, 0x2000);
    let image = elf(0x4008_0010, &[note, CODE, empty, DATA, zeroes]);
    let plan = plan(&image, &placement()).unwrap();
    assert_eq!((plan.format, plan.entry), (Format::Elf, 0x4008_0010));
    assert_eq!(
        places(&plan),
        [
            (0x4008_0000, 0x200..0x300, 0),
            (0x4009_0000, 0x300..0x380, 0xf80),
            (0x4010_0000, 0..0, 0x2000),
        ]
    );
}

/// As many as e_phnum can count, and more: the first section header counts them then.
#[test]
fn there_may_be_any_number_of_segments() {
    let segment = |i: u64| (LOAD, 5, 0x200, 0, 0x4008_0000 + i * 16, 8, 16);
    for count in [17, 60, 1000, 0xfffe, 0xffff, 0x1_0003] {
        let headers: Vec<Header> = (0..count).map(segment).collect();
        let plan = plan(&elf(0x4008_0000, &headers), &placement()).unwrap();
        let expected = (0..count).map(|i| (0x4008_0000 + i * 16, 0x200..0x208, 8));
        assert!(places(&plan).into_iter().eq(expected), "{count}");
    }
    let mut cut = elf(0x4008_0000, &vec![CODE; 0xffff]);
    cut.truncate(cut.len() - 1);
    let what = Part::SectionHeaders;
    assert!(matches!(refusal(&cut), ImageError::Truncated { what: part, .. } if part == what));
}

#[test]
fn a_virtual_entry_point_is_translated() {
    const HIGH: u64 = 0xffff_8000_0008_0000;
    let high = (LOAD, 5, 0x200, HIGH, 0x4008_0000, 0x100, 0x100);
    // A physical one, with segments linked high, stays.
    for entry in [HIGH + 0x40, 0x4008_0040] {
        let plan = plan(&elf(entry, &[high]), &placement()).unwrap();
        assert_eq!(plan.entry, 0x4008_0040);
    }
}

#[test]
fn the_header_says_for_what_the_program_is() {
    let good = elf(0x4008_0000, &[CODE]);
    let with = |at: usize, value: u8| {
        let mut bad = good.clone();
        bad[at] = value;
        refusal(&bad)
    };
    assert_eq!(with(4, 1), ImageError::Elf32);
    assert_eq!(with(5, 2), ImageError::WrongMachine(0xb700));
    assert_eq!(with(6, 9), ImageError::Malformed("identification"));
    assert_eq!(with(16, 1), ImageError::NotExecutable(1));
    assert_eq!(with(16, 4), ImageError::NotExecutable(4));
    assert_eq!(with(18, 62), ImageError::WrongMachine(62));
    assert_eq!(with(54, 32), ImageError::Malformed("e_phentsize"));
    assert_eq!(with(56, 0), ImageError::NothingToLoad);
    assert_eq!(with(64, 4), ImageError::NothingToLoad);
    let mut big = good.clone();
    big[5] = 2;
    big[16..20].copy_from_slice(&[0, 2, 0, 183]);
    assert_eq!(refusal(&big), ImageError::BigEndian);
    // Position-independent, and linked to where it is loaded: as good as any.
    let mut dynamic = good.clone();
    dynamic[16] = 3;
    assert!(plan(&dynamic, &placement()).is_ok());
}

#[test]
fn the_entry_point_is_an_instruction_of_the_file() {
    // DATA has 0x80 bytes in the file, and zeroes behind them.
    for entry in [
        0,
        0x4007_fffc,
        0x4008_0100,
        0x4009_0080,
        0x4009_1000,
        u64::MAX - 3,
    ] {
        let error = refusal(&elf(entry, &[CODE, DATA]));
        assert_eq!(error, ImageError::EntryNotLoaded(entry));
    }
    assert_eq!(
        refusal(&elf(0x4008_0002, &[CODE])),
        ImageError::Misaligned(0x4008_0002)
    );
    let (entry, segment) = (0x4009_0000, Part::Segment(1));
    assert_eq!(
        refusal(&elf(entry, &[CODE, DATA])),
        ImageError::EntryNotExecutable { entry, segment }
    );
    // A file that calls nothing executable means nothing by it.
    let plan = plan(&elf(entry, &[DATA]), &placement()).unwrap();
    assert_eq!(plan.entry, entry);
}

#[test]
fn segments_do_not_overlap() {
    let overlap = |headers: &[Header]| match refusal(&elf(0x4008_0000, headers)) {
        ImageError::Overlap { first, second } => (first, second),
        other => panic!("{other}"),
    };
    let pair = |first, second| (Part::Segment(first), Part::Segment(second));
    assert_eq!(overlap(&[CODE, DATA, CODE]), pair(0, 2));
    // The zeroes of one and the last byte of the other; above and below.
    let below = (LOAD, 6, 0x300, 0, 0x4008_ff81, 0x80, 0x80);
    let inside = (LOAD, 6, 0x300, 0, 0x4009_0fff, 1, 1);
    assert_eq!(overlap(&[CODE, DATA, below]), pair(1, 2));
    assert_eq!(overlap(&[inside, CODE, DATA]), pair(0, 2));
}

#[test]
fn a_segment_is_no_larger_in_the_file_than_in_memory() {
    for (filesz, memsz) in [(0x100, 0xff), (0x100, 0), (1, 0), (u64::MAX, 0x100)] {
        let shrinks = (LOAD, 5, 0x200, 0, 0x4008_0000, filesz, memsz);
        for (headers, index) in [(vec![shrinks], 0), (vec![CODE, shrinks], 1)] {
            let error = refusal(&elf(0x4008_0000, &headers));
            let expected = ImageError::Shrinks {
                segment: Part::Segment(index),
                in_file: filesz,
                in_memory: memsz,
            };
            assert_eq!(error, expected);
        }
    }
}

#[test]
fn segments_lie_in_ram() {
    for (paddr, memsz) in [
        (0, 0x100),
        (0x3fff_ffff, 0x100),
        (0x47ff_ff01, 0x100),
        (u64::MAX, 0x100),
        (0x4000_0000, u64::MAX),
        (0x4000_0000, 0x0800_0001),
    ] {
        let bad = (LOAD, 5, 0x200, 0, paddr, 0x100, memsz);
        let error = refusal(&elf(0x4008_0000, &[CODE, bad]));
        let what = Part::Segment(1);
        assert!(
            matches!(error, ImageError::OutsideRam { what: part, .. } if part == what),
            "{error}"
        );
    }
    let outside = refusal(&elf(0, &[(LOAD, 5, 0x200, 0, 0x8_0000, 0x100, 0x100)]));
    assert_eq!(
        outside.to_string(),
        "ELF segment 0 takes 0x100 bytes at 0x80000, outside the VM's RAM from 0x40000000 to 0x48000000: give the VM \
         more memory or link the guest for an address in it"
    );
}

#[test]
fn cut_off_files_are_truncated() {
    let image = elf(0x4008_0000, &[CODE, DATA]);
    for length in 4..0x380 {
        let error = refusal(&image[..length]);
        assert!(
            matches!(error, ImageError::Truncated { .. }),
            "{length:#x}: {error}"
        );
    }
    assert!(plan(&image[..0x380], &placement()).is_ok());
    for offset in [0x301, u64::MAX, u64::MAX - 0xff] {
        let far = (LOAD, 5, offset, 0, 0x4008_0000, 0x100, 0x100);
        let error = refusal(&elf(0, &[far]));
        let what = Part::Segment(0);
        assert!(matches!(error, ImageError::Truncated { what: part, .. } if part == what));
    }
}
