//! Images made by hand, and what becomes of them.

use super::*;

const RAM: Range<u64> = 0x4000_0000..0x4800_0000;

/// Where a configuration without keys for it puts an image.
pub fn placement() -> Placement {
    Placement {
        ram: RAM,
        load_address: None,
        entry: None,
    }
}

/// A raw binary goes to `load_address`, if that is one.
fn plan_at(image: &[u8], load_address: Option<u64>) -> Result<LoadPlan, ImageError> {
    plan(
        image,
        &Placement {
            load_address,
            ..placement()
        },
    )
}

/// Where each segment begins, what it is of the file, and the zeroes behind it.
pub fn places(plan: &LoadPlan) -> Vec<(u64, Range<usize>, u64)> {
    let segments = plan.segments.iter();
    segments
        .map(|segment| (segment.at, segment.file.clone(), segment.zeroes))
        .collect()
}

/// (p_type, p_flags, p_offset, p_vaddr, p_paddr, p_filesz, p_memsz)
pub type Header = (u32, u32, u64, u64, u64, u64, u64);

pub const LOAD: u32 = 1;
pub const CODE: Header = (LOAD, 5, 0x200, 0x4008_0000, 0x4008_0000, 0x100, 0x100);
pub const DATA: Header = (LOAD, 6, 0x300, 0x4009_0000, 0x4009_0000, 0x80, 0x1000);

/// An ELF file with these program headers. From 0x200 on it has bytes for segments, if the headers leave room.
pub fn elf(entry: u64, headers: &[Header]) -> Vec<u8> {
    const XNUM: usize = 0xffff;
    let table = headers.len() * 56;
    // Where e_phnum is too small, a section header at the end has the number.
    let many = headers.len() >= XNUM;
    let (sections, phnum) = match many {
        true => (64 + table, XNUM),
        false => (0, headers.len()),
    };
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend([2, 0, 183, 0, 1, 0, 0, 0]);
    for word in [entry, 64, sections as u64] {
        file.extend(word.to_le_bytes());
    }
    for half in [0, 0, 64, 56, phnum as u16, 64, many.into(), 0] {
        file.extend(half.to_le_bytes());
    }
    for &(kind, flags, offset, vaddr, paddr, filesz, memsz) in headers {
        file.extend(kind.to_le_bytes());
        file.extend(flags.to_le_bytes());
        for word in [offset, vaddr, paddr, filesz, memsz, 8] {
            file.extend(word.to_le_bytes());
        }
    }
    if many {
        file.extend([0; 44]);
        file.extend((headers.len() as u32).to_le_bytes());
        file.extend([0; 16]);
    }
    file.resize(file.len().max(0x400), 0xee);
    file
}

pub fn arm64(text_offset: u64, image_size: u64, flags: u64, length: usize) -> Vec<u8> {
    let mut file = vec![0; length];
    for (at, word) in [(0x08, text_offset), (0x10, image_size), (0x18, flags)] {
        file[at..at + 8].copy_from_slice(&word.to_le_bytes());
    }
    file[0x38..0x3c].copy_from_slice(b"ARM\x64");
    file
}

pub fn refusal(image: &[u8]) -> ImageError {
    plan(image, &placement()).expect_err("must be refused")
}

/// So many words, none of them zero.
pub fn code(words: usize) -> Vec<u8> {
    [0x1f, 0x20, 0x03, 0xd5].repeat(words)
}

#[test]
fn raw_binaries() {
    let image = code(25);
    let at_default = plan(&image, &placement()).unwrap();
    assert_eq!(
        (at_default.format, at_default.entry),
        (Format::Raw, 0x4008_0000)
    );
    assert_eq!(places(&at_default), [(0x4008_0000, 0..100, 0)]);
    let at_start = plan_at(&image, Some(0x4000_0000)).unwrap();
    assert_eq!(at_start.entry, 0x4000_0000);
    for outside in [0, 0x3fff_fffc, 0x47ff_ffc0, u64::MAX - 3] {
        let error = plan_at(&image, Some(outside)).unwrap_err();
        assert!(matches!(error, ImageError::OutsideRam { .. }), "{error}");
    }
}

#[test]
fn a_raw_binary_is_entered_where_the_configuration_says() {
    // Data, then code.
    let image = [vec![0; 96], code(1)].concat();
    let at = |load_address, entry| {
        let entry = Some(entry);
        let placement = Placement {
            load_address,
            entry,
            ..placement()
        };
        plan(&image, &placement)
    };
    for (load_address, entry) in [(None, 0x4008_0060), (Some(0x4100_0000), 0x4100_0060)] {
        let plan = at(load_address, entry).unwrap();
        assert_eq!((plan.format, plan.entry), (Format::Raw, entry));
        assert_eq!(
            places(&plan),
            [(load_address.unwrap_or(0x4008_0000), 0..100, 0)]
        );
    }
    for outside in [0x4007_fffc, 0x4008_0064, 0x4000_0000, u64::MAX - 3] {
        let error = at(None, outside).unwrap_err();
        assert_eq!(error.key(), Some("entry"));
        assert_eq!(
            error.to_string(),
            format!(
                "{outside:#x} is not in the image; allowed: the address of an instruction from 0x40080000 to 0x40080060"
            )
        );
    }
    assert_eq!(
        at(None, 0x4008_005e).unwrap_err(),
        ImageError::Misaligned(0x4008_005e)
    );
    assert_eq!(
        at(None, 0x4008_005c).unwrap_err().to_string(),
        "the image is no known format, and as a raw binary it would begin at 0x4008005c with 0x00000000, which is no instruction: \
         name an arm64 Image, an ELF64 or a raw binary, or say with `entry` where its code begins"
    );
}

#[test]
fn what_begins_with_no_instruction_is_no_raw_binary() {
    for word in [
        0_u32,
        0xffff,
        0x1234_5678 & 0x61ff_ffff,
        0x0200_0000,
        0x8600_0000,
    ] {
        let image = word.to_le_bytes().repeat(4);
        assert!(
            matches!(refusal(&image), ImageError::NoInstruction { .. }),
            "{word:#x}"
        );
    }
    // b, adr, ldr (literal), nop, mov, mrs, stp, and SIMD.
    for word in [
        0x1400_0001_u32,
        0x1000_0000,
        0x5800_0040,
        0xd503_201f,
        0xd280_0000,
        0xd538_4240,
        0xa9bf_7bfd,
        0x4f00_e400,
    ] {
        let image = [word.to_le_bytes().to_vec(), vec![0; 60]].concat();
        assert_eq!(
            plan(&image, &placement()).map(|plan| plan.format),
            Ok(Format::Raw)
        );
    }
    assert_eq!(refusal(&[0x1f, 0x20, 0x03]), ImageError::TooShort(3));
    assert_eq!(refusal(&[]), ImageError::Empty);
}

#[test]
fn arm64_images_go_where_qemu_puts_them() {
    for (text_offset, image_size, at, zeroes) in [
        (0, 0x1_0000, 0x4020_0000, 0xf000),
        (0x8_0000, 0x800, 0x4008_0000, 0),
        (0x20_0000, 0x1000, 0x4020_0000, 0),
        (0x1234_5678, 0, 0x4008_0000, 0), // before 3.17: no size, offset not valid
    ] {
        let image = arm64(text_offset, image_size, 0xa, 0x1000);
        let plan = plan(&image, &placement()).unwrap();
        assert_eq!((plan.format, plan.entry), (Format::Arm64Image, at));
        assert_eq!(places(&plan), [(at, 0..0x1000, zeroes)]);
    }
    for (flags, warns) in [(0x8, false), (0xa, false), (0xc, true), (0xe, false)] {
        let plan = plan(&arm64(0, 0x1000, flags, 0x1000), &placement()).unwrap();
        assert_eq!(plan.warning.is_some(), warns, "{flags:#x}");
    }
    assert_eq!(
        refusal(&arm64(0, 0x1000, 0xb, 0x1000)),
        ImageError::BigEndian
    );
    assert_eq!(
        refusal(&arm64(0x8_0002, 0x1000, 0xa, 0x1000)),
        ImageError::Misaligned(0x4008_0002)
    );
    for (text_offset, image_size) in [
        (0, 0x0800_0000),
        (0, u64::MAX),
        (0x0800_0000, 1),
        (u64::MAX, 1),
    ] {
        let error = refusal(&arm64(text_offset, image_size, 0, 0x1000));
        let what = Part::Image;
        assert!(
            matches!(error, ImageError::OutsideRam { what: part, .. } if part == what),
            "{error}"
        );
    }
}

#[test]
fn keys_for_raw_binaries_are_for_these_alone() {
    for (image, format) in [
        (arm64(0, 1, 0, 64), Format::Arm64Image),
        (elf(0x4008_0000, &[CODE]), Format::Elf),
    ] {
        for (key, load_address, entry) in [
            ("load_address", Some(0x4008_0000), None),
            ("entry", None, Some(0x4008_0000)),
        ] {
            let placement = Placement {
                load_address,
                entry,
                ..placement()
            };
            let error = plan(&image, &placement).unwrap_err();
            assert_eq!(error.key(), Some(key));
            assert_eq!(error, ImageError::KeyNotTaken { key, format });
            let start = format!("without effect, as the image is {format}");
            assert!(error.to_string().starts_with(&start), "{error}");
        }
    }
}
