//! Guest images of every format, made out of the program `hello`; and files that only look like guests.

use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use elf::ElfBytes;
use elf::abi::PT_LOAD;
use elf::endian::LittleEndian;

use crate::image::{folder, guest_program};

/// Where guests are linked to (guest/guest.ld), and where a raw binary is loaded.
const LINKED_AT: u64 = 0x4008_0000;
/// The distance from an `Image`'s header to the code behind it.
const HEADER_ROOM: u64 = 0x1000;

/// The program as an ELF file.
pub fn elf() -> PathBuf {
    guest_program("hello")
}

/// The program as it lies in memory, without anything around it.
pub fn raw() -> PathBuf {
    write("hello.bin", &flattened())
}

/// The program behind a page of zeroes.
pub fn raw_behind_data() -> PathBuf {
    write(
        "hello-behind-data.bin",
        &[vec![0; 0x1000], flattened()].concat(),
    )
}

/// A raw binary of a few instructions: `b .`.
pub fn short() -> PathBuf {
    write("short.bin", &0x1400_0000_u32.to_le_bytes().repeat(4))
}

/// The program, cut into segments of 256 bytes; what follows in memory as .bss is the last one's.
pub fn elf_of_many_segments() -> PathBuf {
    const PIECE: usize = 256;
    const PROGRAM_HEADER: usize = 56;
    let code = flattened();
    let count = code.len().div_ceil(PIECE);
    let start = 64 + PROGRAM_HEADER * count;
    let mut file = fs::read(elf()).expect("it was just built");
    // The header of the same file, but for the place and the number of program headers; no sections.
    file.truncate(64);
    file[0x20..0x28].copy_from_slice(&64_u64.to_le_bytes());
    file[0x28..0x30].fill(0);
    file[0x38..0x3a].copy_from_slice(&(count as u16).to_le_bytes());
    file[0x3c..0x40].fill(0);
    for (i, piece) in code.chunks(PIECE).enumerate() {
        let address = LINKED_AT + (i * PIECE) as u64;
        let more = if i + 1 == count { 1 << 20 } else { 0 };
        // PT_LOAD, readable, writable and executable.
        file.extend([1_u32, 7].map(u32::to_le_bytes).concat());
        let offset = (start + i * PIECE) as u64;
        let size = piece.len() as u64;
        let words = [offset, address, address, size, size + more, 1];
        file.extend(words.map(u64::to_le_bytes).concat());
    }
    file.extend(code);
    write("many-segments.elf", &file)
}

/// The program behind the header that arm64 kernels have (Linux, Documentation/arch/arm64/booting.rst). The header goes so far
/// below the code that this ends up where it was linked to.
pub fn arm64_image() -> PathBuf {
    let code = flattened();
    let text_offset = LINKED_AT - HEADER_ROOM - 0x4000_0000;
    // b #HEADER_ROOM
    let branch = 0x1400_0000 | (HEADER_ROOM / 4) as u32;
    let image_size = HEADER_ROOM + code.len() as u64 + (1 << 20);
    let mut image = vec![0; HEADER_ROOM as usize];
    image[0x00..0x04].copy_from_slice(&branch.to_le_bytes());
    image[0x08..0x10].copy_from_slice(&text_offset.to_le_bytes());
    image[0x10..0x18].copy_from_slice(&image_size.to_le_bytes());
    image[0x38..0x3c].copy_from_slice(b"ARM\x64");
    image.extend(code);
    write("hello.Image", &image)
}

/// The ELF file, cut off in the middle of its code.
pub fn truncated_elf() -> PathBuf {
    let bytes = fs::read(elf()).expect("it was just built");
    write("truncated.elf", &bytes[..0x1800])
}

/// The ELF file, for an x86 machine.
pub fn x86_elf() -> PathBuf {
    let mut bytes = fs::read(elf()).expect("it was just built");
    bytes[0x12..0x14].copy_from_slice(&62_u16.to_le_bytes());
    write("x86.elf", &bytes)
}

/// What a compressed kernel begins with.
pub fn gzip() -> PathBuf {
    write(
        "kernel.gz",
        b"\x1f\x8b\x08\0\0\0\0\0\0\x03a compressed kernel",
    )
}

/// A file without a byte in it.
pub fn empty() -> PathBuf {
    write("empty", b"")
}

/// The segments of the program, each at its distance from the first. What follows in memory is .bss, which guests clear.
fn flattened() -> Vec<u8> {
    let bytes = fs::read(elf()).expect("it was just built");
    let elf = ElfBytes::<LittleEndian>::minimal_parse(&bytes).expect("rustc makes good ones");
    assert_eq!(
        elf.ehdr.e_entry, LINKED_AT,
        "a raw binary is entered at its start"
    );
    let mut flat = Vec::new();
    for segment in elf.segments().expect("a program has segments") {
        if segment.p_type == PT_LOAD {
            let start = (segment.p_paddr - LINKED_AT) as usize;
            let data = elf.segment_data(&segment).expect("it is in the file");
            flat.resize(flat.len().max(start + data.len()), 0);
            flat[start..start + data.len()].copy_from_slice(data);
        }
    }
    flat
}

fn write(name: &str, bytes: &[u8]) -> PathBuf {
    /// Tests that want the same file do not meet halfway.
    static WRITES: Mutex<()> = Mutex::new(());
    let _writes = WRITES.lock().unwrap_or_else(PoisonError::into_inner);
    let place = folder("guests").join(name);
    // A file that is there already is the same: cargo need not build again.
    if fs::read(&place).is_ok_and(|old| old == bytes) {
        return place;
    }
    let new = place.with_extension("new");
    fs::write(&new, bytes).expect("cargo's target folder is writable");
    fs::rename(&new, &place).expect("it was just written");
    place
}
