//! ELF64 executables (System V ABI, and its supplement for AArch64).

use super::{ImageError, LoadPlan, Part, Segment};
use crate::addr::Ipa;
use ::elf::abi;
use ::elf::endian::AnyEndian;
use ::elf::file::{Class, FileHeader, parse_ident};
use ::elf::segment::{ProgramHeader, SegmentTable};

/// Bytes of an ELF64 header and of one of its program headers.
const HEADER_SIZE: usize = 64;
const PROGRAM_HEADER_SIZE: usize = 56;

/// Whether it claims to be ELF of any kind.
pub(super) fn recognise(image: &[u8]) -> bool {
    image.starts_with(&abi::ELFMAGIC)
}

/// PT_LOAD segments at their physical addresses. An entry point that is a virtual address is translated by the
/// executable segment that it lies in, as QEMU does for kernels linked high.
pub(super) fn plan<'a>(image: &'a [u8], plan: &mut LoadPlan<'a>) -> Result<(), ImageError> {
    let header = header(image)?;
    let table = program_headers(image, &header)?;
    let mut entry = None;
    for (index, segment) in table.iter().enumerate() {
        if segment.p_type != abi::PT_LOAD || segment.p_memsz == 0 {
            continue;
        }
        let index = index as u16;
        let bytes = file_bytes(image, &segment, index)?;
        let zeroes = segment
            .p_memsz
            .checked_sub(segment.p_filesz)
            .ok_or(ImageError::Malformed(
                "segment size (smaller in memory than in the file)",
            ))?;
        plan.push(
            Segment {
                ipa: Ipa(segment.p_paddr),
                bytes,
                zeroes,
            },
            Part::Segment(index),
        )?;
        let offset = header.e_entry.wrapping_sub(segment.p_vaddr);
        if segment.p_flags & abi::PF_X != 0 && offset < segment.p_memsz {
            entry = entry.or(Some(segment.p_paddr + offset));
        }
    }
    if plan.segments().is_empty() {
        return Err(ImageError::NothingToLoad);
    }
    plan.enter(entry.unwrap_or(header.e_entry))
}

fn header(image: &[u8]) -> Result<FileHeader<AnyEndian>, ImageError> {
    let truncated = ImageError::Truncated {
        what: Part::ElfHeader,
        needed: HEADER_SIZE as u64,
        length: image.len() as u64,
    };
    let Some((header, _)) = image.split_at_checked(HEADER_SIZE) else {
        return Err(truncated);
    };
    let ident =
        parse_ident::<AnyEndian>(header).map_err(|_| ImageError::Malformed("identification"))?;
    let header = FileHeader::parse_tail(ident, &header[abi::EI_NIDENT..]).map_err(|_| truncated)?;
    // In the order in which a person would want to know.
    if header.class == Class::ELF32 {
        return Err(ImageError::Elf32);
    }
    if header.e_machine != abi::EM_AARCH64 {
        return Err(ImageError::WrongMachine(header.e_machine));
    }
    if header.endianness != AnyEndian::Little {
        return Err(ImageError::BigEndian);
    }
    if !matches!(header.e_type, abi::ET_EXEC | abi::ET_DYN) {
        return Err(ImageError::NotExecutable(header.e_type));
    }
    Ok(header)
}

fn program_headers<'a>(
    image: &'a [u8],
    header: &FileHeader<AnyEndian>,
) -> Result<SegmentTable<'a, AnyEndian>, ImageError> {
    if header.e_phnum == 0 {
        return Err(ImageError::NothingToLoad);
    }
    if usize::from(header.e_phentsize) != PROGRAM_HEADER_SIZE {
        return Err(ImageError::Malformed("e_phentsize"));
    }
    let size = PROGRAM_HEADER_SIZE as u64 * u64::from(header.e_phnum);
    let bytes = slice(image, header.e_phoff, size, Part::ProgramHeaders)?;
    Ok(SegmentTable::new(header.endianness, header.class, bytes))
}

fn file_bytes<'a>(
    image: &'a [u8],
    segment: &ProgramHeader,
    index: u16,
) -> Result<&'a [u8], ImageError> {
    slice(
        image,
        segment.p_offset,
        segment.p_filesz,
        Part::Segment(index),
    )
}

fn slice(image: &[u8], offset: u64, size: u64, what: Part) -> Result<&[u8], ImageError> {
    let needed = offset.saturating_add(size);
    let length = image.len() as u64;
    if needed > length {
        return Err(ImageError::Truncated {
            what,
            needed,
            length,
        });
    }
    Ok(&image[offset as usize..needed as usize])
}
