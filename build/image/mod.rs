//! From the bytes of a guest's image to what must lie where before the guest's first instruction.
//!
//! [`plan`] only looks, and refuses what could not run. Formats: arm64 `Image`, ELF64, raw binary, each placed as
//! `qemu-system-aarch64 -M virt -kernel` places it, so that a guest built for one address finds itself there.

mod arm64_image;
mod elf;
#[cfg(test)]
mod elf_tests;
mod error;
mod foreign;
#[cfg(test)]
mod foreign_tests;
#[cfg(test)]
mod tests;

use std::ops::Range;

pub use error::{ImageError, Part};

/// Where a raw binary goes, from the start of RAM.
const RAW_OFFSET: u64 = 0x8_0000;
/// Bytes of a page, on whose boundary an initial RAM disk begins.
const PAGE_SIZE: u64 = 4 << 10;
/// Bytes of an instruction.
const INSTRUCTION: u64 = 4;

/// What the image was recognised as: the variant of `avisor::guest_image::Format`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// The arm64 Linux `Image` with its header.
    Arm64Image,
    /// An ELF64 executable.
    Elf,
    /// Anything else that may be a program.
    Raw,
}

/// What the configuration says of where an image goes. Addresses are IPAs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Placement {
    /// The VM's RAM.
    pub ram: Range<u64>,
    /// Where a raw binary goes.
    pub load_address: Option<u64>,
    /// The first instruction of a raw binary.
    pub entry: Option<u64>,
}

/// A run of guest memory to fill.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Where it begins (IPA).
    pub at: u64,
    /// The bytes of the file that it begins with; may be empty.
    pub file: Range<usize>,
    /// How many zero bytes follow.
    pub zeroes: u64,
    /// What it is, for errors.
    part: Part,
    /// Whether the file says that it holds instructions.
    executable: bool,
}

impl Segment {
    /// The first address above it; saturates, so that nonsense is too big for every RAM.
    fn end(&self) -> u64 {
        self.end_of_bytes().saturating_add(self.zeroes)
    }

    /// The first address above what comes from the file.
    fn end_of_bytes(&self) -> u64 {
        self.at.saturating_add(self.file.len() as u64)
    }
}

/// What to load, and where to begin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LoadPlan {
    /// What the image is.
    pub format: Format,
    /// The guest's first pc: a multiple of 4, in the bytes of a segment.
    pub entry: u64,
    /// What to load, in the file's order. All of it is in RAM, and no two overlap.
    pub segments: Vec<Segment>,
    /// What may keep it from running, depending on the board.
    pub warning: Option<&'static str>,
    ram: Range<u64>,
}

/// Decides how `image` is loaded.
pub fn plan(image: &[u8], placement: &Placement) -> Result<LoadPlan, ImageError> {
    let format = match image {
        [] => return Err(ImageError::Empty),
        _ if elf::recognise(image) => Format::Elf,
        _ if arm64_image::recognise(image) => Format::Arm64Image,
        _ => Format::Raw,
    };
    let ram = placement.ram.clone();
    let mut plan = LoadPlan {
        format,
        entry: ram.start,
        segments: Vec::new(),
        warning: None,
        ram,
    };
    if format == Format::Raw {
        raw(image, placement, &mut plan)?;
        return Ok(plan);
    }
    // These say themselves where they go, and where they begin.
    for (key, value) in [
        ("load_address", placement.load_address),
        ("entry", placement.entry),
    ] {
        if value.is_some() {
            return Err(ImageError::KeyNotTaken { key, format });
        }
    }
    match format {
        Format::Elf => elf::plan(image, &mut plan)?,
        _ => arm64_image::plan(image, &mut plan)?,
    }
    Ok(plan)
}

/// What is wrong with `disk` as the initial RAM disk of a guest that is loaded by `plan`. What a guest makes of it is the guest's business,
/// except for Linux, which takes an archive or a file system, compressed or not.
pub fn check_initrd(disk: &[u8], plan: &LoadPlan) -> Result<(), ImageError> {
    if plan.format == Format::Arm64Image {
        if elf::recognise(disk) || arm64_image::recognise(disk) {
            return Err(ImageError::ProgramAsInitrd);
        }
        if let Some(foreign) = foreign::recognise(disk)
            && !foreign.initrd
        {
            return Err(ImageError::Foreign(foreign));
        }
    }
    let end = plan.segments.iter().map(Segment::end).max();
    let start = end.unwrap_or(plan.ram.start).next_multiple_of(PAGE_SIZE);
    let size = disk.len() as u64;
    if start + size > plan.ram.end {
        return Err(ImageError::NoRoomForInitrd {
            size,
            free: plan.ram.end.saturating_sub(start),
        });
    }
    Ok(())
}

/// A raw binary: what is known to be something else would execute as garbage, and say nothing.
fn raw(image: &[u8], placement: &Placement, plan: &mut LoadPlan) -> Result<(), ImageError> {
    if let Some(foreign) = foreign::recognise(image) {
        return Err(ImageError::Foreign(foreign));
    }
    let size = image.len() as u64;
    if size < INSTRUCTION {
        return Err(ImageError::TooShort(size));
    }
    let at = placement
        .load_address
        .unwrap_or(plan.ram.start.saturating_add(RAW_OFFSET));
    plan.push(Segment {
        at,
        file: 0..image.len(),
        zeroes: 0,
        part: Part::Image,
        executable: true,
    })?;
    let entry = placement.entry.unwrap_or(at);
    if entry < at || entry > at + size - INSTRUCTION {
        let image = at..at + size;
        return Err(ImageError::EntryOutside { entry, image });
    }
    plan.enter(entry, entry)?;
    let instruction = image[(entry - at) as usize..]
        .first_chunk()
        .map_or(0, |bytes| u32::from_le_bytes(*bytes));
    if !is_allocated(instruction) {
        return Err(ImageError::NoInstruction { entry, instruction });
    }
    Ok(())
}

/// Whether the word is in a group of the A64 encodings that has instructions (Arm ARM, C4.1). What is not is data, mostly zeroes.
fn is_allocated(instruction: u32) -> bool {
    match instruction >> 25 & 0xf {
        0 => instruction >> 31 == 1,
        1 | 3 => false,
        _ => true,
    }
}

impl LoadPlan {
    /// Adds a segment, if it is in RAM.
    fn push(&mut self, segment: Segment) -> Result<(), ImageError> {
        let size = (segment.file.len() as u64).saturating_add(segment.zeroes);
        let end = segment.at.checked_add(size);
        if segment.at < self.ram.start || end.is_none_or(|end| end > self.ram.end) {
            return Err(ImageError::OutsideRam {
                what: segment.part,
                at: segment.at,
                size,
                ram: self.ram.clone(),
            });
        }
        self.segments.push(segment);
        Ok(())
    }

    /// Refuses two segments that claim the same memory.
    fn check_overlap(&self) -> Result<(), ImageError> {
        let mut sorted: Vec<&Segment> = self.segments.iter().collect();
        sorted.sort_by_key(|segment| segment.at);
        for pair in sorted.windows(2) {
            if pair[1].at < pair[0].end() {
                let (mut first, mut second) = (pair[0].part, pair[1].part);
                if second < first {
                    (first, second) = (second, first);
                }
                return Err(ImageError::Overlap { first, second });
            }
        }
        Ok(())
    }

    /// Sets the entry point to the IPA `entry`, if an instruction of the file can be there. The file calls it `named`.
    fn enter(&mut self, entry: u64, named: u64) -> Result<(), ImageError> {
        if !entry.is_multiple_of(INSTRUCTION) {
            return Err(ImageError::Misaligned(named));
        }
        let holds = |segment: &&Segment| {
            segment.at <= entry
                && entry
                    .checked_add(INSTRUCTION)
                    .is_some_and(|end| end <= segment.end_of_bytes())
        };
        let Some(segment) = self.segments.iter().find(holds) else {
            return Err(ImageError::EntryNotLoaded(named));
        };
        // Where no segment is executable, the flags say nothing.
        if !segment.executable && self.segments.iter().any(|segment| segment.executable) {
            return Err(ImageError::EntryNotExecutable {
                entry: named,
                segment: segment.part,
            });
        }
        self.entry = entry;
        Ok(())
    }
}
