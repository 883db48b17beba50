//! What files of each kind begin with, as the programs that make them leave it; and code that looks like them.

use super::foreign::recognise;
use super::tests::{arm64, code, placement, refusal};
use super::*;

/// Bytes written as hexadecimal digits, and what follows them.
fn hex(digits: &str, rest: &[u8]) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().filter(|byte| *byte != b' ').collect();
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).chain(rest.to_vec()).collect()
}

/// `bytes` at `offset` in a file of zeroes.
fn at(offset: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0; offset];
    file.extend(bytes);
    file.resize(file.len() + 64, 0);
    file
}

/// The first bytes of the same kernel, compressed; of an empty file; and other levels.
fn compressed() -> Vec<(&'static str, Vec<u8>)> {
    let rows = [
        ("gzip", "1f8b0808532b086b0003496d61676500edcb2101"),
        ("gzip", "1f8b08000000000000036364"),
        ("xz", "fd377a585a000004e6d6b446020021011600"),
        ("xz", "fd377a585a000000ff12d941020021011600"),
        ("xz", "fd377a585a000004e6d6b446000000001cdf"),
        ("bzip2", "425a6839314159265359711bb35d0000246f"),
        ("bzip2", "425a683917724538509000000000"),
        ("zstd", "28b52ffd64000f9d0000504d5a0014004152"),
        ("zstd", "28b52ffd240001000099e9d851"),
        ("zstd", "502a4d18040000000100000028b52ffd240001000099e9d851"),
        ("lz4", "04224d186440a72a0000005f4d5a00140001"),
        ("lz4", "04224d186440a700000000055dcc02"),
        ("lz4", "04224d18647008b900000000"),
        ("lz4 (legacy)", "02214c182a0000005f4d5a00140001002041"),
        ("lz4 (legacy)", "02214c18 ffff4200 f00d4d5a"),
        ("lzma", "5d00000400ffffffffffffffff0026967c01"),
        ("lzma", "5d00001000ffffffffffffffff0026967c01"),
        ("lzma", "5d00004000ffffffffffffffff0026967c01"),
        ("lzma", "5d00008000ffffffffffffffff0026967c01"),
        ("lzma", "5d00000004ffffffffffffffff0026967c01"),
        ("lzma", "5d000080000010090000000000000026967c"),
        ("lzop (lzo)", "894c5a4f000d0a1a0a1040209409400301"),
        ("compress (.Z)", "1f9d904d5a0a1060"),
        ("lzip", "4c5a495001 0c 00"),
        ("lrzip", "4c525a49 0006 0000"),
    ];
    rows.map(|(name, digits)| (name, hex(digits, &[]))).to_vec()
}

fn others() -> Vec<(&'static str, Vec<u8>)> {
    let tree = |node: &[u8]| {
        let header = hex(
            "d00dfeed 00000090 00000038 00000080 00000028 00000011 00000010",
            &[],
        );
        [
            &header[..],
            &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1],
            node,
            &[0; 9],
        ]
        .concat()
    };
    let pe = |name: &[u8]| {
        let mut file = at(0x80, b"PE\0\0\x64\xaa");
        file[..2].copy_from_slice(b"MZ");
        file[4..4 + name.len()].copy_from_slice(name);
        file[0x3c] = 0x80;
        file
    };
    let mut ext = at(0x438, &[0x53, 0xef, 1, 0, 1, 0]);
    ext.resize(8192, 0);
    vec![
        ("an EFI zboot image", pe(b"zimg")),
        (
            "a U-Boot legacy image",
            hex("27051956 a2f1d0e5 67000000", &[0; 64]),
        ),
        ("a U-Boot FIT image", tree(b"images\0")),
        ("a device tree", tree(b"memory\0")),
        ("an Android boot image", b"ANDROID!\0\0\0\0".to_vec()),
        (
            "an Android vendor boot image",
            b"VNDRBOOT\x03\0\0\0".to_vec(),
        ),
        (
            "an Android sparse image",
            hex("3aff26ed 01000000 1c000c00", &[]),
        ),
        ("a cpio archive", b"07070100000001000041ED".to_vec()),
        ("a cpio archive", b"070702000010F0000081A4".to_vec()),
        ("a cpio archive", b"0707070000010000017777".to_vec()),
        (
            "a tar archive",
            [&b"Image"[..], &[0; 252], b"ustar  \0"].concat(),
        ),
        ("a zip archive", hex("504b0304 1400 0000 0800 7066", &[])),
        ("an ar archive", b"!<arch>\nmain.o/    0\n".to_vec()),
        ("an ar archive", b"!<thin>\nmain.o/    0\n".to_vec()),
        ("a 7z archive", hex("377abcaf271c 0004", &[])),
        ("a rar archive", hex("526172211a07 0100", &[])),
        ("an RPM package", hex("edabeedb 03000000", &[])),
        ("a qcow2 disk image", hex("514649fb 00000003", &[])),
        ("a VMDK disk image", hex("4b444d56 01000000 03000000", &[])),
        ("a VHDX disk image", b"vhdxfileQ\0E\0M\0U\0".to_vec()),
        (
            "a VDI disk image",
            [
                &b"<<< QEMU VM Virtual Disk Image >>>\n"[..],
                &[0; 29],
                &[0x7f, 0x10, 0xda, 0xbe, 1, 0],
            ]
            .concat(),
        ),
        ("an ISO 9660 disk image", at(0x8000, b"\x01CD001\x01")),
        ("a disk image (GPT)", at(512, b"EFI PART\0\0\x01\0")),
        (
            "a squashfs file system",
            hex(
                "68737173 02000000 532b086b 00000200 01000000 0100 1100 c000 0100 0400 0000",
                &[],
            ),
        ),
        ("an ext2, ext3 or ext4 file system", ext),
        ("an x86 kernel", at(0x202, b"HdrS\x0f\x02")),
        ("a 32-bit Arm kernel", at(0x24, b"\x18\x28\x6f\x01")),
        ("a RISC-V kernel", at(0x30, b"RISCV\0\0\0RSC\x05")),
        ("an EFI or Windows program", pe(b"\x03\0\0\0")),
        ("a Mach-O program", hex("cffaedfe 0c000001 00000000", &[])),
        ("a 32-bit Mach-O program", hex("cefaedfe 0c000000", &[])),
        ("a Mach-O universal program", hex("cafebabe 00000002", &[])),
        (
            "a script",
            b"#!/bin/sh\nexec qemu-system-aarch64\n".to_vec(),
        ),
        (
            "an Intel HEX file",
            b":020000044008B2\r\n:10000000\r\n".to_vec(),
        ),
        ("an S-record file", b"S00600004844521B\n".to_vec()),
        ("a text file", b"[[vm]]\nname = \"a\"\n".to_vec()),
        ("a text file", b"x".to_vec()),
        (
            "a text file",
            "\u{feff}Grüße, 你好\n".repeat(400).into_bytes(),
        ),
        ("a text file", "é".repeat(3000).into_bytes()),
        ("a text file", b"Latin-1: Gr\xfc\xdfe, and more\n".to_vec()),
        ("a text file", b"\xff\xfea\0b\0\n\0".to_vec()),
        ("a text file", b"\xfe\xff\0a\0b\0\n".to_vec()),
    ]
}

#[test]
fn every_kind_is_refused_by_its_name() {
    for (name, file) in compressed() {
        let error = refusal(&file).to_string();
        let start = format!("a file compressed by {name} is not supported: ");
        assert!(error.starts_with(&start), "{error}");
    }
    for (name, file) in others() {
        let error = refusal(&file).to_string();
        assert!(error.starts_with(name), "{name}: {error}");
        assert!(error.contains(" is not supported: "), "{error}");
    }
}

/// A few words on what to do, where it is a command: the very one.
#[test]
fn the_remedy_is_said() {
    for (digits, remedy) in [
        ("fd377a585a00", "`xz -dc FILE >Image`"),
        ("894c5a4f000d0a1a0a", "`lzop -dc FILE >Image`"),
        ("27051956", "`dumpimage -p 0 -o Image FILE`"),
        (
            "d00dfeed 00000001 696d6167657300",
            "`dumpimage -T flat_dt -p 0 -o Image FILE`",
        ),
    ] {
        let error = refusal(&hex(digits, &[])).to_string();
        assert!(error.contains(remedy), "{error}");
    }
}

/// Instructions that are magic numbers, too; and what may lie behind them.
#[test]
fn code_is_not_taken_for_something_else() {
    for first in [
        0x1000_005d_u32,     // adr x29, .+8: lzma with a dictionary of 1 MiB
        0x3000_005d,         // adr x29, .+9
        0x1800_005d,         // ldr w29, .+8: 1.5 MiB
        0x184d_2204,         // ldr w4, literal: lz4
        0x184c_2102,         // ldr w2, literal: lz4, legacy
        0x184d_2a50,         // ldr w16, literal: zstd's skippable frame
        0x3968_5a42,         // ldrb w2, [x18, #2582]: "BZh9"
        0x3730_3730,         // tbnz: cpio
        0xfa40_5a4d,         // ccmp: MZ
        0xfd2f_b528 & !0xff, // str d0, [x9, ...]: nearly zstd
        0x710f_9d1f,         // cmp w8, #999: compress
        0x17ff_fffe,         // b .-8: UTF-16
        0xa900_feff,         // stp xzr, xzr, [x23, #8]: UTF-16
    ] {
        let plain = [first.to_le_bytes().to_vec(), code(4096)].concat();
        assert_eq!(recognise(&plain), None, "{first:#x}");
        let branch = [first, 0xd61f_0000, 0xd503_201f, 0, 0, 0, 0].map(u32::to_le_bytes);
        assert_eq!(recognise(&branch.concat()), None, "{first:#x}");
    }
    // A table of data behind a branch, as images have it; and all bytes that can follow `adr x0`.
    for second in [0, 1, 0xffff_ffff, 0xd61f_0000_u32] {
        for third in [0, 1, 0xffff_ffff_u32] {
            let words = [0x1000_0080, second, third, 0, 0, 0].map(u32::to_le_bytes);
            assert_eq!(recognise(&words.concat()), None);
        }
    }
}

/// A program of a few instructions, and files that are not quite text.
#[test]
fn short_programs_are_no_text() {
    // mov w0, #'!'; ldr x1, =0x9000000; str w0, [x1]; b .
    let hello = [
        0x5280_0420_u32,
        0x5800_0061,
        0xb900_0020,
        0x1400_0000,
        0x0900_0000,
        0,
    ];
    let bytes = hello.map(u32::to_le_bytes).concat();
    for words in 1..=6 {
        let image = &bytes[..words * 4];
        assert_eq!(
            plan(image, &placement()).map(|plan| plan.format),
            Ok(Format::Raw)
        );
    }
    for text in [
        &b"text, and a zero\0"[..],
        b"text\x01",
        b"\x7fELG",
        &[0xaa; 64],
    ] {
        assert_eq!(recognise(text), None, "{text:?}");
    }
}

#[test]
fn linux_takes_what_it_can_unpack_or_mount() {
    let kernel = arm64(0, 0x1000, 0xa, 0x1000);
    let linux = plan(&kernel, &placement()).unwrap();
    let any = plan(&code(4), &placement()).unwrap();
    for (name, file) in compressed() {
        let known = !matches!(name, "compress (.Z)" | "lzip" | "lrzip");
        assert_eq!(check_initrd(&file, &linux).is_ok(), known, "{name}");
    }
    for (name, file) in others() {
        let known = [
            "a cpio archive",
            "a squashfs file system",
            "an ext2, ext3 or ext4 file system",
        ];
        assert_eq!(
            check_initrd(&file, &linux).is_ok(),
            known.contains(&name),
            "{name}"
        );
        assert_eq!(check_initrd(&file, &any), Ok(()), "{name}");
    }
    assert_eq!(check_initrd(&[0xaa; 5], &linux), Ok(()));
    for program in [kernel.clone(), b"\x7fELF\x02".to_vec()] {
        assert_eq!(
            check_initrd(&program, &linux),
            Err(ImageError::ProgramAsInitrd)
        );
        assert_eq!(check_initrd(&program, &any), Ok(()));
    }
}

/// Above the image, from a page's boundary on.
#[test]
fn an_initrd_has_room() {
    let ram = 0x4000_0000..0x4040_0000;
    let placement = Placement { ram, ..placement() };
    let plan = plan(&arm64(0, 0x10_0800, 0xa, 0x1000), &placement).unwrap();
    let (start, free) = (0x4030_1000, 0xf_f000);
    assert_eq!(start + free, placement.ram.end);
    assert_eq!(check_initrd(&vec![0xaa; free as usize], &plan), Ok(()));
    let size = free + 1;
    let error = check_initrd(&vec![0xaa; size as usize], &plan).unwrap_err();
    assert_eq!(error, ImageError::NoRoomForInitrd { size, free });
    assert_eq!(
        error.to_string(),
        "no place is left for the initrd, 0xff001 bytes, as 0xff000 are free above the image: give the VM more memory"
    );
}
