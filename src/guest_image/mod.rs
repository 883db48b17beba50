//! From the bytes of a guest image to what must lie where before the guest's first instruction.
//!
//! [`plan`] only looks; loading is copying what the plan lists. Formats: arm64 `Image`, ELF64, raw binary, each
//! placed as `qemu-system-aarch64 -M virt -kernel` places it, so that a guest built for one address finds itself there.

mod arm64_image;
pub mod device_tree;
mod elf;
mod error;
#[cfg(test)]
mod place_tests;
#[cfg(test)]
mod tests;

pub use error::{ImageError, Part};

use crate::addr::{BLOCK_SIZE, Ipa, PAGE_SIZE};
use core::ops::Range;

/// Segments that one image may have.
pub const MAX_SEGMENTS: usize = 16;

/// Where a raw binary goes, from the start of RAM.
const RAW_OFFSET: u64 = 0x8_0000;
/// The initrd and the device tree go half-way into RAM, but no further from its start than this: out of the way of
/// what a kernel uses beyond its image, near enough for every kernel's first mapping. As QEMU does.
const LOADED_WITH_IT: u64 = 128 << 20;

/// What the image was recognised as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// The arm64 Linux `Image` with its header.
    Arm64Image,
    /// An ELF64 executable.
    Elf,
    /// Anything else.
    Raw,
}

/// A run of guest memory to fill: `bytes` at `ipa`, behind them `zeroes` bytes of 0. All of it is in RAM.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Segment<'a> {
    /// Where it begins.
    pub ipa: Ipa,
    /// What it begins with; may be empty.
    pub bytes: &'a [u8],
    /// How many zero bytes follow.
    pub zeroes: u64,
}

impl Segment<'_> {
    /// Bytes in memory; saturates, so that nonsense is too big for every RAM.
    fn size(&self) -> u64 {
        (self.bytes.len() as u64).saturating_add(self.zeroes)
    }

    fn range(&self) -> Range<u64> {
        self.ipa.0..self.ipa.0.saturating_add(self.size())
    }
}

/// What to load, and where to begin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LoadPlan<'a> {
    /// What the image is.
    pub format: Format,
    /// The guest's first pc, in a segment and a multiple of 4.
    pub entry: Ipa,
    ram: Range<Ipa>,
    segments: [Segment<'a>; MAX_SEGMENTS],
    /// The part of the image that each segment came from, for errors.
    parts: [Part; MAX_SEGMENTS],
    count: usize,
}

/// Where copies of the device tree go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TreePlaces {
    /// The copy whose address the guest has in x0. Above the image, or at the start of RAM if there is no room.
    pub passed: Ipa,
    /// The copy at the start of RAM, for kernels that look only there; `None` if the image lies there, or if
    /// `passed` is that copy.
    pub at_start: Option<Ipa>,
}

/// Decides how `image` is loaded into a VM with this RAM, which begins at a multiple of 2 MiB. `load_address`
/// overrides where a raw binary goes, and is an error for the others.
pub fn plan(
    image: &[u8],
    ram: Range<Ipa>,
    load_address: Option<u64>,
) -> Result<LoadPlan<'_>, ImageError> {
    refuse_wrapped(image)?;
    let format = match image {
        [] => return Err(ImageError::Empty),
        _ if elf::recognise(image) => Format::Elf,
        _ if arm64_image::recognise(image) => Format::Arm64Image,
        _ => Format::Raw,
    };
    if format != Format::Raw && load_address.is_some() {
        return Err(ImageError::LoadAddressNotTaken);
    }
    let mut plan = LoadPlan {
        format,
        entry: ram.start,
        ram,
        segments: [Segment::default(); MAX_SEGMENTS],
        parts: [Part::Image; MAX_SEGMENTS],
        count: 0,
    };
    match format {
        Format::Elf => elf::plan(image, &mut plan)?,
        Format::Arm64Image => arm64_image::plan(image, &mut plan)?,
        Format::Raw => {
            let ipa = load_address.map_or(plan.in_ram(RAW_OFFSET), Ipa);
            plan.push(
                Segment {
                    ipa,
                    bytes: image,
                    zeroes: 0,
                },
                Part::Image,
            )?;
            plan.enter(ipa.0)?;
        }
    }
    Ok(plan)
}

/// Formats that would pass for raw binaries and then execute as garbage.
fn refuse_wrapped(image: &[u8]) -> Result<(), ImageError> {
    let (what, remedy) = if image.starts_with(&[0x1f, 0x8b]) {
        ("compressed image", "gunzip it first")
    } else if image.starts_with(b"MZ") && image.get(4..8) == Some(b"zimg") {
        (
            "compressed EFI image",
            "take the kernel out of it first, or build the uncompressed Image",
        )
    } else if image.starts_with(&[0x27, 0x05, 0x19, 0x56]) {
        (
            "U-Boot legacy image",
            "take the kernel out of it first (dumpimage)",
        )
    } else {
        return Ok(());
    };
    Err(ImageError::Wrapped { what, remedy })
}

impl<'a> LoadPlan<'a> {
    /// What to load, in the image's order. No two overlap.
    pub fn segments(&self) -> &[Segment<'a>] {
        &self.segments[..self.count]
    }

    /// The first address above everything that the image occupies.
    pub fn end(&self) -> Ipa {
        Ipa(self
            .segments()
            .iter()
            .map(|segment| segment.range().end)
            .max()
            .unwrap_or(self.ram.start.0))
    }

    /// Where an initial RAM disk of `size` bytes goes: above the image, on a page boundary.
    pub fn initrd(&self, size: u64) -> Result<Range<Ipa>, ImageError> {
        self.above(self.end(), PAGE_SIZE, size)
            .map(|start| start..Ipa(start.0 + size))
            .ok_or(ImageError::NoRoom {
                what: Part::Initrd,
                size,
            })
    }

    /// Where a device tree of `size` bytes goes, clear of the image and of the `initrd`.
    ///
    /// The copy above begins at a multiple of 2 MiB, as kernels before Linux 4.2 demand (booting.rst: not across a 2 MiB
    /// boundary), unless only a page boundary leaves enough room.
    pub fn device_tree(
        &self,
        size: u64,
        initrd: Option<&Range<Ipa>>,
    ) -> Result<TreePlaces, ImageError> {
        let taken = |range: Range<u64>| {
            let hits = |other: Range<u64>| range.start < other.end && other.start < range.end;
            self.segments().iter().any(|segment| hits(segment.range()))
                || initrd.is_some_and(|initrd| hits(initrd.start.0..initrd.end.0))
        };
        let start = self.ram.start;
        let fits = start
            .0
            .checked_add(size)
            .is_some_and(|end| end <= self.ram.end.0);
        let at_start = (fits && !taken(start.0..start.0 + size)).then_some(start);
        let free_from = initrd.map_or(self.end(), |initrd| self.end().max(initrd.end));
        let above = self
            .above(free_from, BLOCK_SIZE, size)
            .or_else(|| self.above(free_from, PAGE_SIZE, size));
        match (above, at_start) {
            (Some(passed), at_start) => Ok(TreePlaces { passed, at_start }),
            (None, Some(passed)) => Ok(TreePlaces {
                passed,
                at_start: None,
            }),
            (None, None) => Err(ImageError::NoRoom {
                what: Part::DeviceTree,
                size,
            }),
        }
    }

    /// A place for `size` bytes from `free_from` on, half-way into RAM if there is room, else right behind.
    fn above(&self, free_from: Ipa, align: u64, size: u64) -> Option<Ipa> {
        let half = (self.ram.end.0 - self.ram.start.0) / 2;
        let middle = self.ram.start.0 + half.min(LOADED_WITH_IT);
        [middle.max(free_from.0), free_from.0]
            .into_iter()
            .find_map(|from| {
                let start = from.checked_next_multiple_of(align)?;
                (start.checked_add(size)? <= self.ram.end.0).then_some(Ipa(start))
            })
    }

    /// The address `offset` into RAM; saturates, and what is put there is outside RAM then.
    fn in_ram(&self, offset: u64) -> Ipa {
        Ipa(self.ram.start.0.saturating_add(offset))
    }

    /// Adds a segment, if it is in RAM and overlaps no other.
    fn push(&mut self, segment: Segment<'a>, part: Part) -> Result<(), ImageError> {
        let size = segment.size();
        let end = segment.ipa.checked_add(size);
        if segment.ipa < self.ram.start || end.is_none_or(|end| end > self.ram.end) {
            return Err(ImageError::OutsideRam {
                what: part,
                at: segment.ipa,
                size,
                ram: self.ram.clone(),
            });
        }
        let range = segment.range();
        for (other, other_part) in self.segments().iter().zip(self.parts) {
            let other = other.range();
            if range.start < other.end && other.start < range.end {
                return Err(overlap(other_part, part));
            }
        }
        let (Some(free), Some(free_part)) = (
            self.segments.get_mut(self.count),
            self.parts.get_mut(self.count),
        ) else {
            return Err(ImageError::TooManySegments);
        };
        (*free, *free_part) = (segment, part);
        self.count += 1;
        Ok(())
    }

    /// Sets the entry point, if an instruction can be there.
    fn enter(&mut self, entry: u64) -> Result<(), ImageError> {
        if !entry.is_multiple_of(4) {
            return Err(ImageError::Misaligned(entry));
        }
        if !self
            .segments()
            .iter()
            .any(|segment| segment.range().contains(&entry))
        {
            return Err(ImageError::EntryNotLoaded(entry));
        }
        self.entry = Ipa(entry);
        Ok(())
    }
}

fn overlap(first: Part, second: Part) -> ImageError {
    let index = |part| {
        if let Part::Segment(index) = part {
            index
        } else {
            0
        }
    };
    ImageError::Overlap {
        first: index(first),
        second: index(second),
    }
}
