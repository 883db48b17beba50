//! ELF64 executables (System V ABI, and its supplement for AArch64).

use std::ops::Range;

use ::elf::abi;
use ::elf::endian::AnyEndian;
use ::elf::file::{Class, FileHeader, parse_ident};
use ::elf::segment::{ProgramHeader, SegmentTable};

use super::{ImageError, LoadPlan, Part, Segment};

/// Bytes of an ELF64 header, and of one header of a segment and of a section.
const HEADER_SIZE: usize = 64;
const PROGRAM_HEADER_SIZE: usize = 56;
const SECTION_HEADER_SIZE: u64 = 64;
/// Where a section header has sh_info.
const SH_INFO: usize = 44;

/// Whether it claims to be ELF of any kind.
pub(super) fn recognise(image: &[u8]) -> bool {
    image.starts_with(&abi::ELFMAGIC)
}

/// PT_LOAD segments at their physical addresses. An entry point that is a virtual address is translated by the
/// executable segment that it lies in, as QEMU does for kernels linked high.
pub(super) fn plan(image: &[u8], plan: &mut LoadPlan) -> Result<(), ImageError> {
    let header = header(image)?;
    let mut entry = None;
    for (index, segment) in program_headers(image, &header)?.iter().enumerate() {
        if segment.p_type != abi::PT_LOAD {
            continue;
        }
        let part = Part::Segment(index as u32);
        let Some(zeroes) = segment.p_memsz.checked_sub(segment.p_filesz) else {
            return Err(ImageError::Shrinks {
                segment: part,
                in_file: segment.p_filesz,
                in_memory: segment.p_memsz,
            });
        };
        if segment.p_memsz == 0 {
            continue;
        }
        let executable = segment.p_flags & abi::PF_X != 0;
        plan.push(Segment {
            at: segment.p_paddr,
            file: file_bytes(image, &segment, part)?,
            zeroes,
            part,
            executable,
        })?;
        let offset = header.e_entry.wrapping_sub(segment.p_vaddr);
        if executable && offset < segment.p_memsz {
            entry = entry.or(Some(segment.p_paddr + offset));
        }
    }
    if plan.segments.is_empty() {
        return Err(ImageError::NothingToLoad);
    }
    plan.check_overlap()?;
    plan.enter(entry.unwrap_or(header.e_entry), header.e_entry)
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
    let count = match header.e_phnum {
        abi::PN_XNUM => many_headers(image, header)?,
        count => count.into(),
    };
    if count == 0 {
        return Err(ImageError::NothingToLoad);
    }
    if usize::from(header.e_phentsize) != PROGRAM_HEADER_SIZE {
        return Err(ImageError::Malformed("e_phentsize"));
    }
    let size = PROGRAM_HEADER_SIZE as u64 * u64::from(count);
    let place = range(image, header.e_phoff, size, Part::ProgramHeaders)?;
    Ok(SegmentTable::new(
        header.endianness,
        header.class,
        &image[place],
    ))
}

/// The number of program headers where e_phnum is too small for it: sh_info of the first section header has it then.
fn many_headers(image: &[u8], header: &FileHeader<AnyEndian>) -> Result<u32, ImageError> {
    let part = Part::SectionHeaders;
    let place = range(image, header.e_shoff, SECTION_HEADER_SIZE, part)?;
    let info = image[place][SH_INFO..].first_chunk();
    Ok(info.map_or(0, |bytes| u32::from_le_bytes(*bytes)))
}

/// Where in the file the bytes of a segment are. A segment without any may name an offset past the end.
fn file_bytes(
    image: &[u8],
    segment: &ProgramHeader,
    part: Part,
) -> Result<Range<usize>, ImageError> {
    match segment.p_filesz {
        0 => Ok(0..0),
        size => range(image, segment.p_offset, size, part),
    }
}

fn range(image: &[u8], offset: u64, size: u64, what: Part) -> Result<Range<usize>, ImageError> {
    let needed = offset.saturating_add(size);
    let length = image.len() as u64;
    if needed > length {
        return Err(ImageError::Truncated {
            what,
            needed,
            length,
        });
    }
    Ok(offset as usize..needed as usize)
}
