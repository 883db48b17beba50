//! Images made by hand, and what becomes of them.

use super::*;
use std::string::ToString;
use std::vec;
use std::vec::Vec;

pub const RAM: Range<Ipa> = Ipa(0x4000_0000)..Ipa(0x4800_0000);

/// (p_type, p_flags, p_offset, p_vaddr, p_paddr, p_filesz, p_memsz)
type Header = (u32, u32, u64, u64, u64, u64, u64);

const LOAD: u32 = 1;
const CODE: Header = (LOAD, 5, 0x200, 0x4008_0000, 0x4008_0000, 0x100, 0x100);
const DATA: Header = (LOAD, 6, 0x300, 0x4009_0000, 0x4009_0000, 0x80, 0x1000);

fn elf(entry: u64, headers: &[Header]) -> Vec<u8> {
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    file.extend([2, 0, 183, 0, 1, 0, 0, 0]);
    for word in [entry, 64, 0] {
        file.extend(word.to_le_bytes());
    }
    file.extend([
        0,
        0,
        0,
        0,
        64,
        0,
        56,
        0,
        headers.len() as u8,
        0,
        64,
        0,
        0,
        0,
        0,
        0,
    ]);
    for &(kind, flags, offset, vaddr, paddr, filesz, memsz) in headers {
        file.extend(kind.to_le_bytes());
        file.extend(flags.to_le_bytes());
        for word in [offset, vaddr, paddr, filesz, memsz, 8] {
            file.extend(word.to_le_bytes());
        }
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

fn refusal(image: &[u8]) -> ImageError {
    plan(image, RAM, None).unwrap_err()
}

#[test]
fn raw_binaries() {
    let image = [0xaa; 100];
    let at_default = plan(&image, RAM, None).unwrap();
    assert_eq!(
        (at_default.format, at_default.entry),
        (Format::Raw, Ipa(0x4008_0000))
    );
    assert_eq!(
        at_default.segments(),
        [Segment {
            ipa: Ipa(0x4008_0000),
            bytes: &image,
            zeroes: 0
        }]
    );
    assert_eq!(
        plan(&image, RAM, Some(0x4000_0000)).unwrap().entry,
        Ipa(0x4000_0000)
    );
    assert_eq!(
        plan(&image, RAM, Some(0x4000_0002)),
        Err(ImageError::Misaligned(0x4000_0002))
    );
    for outside in [0, 0x3fff_fffc, 0x47ff_ffc0, u64::MAX - 3] {
        assert!(matches!(
            plan(&image, RAM, Some(outside)),
            Err(ImageError::OutsideRam { .. })
        ));
    }
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
        let plan = plan(&image, RAM, None).unwrap();
        assert_eq!((plan.format, plan.entry), (Format::Arm64Image, Ipa(at)));
        assert_eq!(
            plan.segments(),
            [Segment {
                ipa: Ipa(at),
                bytes: &image,
                zeroes
            }]
        );
    }
    assert_eq!(
        refusal(&arm64(0, 0x1000, 0xb, 0x1000)),
        ImageError::BigEndian
    );
    for (text_offset, image_size) in [
        (0, 0x0800_0000),
        (0, u64::MAX),
        (0x0800_0000, 1),
        (u64::MAX, 1),
    ] {
        let error = refusal(&arm64(text_offset, image_size, 0, 0x1000));
        assert!(
            matches!(
                error,
                ImageError::OutsideRam {
                    what: Part::Image,
                    ..
                }
            ),
            "{error}"
        );
    }
    assert_eq!(
        plan(&arm64(0, 1, 0, 64), RAM, Some(0x4000_0000)),
        Err(ImageError::LoadAddressNotTaken)
    );
}

#[test]
fn elf_segments_go_to_their_physical_addresses() {
    let note = (4, 4, 0x200, 0, 0, 0x20, 0x20);
    let empty = (LOAD, 6, 0x9999_0000, 0, 0, 0, 0);
    let image = elf(0x4008_0010, &[note, CODE, empty, DATA]);
    let plan = plan(&image, RAM, None).unwrap();
    assert_eq!(
        (plan.format, plan.entry, plan.end()),
        (Format::Elf, Ipa(0x4008_0010), Ipa(0x4009_1000))
    );
    let code = Segment {
        ipa: Ipa(0x4008_0000),
        bytes: &image[0x200..0x300],
        zeroes: 0,
    };
    let data = Segment {
        ipa: Ipa(0x4009_0000),
        bytes: &image[0x300..0x380],
        zeroes: 0xf80,
    };
    assert_eq!(plan.segments(), [code, data]);
}

#[test]
fn a_virtual_entry_point_is_translated() {
    let high = (
        LOAD,
        5,
        0x200,
        0xffff_8000_0008_0000,
        0x4008_0000,
        0x100,
        0x100,
    );
    let image = elf(0xffff_8000_0008_0040, &[high]);
    assert_eq!(plan(&image, RAM, None).unwrap().entry, Ipa(0x4008_0040));
    // A physical one, with segments linked high, stays.
    assert_eq!(
        plan(&elf(0x4008_0040, &[high]), RAM, None).unwrap().entry,
        Ipa(0x4008_0040)
    );
}

#[test]
fn bad_elf_files_say_what_is_wrong() {
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
    assert_eq!(with(18, 62), ImageError::WrongMachine(62));
    assert_eq!(with(54, 32), ImageError::Malformed("e_phentsize"));
    assert_eq!(with(56, 0), ImageError::NothingToLoad);
    assert_eq!(with(64, 4), ImageError::NothingToLoad);
    assert_eq!(
        refusal(&elf(0x4009_0000, &[CODE])),
        ImageError::EntryNotLoaded(0x4009_0000)
    );
    assert_eq!(
        refusal(&elf(0x4008_0002, &[CODE])),
        ImageError::Misaligned(0x4008_0002)
    );
    assert_eq!(
        refusal(&elf(0x4008_0000, &[CODE, DATA, CODE])),
        ImageError::Overlap {
            first: 0,
            second: 2
        }
    );
    let shrinks = (LOAD, 5, 0x200, 0, 0x4008_0000, 0x100, 0xff);
    assert!(matches!(
        refusal(&elf(0, &[shrinks])),
        ImageError::Malformed(_)
    ));
    for paddr in [0, 0x3fff_ff01, 0x47ff_ff01, u64::MAX] {
        let error = refusal(&elf(0, &[CODE, (LOAD, 5, 0x200, 0, paddr, 0x100, 0x100)]));
        assert!(
            matches!(
                error,
                ImageError::OutsideRam {
                    what: Part::Segment(1),
                    ..
                }
            ),
            "{error}"
        );
    }
    let many: Vec<Header> = (0..17)
        .map(|i| (LOAD, 5, 0x200, 0, 0x4008_0000 + i * 16, 8, 16))
        .collect();
    assert_eq!(
        refusal(&elf(0x4008_0000, &many)),
        ImageError::TooManySegments
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
    assert!(plan(&image[..0x380], RAM, None).is_ok());
    let far = (LOAD, 5, u64::MAX, 0, 0x4008_0000, 0x100, 0x100);
    assert!(matches!(
        refusal(&elf(0, &[far])),
        ImageError::Truncated {
            what: Part::Segment(0),
            ..
        }
    ));
}

#[test]
fn wrapped_kernels_are_refused_with_advice() {
    assert_eq!(
        refusal(&[0x1f, 0x8b, 8, 0]).to_string(),
        "compressed image: gunzip it first"
    );
    assert!(
        refusal(b"MZ\0\0zimg")
            .to_string()
            .starts_with("compressed EFI image: ")
    );
    assert!(
        refusal(&[0x27, 0x05, 0x19, 0x56])
            .to_string()
            .starts_with("U-Boot legacy image: ")
    );
    assert_eq!(refusal(&[]), ImageError::Empty);
    let outside = refusal(&elf(0, &[(LOAD, 5, 0x200, 0, 0x8_0000, 0x100, 0x100)])).to_string();
    assert_eq!(
        outside,
        "ELF segment 0 takes 0x100 bytes at 0x80000, outside the VM's RAM from 0x40000000 to 0x48000000: give the VM \
         more memory or link the guest for an address in it"
    );
}
