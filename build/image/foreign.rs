//! Files that are no guest, by what they begin with. Taken for raw binaries they would execute as garbage, in silence.
//!
//! A raw binary begins with any instruction, so a magic number that could be one is believed only with more of its header around it.

/// A kind of file that Avisor does not load.
#[derive(PartialEq, Eq, Debug)]
pub struct Foreign {
    /// What it is, with its article.
    pub what: &'static str,
    /// What to do.
    pub remedy: &'static str,
    /// Whether Linux takes it as an initial RAM disk.
    pub initrd: bool,
}

/// How a kind of file is known.
struct Magic {
    /// Where in the file `bytes` are.
    offset: usize,
    bytes: &'static [u8],
    /// What else must be so, where `bytes` are not enough.
    more: fn(&[u8]) -> bool,
    kind: Foreign,
}

/// One that is known by its bytes alone.
const fn plain(
    offset: usize,
    bytes: &'static [u8],
    what: &'static str,
    remedy: &'static str,
) -> Magic {
    Magic {
        offset,
        bytes,
        more: |_| true,
        kind: Foreign {
            what,
            remedy,
            initrd: false,
        },
    }
}

/// One that needs more than its bytes.
const fn with(
    bytes: &'static [u8],
    more: fn(&[u8]) -> bool,
    what: &'static str,
    remedy: &'static str,
) -> Magic {
    Magic {
        more,
        ..plain(0, bytes, what, remedy)
    }
}

/// One that Linux takes as an initial RAM disk.
const fn or_initrd(magic: Magic) -> Magic {
    Magic {
        kind: Foreign {
            initrd: true,
            ..magic.kind
        },
        ..magic
    }
}

/// The first that matches counts.
#[rustfmt::skip]
const MAGICS: &[Magic] = &[
    // Compressed.
    or_initrd(with(b"\x1f\x8b\x08", |file| byte(file, 3) & 0xe0 == 0, "a file compressed by gzip", "gunzip it first, `gzip -dc FILE >Image`")),
    or_initrd(plain(0, b"\xfd7zXZ\0", "a file compressed by xz", "decompress it first, `xz -dc FILE >Image`")),
    or_initrd(with(b"BZh", bzip2, "a file compressed by bzip2", "decompress it first, `bzip2 -dc FILE >Image`")),
    or_initrd(with(b"", zstd, "a file compressed by zstd", "decompress it first, `zstd -dc FILE >Image`")),
    or_initrd(with(b"\x04\x22\x4d\x18", lz4_frame, "a file compressed by lz4", "decompress it first, `lz4 -dc FILE >Image`")),
    or_initrd(with(b"\x02\x21\x4c\x18", lz4_legacy, "a file compressed by lz4 (legacy)", "decompress it first, `lz4 -dc FILE >Image`")),
    or_initrd(with(b"\x5d\0\0", lzma, "a file compressed by lzma", "decompress it first, `lzma -dc FILE >Image`")),
    or_initrd(plain(0, b"\x89LZO\0\r\n\x1a\n", "a file compressed by lzop (lzo)", "decompress it first, `lzop -dc FILE >Image`")),
    with(b"\x1f\x9d", |file| (0x89..=0x90).contains(&byte(file, 2)),
        "a file compressed by compress (.Z)", "decompress it first, `gzip -dc FILE >Image`"),
    plain(0, b"LZIP\x01", "a file compressed by lzip", "decompress it first, `lzip -dc FILE >Image`"),
    plain(0, b"LRZI\0", "a file compressed by lrzip", "decompress it first, `lrzip -d FILE`"),
    with(b"MZ", |file| has(file, 4, b"zimg"), "an EFI zboot image, a compressed kernel,",
        "build the plain `Image`, or take it out: its offset and size stand at bytes 8 and 12, its compression at 24"),

    // Boot loaders' containers.
    plain(0, b"\x27\x05\x19\x56", "a U-Boot legacy image (uImage)", "take the kernel out of it, `dumpimage -p 0 -o Image FILE`, and decompress it if it is compressed"),
    with(b"\xd0\x0d\xfe\xed", fit, "a U-Boot FIT image",
        "list its parts, `dumpimage -l FILE`; take the kernel out of it, `dumpimage -T flat_dt -p 0 -o Image FILE`, and decompress it if it is compressed"),
    plain(0, b"\xd0\x0d\xfe\xed", "a device tree", "it is no program, and Avisor makes the guest's tree itself: name the kernel"),
    plain(0, b"ANDROID!", "an Android boot image", "take the kernel out of it, `unpack_bootimg --boot_img FILE`"),
    plain(0, b"VNDRBOOT", "an Android vendor boot image", "it has no kernel: name the one in the boot image"),
    plain(0, b"\x3a\xff\x26\xed\x01\0", "an Android sparse image", "it is a disk: name the kernel"),

    // Archives.
    or_initrd(with(b"0707", cpio, "a cpio archive", "it is an initial RAM disk: name it as `initrd`, and the kernel here")),
    plain(257, b"ustar", "a tar archive", "take the kernel out of it, `tar -xf FILE`"),
    plain(0, b"PK\x03\x04", "a zip archive", "take the kernel out of it, `unzip FILE`"),
    plain(0, b"!<arch>\n", "an ar archive (a library, or a Debian package)", "link the guest into an executable, or take the kernel out of the package"),
    plain(0, b"!<thin>\n", "an ar archive (a library)", "link the guest into an executable"),
    plain(0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", "take the kernel out of it, `7z x FILE`"),
    plain(0, b"Rar!\x1a\x07", "a rar archive", "take the kernel out of it, `unrar x FILE`"),
    plain(0, b"\xed\xab\xee\xdb", "an RPM package", "take the kernel out of it, `rpm2cpio FILE | cpio -id`"),

    // Disks.
    plain(0, b"QFI\xfb", "a qcow2 disk image", DISK),
    with(b"KDMV", |file| matches!(word(file, 4), 1..=3), "a VMDK disk image", DISK),
    plain(0, b"vhdxfile", "a VHDX disk image", DISK),
    plain(0x40, b"\x7f\x10\xda\xbe", "a VDI disk image", DISK),
    plain(0x8001, b"CD001", "an ISO 9660 disk image", DISK),
    plain(512, b"EFI PART", "a disk image (GPT)", DISK),
    or_initrd(with(b"hsqs", |file| has(file, 28, b"\x04\0"), "a squashfs file system", DISK)),
    or_initrd(with(b"", ext, "an ext2, ext3 or ext4 file system", DISK)),

    // Programs for something else.
    plain(0x202, b"HdrS", "an x86 kernel (bzImage)", AARCH64),
    plain(0x24, b"\x18\x28\x6f\x01", "a 32-bit Arm kernel (zImage)", AARCH64),
    plain(0x38, b"RSC\x05", "a RISC-V kernel (Image)", AARCH64),
    with(b"MZ", pe, "an EFI or Windows program (PE) without the header of an arm64 Image", "no firmware is there to start it: build the plain `Image`, an ELF64 or a raw binary"),
    plain(0, b"\xcf\xfa\xed\xfe", "a Mach-O program", "build the guest as an ELF64 for aarch64-none-elf"),
    plain(0, b"\xce\xfa\xed\xfe", "a 32-bit Mach-O program", "build the guest as an ELF64 for aarch64-none-elf"),
    plain(0, b"\xca\xfe\xba\xbe", "a Mach-O universal program", "build the guest as an ELF64 for aarch64-none-elf"),

    // Text.
    with(b"#!", is_text, "a script", "name the kernel that it makes or starts"),
    with(b":", |file| hex_record(file, 1), "an Intel HEX file", "make a raw binary of it, `objcopy -I ihex -O binary FILE guest.bin`, and give its `load_address`"),
    with(b"S", |file| hex_record(file, 1), "an S-record file", "make a raw binary of it, `objcopy -I srec -O binary FILE guest.bin`, and give its `load_address`"),
    with(b"", is_text, "a text file", "name a file with a kernel in it"),
];

const DISK: &str = "guests have no disk: take the kernel out of it";
const AARCH64: &str = "build the guest for AArch64";

/// What the file is, if that is known and no guest.
pub fn recognise(file: &[u8]) -> Option<&'static Foreign> {
    let matches = |magic: &&Magic| has(file, magic.offset, magic.bytes) && (magic.more)(file);
    MAGICS.iter().find(matches).map(|magic| &magic.kind)
}

fn has(file: &[u8], offset: usize, bytes: &[u8]) -> bool {
    file.get(offset..)
        .is_some_and(|rest| rest.starts_with(bytes))
}

/// A byte of the file; 0xff past its end, which fits no header here.
fn byte(file: &[u8], offset: usize) -> u8 {
    file.get(offset).copied().unwrap_or(0xff)
}

/// Four bytes of the file, little-endian; all ones past its end.
fn word(file: &[u8], offset: usize) -> u32 {
    let bytes = file.get(offset..).and_then(|rest| rest.first_chunk());
    bytes.map_or(u32::MAX, |bytes| u32::from_le_bytes(*bytes))
}

/// A level, and the magic number of a block or of the end. "BZh9" alone is `ldrb w2, [x18, #2582]`.
fn bzip2(file: &[u8]) -> bool {
    let block = has(file, 4, b"\x31\x41\x59\x26\x53\x59");
    let end = has(file, 4, b"\x17\x72\x45\x38\x50\x90");
    (b'1'..=b'9').contains(&byte(file, 3)) && (block || end)
}

/// A frame (RFC 8878, 3.1.1), perhaps behind skippable ones, whose magic numbers are `ldr wN` from a literal.
fn zstd(file: &[u8]) -> bool {
    const SKIPPABLE: u32 = 0x184d_2a50;
    // A reserved bit of the frame header descriptor.
    let frame = |at| has(file, at, b"\x28\xb5\x2f\xfd") && byte(file, at + 4) & 8 == 0;
    let skipped = 8_usize.saturating_add(word(file, 4) as usize);
    frame(0) || word(file, 0) & !0xf == SKIPPABLE && skipped < file.len() && frame(skipped)
}

/// The descriptor of a frame (lz4_Frame_format.md): version 1, its reserved bits, a block's size. The magic number alone is `ldr w4` from a
/// literal.
fn lz4_frame(file: &[u8]) -> bool {
    let (flags, block) = (byte(file, 4), byte(file, 5));
    flags & 0xc2 == 0x40 && block & 0x8f == 0 && block >> 4 >= 4
}

/// A block of at most what 8 MiB can become. The magic number alone is `ldr w2` from a literal; the size is no instruction.
fn lz4_legacy(file: &[u8]) -> bool {
    const MOST: u32 = (8 << 20) + (8 << 20) / 255 + 16;
    (1..=MOST).contains(&word(file, 4))
}

/// A header of 13 bytes without any magic number (lzma-file-format.txt): properties, a dictionary's size, which liblzma wants to be 2^n or
/// 2^n + 2^(n-1), and the file's, unknown or below 256 GiB; then a 0. The first bytes may be `adr x29`, but then no third instruction.
fn lzma(file: &[u8]) -> bool {
    let dictionary = word(file, 1);
    let whole = dictionary.is_power_of_two()
        || dictionary.is_multiple_of(3) && (dictionary / 3).is_power_of_two()
        || dictionary == u32::MAX;
    let (low, high) = (word(file, 5), word(file, 9));
    let size = low == u32::MAX && high == u32::MAX || high < 1 << 6;
    file.len() > 13 && whole && size && byte(file, 13) == 0
}

/// A device tree blob that has a node "images".
fn fit(file: &[u8]) -> bool {
    const NODE: &[u8] = b"\0\0\0\x01images\0";
    file.windows(NODE.len()).any(|window| window == NODE)
}

/// One of the ASCII formats, and its first field. "0707" alone is a `tbnz`.
fn cpio(file: &[u8]) -> bool {
    let format = [b"01", b"02", b"07"].iter().any(|kind| has(file, 4, *kind));
    let field = file.get(6..12);
    format && field.is_some_and(|field| field.iter().all(u8::is_ascii_hexdigit))
}

/// The superblock, which begins at 1024: magic number, clean or not, what to do on errors.
fn ext(file: &[u8]) -> bool {
    has(file, 0x438, b"\x53\xef")
        && word(file, 0x43a) & 0xffff <= 7
        && matches!(word(file, 0x43c) & 0xffff, 1..=3)
}

/// The pointer at 0x3c leads to the PE header.
fn pe(file: &[u8]) -> bool {
    has(file, word(file, 0x3c) as usize, b"PE\0\0")
}

/// A text whose first line is hexadecimal digits from `start` on.
fn hex_record(file: &[u8], start: usize) -> bool {
    let line = file.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let digits = line.trim_ascii_end().get(start..).unwrap_or_default();
    digits.len() >= 8 && digits.iter().all(u8::is_ascii_hexdigit) && is_text(file)
}

/// Whether the first page is text: no control characters, and UTF-8, ASCII in UTF-16 with its mark, or mostly ASCII. Code has zero bytes, or others
/// below 32, every few instructions.
fn is_text(file: &[u8]) -> bool {
    const PAGE: usize = 4096;
    let head = &file[..file.len().min(PAGE)];
    let printable = |c: char| !c.is_control() || "\t\n\r\x0c\x1b".contains(c);
    if let [0xff, 0xfe, rest @ ..] | [0xfe, 0xff, rest @ ..] = head {
        let unit = |pair: &[u8]| match head[0] {
            0xff => u16::from_le_bytes([pair[0], pair[1]]),
            _ => u16::from_be_bytes([pair[0], pair[1]]),
        };
        let units: Vec<u16> = rest.chunks_exact(2).map(unit).collect();
        let control = |unit: &u16| char::from_u32((*unit).into()).is_some_and(|c| !printable(c));
        // The mark is the lower half of a branch or a store. Code has hardly a halfword below 128.
        let ascii = units.iter().filter(|unit| **unit < 0x80).count();
        return ascii * 2 > units.len() && !units.iter().any(control);
    }
    let utf8 = match str::from_utf8(head) {
        Ok(text) => Some(text),
        // A character that the page's end cuts in two.
        Err(error) if error.error_len().is_none() && file.len() > PAGE => {
            str::from_utf8(&head[..error.valid_up_to()]).ok()
        }
        Err(_) => None,
    };
    if utf8.is_some_and(|text| text.chars().all(printable)) {
        return true;
    }
    let high = head.iter().filter(|byte| **byte >= 0x80).count();
    let others = head.iter().filter(|byte| **byte < 0x80);
    high * 8 <= head.len() && others.map(|byte| char::from(*byte)).all(printable)
}
