//! What can be wrong with a guest image.

use std::fmt;
use std::ops::Range;

use super::Format;
use super::foreign::Foreign;

/// Why an image cannot be loaded. Displayed it says what is wrong, where, and what to do about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ImageError {
    /// The file has no bytes.
    Empty,
    /// The file is of a kind that is known, and not supported.
    Foreign(&'static Foreign),
    /// The file has fewer bytes than an instruction.
    TooShort(u64),
    /// What a raw binary begins with can be no instruction.
    NoInstruction {
        /// Where it begins.
        entry: u64,
        /// The word there.
        instruction: u32,
    },
    /// The file ends before something that it promises.
    Truncated {
        /// What is missing.
        what: Part,
        /// Where in the file that would end.
        needed: u64,
        /// Where the file ends.
        length: u64,
    },
    /// The ELF file is for another machine (`e_machine`).
    WrongMachine(u16),
    /// The ELF file has 32-bit structure.
    Elf32,
    /// The guest would run big-endian.
    BigEndian,
    /// The ELF file is no program (`e_type`), but an object or a core file.
    NotExecutable(u16),
    /// A field of the ELF header makes no sense.
    Malformed(&'static str),
    /// An ELF segment has more bytes in the file than in memory.
    Shrinks {
        /// The segment.
        segment: Part,
        /// p_filesz.
        in_file: u64,
        /// p_memsz.
        in_memory: u64,
    },
    /// Nothing in the ELF file is to be loaded.
    NothingToLoad,
    /// Something would lie outside the VM's RAM.
    OutsideRam {
        /// What.
        what: Part,
        /// Where it would lie.
        at: u64,
        /// How many bytes it takes there.
        size: u64,
        /// The VM's RAM.
        ram: Range<u64>,
    },
    /// Two segments claim the same memory.
    Overlap {
        /// The one whose program header comes first.
        first: Part,
        /// The other.
        second: Part,
    },
    /// The entry point is in nothing that comes from the file.
    EntryNotLoaded(u64),
    /// The entry point is in a segment that is not executable, and others are.
    EntryNotExecutable {
        /// The entry point, as the file has it.
        entry: u64,
        /// Where it is.
        segment: Part,
    },
    /// The configuration's entry is not in the image.
    EntryOutside {
        /// What the configuration says.
        entry: u64,
        /// Where the image lies.
        image: Range<u64>,
    },
    /// The configuration has a key for raw binaries, but the image decides itself.
    KeyNotTaken {
        /// The key.
        key: &'static str,
        /// What the image is.
        format: Format,
    },
    /// Instructions are 4 bytes and aligned so; this address is not.
    Misaligned(u64),
    /// A kernel stands where its initial RAM disk should.
    ProgramAsInitrd,
    /// No place is left for the initial RAM disk.
    NoRoomForInitrd {
        /// Its bytes.
        size: u64,
        /// Bytes above the image.
        free: u64,
    },
}

impl ImageError {
    /// The key of the configuration that is to blame; `None`: the file is.
    pub fn key(&self) -> Option<&'static str> {
        match self {
            Self::KeyNotTaken { key, .. } => Some(key),
            Self::EntryOutside { .. } => Some("entry"),
            _ => None,
        }
    }
}

/// A part of an image.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Part {
    /// The image as a whole.
    Image,
    /// The ELF header.
    ElfHeader,
    /// The table of program headers.
    ProgramHeaders,
    /// The first section header, which counts program headers where they are many.
    SectionHeaders,
    /// The segment with this program header.
    Segment(u32),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image => f.write_str("the image"),
            Self::ElfHeader => f.write_str("the ELF header"),
            Self::ProgramHeaders => f.write_str("the table of ELF program headers"),
            Self::SectionHeaders => f.write_str("the first ELF section header"),
            Self::Segment(index) => write!(f, "ELF segment {index}"),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Arm64Image => "an arm64 Image",
            Self::Elf => "an ELF file",
            Self::Raw => "a raw binary",
        })
    }
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the image is empty: name a file with a kernel in it"),
            Self::Foreign(Foreign { what, remedy, .. }) => {
                write!(f, "{what} is not supported: {remedy}")
            }
            Self::TooShort(length) => write!(
                f,
                "the file has {length} bytes, which is no instruction: name a file with a kernel in it"
            ),
            Self::NoInstruction { entry, instruction } => write!(
                f,
                "the image is no known format, and as a raw binary it would begin at {entry:#x} with {instruction:#010x}, which is no \
                 instruction: name an arm64 Image, an ELF64 or a raw binary, or say with `entry` where its code begins"
            ),
            Self::Truncated { what, needed, length } => write!(
                f,
                "the file ends at byte {length:#x}, but {what} goes up to {needed:#x}: it was cut off, copy it again"
            ),
            Self::WrongMachine(machine) => {
                write!(f, "the ELF file is for machine {machine}: build the guest for AArch64 (183)")
            }
            Self::Elf32 => f.write_str("the ELF file is 32-bit: build the guest for AArch64"),
            Self::BigEndian => f.write_str("the image is big-endian: build the guest little-endian"),
            Self::NotExecutable(kind) => {
                write!(f, "the ELF file has type {kind}, which is no program: link it into an executable (2)")
            }
            Self::Malformed(field) => {
                write!(f, "the ELF header's {field} makes no sense: the file is damaged, build it again")
            }
            Self::Shrinks { segment, in_file, in_memory } => write!(
                f,
                "{segment} has {in_file:#x} bytes in the file, but {in_memory:#x} in memory: the file is damaged, build it again"
            ),
            Self::NothingToLoad => {
                f.write_str("the ELF file has no segment to load: link the guest with program headers")
            }
            Self::OutsideRam { what, at, size, ram } => write!(
                f,
                "{what} takes {size:#x} bytes at {at:#x}, outside the VM's RAM from {:#x} to {:#x}: give the VM more \
                 memory or link the guest for an address in it",
                ram.start, ram.end
            ),
            Self::Overlap { first, second } => {
                write!(f, "{first} and {second} overlap in memory: correct the guest's linker script")
            }
            Self::EntryNotLoaded(entry) => write!(
                f,
                "the entry point {entry:#x} is in no loaded segment's bytes: correct ENTRY in the guest's linker script"
            ),
            Self::EntryNotExecutable { entry, segment } => write!(
                f,
                "the entry point {entry:#x} is in {segment}, which is not executable: correct ENTRY in the guest's linker script, or \
                 the segment's flags"
            ),
            Self::EntryOutside { entry, image } => write!(
                f,
                "{entry:#x} is not in the image; allowed: the address of an instruction from {:#x} to {:#x}",
                image.start,
                image.end - 4
            ),
            Self::KeyNotTaken { format, .. } => {
                write!(f, "without effect, as the image is {format}, which says itself; allowed: with a raw binary")
            }
            Self::Misaligned(address) => {
                write!(f, "the entry point {address:#x} is no address for an instruction: use a multiple of 4")
            }
            Self::ProgramAsInitrd => f.write_str(
                "a program is no initial RAM disk: name an archive (cpio) or a file system, compressed or not, here, and the kernel as `image`",
            ),
            Self::NoRoomForInitrd { size, free } => write!(
                f,
                "no place is left for the initrd, {size:#x} bytes, as {free:#x} are free above the image: give the VM more memory"
            ),
        }
    }
}

impl std::error::Error for ImageError {}
