//! What can be wrong with a guest image.

use crate::addr::Ipa;
use core::fmt;
use core::ops::Range;

/// Why an image cannot be loaded. Displayed it says what is wrong, where, and what to do about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ImageError {
    /// The file has no bytes.
    Empty,
    /// The kernel is inside something that must come off first.
    Wrapped {
        /// What it is.
        what: &'static str,
        /// How to get at the kernel.
        remedy: &'static str,
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
    /// Nothing in the ELF file is to be loaded.
    NothingToLoad,
    /// The ELF file has more segments to load than [`super::MAX_SEGMENTS`].
    TooManySegments,
    /// Something would lie outside the VM's RAM.
    OutsideRam {
        /// What.
        what: Part,
        /// Where it would lie.
        at: Ipa,
        /// How many bytes it takes there.
        size: u64,
        /// The VM's RAM.
        ram: Range<Ipa>,
    },
    /// Two segments claim the same memory.
    Overlap {
        /// Index of the program header.
        first: u16,
        /// Index of the other.
        second: u16,
    },
    /// The entry point is in nothing that is loaded.
    EntryNotLoaded(u64),
    /// The configuration has a load address, but the image decides itself.
    LoadAddressNotTaken,
    /// Instructions are 4 bytes and aligned so; this address is not.
    Misaligned(u64),
    /// No place is left for the device tree or the initial RAM disk.
    NoRoom {
        /// What.
        what: Part,
        /// Its bytes.
        size: u64,
    },
}

/// A part of an image, or of what is loaded with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// The image as a whole.
    Image,
    /// The ELF header.
    ElfHeader,
    /// The table of program headers.
    ProgramHeaders,
    /// The segment with this program header.
    Segment(u16),
    /// The device tree.
    DeviceTree,
    /// The initial RAM disk.
    Initrd,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image => f.write_str("the image"),
            Self::ElfHeader => f.write_str("the ELF header"),
            Self::ProgramHeaders => f.write_str("the table of ELF program headers"),
            Self::Segment(index) => write!(f, "ELF segment {index}"),
            Self::DeviceTree => f.write_str("the device tree"),
            Self::Initrd => f.write_str("the initrd"),
        }
    }
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the image is empty: name a file with a kernel in it"),
            Self::Wrapped { what, remedy } => write!(f, "{what}: {remedy}"),
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
            Self::NothingToLoad => {
                f.write_str("the ELF file has no segment to load: link the guest with program headers")
            }
            Self::TooManySegments => write!(
                f,
                "the ELF file has more than {} segments to load: link the guest into fewer",
                super::MAX_SEGMENTS
            ),
            Self::OutsideRam { what, at, size, ram } => write!(
                f,
                "{what} takes {size:#x} bytes at {at:#x}, outside the VM's RAM from {:#x} to {:#x}: give the VM more \
                 memory or link the guest for an address in it",
                ram.start, ram.end
            ),
            Self::Overlap { first, second } => {
                write!(f, "ELF segments {first} and {second} overlap in memory: correct the guest's linker script")
            }
            Self::EntryNotLoaded(entry) => {
                write!(f, "the entry point {entry:#x} is in no loaded segment: correct ENTRY in the guest's linker script")
            }
            Self::LoadAddressNotTaken => f.write_str(
                "the image says itself where it goes: remove load_address, which is for raw binaries",
            ),
            Self::Misaligned(address) => {
                write!(f, "{address:#x} is no address for an instruction: use a multiple of 4")
            }
            Self::NoRoom { what, size } => {
                write!(f, "no place is left for {what}, {size:#x} bytes: give the VM more memory")
            }
        }
    }
}

impl core::error::Error for ImageError {}
